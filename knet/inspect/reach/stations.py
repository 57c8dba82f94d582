"""Sockets in one network namespace, which send probes from there and hear of those that get there.

Raw sockets hear what the kernel delivers to the namespace itself, after its packet filter: a probe that is heard has
arrived.  A socket belongs to the namespace that it was opened in, so one process has stations in all of them.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

from knet.api.families import IPV6
from knet.inspect.reach.probes import COUNTING, OURS, Heard, Protocol, read, read_error
from knet.kernel import bpf, libc
from knet.kernel.bpf import Instruction
from knet.kernel.namespaces import Namespaces, entered

#: answers wait here until they are read: a few hundred
_BUFFER = 1 << 20
_SO_RCVBUFFORCE = 33
_IPV6_CHECKSUM = 7
#: struct sockaddr of AF_UNSPEC: connected to it, a socket is connected no more
_NOBODY = bytes(16)
# linux/bpf_common.h: load a word at a fixed offset, or at one that follows the IP header
_LD_W, _LD_W_AFTER, _LDX_HEADER = 0x20, 0x40, 0xB1
_AND, _JEQ, _RET = 0x54, 0x15, 0x06


class Station:
    """Sends and hears in a namespace, until `close`.  ``ours``: the upper bits of the numbers that are to be heard."""

    def __init__(self, netns: int, protocol: Protocol, family: str, ours: int) -> None:
        self._protocol, self._family, self._ours = protocol, family, ours
        self._sources: dict[str, str] = {}
        version = socket.AF_INET6 if family == IPV6 else socket.AF_INET
        errors = socket.IPPROTO_ICMPV6 if family == IPV6 else socket.IPPROTO_ICMP
        with ExitStack() as opened:
            with entered(Namespaces({"net": netns})):
                self._raw = opened.enter_context(_raw(version, protocol.number(family)))
                # ICMP errors come by another protocol, except those of ICMP
                self._errors = opened.enter_context(_raw(version, errors)) if protocol.has_ports else self._raw
                # asks for routes and, connected to nobody, keeps our port from being anybody else's
                self._asking = opened.enter_context(socket.socket(version, socket.SOCK_DGRAM))
                kind = socket.SOCK_STREAM if protocol.name == "tcp" else socket.SOCK_DGRAM
                holding = opened.enter_context(socket.socket(version, kind))
            holding.bind(("", 0))
            self._port = holding.getsockname()[1]
            bpf.attach(self._raw, heard_of(protocol, family, ours))
            if family == IPV6 and protocol.checksum_at >= 0:
                self._raw.setsockopt(socket.IPPROTO_IPV6, _IPV6_CHECKSUM, protocol.checksum_at)
            self._opened = opened.pop_all()

    def __enter__(self) -> "Station":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._opened.close()

    @property
    def files(self) -> tuple[socket.socket, ...]:
        """To be waited for."""
        return tuple({self._raw, self._errors})

    def send(self, number: int, address: str, port: int) -> str:
        """Send a probe to an address; "" or why it cannot leave, in the kernel's words."""
        try:
            source = self._source(address)
            packet = self._protocol.pack(source, address, self._port, port, self._ours | number)
            self._raw.sendto(packet, (address, 0))
        except OSError as error:
            return os.strerror(error.errno or 0)
        return ""

    def hear(self) -> Iterator[Heard]:
        """What has come since, numbers without their upper bits."""
        for file in self.files:
            while True:
                try:
                    packet, (address, *_) = file.recvfrom(2048)
                except BlockingIOError:
                    break
                if self._family != IPV6:
                    packet = packet[4 * (packet[0] & 15) :]
                heard = read(self._protocol, packet, address) if file is self._raw else None
                if file is self._errors:
                    heard = heard or read_error(self._protocol, packet, address)
                if heard is not None and heard.number & OURS == self._ours:
                    yield heard._replace(number=heard.number & ~OURS)

    def _source(self, address: str) -> str:
        """Under which address the kernel sends there; OSError where it has no route."""
        if address not in self._sources:
            libc.call("connect", self._asking.fileno(), _NOBODY, len(_NOBODY))  # else it keeps the source that it has
            self._asking.connect((address, 9))
            self._sources[address] = self._asking.getsockname()[0]
        return self._sources[address]


def _raw(version: int, number: int) -> socket.socket:
    opened = socket.socket(version, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, number)
    opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    return opened


def heard_of(protocol: Protocol, family: str, ours: int) -> bpf.Program:
    """What takes packets with one of our numbers, so that a busy pod's are not copied; of ICMP: everything.

    Over IPv4 a raw socket's packet begins with the IP header, whose length has to be looked up.
    """
    if not protocol.has_ports:
        return (Instruction(_RET, 0, 0, 1 << COUNTING),)
    rows = [] if family == IPV6 else [Instruction(_LDX_HEADER, 0, 0, 0)]
    for place in protocol.number_at:
        load = _LD_W if family == IPV6 else _LD_W_AFTER
        rows += [Instruction(load, 0, 0, place), Instruction(_AND, 0, 0, OURS), Instruction(_JEQ, 0, 1, ours)]
        rows += [Instruction(_RET, 0, 0, 1 << COUNTING)]
    return (*rows, Instruction(_RET, 0, 0, 0))
