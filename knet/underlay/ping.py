"""Who reaches whom, by ICMP echo from inside the machines: the whole matrix at once.

Mininet's ``pingAll`` runs ping(8) for one pair after the other, and waits ten seconds where there is no way.  Here
every machine has one raw socket, all requests leave together, and the answers are collected until the last one is in
or the time is over: a millisecond for a network that works, one timeout for one that does not.
"""

import os
import select
import socket
import struct
import time
from collections.abc import Mapping, Sequence

from knet.kernel.namespaces import Namespaces, entered

_ECHO_REQUEST, _ECHO_REPLY = 8, 0
#: of ICMPv6 (RFC 4443), whose checksum the kernel fills in, and whose raw sockets show no IP header
_ECHO_REQUEST6, _ECHO_REPLY6 = 128, 129
#: type, code, checksum, identifier, sequence number
_HEADER = struct.Struct("!BBHHH")
#: the kernel notes when a packet came in, in seconds and nanoseconds since 1970: it may be read much later
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@ll")


def reach(
    sources: Mapping[str, Namespaces], destinations: Mapping[str, str], timeout: float = 1.0
) -> dict[tuple[str, str], float | None]:
    """Round-trip times in seconds from every source to every other destination; None where nothing came back in time.

    ``sources`` are machines with their namespaces, ``destinations`` names with addresses of one family.
    """
    names = list(destinations)
    ipv6 = any(":" in address for address in destinations.values())
    family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if ipv6 else (socket.AF_INET, socket.IPPROTO_ICMP)
    sockets: dict[int, tuple[str, socket.socket]] = {}
    sent: dict[tuple[str, str], float] = {}
    measured: dict[tuple[str, str], float | None] = {}
    identifier = os.getpid() & 0xFFFF
    poller = select.poll()
    try:
        for source, namespaces in sources.items():
            with entered(namespaces.only("net")):
                raw = socket.socket(family, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
            raw.setblocking(False)
            raw.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            sockets[raw.fileno()] = (source, raw)
            poller.register(raw, select.POLLIN)
        for source, raw in sockets.values():
            for number, name in enumerate(names):
                if name != source:
                    measured[source, name] = None
                    sent[source, name] = time.time()
                    _send(raw, destinations[name], identifier, number)
        deadline = time.monotonic() + timeout
        waiting = len(sent)
        while waiting and (left := deadline - time.monotonic()) > 0:
            for descriptor, _events in poller.poll(left * 1000):
                source, raw = sockets[descriptor]
                for number, arrived in _answers(raw, identifier):
                    pair = (source, names[number]) if number < len(names) else None
                    if pair in sent and measured[pair] is None:
                        measured[pair] = arrived - sent[pair]
                        waiting -= 1
    finally:
        for _source, raw in sockets.values():
            raw.close()
    return measured


def _send(raw: socket.socket, address: str, identifier: int, number: int) -> None:
    try:
        request = echo_request(identifier, number)
        if raw.family == socket.AF_INET6:
            request = _HEADER.pack(_ECHO_REQUEST6, 0, 0, identifier, number)
        raw.sendto(request, (address, 0))
    except OSError:
        pass  # no route, or an interface without carrier: it does not arrive, as is found out in time


def echo_request(identifier: int, number: int) -> bytes:
    """An ICMP echo request without data (RFC 792)."""
    total = (_ECHO_REQUEST << 8) + identifier + number
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return _HEADER.pack(_ECHO_REQUEST, 0, checksum, identifier, number)


def _answers(raw: socket.socket, identifier: int) -> Sequence[tuple[int, float]]:
    """The sequence numbers of the echo replies that are waiting, and when they came in."""
    found: list[tuple[int, float]] = []
    while True:
        try:
            packet, ancillary, _flags, _address = raw.recvmsg(2048, 64)
        except BlockingIOError:
            return found
        start, reply = (packet[0] & 0x0F) * 4, _ECHO_REPLY
        if raw.family == socket.AF_INET6:
            start, reply = 0, _ECHO_REPLY6
        if len(packet) >= start + _HEADER.size:
            kind, _code, _checksum, whose, number = _HEADER.unpack_from(packet, start)
            if kind == reply and whose == identifier:
                seconds, nanoseconds = _TIMESPEC.unpack_from(ancillary[0][2])
                found.append((number, seconds + nanoseconds / 1e9))
