"""The connections that the kernel tracks: look some up, forget some.

A flow is translated as its first packet was, for as long as its entry lives.  UDP has no end that the kernel could
see: a client that goes on sending from one port (a resolver, say) keeps its entry, and with it an endpoint that is
long gone.

Spoken over ctnetlink (linux/netfilter/nfnetlink_conntrack.h) and not by conntrack(8), whose ``-D`` walks the whole
table in user space for each pattern: here the kernel picks out what matches (CTA_FILTER, Linux 5.8 and later).
"""

import errno
import socket
from typing import Any, NamedTuple, Self

from knet.kernel import rtnl
from knet.kernel.netlink import Netlink, NetlinkError
from knet.kernel.netlink_wire import DUMP, Request, compose, family, nested, values

_ct = rtnl.conntrack_messages()
_SUBSYSTEM = _ct.NFNL_SUBSYS_CTNETLINK << 8
#: which parts of the original tuple a dump has to match.  (Not the address: kernels compare IPv6 addresses the wrong
#: way round here, seen with 6.18.)
_MATCHING = _ct.FILTER_FLAG_CTA_PROTO_NUM | _ct.FILTER_FLAG_CTA_PROTO_DST_PORT


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
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, rtnl.netlink.NETLINK_NETFILTER)
        self._socket.bind((0, 0))

    def __enter__(self) -> Self:
        return self

    def flows_to(self, protocol: int, address: str, port: int) -> list[Flow]:
        """The connections that were opened to ``address:port``, before any translation; 0.0.0.0 and :: are any."""
        matching = nested(("CTA_FILTER_ORIG_FLAGS", _MATCHING), ("CTA_FILTER_REPLY_FLAGS", 0))
        ports = nested(("CTA_PROTO_NUM", protocol), ("CTA_PROTO_DST_PORT", port))
        attrs = [("CTA_FILTER", matching), ("CTA_TUPLE_ORIG", nested(("CTA_TUPLE_PROTO", ports)))]
        what = f"conntrack -L --orig-dst {address} --dport {port}"
        request = _compose(_ct.IPCTNL_MSG_CT_GET, what, address, attrs, modifiers=DUMP)
        found = [_flow(message) for message in self.dump(request)]
        # the address is left to us, and a kernel that does not know the filter answers with everything
        wanted = protocol, port
        matching_ports = [flow for flow in found if (flow.protocol, flow.destination_port) == wanted]
        return [flow for flow in matching_ports if address in ("0.0.0.0", "::", flow.destination)]

    def delete(self, flow: Flow) -> bool:
        """Forget a connection; its next packet is taken as the first one again.  False where it was gone already."""
        version = "V4" if family(flow.source) == socket.AF_INET else "V6"
        ends = nested((f"CTA_IP_{version}_SRC", flow.source), (f"CTA_IP_{version}_DST", flow.destination))
        ports = nested(
            ("CTA_PROTO_NUM", flow.protocol),
            ("CTA_PROTO_SRC_PORT", flow.source_port),
            ("CTA_PROTO_DST_PORT", flow.destination_port),
        )
        attrs = [("CTA_TUPLE_ORIG", nested(("CTA_TUPLE_IP", ends), ("CTA_TUPLE_PROTO", ports)))]
        what = f"conntrack -D --orig-src {flow.source} --orig-dst {flow.destination} --dport {flow.destination_port}"
        try:
            self.send(_compose(_ct.IPCTNL_MSG_CT_DELETE, what, flow.source, attrs))
        except NetlinkError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        return True


def _compose(number: int, what: str, address: str, attrs: list[tuple[str, Any]], modifiers: int = 0) -> Request:
    number |= _SUBSYSTEM
    return compose(_ct.nfct_msg, number, what, modifiers=modifiers, attrs=attrs, nfgen_family=family(address))


def _flow(message: Any) -> Flow:
    opened, answered = values(message, "CTA_TUPLE_ORIG", "CTA_TUPLE_REPLY")
    protocol, source, source_port, destination, destination_port = _tuple(opened)
    _, answered_by, answered_by_port, _, _ = _tuple(answered)
    return Flow(protocol, source, source_port, destination, destination_port, answered_by, answered_by_port)


def _tuple(message: Any) -> tuple[int, str, int, str, int]:
    """Protocol, source, its port, destination, its port; a port is 0 where the protocol has none."""
    addresses, ports = values(message, "CTA_TUPLE_IP", "CTA_TUPLE_PROTO")
    source, destination, source6, destination6 = values(
        addresses, "CTA_IP_V4_SRC", "CTA_IP_V4_DST", "CTA_IP_V6_SRC", "CTA_IP_V6_DST"
    )
    protocol, source_port, destination_port = values(ports, "CTA_PROTO_NUM", "CTA_PROTO_SRC_PORT", "CTA_PROTO_DST_PORT")
    return protocol, source or source6, source_port or 0, destination or destination6, destination_port or 0
