"""Routes of the main table (or another one), in the words of ``ip route``."""

import errno
import ipaddress
import logging
import socket
import struct
from dataclasses import dataclass

from knet.kernel import netlink_wire as wire
from knet.kernel.netlink import Netlink, NetlinkError
from knet.kernel.netlink_wire import CREATE, NLM_F_CREATE, NLM_F_REPLACE, Request

log = logging.getLogger(__name__)

RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC, RTA_TABLE = 1, 4, 5, 6, 7, 15
RTNH_F_ONLINK = 4
TABLE_MAIN, TABLE_LOCAL = 254, 255
#: who installed a route: the kernel itself, or an administrator (what ``ip route add`` uses)
PROTOCOL_KERNEL, PROTOCOL_BOOT, PROTOCOL_STATIC = 2, 3, 4
TYPES = {1: "unicast", 2: "local", 3: "broadcast", 5: "multicast", 6: "blackhole", 7: "unreachable", 8: "prohibit"}
_TYPE_NUMBERS = {name: number for number, name in TYPES.items()}
_SCOPE_UNIVERSE, _SCOPE_LINK, _SCOPE_HOST, _SCOPE_NOWHERE = 0, 253, 254, 255
#: struct rtmsg: family, destination length, source length, TOS, table, protocol, scope, type, flags
_RTMSG = struct.Struct("=BBBBBBBBI")


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
    flags = NLM_F_CREATE | NLM_F_REPLACE if replace else CREATE
    return Request(RTM_NEWROUTE, flags, _body(route, index), f"route {'replace' if replace else 'add'} {route}")


def delete(route: Route, index: int) -> Request:
    return Request(RTM_DELROUTE, 0, _body(route, index), f"route del {route}")


def list_routes(
    netlink: Netlink, *, interface: str = "", table: int = TABLE_MAIN, family: int = socket.AF_INET
) -> list[Route]:
    """The routes of a table, through one interface or all, in the kernel's order."""
    body = _RTMSG.pack(family, 0, 0, 0, 0, 0, 0, 0, 0) + wire.u32(RTA_TABLE, table)
    if interface:
        body += wire.u32(RTA_OIF, netlink.index(interface))
    try:
        replies = netlink.dump(Request(RTM_GETROUTE, 0, body, "route show"))
    except NetlinkError as error:
        if error.errno == errno.ENOENT:  # a table that no route was ever put into
            return []
        raise
    return [_parse(reply.body, netlink) for reply in replies]


def ensure(netlink: Netlink, wanted: Route) -> bool:
    """Install a route; one with the same destination and metric that differs is replaced.  True on change."""
    present = list_routes(netlink, table=wanted.table, family=_family(wanted))
    if wanted in present:
        return False
    rivals = [
        found for found in present if found.destination == wanted.destination and found.metric == wanted.metric
    ]
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


def _body(route: Route, index: int) -> bytes:
    family = _family(route)
    address, _, length = route.destination.partition("/")
    if route.destination == "default":
        address, length = "0.0.0.0", "0"
    bits = int(length) if length else 8 * len(wire.packed(address))
    unicast = route.type == "unicast"
    scope = _SCOPE_LINK if unicast and not route.gateway and family == socket.AF_INET else _SCOPE_UNIVERSE
    flags = RTNH_F_ONLINK if route.onlink else 0
    table = route.table if route.table < 256 else 0
    return b"".join(
        (
            _RTMSG.pack(family, bits, 0, 0, table, route.protocol, scope, _TYPE_NUMBERS[route.type], flags),
            wire.ip(RTA_DST, address) if bits else b"",
            wire.ip(RTA_GATEWAY, route.gateway) if route.gateway else b"",
            wire.u32(RTA_OIF, index) if index else b"",
            wire.ip(RTA_PREFSRC, route.source) if route.source else b"",
            wire.u32(RTA_PRIORITY, route.metric) if route.metric else b"",
            wire.u32(RTA_TABLE, route.table) if not table else b"",
        )
    )


def _parse(body: bytes, netlink: Netlink) -> Route:
    family, bits, _source, _tos, table, protocol, _scope, kind, flags = _RTMSG.unpack_from(body)
    found = wire.attributes(body, _RTMSG.size)
    index = wire.number(found.get(RTA_OIF))
    if RTA_DST in found:
        destination = str(ipaddress.ip_network((found[RTA_DST], bits)))
    else:
        destination = "default" if family == socket.AF_INET else "::/0"
    return Route(
        destination=destination,
        interface=netlink.name(index) if index else "",
        gateway=wire.ip_text(found.get(RTA_GATEWAY)),
        onlink=bool(flags & RTNH_F_ONLINK),
        source=wire.ip_text(found.get(RTA_PREFSRC)),
        metric=wire.number(found.get(RTA_PRIORITY)),
        protocol=protocol,
        type=TYPES.get(kind, str(kind)),
        table=wire.number(found.get(RTA_TABLE), table),
    )
