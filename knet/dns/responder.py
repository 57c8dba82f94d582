"""From a query's bytes to an answer's.  No I/O.

Answers are remembered by the question's bytes until something changes in the cluster: looking up and packing cost
100 µs, finding bytes and putting the ID before them half of one.  Of an answer with several addresses a few orders
are remembered, so that clients see them in turns, as CoreDNS's ``loadbalance`` has it.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, repeat
from typing import NamedTuple

from dnslib import AAAA, CNAME, EDNS0, NS, PTR, QTYPE, RCODE, RR, SOA, SRV, TXT, A, DNSHeader, DNSQuestion, DNSRecord
from dnslib.label import DNSLabel

from knet.dns.directory import Directory
from knet.dns.question import Malformed, Question, parse
from knet.dns.zone import Answer, Name, Record, Srv, Zone

#: seconds, CoreDNS's default for the zone
TTL = 5
#: the largest UDP message without EDNS (RFC 1035), and the largest we offer (DNS flag day 2020: never fragmented)
UDP_SIZE, EDNS_SIZE = 512, 1232
TCP_SIZE = 65535
#: answers remembered; then all are forgotten, so that queries for random names cannot fill the memory
CACHE = 10_000
#: different orders of an answer's addresses that are remembered
ORDERS = 8
#: refresh, retry, expire, and how long a "no" may be remembered
_SOA_TIMES = (7200, 1800, 86400, TTL)
_IN, _ANY_CLASS = 1, 255
_QUERY = 0
_HEADER_SIZE = 12
_BADVERS = 16


class Foreign(NamedTuple):
    """Somebody else has to be asked: about the question itself, or about where its aliases lead to.

    ``refusal`` is the answer where there is nobody to ask.
    """

    question: Question
    aliases: tuple[Record, ...]
    target: Name
    refusal: bytes


class Responder:
    """Answers queries out of a zone.  Until it is ``ready`` it says SERVFAIL, never a wrong no."""

    def __init__(self, directory: Directory, zone: Zone, recursive: bool = False) -> None:
        self._directory = directory
        self._zone = zone
        self._recursive = recursive
        self._cache: dict[tuple[bytes, bool], Iterator[bytes]] = {}
        self._version = -1
        self._serial = 0
        self.ready = False

    def respond(self, query: bytes, tcp: bool = False) -> bytes | Foreign | None:
        """The answer to a message, whatever is in it; None for what deserves none."""
        if self._version != self._directory.version or len(self._cache) > CACHE:
            self._cache.clear()
            self._version = self._directory.version
            self._serial = int(time.time())
        key = query[2:], tcp
        known = self._cache.get(key)
        if known is not None:
            return query[:2] + next(known)
        if len(query) < _HEADER_SIZE or query[2] & 0x80:  # an answer: answering it could go on forever
            return None
        try:
            question = parse(query)
        except Malformed:
            return _format_error(query)
        return self._reply(question, key)

    def _reply(self, question: Question, key: tuple[bytes, bool]) -> bytes | Foreign:
        tcp = key[1]
        code = self._refusal(question)
        if code is not None:
            return self.pack(question, tcp, code=code)
        kind = QTYPE.get(question.type)
        answer = self._zone.lookup(question.name, kind)
        if answer is None:
            refusal = self.pack(question, tcp, code=RCODE.NXDOMAIN, authoritative=False)
            return Foreign(question, (), question.name, refusal)
        if answer.unresolved is not None:
            refusal = self.pack(question, tcp, answer)
            return Foreign(question, answer.records, answer.unresolved, refusal)
        several = sum(record.type in ("A", "AAAA") for record in answer.records) > 1
        if several:
            self._cache[key] = _orders(lambda: self.pack(question, tcp, answer)[2:])
        else:
            self._cache[key] = repeat(self.pack(question, tcp, answer)[2:])
        return question.id.to_bytes(2, "big") + next(self._cache[key])

    def _refusal(self, question: Question) -> int | None:
        if question.opcode != _QUERY:
            return int(RCODE.NOTIMP)
        if question.edns is not None and question.edns.version > 0:
            return _BADVERS
        if question.cls not in (_IN, _ANY_CLASS):
            return int(RCODE.REFUSED)
        if not self.ready:
            return int(RCODE.SERVFAIL)
        return None

    def pack(
        self,
        question: Question,
        tcp: bool,
        answer: Answer | None = None,
        code: int | None = None,
        authoritative: bool = True,
        further: Sequence[RR] = (),
    ) -> bytes:
        """The message for an answer, or for a bare ``code``; ``further`` records come after the answer's own."""
        if code is None:
            code = RCODE.NOERROR if answer is not None and answer.exists else RCODE.NXDOMAIN
        header = DNSHeader(
            id=question.id, bitmap=0, qr=1, opcode=question.opcode, aa=int(authoritative and answer is not None),
            rd=int(question.recursion_desired), ra=int(self._recursive), rcode=code & 0xF,
        )  # fmt: skip
        records: list[RR] = []
        additional: list[RR] = []
        authority: list[RR] = []
        if answer is not None:
            own = {question.name: DNSLabel(question.labels)}  # repeated as it was asked, capitals and all
            records = [self._rr(record, own) for record in _shuffled(answer.records)]
            additional = [self._rr(record, own) for record in answer.additional]
            if not answer.records:
                authority = [self._soa()]
        records += further
        limit = TCP_SIZE if tcp else UDP_SIZE
        options = []
        if question.edns is not None:
            limit = TCP_SIZE if tcp else min(max(UDP_SIZE, question.edns.udp_size), EDNS_SIZE)
            options = [EDNS0(udp_len=EDNS_SIZE, ext_rcode=code >> 4)]
        asked = DNSQuestion(DNSLabel(question.labels), question.type, question.cls)
        message = DNSRecord(header, q=asked, rr=records, auth=authority, ar=additional + options)
        return _fitting(message, limit)

    def _rr(self, record: Record, own: dict[Name, DNSLabel]) -> RR:
        if record.type == "SOA":
            return self._soa()
        label = own.get(record.name) or _label(record.name)
        return RR(label, getattr(QTYPE, record.type), ttl=TTL, rdata=_rdata(record))

    def _soa(self) -> RR:
        """What a "no" carries, so that resolvers know how long to remember it (RFC 2308)."""
        mname, rname = (_label((*first, *self._zone.name)) for first in (("ns", "dns"), ("hostmaster",)))
        return RR(_label(self._zone.name), QTYPE.SOA, ttl=TTL, rdata=SOA(mname, rname, (self._serial, *_SOA_TIMES)))


