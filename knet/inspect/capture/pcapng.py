"""pcapng, as Wireshark writes and reads it: one section, an interface block for each place, packets in their order.

https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html.  Times are in nanoseconds; a packet's comment names
its endpoints, its flags tell which way it went and to how many.  Pure: bytes come out.
"""

import struct
import sys
from collections.abc import Iterable

from knet.inspect.capture import ends
from knet.inspect.capture.ends import addresses
from knet.inspect.names import Names
from knet.inspect.places import Place
from knet.kernel.bpf import WHOLE
from knet.kernel.packets import BROADCAST, MULTICAST, OUTGOING, TO_OTHERS, TO_US, Seen

_SECTION, _INTERFACE, _STATISTICS, _PACKET = 0x0A0D0D0A, 1, 5, 6
_BYTE_ORDER = 0x1A2B3C4D
_ETHERNET = 1
_END, _COMMENT = 0, 1
_APPLICATION, _SYSTEM = 4, 3
_NAME, _DESCRIPTION, _MAC, _RESOLUTION = 2, 3, 6, 9
_NANOSECONDS = 9
_RECEIVED, _DROPPED = 4, 5
_FLAGS = 2
_HEAD, _OPTION = struct.Struct("=II"), struct.Struct("=HH")
_PACKET_HEAD = struct.Struct("=7I")
#: epb_flags: bits 0-1 inbound or outbound; bits 2-4 unicast, multicast, broadcast, promiscuous
_KINDS = {TO_US: 0b00101, MULTICAST: 0b01001, BROADCAST: 0b01101, TO_OTHERS: 0b10001, OUTGOING: 0b00010}
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")
_LOW = 0xFFFFFFFF
#: pairs of addresses
_REMEMBERED = 100_000


class Pcapng:
    """Turns packets into a file's bytes, piece by piece.

    ``names`` is asked once for each pair of addresses, until `forget`.
    """

    def __init__(self, names: Names, application: str = "knet") -> None:
        self._names = names
        #: the options of a packet, ready, by what they depend on
        self._options: dict[tuple[tuple[bytes, bytes], int], bytes] = {}
        options = _option(_APPLICATION, application.encode()) + _option(_SYSTEM, b"Linux")
        self._section = _block(_SECTION, struct.pack("=IHHq", _BYTE_ORDER, 1, 0, -1) + options + _option(_END))

    def begin(self, places: Iterable[Place]) -> bytes:
        """What stands before the first packet."""
        return self._section + b"".join(map(self.joined, places))

    def joined(self, place: Place) -> bytes:
        """One more place: the next number is its."""
        options = _option(_NAME, place.name.encode()) + _option(_DESCRIPTION, _description(place).encode())
        if place.mac:
            options += _option(_MAC, bytes.fromhex(place.mac.replace(":", "")))
        options += _option(_RESOLUTION, bytes([_NANOSECONDS])) + _option(_END)
        return _block(_INTERFACE, struct.pack("=HHI", _ETHERNET, 0, WHOLE) + options)

    def packets(self, batch: Iterable[Seen[int]]) -> bytes:
        """Packets of places by their numbers."""
        parts: list[bytes] = []
        add, options, head = parts.append, self._options, _PACKET_HEAD.pack
        for time, place, kind, length, data in batch:
            key = addresses(data), kind
            tail = options.get(key) or self._made(*key)
            here = len(data)
            padding = _PADDING[here & 3]
            size = 32 + here + len(padding) + len(tail)
            add(head(_PACKET, size, place, time >> 32, time & _LOW, here, length))
            add(data)
            add(padding)
            add(tail)
            add(size.to_bytes(4, sys.byteorder))
        return b"".join(parts)

    def end(self, counts: Iterable[tuple[int, int]], now: int) -> bytes:
        """Of each place how many packets it had, and how many of them got lost (interface statistics blocks)."""
        stamp = now >> 32, now & _LOW
        return b"".join(
            _block(
                _STATISTICS,
                struct.pack("=III", number, *stamp)
                + _option(_RECEIVED, struct.pack("=Q", received))
                + _option(_DROPPED, struct.pack("=Q", lost))
                + _option(_END),
            )
            for number, (received, lost) in enumerate(counts)
        )

    def forget(self) -> None:
        """Names have changed."""
        self._options.clear()

    def _made(self, between: tuple[bytes, bytes], kind: int) -> bytes:
        options = _option(_FLAGS, struct.pack("=I", _KINDS.get(kind, 0)))
        comment = self.comment(*between)
        if comment:
            options += _option(_COMMENT, comment.encode())
        if len(self._options) > _REMEMBERED:
            self.forget()
        made = self._options[between, kind] = options + _option(_END)
        return made

    def comment(self, outer: bytes, inner: bytes) -> str:
        """``default/client → svc/default/web``; in a tunnel ``n1 → n2: default/client → default/web-0``."""
        words = []
        for between in filter(None, (outer, inner)):
            try:
                words.append(" → ".join(map(self._names.text, ends.text(between))))
            except ValueError:
                continue
        return ": ".join(words)


def _description(place: Place) -> str:
    """What Wireshark shows beside the name."""
    return f"{place.interface} of {place.site.spot.kind} {place.site.name}"


def _option(code: int, value: bytes = b"") -> bytes:
    return _OPTION.pack(code, len(value)) + value + _PADDING[len(value) & 3]


def _block(kind: int, body: bytes) -> bytes:
    size = 12 + len(body)
    return _HEAD.pack(kind, size) + body + struct.pack("=I", size)
