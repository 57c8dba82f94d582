"""The messages that create, change and delete network interfaces.  Pure: requests out of parameters.

`links` has the verbs that send them; those who build much at once put these into a batch themselves.
Facts to remember: deleting a veth costs about 30 ms (RCU), dropping its namespace nothing; the peer of a veth cannot
be created up; a bridge holds 1,024 ports.
"""

from dataclasses import dataclass
from typing import Any

from knet.kernel.netlink_wire import CREATE, Request, compose, nested
from knet.kernel.rtnl import ifinfmsg, rtnl

#: linux/if_link.h: whether an interface makes itself an IPv6 address out of its hardware address
_IN6_ADDR_GEN_MODE_EUI64, _IN6_ADDR_GEN_MODE_NONE = 0, 1
#: IFNAMSIZ less the closing zero
NAME_LENGTH = rtnl.IFNAMSIZ - 1


@dataclass(frozen=True)
class Vxlan:
    """What makes a VXLAN device the one it is; none of it can be changed later.  RFC 7348."""

    vni: int
    device: str
    """the underlay's interface"""
    local: str
    """source address of the outer packets, which are IPv4 or IPv6 like it"""
    port: int = 8472
    """UDP port: 8472 is Linux' own and flannel's, 4789 is IANA's"""
    learning: bool = False


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
    group: int = 0
    """of interfaces, for `delete_group`"""


def create_veth(end: VethEnd, peer: VethEnd, *, up: bool = False, master: int = 0) -> Request:
    """Create a pair; ``up`` and ``master`` (a bridge's index in ``end``'s namespace) are for ``end`` alone."""
    far = nested(("VETH_INFO_PEER", nested(*_end_attributes(peer))))
    what = f"link add {end.name} type veth peer name {peer.name}"
    return _create(what, "veth", far, up, *_end_attributes(end), ("IFLA_MASTER", master or None))


def _end_attributes(end: VethEnd) -> list[tuple[str, Any]]:
    return [
        ("IFLA_IFNAME", end.name),
        ("IFLA_MTU", end.mtu or None),
        ("IFLA_ADDRESS", end.mac or None),
        ("IFLA_GROUP", end.group or None),
        ("IFLA_NET_NS_FD", end.netns),
    ]


def create_bridge(
    name: str, *, mac: str = "", mtu: int = 0, up: bool = True, mcast_snooping: bool = True, group: int = 0
) -> Request:
    """Create a bridge without spanning tree, so that its ports forward as soon as they are up.

    A bridge given no ``mac`` takes the lowest of its ports' and changes it as they come and go.
    """
    data = nested(("IFLA_BR_STP_STATE", 0), ("IFLA_BR_MCAST_SNOOPING", mcast_snooping))
    own = _end_attributes(VethEnd(name, mtu=mtu, mac=mac, group=group))
    return _create(f"link add {name} type bridge", "bridge", data, up, *own)


def create_dummy(name: str) -> Request:
    """Create an interface without a wire; it bears addresses even while it is down."""
    return _create(f"link add {name} type dummy", "dummy", None, False, *_end_attributes(VethEnd(name)))


def create_vxlan(name: str, wanted: Vxlan, device: int, *, mac: str = "", mtu: int = 0, up: bool = True) -> Request:
    """Create a VXLAN device over the underlay interface whose index is ``device``."""
    data = nested(
        ("IFLA_VXLAN_ID", wanted.vni),
        ("IFLA_VXLAN_LINK", device),
        ("IFLA_VXLAN_LOCAL6" if ":" in wanted.local else "IFLA_VXLAN_LOCAL", wanted.local),
        ("IFLA_VXLAN_LEARNING", wanted.learning),
        ("IFLA_VXLAN_PORT", wanted.port),
    )
    what = f"link add {name} type vxlan id {wanted.vni} dev {wanted.device}"
    return _create(what, "vxlan", data, up, *_end_attributes(VethEnd(name, mtu=mtu, mac=mac)))