def _orders(pack: Callable[[], bytes]) -> Iterator[bytes]:
    """What ``pack`` makes, a few times, and then that over and over."""
    messages = []
    for _ in range(ORDERS):
        messages.append(pack())
        yield messages[-1]
    yield from cycle(messages)


def _label(name: Name) -> DNSLabel:
    return DNSLabel([label.encode("latin-1") for label in name])


def _rdata(record: Record) -> object:
    match record.data:
        case Srv(priority, weight, port, target):
            return SRV(priority, weight, port, _label(target))
        case str(text):
            return {"A": A, "AAAA": AAAA, "TXT": TXT}[record.type](text)
        case target:
            return {"CNAME": CNAME, "PTR": PTR, "NS": NS}[record.type](_label(target))


def _shuffled(records: Sequence[Record]) -> list[Record]:
    """Addresses in random order, after everything else: an alias has to come before what it leads to."""
    addresses = [record for record in records if record.type in ("A", "AAAA")]
    random.shuffle(addresses)
    return [record for record in records if record.type not in ("A", "AAAA")] + addresses


def _fitting(message: DNSRecord, limit: int) -> bytes:
    """The message within ``limit`` bytes: without its additional records, or cut off and marked as such."""
    packed = bytes(message.pack())
    if len(packed) <= limit:
        return packed
    message.ar = [record for record in message.ar if record.rtype == QTYPE.OPT]
    records = message.rr
    fits, too_many = 0, len(records) + 1
    while too_many - fits > 1:
        count = (fits + too_many) // 2
        message.rr = records[:count]
        packed = _packed(message, truncated=count < len(records))
        fits, too_many = (count, too_many) if len(packed) <= limit else (fits, count)
    message.rr = records[:fits]
    return _packed(message, truncated=fits < len(records))


def _packed(message: DNSRecord, truncated: bool) -> bytes:
    message.header.tc = int(truncated)
    message.set_header_qa()
    return bytes(message.pack())


def _format_error(query: bytes) -> bytes:
    """FORMERR with the query's ID, opcode and recursion bit, and no question: there is none that could be repeated."""
    header = DNSHeader(id=int.from_bytes(query[:2], "big"), bitmap=0, qr=1, opcode=query[2] >> 3 & 0xF)
    header.rd, header.rcode = query[2] & 1, RCODE.FORMERR
    return bytes(DNSRecord(header).pack())
