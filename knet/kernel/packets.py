"""Packets as the kernel sees them pass an interface: AF_PACKET with a ring of memory that both sides see (TPACKET_V3).

The kernel fills blocks of packets, stamps each packet in nanoseconds, and hands a block over when it is full or a few
milliseconds old; we read hundreds of packets without a system call and hand the block back.  When all blocks are ours
the kernel counts what it could not put anywhere.

https://docs.kernel.org/networking/packet_mmap.html
"""

import errno
import fcntl
import mmap
import socket
import struct
from typing import Generic, NamedTuple, TypeVar

from knet.kernel import bpf
from knet.kernel.bpf import Program
from knet.kernel.libc import call
from knet.kernel.namespaces import Namespaces, entered

T = TypeVar("T")

#: milliseconds after which the kernel hands a block over that is not full; it looks every so many, so a packet may wait
#: twice as long
RETIREMENT = 20
#: bytes; one packet put together for TSO has to fit in
BLOCK = 1 << 18

_ETH_P_ALL = 3
_SOL_PACKET = 263
_RX_RING, _STATISTICS, _VERSION = 5, 6, 10
_TPACKET_V3 = 2
_FRAME = 2048  # a formality with blocks
_KERNEL, _USER = 0, 1
_SIOCGIFNAME = 0x8910
#: struct tpacket_req3: size and number of blocks, of frames; retirement, private bytes, features
_REQUEST = struct.Struct("=7I")
#: struct tpacket_block_desc: version, private bytes; then status, packets, offset of the first
_STATUS_AT = 8
_DESCRIPTION = struct.Struct("=III")
#: struct tpacket3_hdr: next, seconds, nanoseconds, bytes here, bytes of the packet, status, where it is; in struct
#: sockaddr_ll behind it, how it came
_HEADER = struct.Struct("=IIIII4xH2x20x10xB")
_WORD = struct.Struct("=I")
#: struct sockaddr_ll: family, protocol, interface (0: all)
_ADDRESS = struct.Struct("=HHi12x")
_COUNTS = struct.Struct("=III")

#: of `Ring`: all interfaces of a namespace, also those that come later
EVERYWHERE = ""
#: how a packet came, linux/if_packet.h: to this interface's own address, to all, to some, to somebody else; or was sent
TO_US, BROADCAST, MULTICAST, TO_OTHERS, OUTGOING = range(5)


class Packet(NamedTuple):
    """A frame, from its Ethernet header on."""

    time: int
    """nanoseconds since 1970, as the kernel stamped it"""
    kind: int
    """`TO_US` … `OUTGOING`"""
    length: int
    """bytes that it had; ``data`` may be fewer, if the ring was asked for fewer"""
    data: bytes


class Seen(NamedTuple, Generic[T]):
    """A packet, and where: as `Packet`, with a key of whoever reads."""

    time: int
    place: T
    kind: int
    length: int
    data: bytes

    @property
    def packet(self) -> Packet:
        """Without the place."""
        return Packet(self.time, self.kind, self.length, self.data)


class Ring:
    """What passes one interface or `EVERYWHERE`, in and out, from now on until `close`; a file that can be selected.

    ``netns``: a descriptor of the interface's network namespace, None for the calling thread's; the ring keeps the
    namespace alive.  ``taken``: `knet.kernel.bpf.program` of what is wanted.  ``memory``: bytes of kernel memory.
    OSError where there is no such interface (ENODEV), or no memory for it (ENOMEM).
    """

    def __init__(self, interface: str, netns: int | None, taken: Program, memory: int = 8 * BLOCK) -> None:
        with entered(Namespaces({} if netns is None else {"net": netns})):
            # without a protocol: it hears nothing before it has its filter and its interface
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._blocks = max(memory // BLOCK, 2)
        self._next = 0
        self._lost = 0
        try:
            self._index = 0 if interface == EVERYWHERE else socket_index(self._socket, interface)
            bpf.attach(self._socket, taken)
            self._socket.setsockopt(_SOL_PACKET, _VERSION, _TPACKET_V3)
            size = self._blocks * BLOCK
            request = _REQUEST.pack(BLOCK, self._blocks, _FRAME, size // _FRAME, RETIREMENT, 0, 0)
            self._socket.setsockopt(_SOL_PACKET, _RX_RING, request)
            self._memory = mmap.mmap(self._socket.fileno(), size)
            address = _ADDRESS.pack(socket.AF_PACKET, socket.htons(_ETH_P_ALL), self._index)
            call("bind", self._socket.fileno(), address, len(address))  # Python's asks for a name, and 0 has none
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._memory.close()
        self._socket.close()

    def read(self, place: T) -> list[Seen[T]]:
        """The packets of all blocks that are ready, in order; none where none is."""
        found: list[Seen[T]] = []
        memory, header, add, new = self._memory, _HEADER.unpack_from, found.append, tuple.__new__
        while True:
            at = self._next * BLOCK
            status, count, offset = _DESCRIPTION.unpack_from(memory, at + _STATUS_AT)
            if not status & _USER:
                return found
            position = at + offset
            for _ in range(count):  # 0.6 µs each
                further, seconds, nanoseconds, here, length, start, kind = header(memory, position)
                start += position
                stamp = seconds * 1_000_000_000 + nanoseconds
                add(new(Seen, (stamp, place, kind, length, memory[start : start + here])))
                position += further
            _WORD.pack_into(memory, at + _STATUS_AT, _KERNEL)
            self._next = (self._next + 1) % self._blocks

    @property
    def lost(self) -> int:
        """How many packets the kernel had no room for since the beginning, because `read` was not called in time."""
        _, lost, _ = _COUNTS.unpack(self._socket.getsockopt(_SOL_PACKET, _STATISTICS, _COUNTS.size))
        self._lost += lost  # the kernel counts from the last question on
        return self._lost

    @property
    def gone(self) -> bool:
        """Whether the interface has been deleted: no more packets will come.  One that is down may come up again."""
        if not self._index:
            return False
        try:
            fcntl.ioctl(self._socket, _SIOCGIFNAME, struct.pack("=16si20x", b"", self._index))
        except OSError as error:
            return error.errno == errno.ENODEV
        return False

    def acknowledge(self) -> None:
        """Take note of an error that selecting has told of (the interface went down), so that it is told once."""
        self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def socket_index(sock: socket.socket, interface: str) -> int:
    """The index of an interface in a socket's network namespace; OSError (ENODEV) where there is none."""
    answer = fcntl.ioctl(sock, 0x8933, struct.pack("=16si20x", interface.encode(), 0))  # SIOCGIFINDEX
    return int(struct.unpack_from("=i", answer, 16)[0])
