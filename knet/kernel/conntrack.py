"""The connections that the kernel tracks: look some up, forget some.

A flow is translated as its first packet was, for as long as its entry lives.  UDP has no end that the kernel could
see: a client that goes on sending from one port (a resolver, say) keeps its entry, and with it an endpoint that is
long gone.

Spoken over ctnetlink (linux/netfilter/nfnetlink_conntrack.h) and not by conntrack(8), whose ``-D`` walks the whole
table in user space for each pattern: here the kernel picks out what matches (CTA_FILTER, Linux 5.8 and later).
"""

import errno
import socket
import struct
from typing import NamedTuple, Self

from knet.kernel.netlink import Netlink, NetlinkError
from knet.kernel.netlink_wire import Request, attribute, attributes, family, ip, ip_text, nested, number, u8, u32

_NETLINK_NETFILTER = 12
_CTNETLINK = 1 << 8
_GET = _CTNETLINK | 1
_DELETE = _CTNETLINK | 2

_CTA_TUPLE_ORIG, _CTA_TUPLE_REPLY, _CTA_FILTER = 1, 2, 25
_CTA_TUPLE_IP, _CTA_TUPLE_PROTO = 1, 2
_CTA_IP_V4_SRC, _CTA_IP_V4_DST, _CTA_IP_V6_SRC, _CTA_IP_V6_DST = 1, 2, 3, 4
_CTA_PROTO_NUM, _CTA_PROTO_SRC_PORT, _CTA_PROTO_DST_PORT = 1, 2, 3
_CTA_FILTER_ORIG_FLAGS, _CTA_FILTER_REPLY_FLAGS = 1, 2
#: which parts of the original tuple a dump has to match: protocol and destination port.  (Not the address: kernels
#: compare IPv6 addresses the wrong way round here, seen with 6.18.)
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


class Conntrack(Netlink):
    """A ctnetlink socket of the calling thread's network namespace.  Not to be shared between threads."""

    def __init__(self) -> None:
        self._sequence = 0
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
        self._socket.bind((0, 0))

    def __enter__(self) -> Self:
        return self

    def flows_to(self, protocol: int, address: str, port: int) -> list[Flow]:
        """The connections that were opened to ``address:port``, before any translation."""
        wanted = protocol, address, port
        body = (
            _nfgenmsg(family(address))
            + nested(_CTA_FILTER, u32(_CTA_FILTER_ORIG_FLAGS, _MATCHING), u32(_CTA_FILTER_REPLY_FLAGS, 0))
            + nested(
                _CTA_TUPLE_ORIG,
                nested(_CTA_TUPLE_PROTO, u8(_CTA_PROTO_NUM, protocol), _port(_CTA_PROTO_DST_PORT, port)),
            )
        )
        what = f"conntrack -L --orig-dst {address} --dport {port}"
        found = [_flow(reply.body) for reply in self.dump(Request(_GET, 0, body, what))]
        # the address is left to us, and a kernel that does not know the filter answers with everything
        return [flow for flow in found if (flow.protocol, flow.destination, flow.destination_port) == wanted]

    def delete(self, flow: Flow) -> bool:
        """Forget a connection; its next packet is taken as the first one again.  False where it was gone already."""
        wanted = family(flow.source)
        source, destination = (
            (_CTA_IP_V4_SRC, _CTA_IP_V4_DST) if wanted == socket.AF_INET else (_CTA_IP_V6_SRC, _CTA_IP_V6_DST)
        )
        body = _nfgenmsg(wanted) + nested(
            _CTA_TUPLE_ORIG,
            nested(_CTA_TUPLE_IP, ip(source, flow.source), ip(destination, flow.destination)),
            nested(
                _CTA_TUPLE_PROTO,
                u8(_CTA_PROTO_NUM, flow.protocol),
                _port(_CTA_PROTO_SRC_PORT, flow.source_port),
                _port(_CTA_PROTO_DST_PORT, flow.destination_port),
            ),
        )
        what = f"conntrack -D --orig-src {flow.source} --orig-dst {flow.destination} --dport {flow.destination_port}"
        try:
            self.send(Request(_DELETE, 0, body, what))
        except NetlinkError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        return True


def _nfgenmsg(family: int) -> bytes:
    return struct.pack("=BBH", family, 0, 0)


def _port(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("!H", value))


def _flow(body: bytes) -> Flow:
    found = attributes(body, 4)
    protocol, source, source_port, destination, destination_port = _tuple(found[_CTA_TUPLE_ORIG])
    _, answered_by, answered_by_port, _, _ = _tuple(found[_CTA_TUPLE_REPLY])
    return Flow(protocol, source, source_port, destination, destination_port, answered_by, answered_by_port)


def _tuple(payload: bytes) -> tuple[int, str, int, str, int]:
    parts = attributes(payload)
    addresses, proto = attributes(parts[_CTA_TUPLE_IP]), attributes(parts[_CTA_TUPLE_PROTO])
    return (
        number(proto.get(_CTA_PROTO_NUM)),
        ip_text(addresses.get(_CTA_IP_V4_SRC) or addresses.get(_CTA_IP_V6_SRC)),
        int.from_bytes(proto.get(_CTA_PROTO_SRC_PORT, b""), "big"),
        ip_text(addresses.get(_CTA_IP_V4_DST) or addresses.get(_CTA_IP_V6_DST)),
        int.from_bytes(proto.get(_CTA_PROTO_DST_PORT, b""), "big"),
    )
