"""Routes of the main table (or another one), in the words of ``ip route``."""

import errno
import logging
import socket
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from knet.kernel import netlink_wire as wire
from knet.kernel.netlink import Netlink, NetlinkError
from knet.kernel.netlink_wire import CREATE, DUMP, REPLACE, Request
from knet.kernel.rtnl import rtmsg, rtnl

log = logging.getLogger(__name__)

TABLE_MAIN = 254
#: include/uapi/linux/ipv6_route.h: what an IPv6 route has that is given no metric
_METRIC6 = 1024
#: RTM_F_FIB_MATCH: the answer is the entry of the table, not what it means for this packet
_FIB_MATCH = 0x2000
#: as what a lookup fails: with these types of route, or for want of one
_REFUSALS = {
    errno.ENETUNREACH: "",
    errno.EHOSTUNREACH: "unreachable",
    errno.EACCES: "prohibit",
    errno.EINVAL: "blackhole",
    errno.EXDEV: "",  # the reverse path filter's
}
#: types of routes that lead nowhere
REFUSING = ("unreachable", "prohibit", "blackhole")
#: who installed a route: the kernel itself, or an administrator (what ``ip route add`` uses)
PROTOCOL_KERNEL, PROTOCOL_BOOT = rtnl.rt_proto["kernel"], rtnl.rt_proto["boot"]


@dataclass(frozen=True)
class Route:
    destination: str
    """a prefix, or "default" (IPv4's; IPv6's is ::/0)"""
    interface: str = ""
    """"" for a route that leads nowhere (blackhole, unreachable, prohibit)"""
    gateway: str = ""
    onlink: bool = False
    """pretend that the gateway can be reached directly, although no address of the interface says so"""
    source: str = ""
    """preferred source address"""
    metric: int = 0
    """0: the kernel's default, which for IPv6 is 1024"""
    protocol: int = PROTOCOL_BOOT
    type: str = "unicast"
    table: int = TABLE_MAIN

    def __str__(self) -> str:
        words = ["" if self.type == "unicast" else self.type, self.destination]
        words += [f"via {self.gateway}" if self.gateway else "", f"dev {self.interface}" if self.interface else ""]
        words += [f"table {self.table}" if self.table != TABLE_MAIN else ""]
        words += [f"src {self.source}" if self.source else "", f"metric {self.metric}" if self.metric else ""]
        words += ["onlink" if self.onlink else ""]
        return " ".join(word for word in words if word)


def add(route: Route, index: int, *, replace: bool = False) -> Request:
    """Add a route through the interface of that index (0 for one that leads nowhere), or put it in place of the one
    with the same destination and metric."""
    what = f"route {'replace' if replace else 'add'} {route}"
    return _compose(rtnl.RTM_NEWROUTE, what, route, index, REPLACE if replace else CREATE)


def delete(route: Route, index: int) -> Request:
    return _compose(rtnl.RTM_DELROUTE, f"route del {route}", route, index)


def list_routes(
    netlink: Netlink, *, interface: str = "", table: int = TABLE_MAIN, family: int = socket.AF_INET
) -> list[Route]:
    """The routes of a table, through one interface or all, in the kernel's order."""
    attrs = [("RTA_TABLE", table), ("RTA_OIF", netlink.index(interface) if interface else None)]
    request = wire.compose(rtmsg.rtmsg, rtnl.RTM_GETROUTE, "route show", modifiers=DUMP, attrs=attrs, family=family)
    try:
        messages = netlink.dump(request)
    except NetlinkError as error:
        if error.errno == errno.ENOENT:  # a table that no route was ever put into
            return []
        raise
    return [_parse(message, netlink) for message in messages]


def lookup(netlink: Netlink, destination: str, *, source: str = "", incoming: int = 0) -> tuple[Route, ...]:
    """The route that a packet would take now: one that is sent from here, or one that came in by the interface of the
    index ``incoming``.  () where there is none; one of the type "unreachable" and its like is told as such.

    Of a route with several next hops, each is one: the kernel chooses among them by connection.
    """
    attrs = [("RTA_DST", destination), ("RTA_SRC", source or None), ("RTA_IIF", incoming or None)]
    bits = 32 if wire.family(destination) == socket.AF_INET else 128
    request = wire.compose(
        rtmsg.rtmsg,
        rtnl.RTM_GETROUTE,
        f"route get {destination}",
        attrs=attrs,
        family=wire.family(destination),
        dst_len=bits,
        src_len=bits if source else 0,
        flags=_FIB_MATCH,
    )
    try:
        message = netlink.get(request)
    except NetlinkError as error:
        if error.errno in _REFUSALS:
            kind = _REFUSALS[error.errno]
            return (Route(destination, type=kind),) if kind else ()
        raise
    found = _parse(message, netlink)
    (several,) = wire.values(message, "RTA_MULTIPATH")
    hops = ((hop["oif"], *wire.values(hop, "RTA_GATEWAY")) for hop in several or ())
    return tuple(replace(found, interface=netlink.name(oif), gateway=gateway or "") for oif, gateway in hops) or (
        found,
    )


