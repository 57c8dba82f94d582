"""The connections that the kernel tracks: list them, hear of them, look some up, forget some.

A flow is translated as its first packet was, for as long as its entry lives.  UDP has no end that the kernel could
see: a client that goes on sending from one port (a resolver, say) keeps its entry, and with it an endpoint that is
long gone.

Spoken over ctnetlink (linux/netfilter/nfnetlink_conntrack.h) and not by conntrack(8), whose ``-D`` walks the whole
table in user space for each pattern: here the kernel picks out what matches (CTA_FILTER, Linux 5.8 and later).  Packed
and read here: 27 µs for an entry, where pyroute2 takes 300.
"""

import errno
import socket
import struct
from typing import NamedTuple, Self

from knet.kernel.netlink import Netlink, NetlinkError
from knet.kernel.netlink_packing import NESTED, attribute, attributes, messages, netfilter_socket
from knet.kernel.netlink_wire import DUMP, Request, family

_SUBSYSTEM = 1 << 8  # NFNL_SUBSYS_CTNETLINK
_NEW, _GET, _DELETE = (_SUBSYSTEM | number for number in range(3))  # IPCTNL_MSG_CT_*
_REQUEST, _ACK, _CREATE = 0x1, 0x4, 0x400  # NLM_F_*
#: struct nlmsghdr and struct nfgenmsg
_HEADER = struct.Struct("=IHHIIBBH")
_GROUPS = (1, 2, 3)  # NFNLGRP_CONNTRACK_NEW, _UPDATE, _DESTROY
#: of events: a burst of so many bytes waits for its reader
_BUFFER = 16 << 20
# CTA_*
_ORIGINAL, _REPLY, _STATUS, _PROTOCOL_INFO, _TIMEOUT, _MARK = 1, 2, 3, 4, 7, 8
_COUNTERS, _COUNTERS_REPLY, _ZONE, _FILTER = 9, 10, 18, 25
_IP, _PROTOCOL = 1, 2  # CTA_TUPLE_*
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3  # CTA_PROTO_*
#: CTA_PROTO_ICMP_ID, CTA_PROTO_ICMPV6_ID
_ECHO_IDENTIFIERS = (4, 7)
_ECHOES = (socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6)
#: IPPROTO_* → CTA_PROTOINFO_*, and the states' names (nf_conntrack_tcp.h, nf_conntrack_sctp.h)
_TCP = "NONE SYN_SENT SYN_RECV ESTABLISHED FIN_WAIT CLOSE_WAIT LAST_ACK TIME_WAIT CLOSE SYN_SENT2"
_SCTP = (
    "NONE CLOSED COOKIE_WAIT COOKIE_ECHOED ESTABLISHED SHUTDOWN_SENT SHUTDOWN_RECD SHUTDOWN_ACK_SENT HEARTBEAT_SENT "
    "HEARTBEAT_ACKED"
)
_STATES = {socket.IPPROTO_TCP: (1, _TCP.split()), socket.IPPROTO_SCTP: (3, _SCTP.split())}
_SEEN_REPLY, _ASSURED = 2, 4  # IPS_*
#: which parts of the original tuple a dump has to match: CTA_FILTER_FLAG_CTA_PROTO_NUM, …_DST_PORT.  (Not the address:
#: kernels compare IPv6 addresses the wrong way round here, seen with 6.18.)
_MATCHING = 1 << 3 | 1 << 5


class Flow(NamedTuple):
    """One tracked connection: as its first packet was sent, and who answers it after translation."""

    protocol: int
    """IPPROTO_*"""
    source: str
    source_port: int
    destination: str
    destination_port: int
    answered_by: str
    answered_by_port: int


class Tracked(NamedTuple):
    """All that the table has of a connection."""

    flow: Flow
    answers_to: str
    """where answers go: the flow's source, or what was put there (SNAT)"""
    answers_to_port: int
    state: str = ""
    """of TCP and SCTP: ESTABLISHED, TIME_WAIT, …"""
    replied: bool = False
    """packets of both directions have been seen"""
    assured: bool = False
    """it is not dropped to make room for others"""
    timeout: int = 0
    """seconds until it is forgotten"""
    mark: int = 0
    zone: int = 0
    sent: tuple[int, int] | None = None
    """packets and bytes from the flow's source; None where the namespace does not count (nf_conntrack_acct)"""
    answered: tuple[int, int] | None = None
    """… and from the other end"""

    @property
    def dnat(self) -> bool:
        """It is answered by another than it was sent to."""
        flow = self.flow
        other_port = flow.answered_by_port != flow.destination_port and flow.protocol not in _ECHOES
        return flow.answered_by != flow.destination or other_port

    @property
    def snat(self) -> bool:
        """Its answers go to another than it was sent by."""
        return (self.answers_to, self.answers_to_port) != (self.flow.source, self.flow.source_port)


