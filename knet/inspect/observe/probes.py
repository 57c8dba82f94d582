"""The probe's sender: a real socket of the source's namespace, so that the whole way is the kernel's own.

What it sends bears a `Mark`.  A TCP probe's first sequence number is chosen by TCP_REPAIR, which is for sockets that
are taken over from another machine (CRIU); the connection is as real as any, and reset as soon as it is established.
"""

import errno
import os
import random
import socket
import struct
from typing import NamedTuple, Protocol

from knet.inspect.observe.frames import Seen
from knet.inspect.observe.frames import packet as read_packet
from knet.inspect.observe.mark import Mark, Recognising
from knet.inspect.trace.hops import Packet
from knet.kernel.sniffer import Sniffed

_TCP_REPAIR, _TCP_REPAIR_QUEUE, _TCP_QUEUE_SEQ, _SEND_QUEUE = 19, 20, 21, 2
_ICMP_ECHO, _ICMPV6_ECHO = 8, 128
_WORDS = b" knet trace"
#: bytes of payload of an UDP probe and of an echo, as ping's
_PAYLOAD = 56


class Answer(NamedTuple):
    """How it ended for the socket."""

    error: str = ""
    """"" for an answer, else the kernel's words: "Connection refused", "No route to host" """


class Sender(Protocol):
    """Who sends what is followed: a probe's socket, to be made and used in the source's network namespace, or
    somebody else (`knet.inspect.observe.live`); a file that can be selected."""

    @property
    def mark(self) -> Recognising: ...

    writes: bool
    """whether the answer is told by the file becoming writable, else by its becoming readable"""
    waits: float
    """seconds that it may take until it sends, beside those in which a packet is lost"""

    def send(self) -> Answer | None:
        """Send; an answer where the kernel refuses at once."""

    def hear(self, space: str, sniffed: Sniffed, seen: Seen) -> None:
        """Told of all that is captured, before it is asked whose it is."""

    def packet(self) -> Packet | None:
        """What was sent: its addresses, as the socket has them.  None: nothing was."""

    def fileno(self) -> int: ...

    def answer(self) -> Answer | None:
        """Once it is ready: how it ended; None if that was nothing of ours."""

    def close(self) -> None: ...


def prepared(protocol: str, address: str, port: int, source_port: int, size: int, question: str = "") -> Sender:
    """The sender for a protocol; ``question``: an UDP probe is a question to the DNS for this name's address.

    ``size``: bytes of payload, 0 for the usual ones.
    """
    if protocol == "tcp":
        return _Tcp(address, port, source_port)
    if protocol == "udp":
        return _Udp(address, port, source_port, size, question)
    return _Echo(address, size)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class _Socket:
    """What all senders share."""

    writes = False
    waits = 0.0

    def __init__(self, kind: socket.SocketKind, address: str, port: int, protocol: int = 0) -> None:
        self._peer = (address, port)
        self._socket = socket.socket(_family(address), kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, protocol)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def hear(self, space: str, sniffed: Sniffed, seen: Seen) -> None:
        """Nothing: what was sent is known."""

    def _connect(self) -> Answer | None:
        number = self._socket.connect_ex(self._peer)
        return None if number in (0, errno.EINPROGRESS) else Answer(os.strerror(number))

    def _ends(self, protocol: str) -> Packet:
        source, source_port, *_ = self._socket.getsockname()
        return Packet(protocol, source, source_port, *self._peer)


class _Tcp(_Socket):
    writes = True

    def __init__(self, address: str, port: int, source_port: int) -> None:
        super().__init__(socket.SOCK_STREAM, address, port)
        self.mark = Mark("tcp", random.randrange(1 << 16, (1 << 32) - 1))
        for option, value in (
            (_TCP_REPAIR, 1),
            (_TCP_REPAIR_QUEUE, _SEND_QUEUE),
            (_TCP_QUEUE_SEQ, self.mark.number),
            (_TCP_REPAIR, 0),
        ):
            self._socket.setsockopt(socket.IPPROTO_TCP, option, struct.pack("=I", value))
        if source_port:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(("", source_port))

    def send(self) -> Answer | None:
        return self._connect()

    def packet(self) -> Packet:
        return self._ends("tcp")._replace(flags="SYN")

    def answer(self) -> Answer | None:
        number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return Answer(os.strerror(number)) if number else Answer()

    def close(self) -> None:
        """By a reset: nothing stays behind at either end."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
        super().close()


class _Udp(_Socket):
    def __init__(self, address: str, port: int, source_port: int, size: int, question: str) -> None:
        super().__init__(socket.SOCK_DGRAM, address, port)
        words = b""
        if question:
            from dnslib import DNSRecord  # costs 30 ms, which other probes need not wait

            kind = "AAAA" if ":" in address else "A"
            self._payload = DNSRecord.question(question, kind).pack()
        else:
            words = os.urandom(8).hex().encode() + _WORDS
            self._payload = words.ljust(size or _PAYLOAD, b".")
        self.mark = Mark("udp", 0, self._payload if question else words)
        if source_port:
            self._socket.bind(("", source_port))

    def send(self) -> Answer | None:
        refused = self._connect()
        if refused is not None:
            return refused
        try:
            self._socket.send(self._payload)
        except OSError as error:
            return Answer(os.strerror(error.errno or 0))
        return None

    def packet(self) -> Packet:
        return self._ends("udp")

    def answer(self) -> Answer | None:
        try:
            self._socket.recv(1 << 16)
        except BlockingIOError:
            return None
        except OSError as error:
            return Answer(os.strerror(error.errno or 0))
        return Answer()


class _Echo(_Socket):
    def __init__(self, address: str, size: int) -> None:
        six = ":" in address
        super().__init__(socket.SOCK_RAW, address, 0, socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP)
        words = os.urandom(8) + _WORDS
        self._kind = _ICMPV6_ECHO if six else _ICMP_ECHO
        self._payload = words.ljust(size or _PAYLOAD, b".")
        self._identifier = random.getrandbits(16)
        self.mark = Mark("icmp", 0, words)

    def send(self) -> Answer | None:
        refused = self._connect()
        if refused is not None:
            return refused
        head = struct.pack(">BBHHH", self._kind, 0, 0, self._identifier, 1)
        if self._kind == _ICMP_ECHO:  # IPv6's is the kernel's to fill in
            head = struct.pack(">BBHHH", self._kind, 0, _checksum(head + self._payload), self._identifier, 1)
        try:
            self._socket.send(head + self._payload)
        except OSError as error:
            return Answer(os.strerror(error.errno or 0))
        return None

    def packet(self) -> Packet:
        return self._ends("icmp")._replace(source_port=0, destination_port=0, flags="echo request")

    def answer(self) -> Answer | None:
        """A raw socket hears all that comes from its peer, and IPv4's with the IP header."""
        try:
            data = self._socket.recv(1 << 16)
        except BlockingIOError:
            return None
        except OSError as error:
            return Answer(os.strerror(error.errno or 0))
        if self._kind == _ICMP_ECHO:
            seen = read_packet(data)
            return Answer() if seen and seen.packet.flags == "echo reply" and self.mark.way(seen) else None
        return Answer() if data[0] == _ICMPV6_ECHO + 1 and data[8:].startswith(self.mark.payload) else None


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    total = (total >> 16) + (total & 0xFFFF)
    return 0xFFFF - ((total + (total >> 16)) & 0xFFFF)
