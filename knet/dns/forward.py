"""Questions about names that are not the cluster's, put to another name server (``--upstream``).

A question is passed on as it came; only its ID is ours while it is under way, drawn at random, and an answer is taken
only if it repeats the question (RFC 5452).  For an ExternalName's alias that leaves the zone the target is asked
about, because resolvers in pods do not follow aliases themselves.
"""

import asyncio
import logging
import secrets

from dnslib import QTYPE, RCODE, RR, DNSHeader, DNSQuestion, DNSRecord
from dnslib.dns import DNSError
from dnslib.label import DNSLabel, DNSLabelError

from knet.dns.packing import Packer
from knet.dns.question import Malformed, Question, parse
from knet.dns.responder import Foreign
from knet.dns.zone import Answer

log = logging.getLogger(__name__)

#: seconds to wait for an answer, and how often to ask
TIMEOUT, ATTEMPTS = 2.0, 2
#: questions under way at once (CoreDNS forward: max_concurrent 1000 in kubeadm's Corefile)
CONCURRENT = 1000


class Forwarder(asyncio.DatagramProtocol):
    """Asks one name server, over UDP, and over TCP for who asked us over TCP."""

    def __init__(self, address: str, port: int = 53) -> None:
        self._address = (address, port)
        self._transport: asyncio.DatagramTransport | None = None
        self._waiting: dict[int, tuple[Question, asyncio.Future[bytes]]] = {}

    async def start(self) -> None:
        """OSError where the address is unusable."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, remote_addr=self._address)

    async def resolve(self, packer: Packer, foreign: Foreign, query: bytes, tcp: bool) -> bytes:
        """The answer for a client; SERVFAIL where the name server does not give one."""
        question = foreign.question
        try:
            if not foreign.aliases:
                answer = await self._ask(query, tcp)
                return query[:2] + answer[2:]
            label = DNSLabel([part.encode("latin-1") for part in foreign.target])
            header = DNSHeader(id=0, bitmap=0, rd=1)
            further = bytes(DNSRecord(header, q=DNSQuestion(label, question.type, question.cls)).pack())
            found = _answers(await self._ask(further, tcp=True))
            return packer.answer(question, tcp, Answer(True, foreign.aliases, unresolved=foreign.target), found)
        except (OSError, EOFError, Malformed, DNSError, DNSLabelError, RecursionError) as error:
            log.warning("%s did not answer about %s: %s", self._address[0], ".".join(foreign.target), error)
            return packer.code(question, tcp, RCODE.SERVFAIL)

    async def _ask(self, query: bytes, tcp: bool) -> bytes:
        if len(self._waiting) >= CONCURRENT:
            raise ConnectionError("too many questions at once")
        identity = secrets.randbelow(65536)
        while identity in self._waiting:
            identity = secrets.randbelow(65536)
        question = parse(query)
        message = identity.to_bytes(2, "big") + query[2:]
        if tcp:
            return await self._ask_tcp(message, question)
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[identity] = (question, future)
        try:
            for _ in range(ATTEMPTS):
                assert self._transport is not None
                self._transport.sendto(message)
                done, _ = await asyncio.wait([future], timeout=TIMEOUT)
                if done:
                    return future.result()
            raise TimeoutError(f"no answer within {ATTEMPTS * TIMEOUT:.0f} s")
        finally:
            del self._waiting[identity]

    async def _ask_tcp(self, message: bytes, question: Question) -> bytes:
        async with asyncio.timeout(ATTEMPTS * TIMEOUT):
            reader, writer = await asyncio.open_connection(*self._address)
            try:
                writer.write(len(message).to_bytes(2, "big") + message)
                size = int.from_bytes(await reader.readexactly(2), "big")
                answer = await reader.readexactly(size)
            finally:
                writer.close()
        if answer[:2] != message[:2] or not _repeats(answer, question):
            raise ConnectionError("the answer is to another question")
        return answer

    def datagram_received(self, data: bytes, addr: object) -> None:
        waiting = self._waiting.get(int.from_bytes(data[:2], "big"))
        if waiting is not None and not waiting[1].done() and _repeats(data, waiting[0]):
            waiting[1].set_result(data)

    def error_received(self, exc: Exception) -> None:
        """The name server's machine refuses: who waits for it need not wait for the timeout."""
        for _, future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectionError(str(exc)))


def _repeats(answer: bytes, question: Question) -> bool:
    try:
        repeated = parse(answer)
    except Malformed:
        return False
    return (repeated.name, repeated.type, repeated.cls) == (question.name, question.type, question.cls)


def _answers(message: bytes) -> list[RR]:
    return [record for record in DNSRecord.parse(message).rr if record.rtype != QTYPE.OPT]
