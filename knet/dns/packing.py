"""Answers out of the zone as messages, within the size that the client can take.

Written here and not by dnslib, which takes 12 µs for each record: after every change in the cluster answers are packed
anew, and a headless Service may have thousands.  Records of others, at the end of an alias, are dnslib's.
"""

import random
import socket
import struct
from collections.abc import Sequence

from dnslib import QTYPE, RCODE, RR
from dnslib.dns import DNSBuffer

from knet.dns.foreign import opt, room
from knet.dns.question import CHECKING_DISABLED, HEADER, RECURSION_DESIRED, RESPONSE, TRUNCATED, Question
from knet.dns.zone import Answer, Name, Record, Srv

#: seconds, CoreDNS's default for the zone; its schema's version does not change
TTL, SCHEMA_TTL = 5, 28800
AUTHORITATIVE, RECURSION_AVAILABLE = 0x400, 0x80
_ADDRESSES = ("A", "AAAA")
_TYPES = {name: getattr(QTYPE, name) for name in ("A", "AAAA", "CNAME", "NS", "PTR", "SOA", "SRV", "TXT")}
_IN = 1
_LONGEST_LABEL = 63
#: compression pointers reach as far
_POINTER, _REACH = 0xC000, 0x4000
_RECORD = struct.Struct("!HHIH")  # type, class, TTL, length
_SIZE = struct.Struct("!H")
_SRV = struct.Struct("!HHH")
_SOA = struct.Struct("!IIIII")
#: refresh, retry, expire of the SOA
_SOA_TIMES = (7200, 1800, 86400)
_ANSWER, _AUTHORITY, _ADDITIONAL = range(3)


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
        return self._finished(_Message(question, room(question, tcp), b""), question, code, 0)

    def answer(
        self,
        question: Question,
        tcp: bool,
        answer: Answer,
        further: Sequence[RR] = (),
        authority: Sequence[RR] = (),
    ) -> bytes:
        """An answer out of the zone; ``further`` records, from elsewhere, come after its own.

        A "no", also one at the end of aliases, comes with the SOA (RFC 2308), or whatever ``authority`` it has.  What
        there is no room for is left out: first all additional records, then, which is marked, others from the end.
        """
        limit = room(question, tcp) - len(opt(question.edns))
        message = _Message(question, limit, _SOA.pack(self.serial, *_SOA_TIMES, self._ttl))
        records = _shuffled(answer.records) if self.shuffled else answer.records
        whole = message.add(_ANSWER, records, self._ttl) and message.add_others(_ANSWER, further)
        ends_at_alias = bool(records) and records[-1].type == "CNAME" and question.type != QTYPE.CNAME
        if whole and not answer.unresolved and (not records or ends_at_alias):
            whole = message.add(_AUTHORITY, [Record(self._zone, "SOA", "")], self._ttl)
        whole = whole and message.add_others(_AUTHORITY, authority)
        if whole and not message.add(_ADDITIONAL, answer.additional, self._ttl):
            message.without(_ADDITIONAL)
        flags = AUTHORITATIVE | (0 if whole else TRUNCATED)
        return self._finished(message, question, RCODE.NOERROR if answer.exists else RCODE.NXDOMAIN, flags)

    def _finished(self, message: "_Message", question: Question, code: int, flags: int) -> bytes:
        flags |= _flags(question.opcode, question.flags, code) | (RECURSION_AVAILABLE if self._recursive else 0)
        options = opt(question.edns, code)
        answers, authorities, additional = message.counts
        header = HEADER.pack(question.id, flags, 1, answers, authorities, additional + bool(options))
        return header + message.data[HEADER.size :] + options


class _Message:
    """A message that grows; names are compressed by where they stood before (RFC 1035, 4.1.4)."""

    def __init__(self, question: Question, limit: int, soa: bytes) -> None:
        self.data = bytearray(HEADER.size)
        self.counts = [0, 0, 0]
        self._starts = [0, 0, 0]
        self._limit = limit
        self._soa = soa
        self._names: dict[Name, int] = {}
        place, name = HEADER.size, question.name
        for start, label in enumerate(question.labels):
            self._names[name[start:]] = place
            place += 1 + len(label)
        self.data += question.section()

    def add(self, section: int, records: Sequence[Record], ttl: int) -> bool:
        """False where one has no room: it and those behind it are left out."""
        self._starts[section] = self._starts[section] or len(self.data)
        for record in records:
            end = len(self.data)
            self._name(record.name)
            place = len(self.data) + _RECORD.size
            self.data += _RECORD.pack(_TYPES[record.type], _IN, SCHEMA_TTL if record.type == "TXT" else ttl, 0)
            self._content(record)
            if len(self.data) > self._limit:
                del self.data[end:]
                return False
            _SIZE.pack_into(self.data, place - _SIZE.size, len(self.data) - place)
            self.counts[section] += 1
        return True

    def add_others(self, section: int, rows: Sequence[RR]) -> bool:
        """Likewise."""
        for row in rows:
            buffer = DNSBuffer(bytes(self.data))
            buffer.offset = len(self.data)
            row.pack(buffer)
            if len(buffer.data) > self._limit:
                return False
            self.data[:] = buffer.data
            self.counts[section] += 1
        return True

    def without(self, section: int) -> None:
        del self.data[self._starts[section] :]
        self.counts[section] = 0

    def _content(self, record: Record) -> None:
        match record.data:
            case Srv(priority, weight, port, target):
                self.data += _SRV.pack(priority, weight, port)
                self._name(target, compressed=False)  # RFC 2782
            case tuple(target):
                self._name(target)
            case text if record.type == "TXT":
                self.data += bytes([len(text)]) + text.encode()
            case _ if record.type == "SOA":
                self._name(("ns", "dns", *record.name))
                self._name(("hostmaster", *record.name))
                self.data += self._soa
            case address:
                family = socket.AF_INET6 if record.type == "AAAA" else socket.AF_INET
                self.data += socket.inet_pton(family, address)

    def _name(self, name: Name, compressed: bool = True) -> None:
        """ValueError for a label that is too long."""
        data = self.data
        for start, text in enumerate(name):
            rest = name[start:]
            known = self._names.get(rest) if compressed else None
            if known is not None:
                data += _SIZE.pack(_POINTER | known)
                return
            if len(data) < _REACH:
                self._names.setdefault(rest, len(data))
            label = text.encode("latin-1")
            if len(label) > _LONGEST_LABEL:
                raise ValueError(f"a label of {len(label)} bytes: {text}")
            data.append(len(label))
            data += label
        data.append(0)


def code_only(query: bytes, code: int) -> bytes:
    """An answer with the query's ID, opcode and recursion bit, and no question: perhaps there is none to repeat."""
    identity, flags = struct.unpack_from("!HH", query)
    return HEADER.pack(identity, _flags(flags >> 11 & 0xF, flags & RECURSION_DESIRED, code), 0, 0, 0, 0)


def _flags(opcode: int, flags: int, code: int) -> int:
    return RESPONSE | opcode << 11 | flags & (RECURSION_DESIRED | CHECKING_DISABLED) | code & 0xF


def _shuffled(records: Sequence[Record]) -> list[Record]:
    """Addresses in random order, after everything else: an alias has to come before what it leads to."""
    addresses = [record for record in records if record.type in _ADDRESSES]
    random.shuffle(addresses)
    return [record for record in records if record.type not in _ADDRESSES] + addresses
