"""The messages that create, change and delete network interfaces.  Pure: bytes out of parameters.

`links` has the verbs that send them; those who build much at once put these into a batch themselves.
Facts to remember: deleting a veth costs about 30 ms (RCU), dropping its namespace nothing; the peer of a veth cannot
be created up; a bridge holds 1,024 ports.
"""

import socket
import struct
from dataclasses import dataclass

from knet.kernel import netlink_wire as wire
from knet.kernel.netlink_wire import CREATE, Request

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18

# linux/if_link.h
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER, IFLA_STATS64 = 1, 3, 4, 5, 10, 23
IFLA_LINKINFO, IFLA_IFALIAS, IFLA_AF_SPEC, IFLA_GROUP, IFLA_NET_NS_FD, IFLA_EXT_MASK = 18, 20, 26, 27, 28, 29
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
VETH_INFO_PEER = 1
IFLA_INET6_ADDR_GEN_MODE, _IN6_ADDR_GEN_MODE_EUI64, _IN6_ADDR_GEN_MODE_NONE = 8, 0, 1
IFLA_BR_STP_STATE, IFLA_BR_FDB_FLUSH, IFLA_BR_MCAST_SNOOPING = 5, 21, 23
IFLA_BRPORT_STATE, IFLA_BRPORT_MODE, IFLA_BRPORT_LEARNING, IFLA_BRPORT_NEIGH_SUPPRESS = 1, 4, 8, 32
IFLA_VXLAN_ID, IFLA_VXLAN_LINK, IFLA_VXLAN_LOCAL, IFLA_VXLAN_LEARNING, IFLA_VXLAN_PORT = 1, 3, 4, 7, 15

IFF_UP = 0x1
IFF_LOWER_UP = 0x10000

#: struct ifinfomsg: family, (pad), device type, index, flags, mask of the flags to change
IFINFOMSG = struct.Struct("=BBHiII")
#: IFNAMSIZ less the closing zero
NAME_LENGTH = 15


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
    body = b"".join(
        (
            IFINFOMSG.pack(0, 0, 0, 0, IFF_UP if up else 0, IFF_UP if up else 0),
            _end_attributes(end),
            wire.u32(IFLA_MASTER, master) if master else b"",
            wire.nested(
                IFLA_LINKINFO,
                wire.text(IFLA_INFO_KIND, "veth"),
                wire.nested(
                    IFLA_INFO_DATA,
                    wire.nested(VETH_INFO_PEER, IFINFOMSG.pack(0, 0, 0, 0, 0, 0), _end_attributes(peer)),
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
            wire.u32(IFLA_GROUP, end.group) if end.group else b"",
            wire.u32(IFLA_NET_NS_FD, end.netns) if end.netns is not None else b"",
        )
    )


def create_bridge(
    name: str, *, mac: str = "", mtu: int = 0, up: bool = True, mcast_snooping: bool = True, group: int = 0
) -> Request:
    """Create a bridge without spanning tree, so that its ports forward as soon as they are up.

    A bridge given no ``mac`` takes the lowest of its ports' and changes it as they come and go.
    """
    flags = IFF_UP if up else 0
    body = b"".join(
        (
            IFINFOMSG.pack(0, 0, 0, 0, flags, flags),
            wire.text(IFLA_IFNAME, name),
            wire.mac(IFLA_ADDRESS, mac) if mac else b"",
            wire.u32(IFLA_MTU, mtu) if mtu else b"",
            wire.u32(IFLA_GROUP, group) if group else b"",
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
            IFINFOMSG.pack(0, 0, 0, 0, flags, flags),
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
            IFINFOMSG.pack(0, 0, 0, index, IFF_UP if up else 0, 0 if up is None else IFF_UP),
            wire.text(IFLA_IFNAME, link) if isinstance(link, str) else b"",
            wire.text(IFLA_IFNAME, name) if name is not None else b"",
            b"" if mtu is None else wire.u32(IFLA_MTU, mtu),
            b"" if mac is None else wire.mac(IFLA_ADDRESS, mac),
            b"" if master is None else wire.u32(IFLA_MASTER, master),
            b"" if alias is None else wire.text(IFLA_IFALIAS, alias),
            b"" if netns is None else wire.u32(IFLA_NET_NS_FD, netns),
            b"" if group is None else wire.u32(IFLA_GROUP, group),
            wire.nested(
                IFLA_LINKINFO,
                wire.text(IFLA_INFO_SLAVE_KIND, "bridge"),
                wire.nested(IFLA_INFO_SLAVE_DATA, port),
            )
            if port
            else b"",
            b"" if link_local is None else _address_generation(link_local),
        )
    )
    return Request(RTM_NEWLINK, 0, body, f"link set {link}")


def _address_generation(link_local: bool) -> bytes:
    mode = _IN6_ADDR_GEN_MODE_EUI64 if link_local else _IN6_ADDR_GEN_MODE_NONE
    return wire.nested(IFLA_AF_SPEC, wire.nested(socket.AF_INET6, wire.u8(IFLA_INET6_ADDR_GEN_MODE, mode)))


def delete(link: int | str) -> Request:
    """Delete an interface given by index or name (both ends, if it is a veth)."""
    index = link if isinstance(link, int) else 0
    body = IFINFOMSG.pack(0, 0, 0, index, 0, 0) + (wire.text(IFLA_IFNAME, link) if isinstance(link, str) else b"")
    return Request(RTM_DELLINK, 0, body, f"link del {link}")


def delete_group(group: int) -> Request:
    """Delete all interfaces of a group with a single wait of the kernel's (RCU), where each alone would have its own.

    NetlinkError (ENODEV) where the group is empty.
    """
    return Request(RTM_DELLINK, 0, IFINFOMSG.pack(0, 0, 0, 0, 0, 0) + wire.u32(IFLA_GROUP, group), f"link del {group=}")


def flush_fdb(bridge: int) -> Request:
    """Make a bridge forget where it saw which hardware address: after a change of paths that is wrong."""
    data = wire.nested(IFLA_INFO_DATA, wire.attribute(IFLA_BR_FDB_FLUSH, b""))
    info = wire.nested(IFLA_LINKINFO, wire.text(IFLA_INFO_KIND, "bridge"), data)
    return Request(RTM_NEWLINK, 0, IFINFOMSG.pack(0, 0, 0, bridge, 0, 0) + info, f"link set {bridge} fdb_flush")
