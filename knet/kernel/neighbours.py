"""Neighbour entries (which MAC address has this IP address) and forwarding entries (where does this MAC live).

Both are ``struct ndmsg`` messages; a forwarding database belongs to a bridge or to a VXLAN device.
"""

import errno
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from knet.kernel import netlink_wire as wire
from knet.kernel.netlink import Netlink, NetlinkError
from knet.kernel.netlink_wire import DUMP, REPLACE, Request
from knet.kernel.rtnl import ndmsg, rtnl

log = logging.getLogger(__name__)

_STATE_NAMES = {number: name for name, number in ndmsg.states.items()}


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
    return _compose(
        rtnl.RTM_NEWNEIGH,
        f"neigh replace {entry}",
        [("NDA_DST", entry.address), ("NDA_LLADDR", entry.mac)],
        modifiers=REPLACE,
        family=wire.family(entry.address),
        ifindex=index,
        state=ndmsg.states[entry.state],
        ndm_type=rtnl.rt_type["unicast"],
    )


def delete_neighbour(entry: Neighbour, index: int) -> Request:
    what = f"neigh del {entry.address} dev {entry.interface}"
    attrs = [("NDA_DST", entry.address)]
    return _compose(rtnl.RTM_DELNEIGH, what, attrs, family=wire.family(entry.address), ifindex=index)


def list_neighbours(netlink: Netlink, interface: str = "", family: int = socket.AF_INET) -> list[Neighbour]:
    """The neighbour table of one interface, or of all (without the entries that need no resolution: NOARP)."""
    attrs = [("NDA_IFINDEX", netlink.index(interface) if interface else None)]
    messages = netlink.dump(_compose(rtnl.RTM_GETNEIGH, "neigh show", attrs, modifiers=DUMP, family=family))
    found = [_parse_neighbour(message, netlink) for message in messages]
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
    what = f"fdb replace {entry}"
    return _compose_fdb(rtnl.RTM_NEWNEIGH, what, entry, index, modifiers=REPLACE, state=ndmsg.states[entry.state])


def delete_fdb(entry: FdbEntry, index: int) -> Request:
    return _compose_fdb(rtnl.RTM_DELNEIGH, f"fdb del {entry}", entry, index)


def list_fdb(netlink: Netlink, interface: str = "", *, bridge: str = "") -> list[FdbEntry]:
    """The forwarding entries of a VXLAN device or a bridge port, of all ports of a ``bridge``, or of everything."""
    attrs = [
        ("NDA_IFINDEX", netlink.index(interface) if interface else None),
        ("NDA_MASTER", netlink.index(bridge) if bridge else None),
    ]
    request = _compose(rtnl.RTM_GETNEIGH, "fdb show", attrs, modifiers=DUMP, family=socket.AF_BRIDGE)
    return [_parse_fdb(message, netlink) for message in netlink.dump(request)]


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


def _compose(number: int, what: str, attrs: list[tuple[str, Any]], **rest: int) -> Request:
    return wire.compose(ndmsg.ndmsg, number, what, attrs=attrs, **rest)


def _compose_fdb(number: int, what: str, entry: FdbEntry, index: int, **rest: int) -> Request:
    return _compose(
        number,
        what,
        [("NDA_LLADDR", entry.mac), ("NDA_DST", entry.destination or None)],
        family=socket.AF_BRIDGE,
        ifindex=index,
        flags=ndmsg.NTF_SELF if entry.destination else ndmsg.NTF_MASTER,
        **rest,
    )


def _parse_neighbour(message: Any, netlink: Netlink) -> Neighbour:
    address, mac = wire.values(message, "NDA_DST", "NDA_LLADDR")
    return Neighbour(address or "", netlink.name(message["ifindex"]), mac or "", _state(message))


def _parse_fdb(message: Any, netlink: Netlink) -> FdbEntry:
    mac, destination = wire.values(message, "NDA_LLADDR", "NDA_DST")
    return FdbEntry(mac or "", netlink.name(message["ifindex"]), destination or "", _state(message))


def _state(message: Any) -> str:
    number = message["state"]
    return _STATE_NAMES.get(number) or str(number)
