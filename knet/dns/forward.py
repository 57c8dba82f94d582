"""Questions about names that are not the cluster's, put to other name servers: CoreDNS's plugin forward.

Each question goes out from a port of its own with a random ID, and the same question is under way only once, so that an
answer cannot be guessed (RFC 5452), nor a loop of forwarders grow.
"""

import asyncio
import logging
import random
import secrets
import socket
import time
from collections.abc import Callable, Iterator

from knet.api.families import host_port
from knet.dns.foreign import EDNS_SIZE, Asked, Memory, Said, asked, heard, opt
from knet.dns.metrics import Metrics
from knet.dns.question import CHECKING_DISABLED, HEADER, RECURSION_DESIRED, Edns, Malformed, Question
from knet.dns.settings import Cache, Forward

log = logging.getLogger(__name__)

#: seconds to wait for all name servers together (CoreDNS's)
PATIENCE = 5.0
#: rounds through all name servers
_ROUNDS = 2
#: seconds that a name server is passed over after it did not answer a few times
_DOWN = 5.0
#: questions waiting for an answer, where max_concurrent does not say
CONCURRENT = 1000


class TooMany(Exception):
    """max_concurrent questions are waiting already."""


class NoAnswer(Exception):
    """None of the name servers said anything of use: what each did."""


class Upstream:
    """One name server, and how often in a row it did not answer."""

    def __init__(self, address: str, port: int) -> None:
        self.address = address
        self.port = port
        self.failures = 0
        self.down_until = 0.0

    def __str__(self) -> str:
        return host_port(self.address, self.port)


class Forwarder:
    """Asks the name servers of a ``forward`` line; remembers their answers where there is a ``cache``."""

    def __init__(self, settings: Forward, cache: Cache | None, metrics: Metrics) -> None:
        self._settings = settings
        self._cache = cache
        self._metrics = metrics
        self._upstreams = [Upstream(*row) for row in settings.upstreams]
        self._turn = 0
        self._waiting = 0
        self._under_way: dict[Asked, asyncio.Task[Said]] = {}
        self.memory = Memory(cache) if cache else None

    def known(self, question: Question) -> Said | None:
        """The answer, where it is remembered."""
        return self.memory.get(asked(question)) if self.memory else None

    async def resolve(self, question: Question) -> Said:
        """The answer of a name server.  Raises TooMany, NoAnswer."""
        if self._waiting >= (self._settings.max_concurrent or CONCURRENT):
            self._metrics.rejected += 1
            raise TooMany
        key = asked(question)
        task = self._under_way.get(key)
        if task is None:
            self._under_way[key] = task = asyncio.create_task(self._resolve(key, question))
            task.add_done_callback(lambda _: self._under_way.pop(key))
        self._waiting += 1
        try:
            return await asyncio.shield(task)
        finally:
            self._waiting -= 1

    async def _resolve(self, key: Asked, question: Question) -> Said:
        said = await self._ask_all(question)
        if self.memory is not None:
            self.memory.put(key, said)
        return said

    async def _ask_all(self, question: Question) -> Said:
        deadline = time.monotonic() + PATIENCE
        trouble = "no name server"
        for upstream in self._in_turn():
            left = deadline - time.monotonic()
            if left <= 0:
                break
            start = time.monotonic()
            try:
                async with asyncio.timeout(min(self._settings.read_timeout, left)):
                    said = await self._ask(upstream, question)
            except (OSError, EOFError, Malformed) as error:
                upstream.failures += 1
                if self._settings.max_fails and upstream.failures >= self._settings.max_fails:
                    upstream.down_until = time.monotonic() + _DOWN
                trouble = f"{upstream}: {str(error) or 'i/o timeout'}"
                continue
            upstream.failures = 0
            self._metrics.asked(str(upstream), said.code, time.monotonic() - start)
            return said
        raise NoAnswer(trouble)

    def _in_turn(self) -> Iterator[Upstream]:
        """By the policy; those that are down only where all are."""
        now = time.monotonic()
        for _ in range(_ROUNDS):
            up = [row for row in self._upstreams if row.down_until <= now] or self._upstreams
            if self._settings.policy == "random":
                yield from random.sample(up, len(up))
            elif self._settings.policy == "round_robin":
                self._turn += 1
                yield from (up[(self._turn + place) % len(up)] for place in range(len(up)))
            else:
                yield from up

    async def _ask(self, upstream: Upstream, question: Question) -> Said:
        message = _query(question)

        def understood(answer: bytes) -> Said | None:
            if answer[:2] != message[:2]:
                raise Malformed("the answer is to another question")
            return heard(answer, question, self._cache, time.monotonic())

        said = None if self._settings.force_tcp else await _by_udp(upstream, message, understood)
        if said is None:
            said = understood(await _by_tcp(upstream, message))
        if said is None:
            raise Malformed("an answer by TCP that is cut off")
        return said


def _query(question: Question) -> bytes:
    """The same question from us, with an ID that nobody can know."""
    flags = RECURSION_DESIRED | question.flags & CHECKING_DISABLED
    header = HEADER.pack(secrets.randbelow(65536), flags, 1, 0, 0, 1)
    return header + question.section() + opt(Edns(EDNS_SIZE, 0, question.dnssec_ok))


async def _by_udp(upstream: Upstream, message: bytes, understood: Callable[[bytes], Said | None]) -> Said | None:
    """The first datagram that is an answer; others may be somebody else's, and the true one may still come."""
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in upstream.address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        sock.connect((upstream.address, upstream.port))
        sock.send(message)
        while True:
            try:
                return understood(await loop.sock_recv(sock, 65535))
            except Malformed as error:
                log.debug("%s: %s", upstream, error)


async def _by_tcp(upstream: Upstream, message: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(upstream.address, upstream.port)
    try:
        writer.write(len(message).to_bytes(2, "big") + message)
        answer = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
    finally:
        writer.close()
    return answer
