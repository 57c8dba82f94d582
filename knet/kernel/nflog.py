"""Packets that rules copy to user space: ``log group N`` of nftables, ``-j NFLOG`` of iptables.

A group has one listener per network namespace at a time.  Where nobody listens, a logged packet costs the kernel a
look-up.

Spoken over nfnetlink (linux/netfilter/nfnetlink_log.h); pyroute2 does not know these messages.
"""

import errno
import os
import socket
import struct
from typing import NamedTuple

from knet.kernel.netlink_packing import ERROR, HEADER, attribute, attributes, messages, netfilter_socket

_SUBSYSTEM = 4 << 8  # NFNL_SUBSYS_ULOG
_PACKET, _CONFIG = _SUBSYSTEM | 0, _SUBSYSTEM | 1  # NFULNL_MSG_*
_REQUEST_ACK = 1 | 4  # NLM_F_*
#: struct nfgenmsg: family, version; the group in network order
_GENERAL = struct.Struct(">BBH")
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
        self._socket = netfilter_socket()
        try:
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
        return [_logged(message.body) for message in messages(datagram) if message.kind == _PACKET]

    def _configure(self, group: int, what: int, value: bytes) -> None:
        body = _GENERAL.pack(socket.AF_UNSPEC, 0, group) + attribute(what, value)
        self._socket.send(HEADER.pack(HEADER.size + len(body), _CONFIG, _REQUEST_ACK, 0, 0) + body)
        while True:
            for message in messages(self._socket.recv(1 << 17)):
                if message.kind == ERROR:
                    number = -int(struct.unpack_from("=i", message.body)[0])
                    if number:
                        why = "somebody listens to it already" if number == errno.EPERM else os.strerror(number)
                        raise NflogError(number, f"nflog group {group}: {why}")
                    return


def _logged(data: bytes) -> Logged:
    found = dict(attributes(data[_GENERAL.size :]))
    prefix = found.get(_PREFIX, b"").rstrip(b"\0").decode(errors="replace")
    return Logged(prefix, found.get(_PAYLOAD, b""))
