"""Answers out of the zone as messages: dnslib's records, within the size that the client can take."""

import random
from collections.abc import Sequence

from dnslib import AAAA, CNAME, NS, PTR, QTYPE, RCODE, RR, SOA, SRV, TXT, A, DNSHeader, DNSQuestion, DNSRecord
from dnslib.label import DNSLabel

from knet.dns.foreign import opt, room
from knet.dns.question import CHECKING_DISABLED, RECURSION_DESIRED, Question
from knet.dns.zone import Answer, Name, Record, Srv

#: seconds, CoreDNS's default for the zone; its schema's version does not change
TTL, SCHEMA_TTL = 5, 28800
#: refresh, retry, expire of the SOA
_SOA_TIMES = (7200, 1800, 86400)
_ADDRESSES = ("A", "AAAA")
_COUNT_OF_ADDITIONAL = slice(10, 12)


class Packer:
    """Makes messages for one zone; ``recursive`` is what they say of us, ``serial`` what the zone's SOA says."""

    def __init__(self, zone: Name, recursive: bool, ttl: int = TTL, shuffled: bool = True) -> None:
        self._zone = zone
        self._recursive = recursive
        self._ttl = ttl
        self.shuffled = shuffled
        self.serial = 0

    def code(self, question: Question, tcp: bool, code: int) -> bytes:
        """A message that holds nothing but a response code."""
        return self._message(question, tcp, code)

    def answer(
        self,
        question: Question,
        tcp: bool,
        answer: Answer,
        further: Sequence[RR] = (),
        authority: Sequence[RR] = (),
    ) -> bytes:
        """An answer out of the zone; ``further`` records, from elsewhere, come after its own.

        A "no", also one at the end of aliases, comes with the SOA (RFC 2308), or whatever ``authority`` it has.
        """
        own = {question.name: DNSLabel(question.labels)}  # repeated as it was asked, capitals and all
        found = _shuffled(answer.records) if self.shuffled else answer.records
        records = [*(self._rr(record, own) for record in found), *further]
        additional = [self._rr(record, own) for record in answer.additional]
        ends_at_alias = bool(answer.records) and answer.records[-1].type == "CNAME" and question.type != QTYPE.CNAME
        if not answer.unresolved and (not answer.records or ends_at_alias):
            authority = [self._soa()]
        code = RCODE.NOERROR if answer.exists else RCODE.NXDOMAIN
        return self._message(question, tcp, code, True, records, authority, additional)

    def _message(
        self,
        question: Question,
        tcp: bool,
        code: int,
        authoritative: bool = False,
        records: Sequence[RR] = (),
        authority: Sequence[RR] = (),
        additional: Sequence[RR] = (),
    ) -> bytes:
        header = _header(question.id, question.opcode, question.flags, code)
        header.aa, header.ra = int(authoritative), int(self._recursive)
        asked = DNSQuestion(DNSLabel(question.labels), question.type, question.cls)
        message = DNSRecord(header, q=asked, rr=list(records), auth=list(authority), ar=list(additional))
        options = opt(question.edns, code)
        return _with_options(_fitting(message, room(question, tcp) - len(options)), options)

    def _rr(self, record: Record, own: dict[Name, DNSLabel]) -> RR:
        if record.type == "SOA":
            return self._soa()
        label = own.get(record.name) or _label(record.name)
        ttl = SCHEMA_TTL if record.type == "TXT" else self._ttl
        return RR(label, getattr(QTYPE, record.type), ttl=ttl, rdata=_rdata(record))

    def _soa(self) -> RR:
        """What a "no" carries, so that resolvers know how long to remember it (RFC 2308)."""
        mname, rname = (_label((*first, *self._zone)) for first in (("ns", "dns"), ("hostmaster",)))
        times = (self.serial, *_SOA_TIMES, self._ttl)
        return RR(_label(self._zone), QTYPE.SOA, ttl=self._ttl, rdata=SOA(mname, rname, times))


def code_only(query: bytes, code: int) -> bytes:
    """An answer with the query's ID, opcode and recursion bit, and no question: perhaps there is none to repeat."""
    flags = int.from_bytes(query[2:4], "big")
    header = _header(int.from_bytes(query[:2], "big"), flags >> 11 & 0xF, flags & RECURSION_DESIRED, code)
    return bytes(DNSRecord(header).pack())


def _header(identity: int, opcode: int, flags: int, code: int) -> DNSHeader:
    rd, cd = int(bool(flags & RECURSION_DESIRED)), int(bool(flags & CHECKING_DISABLED))
    return DNSHeader(id=identity, bitmap=0, qr=1, opcode=opcode, rd=rd, cd=cd, rcode=code & 0xF)


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
    addresses = [record for record in records if record.type in _ADDRESSES]
    random.shuffle(addresses)
    return [record for record in records if record.type not in _ADDRESSES] + addresses


def _with_options(message: bytes, options: bytes) -> bytes:
    if not options:
        return message
    additional = int.from_bytes(message[_COUNT_OF_ADDITIONAL], "big") + 1
    return message[:10] + additional.to_bytes(2, "big") + message[12:] + options


def _fitting(message: DNSRecord, limit: int) -> bytes:
    """The message within ``limit`` bytes: without its additional records, or cut off and marked as such."""
    packed = bytes(message.pack())
    if len(packed) <= limit:
        return packed
    message.ar = []
    records = message.rr
    fits, too_many = 0, len(records) + 1
    while too_many - fits > 1:
        count = (fits + too_many) // 2
        packed = _cut(message, records, count)
        fits, too_many = (count, too_many) if len(packed) <= limit else (fits, count)
    return _cut(message, records, fits)


def _cut(message: DNSRecord, records: Sequence[RR], count: int) -> bytes:
    message.rr = records[:count]
    message.header.tc = int(count < len(records))
    message.set_header_qa()
    return bytes(message.pack())
