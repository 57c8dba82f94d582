"""The form of netlink messages and their attributes, packed and read without pyroute2; sockets to netfilter.

pyroute2 takes 30 to 320 µs for a message; where there are thousands, or where it does not know their kind, they are
packed here, a microsecond or two for each attribute.  linux/netlink.h, linux/netfilter/nfnetlink.h
"""

import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

#: struct nlmsghdr: length, type, flags, sequence number, port
HEADER = struct.Struct("=IHHII")
#: types of messages of every family (NLMSG_*)
ERROR, DONE = 2, 3
#: an attribute's type says with it that it holds attributes (NLA_F_NESTED)
NESTED = 0x8000

_ATTRIBUTE = struct.Struct("=HH")
#: of an attribute's type: it holds attributes; its number is in network order
_FLAGS = 0xC000
_NETLINK_NETFILTER = 12
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_SO_RCVBUFFORCE = 33


class Message(NamedTuple):
    """One of a datagram's."""

    kind: int
    flags: int
    sequence: int
    data: bytes
    """its header included"""

    @property
    def body(self) -> bytes:
        """What follows the header."""
        return self.data[HEADER.size :]


def messages(datagram: bytes) -> Iterator[Message]:
    """Its messages, in order."""
    start = 0
    while start + HEADER.size <= len(datagram):
        size, kind, flags, sequence, _port = HEADER.unpack_from(datagram, start)
        yield Message(kind, flags, sequence, datagram[start : start + size])
        start += (size + 3) & ~3


def attribute(kind: int, value: bytes) -> bytes:
    """An attribute, padded."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The type and value of each attribute."""
    start = 0
    while start + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, start)
        yield kind & ~_FLAGS, data[start + _ATTRIBUTE.size : start + size]
        start += max((size + 3) & ~3, _ATTRIBUTE.size)


def netfilter_socket(*groups: int, buffer: int = 0) -> socket.socket:
    """A socket of the calling thread's network namespace to netfilter (nfnetlink), which hears these multicast groups.

    ``buffer``: bytes of news that wait for a reader, 0: as many as the kernel allows anybody.
    """
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
    try:
        opened.bind((0, 0))
        if buffer:
            opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer)
        for group in groups:
            opened.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
    except OSError:
        opened.close()
        raise
    return opened
