"""Network interfaces: bridges, veth pairs, VXLAN devices.

Two kinds of function.  Those that return a `Request` only build a message, for callers that send many in one batch.
Those that take a `Netlink` first act: ``ensure_*`` compares with what is there, changes what differs and logs why;
``remove`` is content where there is nothing.

Facts to remember: deleting a veth costs about 30 ms (RCU), dropping its namespace nothing; the peer of a veth cannot be
created up; a bridge holds 1,024 ports.
"""

import errno
import logging
import struct
from collections.abc import Callable
from dataclasses import dataclass

from knet.kernel import netlink_wire as wire
from knet.kernel.netlink import Netlink, NetlinkError
from knet.kernel.netlink_wire import CREATE, NLM_F_ACK, Request

log = logging.getLogger(__name__)

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18

# linux/if_link.h
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER = 1, 3, 4, 5, 10
IFLA_LINKINFO, IFLA_IFALIAS, IFLA_NET_NS_FD, IFLA_EXT_MASK, IFLA_LINK_NETNSID = 18, 20, 28, 29, 37
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
VETH_INFO_PEER = 1
IFLA_BR_STP_STATE, IFLA_BR_MCAST_SNOOPING = 5, 23
IFLA_BRPORT_STATE, IFLA_BRPORT_MODE, IFLA_BRPORT_LEARNING, IFLA_BRPORT_NEIGH_SUPPRESS = 1, 4, 8, 32
IFLA_VXLAN_ID, IFLA_VXLAN_LINK, IFLA_VXLAN_LOCAL, IFLA_VXLAN_LEARNING, IFLA_VXLAN_PORT = 1, 3, 4, 7, 15

IFF_UP = 0x1
IFF_LOWER_UP = 0x10000
_RTEXT_FILTER_SKIP_STATS = 1 << 3

#: struct ifinfomsg: family, (pad), device type, index, flags, mask of the flags to change
_IFINFOMSG = struct.Struct("=BBHiII")

#: IFNAMSIZ less the closing zero
NAME_LENGTH = 15


@dataclass(frozen=True)
class BridgePort:
    """What a bridge keeps about one of its ports."""

    state: str
    """disabled, listening, learning, forwarding or blocking"""
    hairpin: bool
    learning: bool
    neigh_suppress: bool


@dataclass(frozen=True)
class Vxlan:
    """What makes a VXLAN device the one it is; none of it can be changed later.  RFC 7348."""

    vni: int
    device: str
    """the underlay's interface"""
    local: str
    """source address of the outer packets"""
    port: int = 8472
    """UDP port: 8472 is Linux' own and flannel's, 4789 is IANA's"""
    learning: bool = False


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
class VethEnd:
    """One end of a veth pair to be created, straight in the namespace where it is to live."""

    name: str
    netns: int | None = None
    """descriptor of that namespace; None is the netlink socket's own"""
    mtu: int = 0
    """0 leaves it at 1500"""
    mac: str = ""
    """"" lets the kernel choose"""


def create_veth(end: VethEnd, peer: VethEnd, *, up: bool = False, master: int = 0) -> Request:
    """Create a pair; ``up`` and ``master`` (a bridge's index in ``end``'s namespace) are for ``end`` alone."""
    body = b"".join(
        (
            _IFINFOMSG.pack(0, 0, 0, 0, IFF_UP if up else 0, IFF_UP if up else 0),
            _end_attributes(end),
            wire.u32(IFLA_MASTER, master) if master else b"",
            wire.nested(
                IFLA_LINKINFO,
                wire.text(IFLA_INFO_KIND, "veth"),
                wire.nested(
                    IFLA_INFO_DATA,
                    wire.nested(VETH_INFO_PEER, _IFINFOMSG.pack(0, 0, 0, 0, 0, 0), _end_attributes(peer)),
                ),
            ),
        )
    )
    return Request(RTM_NEWLINK, CREATE, body, f"link add {end.name} type veth peer name {peer.name}")


def _end_attributes(end: VethEnd) -> bytes:
    return b"".join(
        (
            wire.text(IFLA_IFNAME, end.name),
            wire.u32(IFLA_MTU, end.mtu) if end.mtu else b"",
            wire.mac(IFLA_ADDRESS, end.mac) if end.mac else b"",
            wire.u32(IFLA_NET_NS_FD, end.netns) if end.netns is not None else b"",
        )
    )


def create_bridge(name: str, *, mac: str = "", mtu: int = 0, up: bool = True, mcast_snooping: bool = True) -> Request:
    """Create a bridge without spanning tree, so that its ports forward as soon as they are up.

    A bridge given no ``mac`` takes the lowest of its ports' and changes it as they come and go.
    """
    flags = IFF_UP if up else 0
    body = b"".join(
        (
            _IFINFOMSG.pack(0, 0, 0, 0, flags, flags),
            wire.text(IFLA_IFNAME, name),
            wire.mac(IFLA_ADDRESS, mac) if mac else b"",
            wire.u32(IFLA_MTU, mtu) if mtu else b"",
            wire.nested(
                IFLA_LINKINFO,
                wire.text(IFLA_INFO_KIND, "bridge"),
                wire.nested(
                    IFLA_INFO_DATA,
                    wire.u32(IFLA_BR_STP_STATE, 0),
                    wire.u8(IFLA_BR_MCAST_SNOOPING, mcast_snooping),
                ),
            ),
        )
    )
    return Request(RTM_NEWLINK, CREATE, body, f"link add {name} type bridge")


