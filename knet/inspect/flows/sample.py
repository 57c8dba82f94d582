"""Packets that pass some places for a while, counted by addresses and ports.

A ring on each place copies the beginning of each packet; nothing is switched on anywhere (accounting of tracked
connections is off by default, and new connections only would have it).  2 µs a packet.
"""

import selectors
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import NamedTuple

from knet.errors import KnetError
from knet.inspect.capture.noise import EXPRESSION
from knet.inspect.places import Place
from knet.kernel import bpf
from knet.kernel.files import allow_files
from knet.kernel.packets import BLOCK, Ring, Seen

#: bytes of a packet that are looked at: Ethernet, IPv4 with all its options, ports
_LENGTH = 80
#: bytes of kernel memory of a ring: some ten thousand packets
_MEMORY = 8 * BLOCK
#: packets between machines that carry others are counted where those are by themselves
_UNLESS = f"{EXPRESSION} or udp port {bpf.VXLAN_PORT}"
_WITH_PORTS = (socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_SCTP)
_IPV4, _IPV6 = b"\x08\x00", b"\x86\xdd"
#: of IPv4: the fragment's offset; what is no first fragment has no ports
_OFFSET = 0x1FFF


class Ends(NamedTuple):
    """Between whom: as packets have it that go one way.  Ports are 0 where the protocol has none."""

    protocol: int
    source: str
    source_port: int
    destination: str
    destination_port: int

    @property
    def reversed(self) -> "Ends":
        """The other way."""
        return Ends(self.protocol, self.destination, self.destination_port, self.source, self.source_port)


@dataclass
class Count:
    """Packets, as the kernel hands them on (up to 64 KiB put together), and their bytes from Ethernet on."""

    packets: int = 0
    bytes: int = 0


@dataclass
class Sample:
    """What passed."""

    seconds: float = 0.0
    counts: dict[tuple[str, Ends], Count] = field(default_factory=dict)
    """by place"""
    lost: int = 0
    """packets that were not counted, because there was no room for them"""


def sample(places: Sequence[Place], seconds: float) -> Sample:
    """What passes these places from now on, for so long; KnetError where one cannot be looked at."""
    found: dict[tuple[str, bytes], Count] = {}
    taken = bpf.program("ip or ip6", _UNLESS, _LENGTH)
    allow_files(3 * len(places))
    with ExitStack() as opened, selectors.DefaultSelector() as selector:
        rings = []
        for place in places:
            try:
                ring = Ring(place.interface, place.site.netns, taken, _MEMORY)
            except OSError as error:
                raise KnetError(f"{place}: {error.strerror}") from None
            opened.callback(ring.close)
            selector.register(ring, selectors.EVENT_READ, place.name)
            rings.append((place.name, ring))
        begin = time.monotonic()
        while (left := begin + seconds - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                ring = key.fileobj  # type: ignore[assignment]
                packets = ring.read(key.data)
                if not packets:  # its interface went down
                    ring.acknowledge()
                    selector.unregister(ring)
                _add(found, packets)
        passed = time.monotonic() - begin
        for name, ring in rings:
            _add(found, ring.read(name))
        lost = sum(ring.lost for _, ring in rings)
    counts = {(place, ends): count for (place, key), count in found.items() if (ends := read(key))}
    return Sample(passed, counts, lost)


def _add(found: dict[tuple[str, bytes], Count], packets: Iterable[Seen[str]]) -> None:
    for _, place, _, length, data in packets:
        key = place, ends(data)
        count = found.get(key)
        if count is None:
            count = found[key] = Count()
        count.packets += 1
        count.bytes += length


def ends(frame: bytes) -> bytes:
    """Protocol, addresses and ports of a frame's IP packet, as bytes: what is counted by; b"" for none."""
    kind = frame[12:14]
    if kind == _IPV4:
        protocol, start = frame[23], 14 + 4 * (frame[14] & 15)
        later = (frame[20] << 8 | frame[21]) & _OFFSET
        ports = frame[start : start + 4] if protocol in _WITH_PORTS and not later else bytes(4)
        return frame[23:24] + frame[26:34] + ports
    if kind == _IPV6:
        ports = frame[54:58] if frame[20] in _WITH_PORTS else bytes(4)
        return frame[20:21] + frame[22:54] + ports
    return b""


def read(key: bytes) -> Ends | None:
    """The same as values; None for what is none, or cut short."""
    version, half = (socket.AF_INET, 4) if len(key) == 13 else (socket.AF_INET6, 16)
    if len(key) != 5 + 2 * half:
        return None
    source, destination = (socket.inet_ntop(version, row) for row in _halves(key[1:-4]))
    ports = [int.from_bytes(row) for row in _halves(key[-4:])]
    return Ends(key[0], source, ports[0], destination, ports[1])


def _halves(data: bytes) -> Iterator[bytes]:
    middle = len(data) // 2
    yield data[:middle]
    yield data[middle:]
