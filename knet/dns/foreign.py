"""What other name servers have said, kept for as long as it holds (RFC 1035, RFC 2308), and given to clients.

An answer is kept as the bytes after its question, without its OPT record: compression pointers stay right as long as
the question in front has the same length, and who asks for the name in other capitals sees his own (RFC 4343).
"""

import struct
import time
from collections.abc import Callable
from typing import NamedTuple

from dnslib import QTYPE, RCODE

from knet.dns.question import (
    AUTHENTIC,
    CHECKING_DISABLED,
    DNSSEC_OK,
    HEADER,
    OPT_TYPE,
    RECURSION_DESIRED,
    RESPONSE,
    TRUNCATED,
    Edns,
    Malformed,
    Question,
    lower,
    question_of,
    records,
)
from knet.dns.settings import Cache
from knet.dns.zone import Name

#: the largest UDP message without EDNS (RFC 1035), and the largest we offer (DNS flag day 2020: never fragmented)
UDP_SIZE, EDNS_SIZE = 512, 1232
TCP_SIZE = 65535
#: seconds that even an answer that may not be kept is kept (CoreDNS's MINTTL)
_LEAST_TTL = 5
#: bytes that all kept answers may take
_ROOM = 16 << 20
_RECURSION_AVAILABLE = 0x80
_TTL = struct.Struct("!I")


class Asked(NamedTuple):
    """What an answer depends on."""

    name: Name
    type: int
    cls: int
    dnssec_ok: bool
    checking_disabled: bool


class Said(NamedTuple):
    """An answer: ``body`` is all after the question, ``ttls`` are places in it; it ``holds`` for seconds, if at all."""

    code: int
    authentic: bool
    counts: tuple[int, int, int]
    body: bytes
    ttls: tuple[tuple[int, int], ...]
    denial: bool
    holds: int
    at: float

    def age(self, now: float) -> int:
        return int(now - self.at)


def asked(question: Question) -> Asked:
    disabled = bool(question.flags & CHECKING_DISABLED)
    return Asked(question.name, question.type, question.cls, question.dnssec_ok, disabled)


def heard(message: bytes, question: Question, cache: Cache | None, now: float) -> Said | None:
    """What a message says about a question; None where there is more to it than it has room for (ask by TCP).

    Raises Malformed, also for an answer to another question.
    """
    if len(message) < HEADER.size:
        raise Malformed("it ends too early")
    _, flags, questions, *_ = HEADER.unpack_from(message)
    if not flags & RESPONSE or questions != 1:
        raise Malformed("this is no answer")
    labels, kind, cls, start = question_of(message)
    if (lower(labels), kind, cls) != (question.name, question.type, question.cls):
        raise Malformed("the answer is to another question")
    if flags & TRUNCATED:
        return None
    found = records(message, start)
    code = flags & 0xF
    options = next((record for record in found if record.type == OPT_TYPE), None)
    if options is not None:
        code |= options.ttl >> 24 << 4
        found = found[: found.index(options)]
    end = found[-1].end if found else start
    counts = [sum(record.section == section for record in found) for section in range(3)]
    denial = code == RCODE.NXDOMAIN or not any(row.section == 0 and row.type == kind for row in found)
    ttls = [row.ttl for row in found]
    if denial:  # what a "no" is worth its SOA says: the lower of its TTL and its last field
        ttls = [min(row.ttl, *_TTL.unpack(message[row.end - 4 : row.end])) for row in found if row.type == QTYPE.SOA]
    return Said(
        code=code,
        authentic=bool(flags & AUTHENTIC),
        counts=(counts[0], counts[1], counts[2]),
        body=message[start:end],
        ttls=tuple((row.ttl_at - start, row.ttl) for row in found),
        denial=denial,
        holds=_holds(code, denial, ttls, cache),
        at=now,
    )


def _holds(code: int, denial: bool, ttls: list[int], cache: Cache | None) -> int:
    if cache is None:
        return 0
    if code == RCODE.SERVFAIL:
        return int(cache.servfail)
    if code not in (RCODE.NOERROR, RCODE.NXDOMAIN) or not ttls:
        return 0
    capacity, longest = cache.denial if denial else cache.success
    return max(min(_LEAST_TTL, longest), min(*ttls, longest)) if capacity else 0


def reply(said: Said, question: Question, tcp: bool, now: float) -> bytes:
    """The answer for one client, its times shortened by how long ago it was heard; without records if too large.

    All records are said to hold as long as the shortest of them, as in CoreDNS: together they are the answer.
    """
    body = bytearray(said.body)
    age = said.age(now)
    for place, ttl in said.ttls:
        _TTL.pack_into(body, place, max(0, min(ttl, said.holds or ttl) - age))
    flags = RESPONSE | _RECURSION_AVAILABLE | said.code & 0xF
    flags |= question.flags & (RECURSION_DESIRED | CHECKING_DISABLED)
    if said.authentic and (question.flags & AUTHENTIC or question.dnssec_ok):
        flags |= AUTHENTIC
    limit, options = room(question, tcp), opt(question.edns, said.code)
    answers, authorities, additional = said.counts
    section = question.section()
    if HEADER.size + len(section) + len(body) + len(options) > limit:
        flags, body, answers, authorities, additional = flags | TRUNCATED, bytearray(), 0, 0, 0
    header = HEADER.pack(question.id, flags, 1, answers, authorities, additional + bool(options))
    return header + section + body + options


def room(question: Question, tcp: bool) -> int:
    """The largest message that the client can take."""
    if tcp:
        return TCP_SIZE
    return UDP_SIZE if question.edns is None else min(max(UDP_SIZE, question.edns.udp_size), EDNS_SIZE)


def opt(edns: Edns | None, code: int = 0) -> bytes:
    """Our OPT record for who sends one, with the bits of a code that the header has no room for."""
    if edns is None:
        return b""
    ttl = code >> 4 << 24 | (DNSSEC_OK if edns.dnssec_ok else 0)
    return struct.pack("!BHHIH", 0, OPT_TYPE, EDNS_SIZE, ttl, 0)


class Memory:
    """The cache: bounded in number and in bytes; the oldest goes first."""

    def __init__(self, cache: Cache, clock: Callable[[], float] = time.monotonic) -> None:
        self._cache = cache
        self._clock = clock
        self._known: dict[Asked, Said] = {}
        self._size = 0
        self.hits = {"success": 0, "denial": 0}
        self.requests = 0

    def get(self, key: Asked) -> Said | None:
        self.requests += 1
        said = self._known.get(key)
        if said is None or self._clock() >= said.at + said.holds:
            return None
        self.hits["denial" if said.denial else "success"] += 1
        return said

    def put(self, key: Asked, said: Said) -> None:
        self._forget(key)
        if not said.holds:
            return
        self._known[key] = said
        self._size += len(said.body)
        while len(self._known) > self._cache.success[0] + self._cache.denial[0] or self._size > _ROOM:
            self._forget(next(iter(self._known)))

    def entries(self, denial: bool) -> int:
        return sum(said.denial == denial for said in self._known.values())

    def _forget(self, key: Asked) -> None:
        known = self._known.pop(key, None)
        self._size -= len(known.body) if known else 0
