"""A captured frame, read as far as following a packet needs: Ethernet, IP, TCP, UDP, ICMP, and VXLAN's inner frame.

Our own reading, a few microseconds a frame; scapy's import alone takes as long as a whole trace may.  Pure.
"""

import socket
import struct
from typing import NamedTuple

from knet.inspect.icmp import IPV4_ERRORS, IPV6_ERRORS
from knet.inspect.trace.hops import Packet
from knet.kernel.protocols import kind_of

_ETHERNET = 14
_IPV4, _IPV6 = 0x0800, 0x86DD
_TCP, _UDP, _ICMP, _ICMPV6 = socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6
#: hop-by-hop, routing and destination options of IPv6, and fragments
_EXTENSIONS = (0, 43, 60)
#: the ports of VXLAN: Linux' own and flannel's, IANA's
VXLAN_PORTS = (8472, 4789)
_VXLAN = 8
_FLAGS = {0x02: "SYN", 0x01: "FIN", 0x04: "RST", 0x08: "PSH", 0x10: "ACK"}
#: type and code of errors; None: any code
_ERRORS: dict[int, dict[tuple[int, int | None], str]] = {
    _ICMP: {
        **IPV4_ERRORS,
        (3, 13): "prohibited",
        (3, None): "unreachable",
        (11, None): "time exceeded",
    },
    _ICMPV6: {
        **IPV6_ERRORS,
        (1, 1): "prohibited",
        (1, None): "unreachable",
        (2, None): "packet too big",
        (3, None): "time exceeded",
    },
}
_ECHO = {
    (_ICMP, 8): "echo request",
    (_ICMP, 0): "echo reply",
    (_ICMPV6, 128): "echo request",
    (_ICMPV6, 129): "echo reply",
}


class Outer(NamedTuple):
    """The packet around a packet."""

    vni: int
    packet: Packet


class Seen(NamedTuple):
    """A packet, as a frame holds it."""

    packet: Packet
    source_mac: str = ""
    destination_mac: str = ""
    sequence: int = 0
    """of TCP"""
    acknowledged: int = 0
    length: int = 0
    """bytes of TCP's payload, with those that were not captured"""
    payload: bytes = b""
    """of UDP and of an echo"""
    identifier: int = 0
    """of an echo"""
    error: str = ""
    """of ICMP: what happened to the packet that it quotes"""
    quoted: "Seen | None" = None
    mtu: int = 0
    """of "fragmentation needed" and "packet too big" """
    outer: Outer | None = None


def frame(data: bytes) -> Seen | None:
    """An Ethernet frame; None for what is not IP, or not whole."""
    if len(data) < _ETHERNET:
        return None
    kind = int.from_bytes(data[12:14], "big")
    found = packet(data[_ETHERNET:]) if kind in (_IPV4, _IPV6) else None
    if found is None:
        return None
    inner = _tunnelled(found)
    if inner is not None:
        return inner
    return found._replace(source_mac=data[6:12].hex(":"), destination_mac=data[0:6].hex(":"))


def _tunnelled(outer: Seen) -> Seen | None:
    if (
        outer.packet.protocol != "udp"
        or outer.packet.destination_port not in VXLAN_PORTS
        or len(outer.payload) < _VXLAN
    ):
        return None
    found = frame(outer.payload[_VXLAN:])
    return found and found._replace(outer=Outer(int.from_bytes(outer.payload[4:7], "big"), outer.packet))


def packet(data: bytes) -> Seen | None:
    """From the IP header on."""
    try:
        if data[0] >> 4 == 4:
            return _ipv4(data)
        if data[0] >> 4 == 6:
            return _ipv6(data)
    except (IndexError, ValueError, struct.error):  # it is cut off
        pass
    return None


def _ipv4(data: bytes) -> Seen:
    size, ttl, protocol = int.from_bytes(data[2:4], "big"), data[8], data[9]
    source, destination = (socket.inet_ntop(socket.AF_INET, data[at : at + 4]) for at in (12, 16))
    header = (data[0] & 15) * 4
    ip = Packet(kind_of(protocol), source, 0, destination, 0, ttl, "", size)
    return _transport(ip, protocol, data[header:size], size - header)


def _ipv6(data: bytes) -> Seen:
    length, protocol, ttl = int.from_bytes(data[4:6], "big"), data[6], data[7]
    source, destination = (socket.inet_ntop(socket.AF_INET6, data[at : at + 16]) for at in (8, 24))
    rest = data[40 : 40 + length]
    left = length
    while protocol in _EXTENSIONS:
        extension = (rest[1] + 1) * 8
        protocol, rest, left = rest[0], rest[extension:], left - extension
    name = kind_of(protocol)
    return _transport(Packet(name, source, 0, destination, 0, ttl, "", length + 40), protocol, rest, left)


def _transport(ip: Packet, protocol: int, rest: bytes, length: int) -> Seen:
    """``rest``: as much of what follows IP's headers as was captured, of ``length`` bytes."""
    if protocol in (_TCP, _UDP):
        source, destination = struct.unpack_from(">HH", rest)
        ip = ip._replace(source_port=source, destination_port=destination)
    if protocol == _UDP:
        return Seen(ip, payload=rest[8:])
    if protocol == _TCP:
        sequence = int.from_bytes(rest[4:8], "big")
        if len(rest) < 14:  # as an ICMP error quotes it
            return Seen(ip, sequence=sequence)
        words = [name for bit, name in _FLAGS.items() if rest[13] & bit]
        acknowledged, payload = int.from_bytes(rest[8:12], "big"), length - (rest[12] >> 4) * 4
        return Seen(
            ip._replace(flags=",".join(words)), sequence=sequence, acknowledged=acknowledged, length=max(payload, 0)
        )
    if protocol in (_ICMP, _ICMPV6):
        return _icmp(ip, protocol, rest)
    return Seen(ip)


def _icmp(ip: Packet, protocol: int, rest: bytes) -> Seen:
    kind, code = rest[0], rest[1]
    if echo := _ECHO.get((protocol, kind)):
        return Seen(ip._replace(flags=echo), identifier=int.from_bytes(rest[4:6], "big"), payload=rest[8:])
    errors = _ERRORS[protocol]
    error = errors.get((kind, code)) or errors.get((kind, None), "")
    if not error:
        return Seen(ip._replace(flags=f"type {kind}"))
    mtu = 0
    if error == "fragmentation needed":
        mtu = int.from_bytes(rest[6:8], "big")
    elif error == "packet too big":
        mtu = int.from_bytes(rest[4:8], "big")
    return Seen(ip._replace(flags=error), error=error, quoted=packet(rest[8:]), mtu=mtu)
