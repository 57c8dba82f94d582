"""Tell all neighbours on a link where an address is now: gratuitous ARP, unsolicited neighbour advertisements.

RFC 5227 section 3; RFC 4861 section 7.2.6.  One frame each, on a packet socket of this thread's network namespace.
"""

import ipaddress
import socket
import struct

_ETH_P_ARP, _ETH_P_IPV6 = 0x0806, 0x86DD
_BROADCAST = b"\xff" * 6
_ALL_NODES = ipaddress.IPv6Address("ff02::1").packed
_ALL_NODES_MAC = bytes.fromhex("333300000001")
_ICMPV6, _NEIGHBOUR_ADVERTISEMENT, _OVERRIDE = 58, 136, 0x20000000
_TARGET_LINK_ADDRESS = 2


def announce(interface: str, address: str) -> None:
    """Send the announcement for an address of this machine; OSError where the interface is not there."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((interface, 0))
        mac: bytes = raw.getsockname()[4]
        raw.send(frame(mac, address))


def frame(mac: bytes, address: str) -> bytes:
    """The Ethernet frame that says: ``address`` is at ``mac``."""
    parsed = ipaddress.ip_address(address)
    if parsed.version == 4:
        # a request, as RFC 5227 has it: some hosts pass over replies that they did not ask for
        request = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + parsed.packed + bytes(6) + parsed.packed
        return _BROADCAST + mac + struct.pack("!H", _ETH_P_ARP) + request
    option = bytes([_TARGET_LINK_ADDRESS, 1]) + mac
    message = struct.pack("!BBHI", _NEIGHBOUR_ADVERTISEMENT, 0, 0, _OVERRIDE) + parsed.packed + option
    pseudo = parsed.packed + _ALL_NODES + struct.pack("!II", len(message), _ICMPV6)
    message = message[:2] + struct.pack("!H", _checksum(pseudo + message)) + message[4:]
    header = struct.pack("!IHBB", 6 << 28, len(message), _ICMPV6, 255) + parsed.packed + _ALL_NODES
    return _ALL_NODES_MAC + mac + struct.pack("!H", _ETH_P_IPV6) + header + message


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
