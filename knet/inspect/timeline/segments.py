"""The packets by which connections begin and end, as they pass machines: SYN, FIN, RST, ICMP that says "not here"; and
datagrams to some ports.

All interfaces of a machine are heard, those of pods that are not there yet, too, but for bridges, whose ports are heard
already.  What a machine forwards passes it twice: in by one interface and, perhaps with other addresses, out by
another.
"""

import struct
import zlib
from collections.abc import Collection
from typing import NamedTuple

from knet.kernel.bpf import Instruction, Program, program
from knet.kernel.packets import Packet

#: TCP's flags; and what has none of them
FIN, SYN, RST, ACK, DATAGRAM = 1, 2, 4, 16, 256
#: of a packet: Ethernet, IPv6, ICMP, and of the packet inside as far as its TCP ports and sequence number
LENGTH = 14 + 40 + 8 + 60 + 20

_IPV4, _IPV6 = b"\x08\x00", b"\x86\xdd"
_TCP, _UDP, _ICMP, _ICMP6 = 6, 17, 1, 58
_EXPRESSION = (
    "tcp[tcpflags] & (tcp-syn|tcp-fin|tcp-rst) != 0 or icmp[icmptype] = icmp-unreach"
    " or (ip6[6] = 6 and ip6[53] & 7 != 0) or (ip6[6] = 58 and ip6[40] = 1)"
)
#: what goes through a tunnel is heard at its ends
_TUNNELLED = "udp port 8472"
_PORTS = struct.Struct("!HHI")
_REST = struct.Struct("!IxB")
#: linux/filter.h: the index of the interface as if it were at this offset (SKF_AD_OFF + SKF_AD_IFINDEX)
_LD_W, _JEQ, _RET = 0x20, 0x15, 0x06
_INTERFACE = 0xFFFFF000 + 8


class End(NamedTuple):
    """An address as bytes, and a port."""

    address: bytes
    port: int


class Segment(NamedTuple):
    """``unreachable``: an ICMP error of ``by`` about it.  ``seq`` of a datagram: the same wherever the same is seen."""

    at: int
    machine: str
    source: End
    destination: End
    flags: int
    seq: int
    ack: int = 0
    unreachable: bool = False
    by: bytes = b""


def wanted(bridges: tuple[int, ...] = (), ports: Collection[int] = ()) -> Program:
    """What is to be heard on a machine, but for the interfaces of these indices; datagrams to these ports."""
    datagrams = f" or (udp and ({' or '.join(f'dst port {port}' for port in sorted(ports))}))" if ports else ""
    heard = program(_EXPRESSION + datagrams, unless=_TUNNELLED, length=LENGTH)
    index = Instruction(_LD_W, 0, 0, _INTERFACE)
    left = [(index, Instruction(_JEQ, 0, 1, bridge), Instruction(_RET, 0, 0, 0)) for bridge in bridges]
    return (*(row for rows in left for row in rows), *heard)


def segment(machine: str, packet: Packet, offset: int = 0) -> Segment | None:
    """A packet that was `wanted`; None for what makes no sense.  ``offset`` is subtracted from its time."""
    data, at = packet.data, packet.time - offset
    try:
        protocol, source, destination, start = _network(data, data[12:14], 14)
        if protocol == _TCP:
            sport, dport, seq = _PORTS.unpack_from(data, start)
            ack, flags = _REST.unpack_from(data, start + 8)
            return Segment(at, machine, End(source, sport), End(destination, dport), flags, seq, ack)
        if protocol == _UDP:
            sport, dport, _ = _PORTS.unpack_from(data, start)
            number = 1 << 32 | zlib.crc32(data[start + 8 : start + 40], sport)  # NAT leaves both alone, mostly
            return Segment(at, machine, End(source, sport), End(destination, dport), DATAGRAM, number)
        inner, was, there, at_port = _network(data, data[12:14], start + 8)
        if protocol not in (_ICMP, _ICMP6) or inner not in (_TCP, _UDP):
            return None
        sport, dport, seq = _PORTS.unpack_from(data, at_port)
    except (struct.error, IndexError):
        return None
    flags = DATAGRAM if inner == _UDP else 0
    return Segment(at, machine, End(was, sport), End(there, dport), flags, seq, unreachable=True, by=source)


def _network(data: bytes, kind: bytes, start: int) -> tuple[int, bytes, bytes, int]:
    """Protocol, source, destination, and where what they carry begins; IndexError for what is neither IP."""
    if kind == _IPV4:
        addresses = data[start + 12 : start + 16], data[start + 16 : start + 20]
        return data[start + 9], *addresses, start + 4 * (data[start] & 0xF)
    if kind == _IPV6:
        return data[start + 6], data[start + 8 : start + 24], data[start + 24 : start + 40], start + 40
    raise IndexError("neither IPv4 nor IPv6")
