"""Neighbour entries (which MAC address has this IP address) and forwarding entries (where does this MAC live).

Both are ``struct ndmsg`` messages; a forwarding database belongs to a bridge or to a VXLAN device.
"""

import errno
import logging
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from knet.kernel import netlink_wire as wire
from knet.kernel.netlink import Netlink, NetlinkError
from knet.kernel.netlink_wire import NLM_F_CREATE, NLM_F_REPLACE, Request

log = logging.getLogger(__name__)

RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
NDA_DST, NDA_LLADDR, NDA_IFINDEX, NDA_MASTER = 1, 2, 8, 9
NTF_SELF, NTF_MASTER = 0x02, 0x04
STATES = {
    0x00: "none",
    0x01: "incomplete",
    0x02: "reachable",
    0x04: "stale",
    0x08: "delay",
    0x10: "probe",
    0x20: "failed",
    0x40: "noarp",
    0x80: "permanent",
}
_STATE_NUMBERS = {name: number for number, name in STATES.items()}
_RTN_UNICAST = 1
_REPLACE = NLM_F_CREATE | NLM_F_REPLACE
#: struct ndmsg: family, (pad), interface, state, flags, type
_NDMSG = struct.Struct("=BxxxiHBB")


@dataclass(frozen=True)
class Neighbour:
    """An entry of the ARP (or neighbour discovery) table."""

    address: str
    interface: str
    mac: str = ""
    """"" where it is not known: incomplete and failed entries"""
    state: str = "permanent"

    def __str__(self) -> str:
        return f"{self.address} dev {self.interface} lladdr {self.mac or '?'} {self.state}"


@dataclass(frozen=True)
class FdbEntry:
    """An entry of a forwarding database."""

    mac: str
    interface: str
    """the bridge port, or the VXLAN device"""
    destination: str = ""
    """VXLAN: the address of the remote VTEP in the underlay; "" on a bridge"""
    state: str = "permanent"

    def __str__(self) -> str:
        where = f" dst {self.destination}" if self.destination else ""
        return f"{self.mac} dev {self.interface}{where} {self.state}"


def set_neighbour(entry: Neighbour, index: int) -> Request:
    """Create a neighbour entry on the interface of that index, or put it in the place of another."""
    header = _NDMSG.pack(wire.family(entry.address), index, _STATE_NUMBERS[entry.state], 0, _RTN_UNICAST)
    body = header + wire.ip(NDA_DST, entry.address) + wire.mac(NDA_LLADDR, entry.mac)
    return Request(RTM_NEWNEIGH, _REPLACE, body, f"neigh replace {entry}")


def delete_neighbour(entry: Neighbour, index: int) -> Request:
    body = _NDMSG.pack(wire.family(entry.address), index, 0, 0, 0) + wire.ip(NDA_DST, entry.address)
    return Request(RTM_DELNEIGH, 0, body, f"neigh del {entry.address} dev {entry.interface}")


def list_neighbours(netlink: Netlink, interface: str = "", family: int = socket.AF_INET) -> list[Neighbour]:
    """The neighbour table of one interface, or of all (without the entries that need no resolution: NOARP)."""
    body = _NDMSG.pack(family, 0, 0, 0, 0)
    if interface:
        body += wire.u32(NDA_IFINDEX, netlink.index(interface))
    replies = netlink.dump(Request(RTM_GETNEIGH, 0, body, "neigh show"))
    found = [_parse_neighbour(reply.body, netlink) for reply in replies]
    return [entry for entry in found if entry.state != "noarp"]


def ensure_neighbour(netlink: Netlink, wanted: Neighbour) -> bool:
    """True where the entry was missing or differed."""
    before = {entry.address: entry for entry in list_neighbours(netlink, wanted.interface, wire.family(wanted.address))}
    return _ensure(netlink, "neigh", wanted, before.get(wanted.address), set_neighbour)


def remove_neighbour(netlink: Netlink, entry: Neighbour) -> bool:
    """False where it, or its interface, was not there."""
    return _remove(netlink, entry, delete_neighbour)


def set_fdb(entry: FdbEntry, index: int) -> Request:
    """Create a forwarding entry of a VXLAN device (with a destination) or of a bridge port (without), or replace it."""
    body = _fdb_body(entry, index, _STATE_NUMBERS[entry.state])
    return Request(RTM_NEWNEIGH, _REPLACE, body, f"fdb replace {entry}")


def delete_fdb(entry: FdbEntry, index: int) -> Request:
    return Request(RTM_DELNEIGH, 0, _fdb_body(entry, index, 0), f"fdb del {entry}")


def list_fdb(netlink: Netlink, interface: str = "", *, bridge: str = "") -> list[FdbEntry]:
    """The forwarding entries of a VXLAN device or a bridge port, of all ports of a ``bridge``, or of everything."""
    body = _NDMSG.pack(socket.AF_BRIDGE, 0, 0, 0, 0)
    if interface:
        body += wire.u32(NDA_IFINDEX, netlink.index(interface))
    if bridge:
        body += wire.u32(NDA_MASTER, netlink.index(bridge))
    return [_parse_fdb(reply.body, netlink) for reply in netlink.dump(Request(RTM_GETNEIGH, 0, body, "fdb show"))]


def ensure_fdb(netlink: Netlink, wanted: FdbEntry) -> bool:
    """True where the entry was missing or differed."""
    before = {entry.mac: entry for entry in list_fdb(netlink, wanted.interface)}
    return _ensure(netlink, "fdb", wanted, before.get(wanted.mac), set_fdb)


def remove_fdb(netlink: Netlink, entry: FdbEntry) -> bool:
    """False where it, or its interface, was not there."""
    return _remove(netlink, entry, delete_fdb)


_Entry = TypeVar("_Entry", Neighbour, FdbEntry)


def _ensure(
    netlink: Netlink, table: str, wanted: _Entry, before: _Entry | None, build: Callable[[_Entry, int], Request]
) -> bool:
    if before == wanted:
        return False
    netlink.send(build(wanted, netlink.index(wanted.interface)))
    if before is None:
        log.info("%s %s: added", table, wanted)
    else:
        log.warning("%s %s: replaces %s", table, wanted, before)
    return True


def _remove(netlink: Netlink, entry: _Entry, build: Callable[[_Entry, int], Request]) -> bool:
    try:
        netlink.send(build(entry, netlink.index(entry.interface)))
    except NetlinkError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise
        return False
    return True


def _fdb_body(entry: FdbEntry, index: int, state: int) -> bytes:
    flags = NTF_SELF if entry.destination else NTF_MASTER
    body = _NDMSG.pack(socket.AF_BRIDGE, index, state, flags, 0) + wire.mac(NDA_LLADDR, entry.mac)
    return body + (wire.ip(NDA_DST, entry.destination) if entry.destination else b"")


def _parse_neighbour(body: bytes, netlink: Netlink) -> Neighbour:
    _family, index, state, _flags, _type = _NDMSG.unpack_from(body)
    found = wire.attributes(body, _NDMSG.size)
    return Neighbour(
        wire.ip_text(found.get(NDA_DST)),
        netlink.name(index),
        wire.mac_text(found.get(NDA_LLADDR)),
        STATES.get(state, str(state)),
    )


def _parse_fdb(body: bytes, netlink: Netlink) -> FdbEntry:
    _family, index, state, _flags, _type = _NDMSG.unpack_from(body)
    found = wire.attributes(body, _NDMSG.size)
    return FdbEntry(
        wire.mac_text(found.get(NDA_LLADDR)),
        netlink.name(index),
        wire.ip_text(found.get(NDA_DST)),
        STATES.get(state, str(state)),
    )
