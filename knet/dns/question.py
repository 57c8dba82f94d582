"""DNS messages read strictly, as far as a server has to: the question of a query, and where a message's records are.

dnslib could do it, but follows compression pointers by recursion: one packet of 2 KB exhausts the stack.  A question
has no reason to hold a pointer, and to find a record's place its names need not be followed.
"""

import struct
from functools import lru_cache
from typing import NamedTuple

from knet.dns.zone import Name

HEADER = struct.Struct("!HHHHHH")
#: bits of the header's flags
RESPONSE, TRUNCATED, RECURSION_DESIRED, AUTHENTIC, CHECKING_DISABLED = 0x8000, 0x200, 0x100, 0x20, 0x10
#: of an OPT record's, where other records have their TTL
DNSSEC_OK = 0x8000
OPT_TYPE = 41
_FIXED = struct.Struct("!HH")
_RECORD = struct.Struct("!HHIH")  # type, class, TTL, length
_OPTION = struct.Struct("!HH")
#: records a query may have as answers (NOTIFY), authorities (IXFR) and additional ones (EDNS, TSIG)
_MOST_RECORDS = (1, 1, 2)


class Edns(NamedTuple):
    """RFC 6891: the sender's buffer and the version it speaks; whether it has more to say, which nobody here reads."""

    udp_size: int
    version: int
    dnssec_ok: bool = False
    options: bool = False


class Question(NamedTuple):
    """``labels`` as they were sent, ``name`` in lower case (latin-1: any byte is allowed); ``type`` a number.

    ``flags`` are those of the header that an answer depends on: RD, AD and CD.
    """

    id: int
    opcode: int
    flags: int
    labels: tuple[bytes, ...]
    type: int
    cls: int
    edns: Edns | None

    @property
    def name(self) -> Name:
        return lower(self.labels)

    @property
    def dnssec_ok(self) -> bool:
        return self.edns is not None and self.edns.dnssec_ok

    def section(self) -> bytes:
        """As it stands in a message, after the header."""
        name = b"".join(bytes([len(label)]) + label for label in self.labels)
        return name + b"\0" + _FIXED.pack(self.type, self.cls)


class Placed(NamedTuple):
    """A record within a message: its place, and its data's; ``section`` 0, 1, 2: answer, authority, additional."""

    section: int
    type: int
    cls: int
    ttl: int
    start: int
    data: int
    end: int

    @property
    def ttl_at(self) -> int:
        return self.data - 6


class Malformed(ValueError):
    """A message that is no single well-formed question, or no answer to one."""


@lru_cache(256)  # for one query it is asked for several times
def lower(labels: tuple[bytes, ...]) -> Name:
    """Labels to look up with: names are the same whatever their capitals (RFC 4343)."""
    return tuple(label.lower().decode("latin-1") for label in labels)


def parse(message: bytes) -> Question:
    """The question of a query, of which every byte has to make sense.  Raises Malformed."""
    try:
        identity, flags, questions, *counts = HEADER.unpack_from(message)
        if questions != 1:
            raise Malformed(f"{questions} questions")
        if any(count > most for count, most in zip(counts, _MOST_RECORDS, strict=True)):
            raise Malformed("more records than a query has")
        labels, kind, cls, place = question_of(message)
        edns = None
        if len(message) != place:
            found = records(message, place)
            if (found[-1].end if found else place) != len(message):
                raise Malformed("there is more than it says")
            edns = _edns(message, found)
        elif any(counts):
            raise Malformed("it ends too early")
    except (struct.error, IndexError) as error:
        raise Malformed("it ends too early") from error
    kept = flags & (RECURSION_DESIRED | AUTHENTIC | CHECKING_DISABLED)
    return Question(identity, flags >> 11 & 0xF, kept, labels, kind, cls, edns)


def question_of(message: bytes) -> tuple[tuple[bytes, ...], int, int, int]:
    """Labels, type and class of the only question, and where it ends.  Raises Malformed."""
    try:
        labels, place = _labels(message, HEADER.size)
        kind, cls = _FIXED.unpack_from(message, place)
    except (struct.error, IndexError) as error:
        raise Malformed("it ends too early") from error
    return labels, kind, cls, place + _FIXED.size


def records(message: bytes, place: int) -> list[Placed]:
    """The records after the question, which ends at ``place``.  Raises Malformed."""
    _, _, _, *counts = HEADER.unpack_from(message)
    found = []
    try:
        for section, count in enumerate(counts):
            for _ in range(count):
                start, fixed = place, _after_name(message, place)
                kind, cls, ttl, size = _RECORD.unpack_from(message, fixed)
                data = fixed + _RECORD.size
                place = data + size
                found.append(Placed(section, kind, cls, ttl, start, data, place))
    except (struct.error, IndexError) as error:
        raise Malformed("it ends too early") from error
    if place > len(message):
        raise Malformed("it ends within a record")
    return found


def _labels(message: bytes, place: int) -> tuple[tuple[bytes, ...], int]:
    """The labels of a name, and where it ends."""
    labels = []
    start = place
    while size := message[place]:
        if size > 63:
            raise Malformed("a label that is too long, or a pointer")
        label = message[place + 1 : place + 1 + size]
        if len(label) < size:
            raise Malformed("it ends within a label")
        labels.append(label)
        place += 1 + size
        if place - start > 254:
            raise Malformed("a name that is too long")
    return tuple(labels), place + 1


def _after_name(message: bytes, place: int) -> int:
    while size := message[place]:
        if size >= 0xC0:
            return place + 2
        if size > 63:
            raise Malformed("a label of no known kind")
        place += 1 + size
    return place + 1


def _edns(message: bytes, found: list[Placed]) -> Edns | None:
    """What the OPT record says; two of them, one with a name, and options that do not fit are malformed (RFC 6891)."""
    options = [record for record in found if record.type == OPT_TYPE]
    if not options:
        return None
    [record, *more] = options
    if more or record.section != 2 or message[record.start]:
        raise Malformed("OPT records out of place")
    place = record.data
    while place < record.end:
        if place + _OPTION.size > record.end:
            raise Malformed("it ends within an option")
        place += _OPTION.size + _OPTION.unpack_from(message, place)[1]
    if place > record.end:
        raise Malformed("it ends within an option")
    version, dnssec_ok = record.ttl >> 16 & 0xFF, bool(record.ttl & DNSSEC_OK)
    return Edns(record.cls, version, dnssec_ok, options=record.end > record.data)
