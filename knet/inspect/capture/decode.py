"""A frame in words: who to whom, what, and what is inside the tunnel.  Pure.

No more is read than people want to see in a line; Wireshark knows the rest.  A frame that ends too early, or is none of
what is known here, is told by its numbers.
"""

import ipaddress
import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple

import dnslib

from knet.api.families import host_port
from knet.inspect.names import Names
from knet.kernel.bpf import VXLAN_PORT

_PORTS = struct.Struct("!HH")
_DNS_PORTS = (53, 5353)
_MORE_FRAGMENTS, _OFFSET = 0x2000, 0x1FFF


class Message(NamedTuple):
    """What a frame says, or the packet inside it."""

    source: str
    destination: str
    protocol: str
    text: str
    ttl: int = 0
    """0: no IP packet"""
    failure: bool = False
    """somebody refuses, or says that something did not arrive"""
    inner: "Message | None" = None
    """what a tunnel carries"""


class Ends(NamedTuple):
    """Who talks, in a header of IP."""

    source: str
    destination: str
    names: Names
    ttl: int

    def message(self, protocol: str, text: str, ports: tuple[int, int] | None = None, failure: bool = False) -> Message:
        source, destination = (self.names.text(address) for address in (self.source, self.destination))
        if ports is not None:
            source, destination = (host_port(*end) for end in zip((source, destination), ports, strict=True))
        return Message(source, destination, protocol, text, self.ttl, failure)


def decode(frame: bytes, names: Names) -> Message:
    """An Ethernet frame."""
    if len(frame) < 14:
        return Message("", "", "frame", f"of {len(frame)} bytes")
    kind = int.from_bytes(frame[12:14])
    try:
        if kind in _NETWORKS:
            return _NETWORKS[kind](frame[14:], names)
    except (struct.error, ValueError, IndexError):
        return _ethernet(frame, names, f"cut short, type 0x{kind:04x}")
    return _ethernet(frame, names, f"type 0x{kind:04x}" if kind >= 0x600 else "802.3")


# ---- Ethernet ------------------------------------------------------------------------------------------------------


def _ethernet(frame: bytes, names: Names, text: str) -> Message:
    destination, source = (_hardware(frame[start : start + 6], names) for start in (0, 6))
    return Message(source, destination, "Ethernet", text)


def _hardware(address: bytes, names: Names) -> str:
    text = address.hex(":")
    return "everybody" if text == "ff:ff:ff:ff:ff:ff" else names.hardware_text(text)


def _arp(data: bytes, names: Names) -> Message:
    operation = int.from_bytes(data[6:8])
    sender, mac, target = (str(ipaddress.IPv4Address(data[start : start + 4])) for start in (14, 14, 24))
    mac = data[8:14].hex(":")
    of = {1: f"who has {_both(target, names)}?", 2: f"{_both(sender, names)} is at {mac}"}
    destination = "everybody" if operation == 1 else names.text(target)
    return Message(names.text(sender), destination, "ARP", of.get(operation, f"operation {operation}"))


def _both(address: str, names: Names) -> str:
    """An address where the address is what matters, with its owner's name."""
    name = names.of(address)
    return f"{address} ({name.short})" if name else address


# ---- IP ------------------------------------------------------------------------------------------------------------


def _ipv4(data: bytes, names: Names) -> Message:
    length, fragment = int.from_bytes(data[2:4]), int.from_bytes(data[6:8])
    source, destination = (str(ipaddress.IPv4Address(data[at : at + 4])) for at in (12, 16))
    ends = Ends(source, destination, names, data[8])
    offset = 8 * (fragment & _OFFSET)
    if offset:
        return ends.message("IPv4", f"fragment from byte {offset} on, id {int.from_bytes(data[4:6])}")
    body = data[4 * (data[0] & 0xF) : length or None]  # 0: put together for TSO, beyond what the field can say
    found = _transport(data[9], body, ends)
    return found._replace(text=f"{found.text}, first fragment") if fragment & _MORE_FRAGMENTS else found


def _ipv6(data: bytes, names: Names) -> Message:
    source, destination = (str(ipaddress.IPv6Address(data[at : at + 16])) for at in (8, 24))
    ends = Ends(source, destination, names, data[7])
    protocol, body = data[6], data[40 : 40 + int.from_bytes(data[4:6]) or None]
    while protocol in (0, 43, 60):  # hop-by-hop and other options, routing
        protocol, body = body[0], body[8 + 8 * body[1] :]
    return _transport(protocol, body, ends)


def _transport(protocol: int, body: bytes, ends: Ends) -> Message:
    if protocol in _TRANSPORTS:
        return _TRANSPORTS[protocol](body, ends)
    return ends.message("IP", f"protocol {protocol}, {len(body)} bytes")


_RST = 4
#: those that decide what becomes of a connection
_FLAGS = {2: "SYN", 1: "FIN", _RST: "RST", 16: "ACK"}


def _tcp(body: bytes, ends: Ends) -> Message:
    ports = _PORTS.unpack_from(body)
    flags = [name for bit, name in _FLAGS.items() if body[13] & bit]
    payload = body[4 * (body[12] >> 4) :]
    words = [" ".join(flags).replace("SYN ACK", "SYN-ACK") or "no flags"]
    if payload:
        words += [f"{len(payload)} bytes", *_application(payload)]
    return ends.message("TCP", ", ".join(words), ports, bool(body[13] & _RST))


