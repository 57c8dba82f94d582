"""Packets on all interfaces of a network namespace, one by one and at once: for following a single one.

Where much is to be kept, `knet.kernel.packets` has a ring for each interface, whose blocks come some milliseconds late.
"""

import errno
import os
import socket
import struct
import time
from typing import Any, NamedTuple

from knet.kernel import bpf
from knet.kernel.bpf import Program
from knet.kernel.packets import Packet

_ETH_P_ALL = 3
_SO_TIMESTAMPNS = 35
_SO_RCVBUFFORCE = 33
_BUFFER = 4 << 20
_STAMP = struct.Struct("=qq")
#: of a frame; what is behind it is of no use to whoever follows packets
_LONGEST = 512


class Sniffed(NamedTuple):
    """A packet, and the interface that it passes."""

    interface: str
    packet: Packet


class Sniffer:
    """What passes any interface of the calling thread's network namespace, from now on until `close`; a file that can
    be selected.  Packets come in the order in which they passed."""

    def __init__(self, taken: Program) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.htons(_ETH_P_ALL))
        try:
            bpf.attach(self._socket, taken)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
            self.read()  # it has heard all that passed before it had its filter
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def read(self) -> list[Sniffed]:
        """What has come, without waiting."""
        found: list[Sniffed] = []
        while True:
            try:
                data, extra, _, address = self._socket.recvmsg(_LONGEST, 64, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return found
            except OSError as error:
                if error.errno != errno.ENETDOWN:  # an interface went down; it is told once
                    raise
                continue
            interface, _, kind, *_ = address
            found.append(Sniffed(interface, Packet(_stamp(extra), kind, len(data), data)))


def await_stamps() -> None:
    """Wait until packets bear the time when they passed, which whoever has made a `Sniffer` is owed.

    The kernel leaves it to a worker of its own to begin with stamps; until then a packet is given the time when it is
    read.  A datagram to ourselves, in the calling thread's network namespace, tells.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        own.bind(("127.0.0.1", 0))
        own.settimeout(1)
        while True:
            own.sendto(b"", own.getsockname())
            sent = time.time_ns()
            _, extra, _, _ = own.recvmsg(1, 64)
            if _stamp(extra) <= sent:
                return
            os.sched_yield()


def _stamp(extra: list[Any]) -> int:
    """Nanoseconds since 1970."""
    [seconds, nanoseconds] = next(_STAMP.unpack(value) for _, number, value in extra if number == _SO_TIMESTAMPNS)
    return int(seconds * 1_000_000_000 + nanoseconds)
