"""Network interfaces: what is there, and ``ensure`` and ``remove``, which bring about what is wanted.

``ensure_*`` compares with what is there, changes what differs and logs why; ``remove`` is content where there is
nothing.  The functions that only build a message (`create_veth`, `change` …) live in `link_messages` and can be had
from here.
"""

import errno
import logging
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from knet.kernel.link_messages import (
    NAME_LENGTH,
    VethEnd,
    Vxlan,
    change,
    create_bridge,
    create_dummy,
    create_veth,
    create_vxlan,
    delete,
    delete_group,
    flush_fdb,
    index_or_name,
)
from knet.kernel.netlink import Netlink, NetlinkError
from knet.kernel.netlink_wire import DUMP, Request, compose, values
from knet.kernel.rtnl import ifinfmsg, rtnl

__all__ = [
    "NAME_LENGTH",
    "BridgePort",
    "Counters",
    "Link",
    "Request",
    "VethEnd",
    "Vxlan",
    "change",
    "counters",
    "create_bridge",
    "create_dummy",
    "create_veth",
    "create_vxlan",
    "delete",
    "delete_group",
    "ensure",
    "ensure_bridge",
    "ensure_dummy",
    "ensure_vxlan",
    "find",
    "flush_fdb",
    "get",
    "list_links",
    "not_yet_used",
    "remove",
    "vxlan_incompatibility",
]

log = logging.getLogger(__name__)

#: linux/rtnetlink.h: answers without statistics, which are a third of them
_RTEXT_FILTER_SKIP_STATS = 1 << 3


@dataclass(frozen=True)
class BridgePort:
    """What a bridge keeps about one of its ports."""

    state: str
    """disabled, listening, learning, forwarding or blocking"""
    hairpin: bool
    learning: bool
    neigh_suppress: bool


@dataclass(frozen=True)
class Link:
    """An interface as the kernel reports it."""

    index: int
    name: str
    kind: str
    """bridge, veth, vxlan …; "" for lo and for hardware"""
    mac: str
    mtu: int
    up: bool
    """administratively up"""
    carrier: bool
    master: int
    """index of the bridge that this is a port of, else 0"""
    peer: int
    """veth: the index of the other end, in that end's own namespace; VXLAN: of the underlay's interface; else 0"""
    alias: str = ""
    port: BridgePort | None = None
    vxlan: Vxlan | None = None

    def __str__(self) -> str:
        state = "up" if self.up else "down"
        return f"{self.name} {self.kind or 'device'} {state} mtu {self.mtu} lladdr {self.mac}"


@dataclass(frozen=True)
class Counters:
    """What went through an interface since it was created."""

    rx_packets: int
    tx_packets: int
    rx_bytes: int
    tx_bytes: int
    rx_dropped: int
    tx_dropped: int


def get(netlink: Netlink, link: int | str) -> Link:
    """The interface of that index or name; NetlinkError (ENODEV) where there is none."""
    index, name = index_or_name(link)
    return _parse(netlink.get(_query(f"link show {link}", index=index, name=name)), netlink)


def find(netlink: Netlink, link: int | str) -> Link | None:
    """Like `get`, but None where there is none."""
    try:
        return get(netlink, link)
    except NetlinkError as error:
        if error.errno != errno.ENODEV:
            raise
        return None


def list_links(netlink: Netlink) -> list[Link]:
    """All interfaces of the namespace, by index."""
    return [_parse(message, netlink) for message in netlink.dump(_query("link show", modifiers=DUMP))]


def not_yet_used(netlink: Netlink) -> list[str]:
    """The interfaces that have a carrier, but that the kernel does not use yet: a worker of its own (linkwatch) sets
    RFC 2863's state a moment later."""
    found = []
    for message in netlink.dump(_query("link show", modifiers=DUMP)):
        name, state = values(message, "IFLA_IFNAME", "IFLA_OPERSTATE")
        if message["flags"] & ifinfmsg.IFF_LOWER_UP and state != "UP":
            found.append(name)
    return found


def counters(netlink: Netlink) -> dict[str, Counters]:
    """What went through each interface of the namespace, by its name."""
    request = compose(ifinfmsg.ifinfmsg, rtnl.RTM_GETLINK, "link show", modifiers=DUMP)
    found = {}
    for message in netlink.dump(request):
        name, statistics = values(message, "IFLA_IFNAME", "IFLA_STATS64")
        found[name] = Counters(**{field.name: statistics[field.name] for field in fields(Counters)})
    return found


def ensure_bridge(netlink: Netlink, name: str, *, mac: str = "", mtu: int = 0, mcast_snooping: bool = True) -> Link:
    """A bridge of that name, up, with this address and MTU where they are given."""
    found = find(netlink, name)
    if found is not None and found.kind != "bridge":
        _replace(netlink, found, f"it is a {found.kind or 'device'}, not a bridge")
        found = None
    if found is None:
        netlink.send(create_bridge(name, mac=mac, mtu=mtu, mcast_snooping=mcast_snooping))
        log.info("link %s: bridge created", name)
    else:
        ensure(netlink, found, up=True, mac=mac or None, mtu=mtu or None)
    return get(netlink, name)


def ensure_dummy(netlink: Netlink, name: str) -> None:
    """A dummy interface of that name, up or down."""
    found = find(netlink, name)
    if found is not None and found.kind != "dummy":
        _replace(netlink, found, f"it is a {found.kind or 'device'}, not a dummy")
        found = None
    if found is None:
        netlink.send(create_dummy(name))
        log.info("link %s: dummy created", name)


