"""Network interfaces: what is there, and ``ensure`` and ``remove``, which bring about what is wanted.

``ensure_*`` compares with what is there, changes what differs and logs why; ``remove`` is content where there is
nothing.  The functions that only build a message (`create_veth`, `change` …) live in `link_messages` and can be had
from here.
"""

import errno
import logging
import struct
from collections.abc import Callable
from dataclasses import dataclass

from knet.kernel import netlink_wire as wire
from knet.kernel.link_messages import (
    IFF_LOWER_UP,
    IFF_UP,
    IFINFOMSG,
    IFLA_ADDRESS,
    IFLA_BRPORT_LEARNING,
    IFLA_BRPORT_MODE,
    IFLA_BRPORT_NEIGH_SUPPRESS,
    IFLA_BRPORT_STATE,
    IFLA_EXT_MASK,
    IFLA_IFALIAS,
    IFLA_IFNAME,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_INFO_SLAVE_DATA,
    IFLA_INFO_SLAVE_KIND,
    IFLA_LINK,
    IFLA_LINKINFO,
    IFLA_MASTER,
    IFLA_MTU,
    IFLA_STATS64,
    IFLA_VXLAN_ID,
    IFLA_VXLAN_LEARNING,
    IFLA_VXLAN_LINK,
    IFLA_VXLAN_LOCAL,
    IFLA_VXLAN_PORT,
    NAME_LENGTH,
    RTM_GETLINK,
    VethEnd,
    Vxlan,
    change,
    create_bridge,
    create_veth,
    create_vxlan,
    delete,
    delete_group,
    flush_fdb,
)
from knet.kernel.netlink import Netlink, NetlinkError
from knet.kernel.netlink_wire import NLM_F_ACK, Request

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
    "create_veth",
    "create_vxlan",
    "delete",
    "delete_group",
    "ensure",
    "ensure_bridge",
    "ensure_vxlan",
    "find",
    "flush_fdb",
    "get",
    "list_links",
    "remove",
    "vxlan_incompatibility",
]

log = logging.getLogger(__name__)

_RTEXT_FILTER_SKIP_STATS = 1 << 3
#: the start of struct rtnl_link_stats64
_STATISTICS = struct.Struct("=8Q")


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
    index = link if isinstance(link, int) else 0
    name = wire.text(IFLA_IFNAME, link) if isinstance(link, str) else b""
    body = IFINFOMSG.pack(0, 0, 0, index, 0, 0) + name + wire.u32(IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS)
    return _parse(netlink.get(Request(RTM_GETLINK, NLM_F_ACK, body, f"link show {link}")).body, netlink)


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
    body = IFINFOMSG.pack(0, 0, 0, 0, 0, 0) + wire.u32(IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS)
    replies = netlink.dump(Request(RTM_GETLINK, 0, body, "link show"))
    return [_parse(reply.body, netlink) for reply in replies]


def counters(netlink: Netlink) -> dict[str, Counters]:
    """What went through each interface of the namespace, by its name."""
    found = {}
    for reply in netlink.dump(Request(RTM_GETLINK, 0, IFINFOMSG.pack(0, 0, 0, 0, 0, 0), "link show")):
        attributes = wire.attributes(reply.body, IFINFOMSG.size)
        rx, tx, rx_bytes, tx_bytes, _, _, rx_dropped, tx_dropped = _STATISTICS.unpack_from(attributes[IFLA_STATS64])
        name = wire.string(attributes[IFLA_IFNAME])
        found[name] = Counters(rx, tx, rx_bytes, tx_bytes, rx_dropped, tx_dropped)
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


def _parse(body: bytes, netlink: Netlink) -> Link:
    _family, _pad, _type, index, flags, _change = IFINFOMSG.unpack_from(body)
    found = wire.attributes(body, IFINFOMSG.size)
    info = wire.attributes(found.get(IFLA_LINKINFO, b""))
    kind = wire.string(info.get(IFLA_INFO_KIND))
    slave = wire.string(info.get(IFLA_INFO_SLAVE_KIND))
    return Link(
        index=index,
        name=wire.string(found.get(IFLA_IFNAME)),
        kind=kind,
        mac=wire.mac_text(found.get(IFLA_ADDRESS)),
        mtu=wire.number(found.get(IFLA_MTU)),
        up=bool(flags & IFF_UP),
        carrier=bool(flags & IFF_LOWER_UP),
        master=wire.number(found.get(IFLA_MASTER)),
        peer=wire.number(found.get(IFLA_LINK)),
        alias=wire.string(found.get(IFLA_IFALIAS)),
        port=_parse_port(info.get(IFLA_INFO_SLAVE_DATA, b"")) if slave == "bridge" else None,
        vxlan=_parse_vxlan(info.get(IFLA_INFO_DATA, b""), netlink) if kind == "vxlan" else None,
    )


def _parse_port(data: bytes) -> BridgePort:
    found = wire.attributes(data)
    state = wire.number(found.get(IFLA_BRPORT_STATE))
    return BridgePort(
        state=_PORT_STATES[state] if state < len(_PORT_STATES) else str(state),
        hairpin=bool(wire.number(found.get(IFLA_BRPORT_MODE))),
        learning=bool(wire.number(found.get(IFLA_BRPORT_LEARNING))),
        neigh_suppress=bool(wire.number(found.get(IFLA_BRPORT_NEIGH_SUPPRESS))),
    )


def _parse_vxlan(data: bytes, netlink: Netlink) -> Vxlan:
    found = wire.attributes(data)
    device = wire.number(found.get(IFLA_VXLAN_LINK))
    return Vxlan(
        vni=wire.number(found.get(IFLA_VXLAN_ID)),
        device=netlink.name(device) if device else "",
        local=wire.ip_text(found.get(IFLA_VXLAN_LOCAL)),
        port=int.from_bytes(found.get(IFLA_VXLAN_PORT, b""), "big"),
        learning=bool(wire.number(found.get(IFLA_VXLAN_LEARNING))),
    )