def create_vxlan(name: str, wanted: Vxlan, device: int, *, mac: str = "", mtu: int = 0, up: bool = True) -> Request:
    """Create a VXLAN device over the underlay interface whose index is ``device``."""
    flags = IFF_UP if up else 0
    body = b"".join(
        (
            _IFINFOMSG.pack(0, 0, 0, 0, flags, flags),
            wire.text(IFLA_IFNAME, name),
            wire.mac(IFLA_ADDRESS, mac) if mac else b"",
            wire.u32(IFLA_MTU, mtu) if mtu else b"",
            wire.nested(
                IFLA_LINKINFO,
                wire.text(IFLA_INFO_KIND, "vxlan"),
                wire.nested(
                    IFLA_INFO_DATA,
                    wire.u32(IFLA_VXLAN_ID, wanted.vni),
                    wire.u32(IFLA_VXLAN_LINK, device),
                    wire.ip(IFLA_VXLAN_LOCAL, wanted.local),
                    wire.u8(IFLA_VXLAN_LEARNING, wanted.learning),
                    wire.u16_network(IFLA_VXLAN_PORT, wanted.port),
                ),
            ),
        )
    )
    return Request(RTM_NEWLINK, CREATE, body, f"link add {name} type vxlan id {wanted.vni} dev {wanted.device}")


def create_device(name: str, kind: str) -> Request:
    """Create a device of a kind that needs no parameters (dummy, ifb, bridge …)."""
    body = _IFINFOMSG.pack(0, 0, 0, 0, 0, 0) + wire.text(IFLA_IFNAME, name)
    body += wire.nested(IFLA_LINKINFO, wire.text(IFLA_INFO_KIND, kind))
    return Request(RTM_NEWLINK, CREATE, body, f"link add {name} type {kind}")


def change(
    link: int | str,
    *,
    up: bool | None = None,
    mtu: int | None = None,
    mac: str | None = None,
    master: int | None = None,
    name: str | None = None,
    alias: str | None = None,
    netns: int | None = None,
    hairpin: bool | None = None,
    learning: bool | None = None,
    neigh_suppress: bool | None = None,
) -> Request:
    """Change attributes of an interface given by index or name; None leaves one as it is.

    ``master`` 0 takes it out of its bridge.  ``hairpin`` (a bridge may send a frame back through the port it came
    from), ``learning`` and ``neigh_suppress`` are a bridge port's, so it has to be one already.
    """
    port = b"".join(
        wire.u8(number, value)
        for number, value in (
            (IFLA_BRPORT_MODE, hairpin),
            (IFLA_BRPORT_LEARNING, learning),
            (IFLA_BRPORT_NEIGH_SUPPRESS, neigh_suppress),
        )
        if value is not None
    )
    index = link if isinstance(link, int) else 0
    body = b"".join(
        (
            _IFINFOMSG.pack(0, 0, 0, index, IFF_UP if up else 0, 0 if up is None else IFF_UP),
            wire.text(IFLA_IFNAME, link) if isinstance(link, str) else b"",
            wire.text(IFLA_IFNAME, name) if name is not None else b"",
            b"" if mtu is None else wire.u32(IFLA_MTU, mtu),
            b"" if mac is None else wire.mac(IFLA_ADDRESS, mac),
            b"" if master is None else wire.u32(IFLA_MASTER, master),
            b"" if alias is None else wire.text(IFLA_IFALIAS, alias),
            b"" if netns is None else wire.u32(IFLA_NET_NS_FD, netns),
            wire.nested(
                IFLA_LINKINFO,
                wire.text(IFLA_INFO_SLAVE_KIND, "bridge"),
                wire.nested(IFLA_INFO_SLAVE_DATA, port),
            )
            if port
            else b"",
        )
    )
    return Request(RTM_NEWLINK, 0, body, f"link set {link}")


def delete(link: int | str) -> Request:
    """Delete an interface given by index or name (both ends, if it is a veth)."""
    index = link if isinstance(link, int) else 0
    body = _IFINFOMSG.pack(0, 0, 0, index, 0, 0) + (wire.text(IFLA_IFNAME, link) if isinstance(link, str) else b"")
    return Request(RTM_DELLINK, 0, body, f"link del {link}")


def get(netlink: Netlink, link: int | str) -> Link:
    """The interface of that index or name; NetlinkError (ENODEV) where there is none."""
    index = link if isinstance(link, int) else 0
    name = wire.text(IFLA_IFNAME, link) if isinstance(link, str) else b""
    body = _IFINFOMSG.pack(0, 0, 0, index, 0, 0) + name + wire.u32(IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS)
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
    body = _IFINFOMSG.pack(0, 0, 0, 0, 0, 0) + wire.u32(IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS)
    replies = netlink.dump(Request(RTM_GETLINK, 0, body, "link show"))
    return [_parse(reply.body, netlink) for reply in replies]


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
    _family, _pad, _type, index, flags, _change = _IFINFOMSG.unpack_from(body)
    found = wire.attributes(body, _IFINFOMSG.size)
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