def ensure_vxlan(netlink: Netlink, name: str, wanted: Vxlan, *, mac: str, mtu: int) -> Link:
    """A VXLAN device of that name, up.  One with other parameters is replaced: they cannot be changed."""
    found = find(netlink, name)
    reason = vxlan_incompatibility(found, wanted) if found is not None else ""
    if found is not None and reason:
        _replace(netlink, found, reason)
        found = None
    if found is None:
        netlink.send(create_vxlan(name, wanted, netlink.index(wanted.device), mac=mac, mtu=mtu))
        log.info("link %s: vxlan created (VNI %d, local %s, dev %s)", name, wanted.vni, wanted.local, wanted.device)
    else:
        ensure(netlink, found, up=True, mac=mac, mtu=mtu)
    return get(netlink, name)


def vxlan_incompatibility(found: Link, wanted: Vxlan) -> str:
    """Why ``found`` cannot serve as the device that is wanted; "" if it can.  As flannel's vxlanLinksIncompat."""
    if found.vxlan is None:
        return f"it is a {found.kind or 'device'}, not a vxlan"
    for what in ("vni", "device", "local", "port", "learning"):
        has, wants = getattr(found.vxlan, what), getattr(wanted, what)
        if has != wants:
            return f"its {what} is {has}, not {wants}"
    return ""


def ensure(
    netlink: Netlink,
    link: Link,
    *,
    up: bool | None = None,
    mtu: int | None = None,
    mac: str | None = None,
    master: int | None = None,
    alias: str | None = None,
    hairpin: bool | None = None,
    learning: bool | None = None,
    neigh_suppress: bool | None = None,
) -> bool:
    """Give an interface these attributes (None: whatever it has), log what differed; True where anything did."""
    port = link.port
    changed = False
    if master is not None and master != link.master:
        _set(netlink, link, "master", link.master, master, change(link.index, master=master))
        port, changed = get(netlink, link.index).port, True
    rows: tuple[tuple[str, object, object, Callable[[], Request]], ...] = (
        ("mtu", link.mtu, mtu, lambda: change(link.index, mtu=mtu)),
        ("address", link.mac, mac, lambda: change(link.index, mac=mac)),
        ("alias", link.alias, alias, lambda: change(link.index, alias=alias)),
        ("hairpin", port and port.hairpin, hairpin, lambda: change(link.index, hairpin=hairpin)),
        ("learning", port and port.learning, learning, lambda: change(link.index, learning=learning)),
        (
            "neigh_suppress",
            port and port.neigh_suppress,
            neigh_suppress,
            lambda: change(link.index, neigh_suppress=neigh_suppress),
        ),
        ("up", link.up, up, lambda: change(link.index, up=up)),
    )
    for what, has, wants, request in rows:
        if wants is not None and has != wants:
            _set(netlink, link, what, has, wants, request())
            changed = True
    return changed


def remove(netlink: Netlink, name: str) -> bool:
    """Delete an interface; False where there was none."""
    try:
        netlink.send(delete(name))
    except NetlinkError as error:
        if error.errno != errno.ENODEV:
            raise
        return False
    return True


def _set(netlink: Netlink, link: Link, what: str, has: object, wants: object, request: Request) -> None:
    netlink.send(request)
    log.info("link %s: %s %s (was %s)", link.name, what, wants, has)


def _replace(netlink: Netlink, link: Link, reason: str) -> None:
    log.warning("link %s: replaced, because %s", link.name, reason)
    netlink.send(delete(link.index))


_PORT_STATES = ("disabled", "listening", "learning", "forwarding", "blocking")


def _query(what: str, *, index: int = 0, name: str | None = None, modifiers: int = 0) -> Request:
    attrs = [("IFLA_IFNAME", name), ("IFLA_EXT_MASK", _RTEXT_FILTER_SKIP_STATS)]
    return compose(ifinfmsg.ifinfmsg, rtnl.RTM_GETLINK, what, modifiers=modifiers, attrs=attrs, index=index)


def _parse(message: Any, netlink: Netlink) -> Link:
    name, mac, mtu, master, peer, alias, info = values(
        message, *(f"IFLA_{name}" for name in ("IFNAME", "ADDRESS", "MTU", "MASTER", "LINK", "IFALIAS", "LINKINFO"))
    )
    kind, data, slave, port = values(
        info, "IFLA_INFO_KIND", "IFLA_INFO_DATA", "IFLA_INFO_SLAVE_KIND", "IFLA_INFO_SLAVE_DATA"
    )
    return Link(
        index=message["index"],
        name=name,
        kind=kind or "",
        mac=mac or "",
        mtu=mtu,
        up=bool(message["flags"] & ifinfmsg.IFF_UP),
        carrier=bool(message["flags"] & ifinfmsg.IFF_LOWER_UP),
        master=master or 0,
        peer=peer or 0,
        alias=alias or "",
        port=_parse_port(port) if slave == "bridge" else None,
        vxlan=_parse_vxlan(data, netlink) if kind == "vxlan" else None,
    )


def _parse_port(data: Any) -> BridgePort:
    state, hairpin, learning, suppress = values(
        data, "IFLA_BRPORT_STATE", "IFLA_BRPORT_MODE", "IFLA_BRPORT_LEARNING", "IFLA_BRPORT_NEIGH_SUPPRESS"
    )
    name = _PORT_STATES[state] if state < len(_PORT_STATES) else str(state)
    return BridgePort(name, bool(hairpin), bool(learning), bool(suppress))


def _parse_vxlan(data: Any, netlink: Netlink) -> Vxlan:
    vni, device, local, local6, learning, port = values(
        data, *(f"IFLA_VXLAN_{name}" for name in ("ID", "LINK", "LOCAL", "LOCAL6", "LEARNING", "PORT"))
    )
    return Vxlan(vni, netlink.name(device) if device else "", local or local6 or "", port, bool(learning))