class Conntrack(Netlink):
    """A ctnetlink socket of the calling thread's network namespace.  Not to be shared between threads."""

    def __init__(self) -> None:
        self._sequence = 0
        self._socket = netfilter_socket()

    def __enter__(self) -> Self:
        return self

    def tracked(self) -> list[Tracked]:
        """All connections, of both address families."""
        return [_tracked(message.body) for message in self.dump(_request(_GET, "conntrack -L", modifiers=DUMP))]

    def flows_to(self, protocol: int, address: str, port: int) -> list[Flow]:
        """The connections that were opened to ``address:port``, before any translation; 0.0.0.0 and :: are any."""
        ports = attribute(_NUMBER, bytes([protocol])) + attribute(_DESTINATION_PORT, struct.pack(">H", port))
        matching = attribute(1, struct.pack("=I", _MATCHING)) + attribute(2, struct.pack("=I", 0))
        body = attribute(_FILTER | NESTED, matching)
        body += attribute(_ORIGINAL | NESTED, attribute(_PROTOCOL | NESTED, ports))
        what = f"conntrack -L --orig-dst {address} --dport {port}"
        found = [_tracked(message.body).flow for message in self.dump(_request(_GET, what, address, body, DUMP))]
        # the address is left to us, and a kernel that does not know the filter answers with everything
        wanted = protocol, port
        matching_ports = [flow for flow in found if (flow.protocol, flow.destination_port) == wanted]
        return [flow for flow in matching_ports if address in ("0.0.0.0", "::", flow.destination)]

    def delete(self, flow: Flow) -> bool:
        """Forget a connection; its next packet is taken as the first one again.  False where it was gone already."""
        first = 1 if family(flow.source) == socket.AF_INET else 3  # CTA_IP_V4_SRC, CTA_IP_V6_SRC
        ends = attribute(first, _packed(flow.source)) + attribute(first + 1, _packed(flow.destination))
        ports = attribute(_NUMBER, bytes([flow.protocol]))
        for kind, number in ((_SOURCE_PORT, flow.source_port), (_DESTINATION_PORT, flow.destination_port)):
            ports += attribute(kind, struct.pack(">H", number))
        pair = attribute(_IP | NESTED, ends) + attribute(_PROTOCOL | NESTED, ports)
        what = f"conntrack -D --orig-src {flow.source} --orig-dst {flow.destination} --dport {flow.destination_port}"
        try:
            self.send(_request(_DELETE, what, flow.source, attribute(_ORIGINAL | NESTED, pair)))
        except NetlinkError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        return True


class Event(NamedTuple):
    """What became of a connection: "new", "update" (its state, mostly) or "destroy"."""

    what: str
    tracked: Tracked


class ConntrackEvents:
    """Hears of every connection of the calling thread's network namespace, until `close`; a file to be selected.

    Namespaces in which nobody listens do not make these messages (nf_conntrack_events 2).
    """

    def __init__(self) -> None:
        self._socket = netfilter_socket(*_GROUPS, buffer=_BUFFER)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def read(self) -> list[Event]:
        """Wait for news; OSError (ENOBUFS) where some have been lost."""
        found = []
        for message in messages(self._socket.recv(1 << 20)):
            what = "destroy" if message.kind == _DELETE else "new" if message.flags & _CREATE else "update"
            found.append(Event(what, _tracked(message.data[_HEADER.size :])))
        return found


class _Message:
    """What `Netlink` makes of a message: here its attributes' bytes."""

    def __init__(self, data: bytes) -> None:
        self.body = data[_HEADER.size :]

    def decode(self) -> None:
        """Nothing is left to be done."""


def _request(kind: int, what: str, address: str = "", body: bytes = b"", modifiers: int = 0) -> Request:
    of = family(address) if address else socket.AF_UNSPEC
    head = _HEADER.pack(_HEADER.size + len(body), kind, modifiers | _REQUEST | _ACK, 0, 0, of, 0, 0)
    return Request(_Message, head + body, what)


def _tracked(body: bytes) -> Tracked:
    found = dict(attributes(body))
    protocol, source, source_port, destination, destination_port = _tuple(found[_ORIGINAL])
    _, answered_by, answered_by_port, answers_to, answers_to_port = _tuple(found[_REPLY])
    status = _number(found.get(_STATUS))
    return Tracked(
        Flow(protocol, source, source_port, destination, destination_port, answered_by, answered_by_port),
        answers_to,
        answers_to_port,
        _state(protocol, found.get(_PROTOCOL_INFO)),
        bool(status & _SEEN_REPLY),
        bool(status & _ASSURED),
        _number(found.get(_TIMEOUT)),
        _number(found.get(_MARK)),
        _number(found.get(_ZONE)),
        _counters(found.get(_COUNTERS)),
        _counters(found.get(_COUNTERS_REPLY)),
    )


def _tuple(data: bytes) -> tuple[int, str, int, str, int]:
    """Protocol, source, its port, destination, its port; an echo's identifier is both ports; 0 for what has none."""
    parts = dict(attributes(data))
    ends, ports = [b"", b""], dict(attributes(parts[_PROTOCOL]))
    for kind, address in attributes(parts[_IP]):
        ends[(kind - 1) & 1] = address
    source, destination = (socket.inet_ntop(socket.AF_INET if len(row) == 4 else socket.AF_INET6, row) for row in ends)
    echo = next((_number(ports[kind]) for kind in _ECHO_IDENTIFIERS if kind in ports), 0)
    numbers = (_number(ports[kind]) if kind in ports else echo for kind in (_SOURCE_PORT, _DESTINATION_PORT))
    return ports[_NUMBER][0], source, next(numbers), destination, next(numbers)


def _state(protocol: int, data: bytes | None) -> str:
    if data is None or protocol not in _STATES:
        return ""
    kind, names = _STATES[protocol]
    inner = dict(attributes(dict(attributes(data)).get(kind, b"")))
    number = inner[1][0] if 1 in inner else 0
    return names[number] if number < len(names) else str(number)


def _counters(data: bytes | None) -> tuple[int, int] | None:
    if data is None:
        return None
    found = dict(attributes(data))
    return _number(found.get(1)), _number(found.get(2))


def _number(data: bytes | None) -> int:
    """In network order, of whatever size."""
    return int.from_bytes(data or b"", "big")


def _packed(address: str) -> bytes:
    return socket.inet_pton(family(address), address)
