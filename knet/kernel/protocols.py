"""IP's protocols, by number and by the names that conntrack(8) gives them."""

import socket

NUMBERS = {
    "tcp": socket.IPPROTO_TCP,
    "udp": socket.IPPROTO_UDP,
    "sctp": socket.IPPROTO_SCTP,
    "icmp": socket.IPPROTO_ICMP,
    "icmpv6": socket.IPPROTO_ICMPV6,
}
_NAMES = {number: name for name, number in NUMBERS.items()}


def name_of(number: int) -> str:
    """``tcp``; the number of a protocol that has no name here."""
    return _NAMES.get(number) or str(number)


def kind_of(number: int) -> str:
    """Likewise, but ICMP is icmp in either family."""
    return "icmp" if number == socket.IPPROTO_ICMPV6 else name_of(number)
