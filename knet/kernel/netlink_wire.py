"""The bytes of netlink messages: headers, attributes, addresses.  No I/O.

A netlink message is a 16-byte header, a fixed header that belongs to the message's family (``ifinfomsg``,
``rtmsg`` …) and a list of attributes, each a length, a type and a payload padded to four bytes; an attribute's
payload may be a list of attributes again.  See netlink(7), rtnetlink(7) and RFC 3549.

Why this is not left to pyroute2, which knows all of it: one message costs its encoder 140 to 440 µs and importing
any of its modules 13 MB and 0.2 s, where a whole pod's network (two interfaces, an address, a route) costs the kernel
800 µs, and where every machine runs several components.  Building the bytes here takes 2 µs a message.
"""

import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

# struct nlmsghdr: length, type, flags, sequence number, port
HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800
CREATE = NLM_F_CREATE | NLM_F_EXCL

NLMSG_ERROR = 2
NLMSG_DONE = 3

#: the two highest bits of an attribute's type are flags (nested, network byte order), not part of the number
_NLA_TYPE_MASK = 0x3FFF
_NLA_F_NESTED = 0x8000


class Request(NamedTuple):
    """One message to the kernel, not yet numbered."""

    type: int
    """RTM_*"""
    flags: int
    """NLM_F_* beside REQUEST and ACK, which are added on sending"""
    body: bytes
    """the family's header and the attributes"""
    what: str
    """the same in words, nearly as one would type it for ``ip``; an error begins with it"""


class Reply(NamedTuple):
    """One message from the kernel: its type, and its body (the family's header and the attributes)."""

    type: int
    body: bytes


def attribute(number: int, payload: bytes) -> bytes:
    """One attribute, padded."""
    size = 4 + len(payload)
    return _ATTRIBUTE.pack(size, number) + payload + bytes(-size % 4)


def nested(number: int, *parts: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(number | _NLA_F_NESTED, b"".join(parts))


def u8(number: int, value: int) -> bytes:
    return attribute(number, bytes((value,)))


def u16_network(number: int, value: int) -> bytes:
    """16 bits in network byte order: ports."""
    return attribute(number, value.to_bytes(2, "big"))


def u32(number: int, value: int) -> bytes:
    return attribute(number, value.to_bytes(4, "little" if _LITTLE else "big"))


def u64(number: int, value: int) -> bytes:
    return attribute(number, value.to_bytes(8, "little" if _LITTLE else "big"))


def text(number: int, value: str) -> bytes:
    """A string with the closing zero that the kernel expects."""
    return attribute(number, value.encode() + b"\0")


def ip(number: int, address: str) -> bytes:
    """An IPv4 or IPv6 address; OSError where it is none."""
    return attribute(number, packed(address))


def mac(number: int, address: str) -> bytes:
    """A hardware address, ``0a:58:0a:f4:01:02``."""
    return attribute(number, bytes.fromhex(address.replace(":", "")))


def attributes(buffer: bytes, start: int = 0) -> dict[int, bytes]:
    """The attributes in ``buffer`` from ``start`` to its end, by number.  Of repeated ones the last counts."""
    return dict(_each(buffer, start))


def _each(buffer: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    end = len(buffer)
    while start + 4 <= end:
        size, number = _ATTRIBUTE.unpack_from(buffer, start)
        if size < 4:
            return
        yield number & _NLA_TYPE_MASK, buffer[start + 4 : start + size]
        start += (size + 3) & ~3


def number(payload: bytes | None, default: int = 0) -> int:
    """An unsigned integer of any width in the machine's byte order."""
    return default if payload is None else int.from_bytes(payload, "little" if _LITTLE else "big")


def string(payload: bytes | None) -> str:
    return "" if payload is None else payload.rstrip(b"\0").decode(errors="replace")


def ip_text(payload: bytes | None) -> str:
    """An address as text, "" where there is none."""
    if payload is None:
        return ""
    return socket.inet_ntop(socket.AF_INET if len(payload) == 4 else socket.AF_INET6, payload)


def mac_text(payload: bytes | None) -> str:
    return "" if payload is None else payload.hex(":")


def family(address: str) -> int:
    """AF_INET or AF_INET6, by the look of an address or a prefix."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def packed(address: str) -> bytes:
    """The 4 or 16 bytes of an address; OSError where it is none."""
    return socket.inet_pton(family(address), address)


_LITTLE = struct.pack("=H", 1) == b"\1\0"