def _create(what: str, kind: str, data: dict[str, Any] | None, up: bool, *attrs: tuple[str, Any]) -> Request:
    info = nested(("IFLA_INFO_KIND", kind), ("IFLA_INFO_DATA", data))
    return _set(what, 0, *attrs, ("IFLA_LINKINFO", info), up=up or None, modifiers=CREATE)


def _set(what: str, index: int, *attrs: tuple[str, Any], up: bool | None = None, modifiers: int = 0) -> Request:
    """Of the flags, only IFF_UP is changed, and none where ``up`` is None."""
    flags = {} if up is None else {"flags": ifinfmsg.IFF_UP if up else 0, "change": ifinfmsg.IFF_UP}
    kind, number = ifinfmsg.ifinfmsg, rtnl.RTM_NEWLINK
    return compose(kind, number, what, modifiers=modifiers, attrs=attrs, index=index, **flags)


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
    group: int | None = None,
    hairpin: bool | None = None,
    learning: bool | None = None,
    neigh_suppress: bool | None = None,
    link_local: bool | None = None,
) -> Request:
    """Change attributes of an interface given by index or name; None leaves one as it is.

    ``master`` 0 takes it out of its bridge.  ``hairpin`` (a bridge may send a frame back through the port it came
    from), ``learning`` and ``neigh_suppress`` are a bridge port's, so it has to be one already.  ``link_local`` says
    whether it gives itself an IPv6 address when it gets a carrier; set it before ``up``.
    """
    index, by_name = index_or_name(link)
    port = nested(
        ("IFLA_BRPORT_MODE", hairpin),
        ("IFLA_BRPORT_LEARNING", learning),
        ("IFLA_BRPORT_NEIGH_SUPPRESS", neigh_suppress),
    )
    slave = nested(("IFLA_INFO_SLAVE_KIND", "bridge"), ("IFLA_INFO_SLAVE_DATA", port))
    return _set(
        f"link set {link}",
        index,
        ("IFLA_IFNAME", by_name),
        ("IFLA_IFNAME", name),
        ("IFLA_MTU", mtu),
        ("IFLA_ADDRESS", mac),
        ("IFLA_MASTER", master),
        ("IFLA_IFALIAS", alias),
        ("IFLA_NET_NS_FD", netns),
        ("IFLA_GROUP", group),
        ("IFLA_LINKINFO", slave if port["attrs"] else None),
        ("IFLA_AF_SPEC", None if link_local is None else _address_generation(link_local)),
        up=up,
    )


def _address_generation(link_local: bool) -> dict[str, Any]:
    mode = _IN6_ADDR_GEN_MODE_EUI64 if link_local else _IN6_ADDR_GEN_MODE_NONE
    return nested(("AF_INET6", nested(("IFLA_INET6_ADDR_GEN_MODE", mode))))


def index_or_name(link: int | str) -> tuple[int, str | None]:
    return (link, None) if isinstance(link, int) else (0, link)


def delete(link: int | str) -> Request:
    """Delete an interface given by index or name (both ends, if it is a veth)."""
    index, name = index_or_name(link)
    attrs = [("IFLA_IFNAME", name)]
    return compose(ifinfmsg.ifinfmsg, rtnl.RTM_DELLINK, f"link del {link}", attrs=attrs, index=index)


def delete_group(group: int) -> Request:
    """Delete all interfaces of a group with a single wait of the kernel's (RCU), where each alone would have its own.

    NetlinkError (ENODEV) where the group is empty.
    """
    return compose(ifinfmsg.ifinfmsg, rtnl.RTM_DELLINK, f"link del {group=}", attrs=[("IFLA_GROUP", group)])


def flush_fdb(bridge: int) -> Request:
    """Make a bridge forget where it saw which hardware address: after a change of paths that is wrong."""
    data = nested(("IFLA_BR_FDB_FLUSH", True))
    info = nested(("IFLA_INFO_KIND", "bridge"), ("IFLA_INFO_DATA", data))
    return _set(f"link set {bridge} fdb_flush", bridge, ("IFLA_LINKINFO", info))