def refusing(netlink: Netlink, refused: Route) -> Route:
    """The entry of the main table because of which a lookup was refused; what `lookup` made of it where none is."""
    address = ip_address(refused.destination)
    rows = list_routes(netlink, family=wire.family(refused.destination))
    found = [(_network(row), row) for row in rows if row.type == refused.type]
    fitting = [(network.prefixlen, -row.metric, row) for network, row in found if address in network]
    return max(fitting, key=lambda row: row[:2])[2] if fitting else refused


def _network(route: Route) -> IPv4Network | IPv6Network:
    return ip_network("0.0.0.0/0" if route.destination == "default" else route.destination)


def ensure(netlink: Netlink, wanted: Route) -> bool:
    """Install a route; one with the same destination and metric that differs is replaced.  True on change."""
    present = list_routes(netlink, table=wanted.table, family=_family(wanted))
    if wanted in present:
        return False
    rivals = [found for found in present if found.destination == wanted.destination and found.metric == wanted.metric]
    index = netlink.index(wanted.interface) if wanted.interface else 0
    netlink.send(add(wanted, index, replace=bool(rivals)))
    if rivals:
        log.warning("route %s: replaces %s", wanted, rivals[0])
    else:
        log.info("route %s: added", wanted)
    return True


def remove(netlink: Netlink, route: Route) -> bool:
    """Take a route away; False where it, or its interface, was not there."""
    try:
        netlink.send(delete(route, netlink.index(route.interface) if route.interface else 0))
    except NetlinkError as error:
        if error.errno not in (errno.ESRCH, errno.ENODEV):
            raise
        return False
    return True


def _family(route: Route) -> int:
    return socket.AF_INET if route.destination == "default" else wire.family(route.destination)


def _compose(number: int, what: str, route: Route, index: int, modifiers: int = 0) -> Request:
    family = _family(route)
    prefix = "0.0.0.0/0" if route.destination == "default" else route.destination
    address, _, length = prefix.partition("/")
    bits = int(length or (32 if family == socket.AF_INET else 128))
    direct = route.type == "unicast" and not route.gateway and family == socket.AF_INET
    table = route.table if route.table < 256 else 0
    return wire.compose(
        rtmsg.rtmsg,
        number,
        what,
        modifiers=modifiers,
        attrs=[
            ("RTA_DST", address if bits else None),
            ("RTA_GATEWAY", route.gateway or None),
            ("RTA_OIF", index or None),
            ("RTA_PREFSRC", route.source or None),
            ("RTA_PRIORITY", route.metric or (None if family == socket.AF_INET else _METRIC6)),
            ("RTA_TABLE", None if table else route.table),
        ],
        family=family,
        dst_len=bits,
        table=table,
        proto=route.protocol,
        scope=rtmsg.RT_SCOPE_LINK if direct else rtmsg.RT_SCOPE_UNIVERSE,
        type=rtnl.rt_type[route.type],
        flags=rtmsg.RTNH_F_ONLINK if route.onlink else 0,
    )


def _parse(message: Any, netlink: Netlink) -> Route:
    address, index, gateway, source, metric, table = wire.values(
        message, "RTA_DST", "RTA_OIF", "RTA_GATEWAY", "RTA_PREFSRC", "RTA_PRIORITY", "RTA_TABLE"
    )
    anywhere = "default" if message["family"] == socket.AF_INET else "::/0"
    kind = rtnl.rt_type.get(message["type"], str(message["type"]))
    return Route(
        destination=f"{address}/{message['dst_len']}" if address else anywhere,
        interface=netlink.name(index) if index and kind not in REFUSING else "",  # IPv6's say lo
        gateway=gateway or "",
        onlink=bool(message["flags"] & rtmsg.RTNH_F_ONLINK),
        source=source or "",
        metric=0 if metric == _METRIC6 and message["family"] == socket.AF_INET6 else metric or 0,
        protocol=message["proto"],
        type=kind,
        table=table or message["table"],
    )
