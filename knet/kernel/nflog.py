"""Packets that rules copy to user space: ``log group N`` of nftables, ``-j NFLOG`` of iptables.

A group has one listener per network namespace at a time.  Where nobody listens, a logged packet costs the kernel a
look-up.

Spoken over nfnetlink (linux/netfilter/nfnetlink_log.h); pyroute2 does not know these messages.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

_NETLINK_NETFILTER = 12
_SUBSYSTEM = 4 << 8  # NFNL_SUBSYS_ULOG
_PACKET, _CONFIG = _SUBSYSTEM | 0, _SUBSYSTEM | 1  # NFULNL_MSG_*
_ERROR = 2  # NLMSG_ERROR
_REQUEST_ACK = 1 | 4  # NLM_F_*
#: struct nlmsghdr: length, type, flags, sequence number, port
_HEADER = struct.Struct("=IHHII")
#: struct nfgenmsg: family, version; the group in network order
_GENERAL = struct.Struct(">BBH")
_ATTRIBUTE = struct.Struct("=HH")
_CFG_CMD, _CFG_MODE, _CFG_QTHRESH = 1, 2, 5  # NFULA_*
_PAYLOAD, _PREFIX = 9, 10
_BIND, _COPY_PACKET = 1, 2


class Logged(NamedTuple):
    """One packet: what the rule said, and the packet from its IP header on, as much as the rule copies."""

    prefix: str
    packet: bytes


class NflogError(OSError):
    """The kernel refused; EPERM where somebody else listens to the group."""


class Nflog:
    """Listens to a group in the calling thread's network namespace, until `close`; a file that can be selected."""

    def __init__(self, group: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
        try:
            self._socket.bind((0, 0))
            self._configure(group, _CFG_CMD, struct.pack("=B", _BIND))
            self._configure(group, _CFG_MODE, struct.pack(">IBx", 0xFFFF, _COPY_PACKET))
            self._configure(group, _CFG_QTHRESH, struct.pack(">I", 1))  # each packet at once
        except OSError:
            self.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def read(self) -> list[Logged]:
        """Wait for packets; of a flood that nobody could take some are missing."""
        try:
            datagram = self._socket.recv(1 << 17)
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            return []
        return [_logged(data) for kind, data in _messages(datagram) if kind == _PACKET]

    def _configure(self, group: int, attribute: int, value: bytes) -> None:
        body = _GENERAL.pack(socket.AF_UNSPEC, 0, group) + _attribute(attribute, value)
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), _CONFIG, _REQUEST_ACK, 0, 0) + body)
        while True:
            for kind, data in _messages(self._socket.recv(1 << 17)):
                if kind == _ERROR:
                    number = -int(struct.unpack_from("=i", data)[0])
                    if number:
                        why = "somebody listens to it already" if number == errno.EPERM else os.strerror(number)
                        raise NflogError(number, f"nflog group {group}: {why}")
                    return


def _attribute(kind: int, value: bytes) -> bytes:
    padding = b"\0" * (-len(value) % 4)
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + padding


def _messages(datagram: bytes) -> Iterator[tuple[int, bytes]]:
    """The type of each message, and what follows its header."""
    start = 0
    while start + _HEADER.size <= len(datagram):
        size, kind, *_ = _HEADER.unpack_from(datagram, start)
        yield kind, datagram[start + _HEADER.size : start + size]
        start += (size + 3) & ~3


def _logged(data: bytes) -> Logged:
    found: dict[int, bytes] = {}
    start = _GENERAL.size
    while start + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, start)
        found[kind & 0x3FFF] = data[start + _ATTRIBUTE.size : start + size]
        start += max((size + 3) & ~3, _ATTRIBUTE.size)
    prefix = found.get(_PREFIX, b"").rstrip(b"\0").decode(errors="replace")
    return Logged(prefix, found.get(_PAYLOAD, b""))
