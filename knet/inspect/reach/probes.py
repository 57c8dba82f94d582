"""A probe: one packet with a number in it that no translation of addresses changes, and what comes of it.  Pure.

=====  ========================  ==========================================================================
       its number is             what is heard
=====  ========================  ==========================================================================
tcp    the sequence number       the SYN where it arrives; SYN+ACK, or RST where nobody listens
udp    the payload               the datagram where it arrives; "port unreachable" where nobody listens
icmp   the payload of an echo    the request where it arrives; the reply
=====  ========================  ==========================================================================

For each, whoever has to give it up on the way may say so (ICMP, RFC 792 and 4443), quoting the packet.
"""

import socket
import struct
from collections.abc import Callable
from typing import NamedTuple

from knet.api.families import IPV6, family_of
from knet.inspect.icmp import IPV4_ERRORS, IPV6_ERRORS

#: what is heard of a probe
ARRIVED, ANSWERED, REFUSED, UNREACHABLE = "arrived", "answered", "refused", "unreachable"
#: a number's lower bits count probes, its upper bits tell ours from others'
COUNTING = 20
OURS = 0xFFFFFFFF & ~((1 << COUNTING) - 1)

#: source port, destination port, sequence, acknowledgement, length of the header, flags, window, checksum, urgent
_TCP = struct.Struct(">HHIIBBHHH")
_SYN, _RST, _ACK = 0x02, 0x04, 0x10
#: source port, destination port, length, checksum; then our number
_UDP = struct.Struct(">HHHHI")
#: type, code, checksum, identifier, sequence; then our number
_ECHO = struct.Struct(">BBHHHI")
_NUMBER = struct.Struct(">I")
_WINDOW = 64240


class Heard(NamedTuple):
    """Of the probe with this number: `ARRIVED` (here), or an answer to it, and where that came from."""

    number: int
    what: str
    address: str
    detail: str = ""
    """why it is unreachable"""


class Protocol(NamedTuple):
    """How a protocol's probes are made and read."""

    name: str
    numbers: tuple[int, int]
    """IPPROTO_* over IPv4 and IPv6"""
    has_ports: bool
    checksum_at: int
    """where the kernel puts the checksum over IPv6; -1 where it knows that itself"""
    number_at: tuple[int, ...]
    """where numbers are looked for, in bytes from the end of the IP header"""
    pack: Callable[[str, str, int, int, int], bytes]
    """source and destination, their ports, number → what follows the IP header"""

    def number(self, family: str) -> int:
        return self.numbers[family == IPV6]


# ---- out -----------------------------------------------------------------------------------------------------------


def _tcp(source: str, destination: str, source_port: int, port: int, number: int) -> bytes:
    packed = _TCP.pack(source_port, port, number, 0, 5 << 4, _SYN, _WINDOW, 0, 0)
    if family_of(source) == IPV6:
        return packed
    pseudo = socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack(">HH", socket.IPPROTO_TCP, 20)
    return packed[:16] + struct.pack(">H", checksum(pseudo + packed)) + packed[18:]


def _udp(source: str, destination: str, source_port: int, port: int, number: int) -> bytes:
    return _UDP.pack(source_port, port, _UDP.size, 0, number)  # without a checksum, as RFC 768 allows


def _icmp(source: str, destination: str, source_port: int, port: int, number: int) -> bytes:
    if family_of(source) == IPV6:
        return _ECHO.pack(128, 0, 0, source_port, 1, number)
    packed = _ECHO.pack(8, 0, 0, source_port, 1, number)
    return packed[:2] + struct.pack(">H", checksum(packed)) + packed[4:]


PROTOCOLS = {
    row.name: row
    for row in (
        Protocol("tcp", (socket.IPPROTO_TCP, socket.IPPROTO_TCP), True, 16, (4, 8), _tcp),
        Protocol("udp", (socket.IPPROTO_UDP, socket.IPPROTO_UDP), True, 6, (8,), _udp),
        Protocol("icmp", (socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6), False, -1, (8,), _icmp),
    )
}


def checksum(data: bytes) -> int:
    """Of the Internet (RFC 1071), of an even number of bytes."""
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


# ---- in ------------------------------------------------------------------------------------------------------------


def read(protocol: Protocol, packet: bytes, address: str) -> Heard | None:
    """What a packet from ``address`` tells, given from the end of its IP header on; None for nothing."""
    return _READERS[protocol.name](packet, address)


def _read_tcp(packet: bytes, address: str) -> Heard | None:
    if len(packet) < _TCP.size:
        return None
    _, _, sequence, acknowledged, _, flags, *_ = _TCP.unpack_from(packet)
    match flags & (_SYN | _RST | _ACK):
        case 0x02:
            return Heard(sequence, ARRIVED, address)
        case 0x12:
            return Heard(acknowledged - 1, ANSWERED, address)
        case 0x14:
            return Heard(acknowledged - 1, REFUSED, address)
    return None


def _read_udp(packet: bytes, address: str) -> Heard | None:
    return Heard(_UDP.unpack_from(packet)[4], ARRIVED, address) if len(packet) >= _UDP.size else None


def _read_icmp(packet: bytes, address: str) -> Heard | None:
    if len(packet) < _ECHO.size:
        return None
    kind, _, _, _, _, number = _ECHO.unpack_from(packet)
    if kind in (8, 128):
        return Heard(number, ARRIVED, address)
    return Heard(number, ANSWERED, address) if kind in (0, 129) else None


_READERS = {"tcp": _read_tcp, "udp": _read_udp, "icmp": _read_icmp}

#: why, by type and code
_UNREACHABLE = {
    4: {
        **IPV4_ERRORS,
        (3, 13): "administratively prohibited",
        (11, 0): "TTL exceeded: it goes round in a circle",
    },
    6: {
        **IPV6_ERRORS,
        (1, 1): "administratively prohibited",
        (1, 5): "prohibited by policy",
        (1, 6): "route rejected",
        (2, 0): "packet too big",
        (3, 0): "hop limit exceeded: it goes round in a circle",
    },
}
PORT_UNREACHABLE = "port unreachable"


def read_error(protocol: Protocol, packet: bytes, address: str) -> Heard | None:
    """What an ICMP message from ``address`` tells of a probe that it quotes; None if it is no such message."""
    version = 6 if ":" in address else 4
    detail = _UNREACHABLE[version].get((packet[0], packet[1])) if len(packet) > 8 else None
    if detail is None:
        return None
    quoted = packet[8:]
    header = 40 if version == 6 else 4 * (quoted[0] & 15)
    at = header + protocol.number_at[0]
    if len(quoted) < at + _NUMBER.size:
        return None
    return Heard(_NUMBER.unpack_from(quoted, at)[0], UNREACHABLE, address, detail)