#: how HTTP/1 begins, either way
_HTTP = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"PATCH ", b"OPTIONS ", b"CONNECT ", b"HTTP/1.")


def _application(payload: bytes) -> list[str]:
    if payload.startswith(_HTTP):
        return [_harmless(payload.split(b"\r\n", 1)[0][:80].decode(errors="replace"))]
    return ["TLS handshake"] if payload[:2] == b"\x16\x03" else []


def _harmless(text: str) -> str:
    """What others have written, without what would have a meaning for a terminal."""
    return "".join(letter if letter.isprintable() else "·" for letter in text)


def _udp(body: bytes, ends: Ends) -> Message:
    ports = _PORTS.unpack_from(body)
    payload = body[8:]
    if ports[1] == VXLAN_PORT and len(payload) >= 8 + 14:
        vni = int.from_bytes(payload[4:7])
        return ends.message("VXLAN", f"vni {vni}")._replace(inner=decode(payload[8:], ends.names))
    if set(ports) & set(_DNS_PORTS) and (said := _dns(payload, ends.names)):
        return ends.message("DNS", said, ports)
    return ends.message("UDP", f"{len(payload)} bytes", ports)


def _dns(payload: bytes, names: Names) -> str:
    """A question, or its answers; "" for what is neither."""
    try:
        record = dnslib.DNSRecord.parse(payload)
        asked = f"{dnslib.QTYPE[record.q.qtype]} {str(record.q.qname).rstrip('.')}"
        if not record.header.qr:
            return _harmless(f"{asked}?")
        code = dnslib.RCODE[record.header.rcode]
        answers = [_both(str(row.rdata), names) for row in record.rr]
    except (dnslib.DNSError, dnslib.dns.DNSError):
        return ""
    more = f" and {len(answers) - 3} more" if len(answers) > 3 else ""
    return _harmless(f"{asked}: {', '.join(answers[:3]) or ('none' if code == 'NOERROR' else code)}{more}")


_UNREACHABLE = {0: "network", 1: "host", 2: "protocol", 3: "port", 4: "fragmentation needed"} | dict.fromkeys(
    (9, 10, 13), "prohibited:"
)
_ICMP = {0: "echo reply", 8: "echo request", 3: "unreachable", 5: "redirect", 11: "time exceeded"}
_ICMP6 = {
    1: "unreachable",
    2: "packet too big",
    3: "time exceeded",
    128: "echo request",
    129: "echo reply",
    130: "multicast listener query",
    133: "router solicitation",
    134: "router advertisement",
    135: "who has",
    136: "is at",
    143: "multicast listener report",
}
_UNREACHABLE6 = ("no route", "prohibited", "beyond scope", "address", "port", "failed policy", "reject route")


def _icmp(body: bytes, ends: Ends) -> Message:
    kind, code = body[0], body[1]
    text = _ICMP.get(kind, f"type {kind} code {code}")
    if kind in (0, 8):
        return ends.message("ICMP", f"{text}, id {int.from_bytes(body[4:6])} seq {int.from_bytes(body[6:8])}")
    if kind == 3:
        why = (
            _UNREACHABLE[code]
            if code < len(_UNREACHABLE)
            else ("prohibited" if code in (9, 10, 13) else f"code {code}")
        )
        text = f"{why}: MTU is {int.from_bytes(body[6:8])}" if code == 4 else f"{why} unreachable"
    if kind in (3, 5, 11):
        return ends.message("ICMP", f"{text}{_about(_ipv4, body[8:], ends.names)}", failure=kind != 5)
    return ends.message("ICMP", text)


def _icmp6(body: bytes, ends: Ends) -> Message:
    kind, code = body[0], body[1]
    text = _ICMP6.get(kind, f"type {kind} code {code}")
    if kind in (128, 129):
        text = f"{text}, id {int.from_bytes(body[4:6])} seq {int.from_bytes(body[6:8])}"
    elif kind in (135, 136):
        target = _both(str(ipaddress.IPv6Address(body[8:24])), ends.names)
        text = f"who has {target}?" if kind == 135 else f"{target} is here"
    elif kind in (1, 2, 3):
        if kind == 1:
            text = f"{_UNREACHABLE6[code] if code < len(_UNREACHABLE6) else f'code {code}'} unreachable"
        elif kind == 2:
            text = f"packet too big: MTU is {int.from_bytes(body[4:8])}"
        return ends.message("ICMPv6", f"{text}{_about(_ipv6, body[8:], ends.names)}", failure=True)
    return ends.message("ICMPv6", text)


def _about(network: Callable[[bytes, Names], Message], data: bytes, names: Names) -> str:
    """The packet that an error is about: its header, and eight bytes at least."""
    try:
        found = network(data, names)
    except (struct.error, ValueError, IndexError):
        return ""
    return f", of {found.source} > {found.destination} {found.protocol}"


_NETWORKS: Mapping[int, Callable[[bytes, Names], Message]] = {0x0800: _ipv4, 0x0806: _arp, 0x86DD: _ipv6}
_TRANSPORTS: Mapping[int, Callable[[bytes, Ends], Message]] = {1: _icmp, 6: _tcp, 17: _udp, 58: _icmp6}
