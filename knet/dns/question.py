"""The question in a DNS query, read strictly.

dnslib could do it, but follows compression pointers by recursion: one packet of 2 KB exhausts the stack.  A question
has no reason to hold a pointer, so this reads labels and nothing else, and never looks beyond what it needs.
"""

import struct
from typing import NamedTuple

from knet.dns.zone import Name

_HEADER = struct.Struct("!HHHHHH")
_FIXED = struct.Struct("!HH")
_OPT = struct.Struct("!BHHBBHH")  # root name, type, UDP size, extended code, version, flags, length
_OPT_TYPE = 41


class Edns(NamedTuple):
    """RFC 6891: the sender's buffer and the version it speaks."""

    udp_size: int
    version: int


class Question(NamedTuple):
    """``labels`` as they were sent, ``name`` in lower case (latin-1: any byte is allowed); ``type`` a number."""

    id: int
    opcode: int
    recursion_desired: bool
    labels: tuple[bytes, ...]
    type: int
    cls: int
    edns: Edns | None

    @property
    def name(self) -> Name:
        return tuple(label.decode("latin-1").lower() for label in self.labels)


class Malformed(ValueError):
    """A message that is no single well-formed question."""


def parse(message: bytes) -> Question:
    """The question of a query.  Raises Malformed."""
    try:
        identity, flags, questions, answers, authorities, additional = _HEADER.unpack_from(message)
        if questions != 1:
            raise Malformed(f"{questions} questions")
        labels, place = _labels(message, _HEADER.size)
        kind, cls = _FIXED.unpack_from(message, place)
    except (struct.error, IndexError) as error:
        raise Malformed("it ends too early") from error
    edns = None
    if additional and not answers and not authorities:
        edns = _edns(message, place + _FIXED.size)
    return Question(identity, flags >> 11 & 0xF, bool(flags & 0x100), labels, kind, cls, edns)


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


def _edns(message: bytes, place: int) -> Edns | None:
    """The OPT record, if it comes first among the additional ones, as every resolver sends it."""
    if len(message) < place + _OPT.size:
        return None
    root, kind, udp_size, _, version, _, _ = _OPT.unpack_from(message, place)
    return Edns(udp_size, version) if root == 0 and kind == _OPT_TYPE else None
