"""Addresses of interfaces (IPv4 and IPv6)."""

import errno
import ipaddress
import logging
import socket
import struct
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from knet.kernel import netlink_wire as wire
from knet.kernel.netlink import Netlink, NetlinkError
from knet.kernel.netlink_wire import CREATE, DUMP, Request
from knet.kernel.rtnl import ifaddrmsg, rtnl

log = logging.getLogger(__name__)

#: as ``ip`` calls them: "universe" is for routes
_SCOPES = {number: name for name, number in rtnl.rt_scope.items() if isinstance(number, int)} | {0: "global"}
_SCOPE_NUMBERS = {name: number for number, name in _SCOPES.items()}


#: linux/if_addr.h
_IFA_F_NODAD = 0x02
#: for ever valid, never preferred
_DEPRECATED = {"ifa_preferred": 0, "ifa_valid": 0xFFFFFFFF, "cstamp": 0, "tstamp": 0}


@dataclass(frozen=True)
class Address:
    interface: str
    address: str
    """with its prefix length: 10.244.1.1/24"""
    scope: str = "global"
    source: bool = field(default=True, compare=False)
    """whether connections from here may choose it; of IPv6's a single address (/128) would otherwise be their first
    choice (RFC 6724, rule 8), of IPv4's never is"""

    def __str__(self) -> str:
        return f"{self.address} dev {self.interface}"


def add(address: Address, index: int) -> Request:
    """Add an address to the interface of that index; an IPv4 subnet of more than two addresses gets its broadcast.

    An IPv6 address is used at once (``nodad``): whoever asks knows that nobody else has it.
    """
    network = ipaddress.ip_interface(address.address).network
    broadcast = str(network.broadcast_address) if network.version == 4 and network.prefixlen < 31 else None
    what = f"addr add {address}"
    flags = _IFA_F_NODAD if network.version == 6 else 0
    unwanted = None if address.source or network.version == 4 else _DEPRECATED
    attrs = ("IFA_BROADCAST", broadcast), ("IFA_CACHEINFO", unwanted)
    return _compose(rtnl.RTM_NEWADDR, what, address, index, *attrs, modifiers=CREATE, flags=flags)


def delete(address: Address, index: int) -> Request:
    return _compose(rtnl.RTM_DELADDR, f"addr del {address}", address, index)


def list_addresses(netlink: Netlink, interface: str = "") -> list[Address]:
    """The addresses of one interface, or of all."""
    index = netlink.index(interface) if interface else 0
    request = wire.compose(ifaddrmsg, rtnl.RTM_GETADDR, "addr show", modifiers=DUMP, index=index)
    return [_parse(message, netlink) for message in netlink.dump(request)]


class Brief(NamedTuple):
    """An address; ``link`` is the index of its interface."""

    link: int
    address: str
    """without its prefix length"""
    scope: str


def briefly(netlink: Netlink, version: int) -> list[Brief]:
    """All addresses of a version of IP: 5 µs for each, where `list_addresses` takes 150.  kube-ipvs0 has thousands."""
    af = socket.AF_INET if version == 4 else socket.AF_INET6
    request = wire.compose(ifaddrmsg, rtnl.RTM_GETADDR, "addr show", modifiers=DUMP, family=af)
    return [_brief(answer.data) for answer in netlink.dump(request._replace(kind=_Raw))]


class _Raw:
    """A message as it came."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def decode(self) -> None:
        """Nothing: who asked does it."""


#: after struct nlmsghdr (16 bytes) struct ifaddrmsg, then attributes; linux/if_addr.h
_IFADDRMSG, _ATTRIBUTE, _FIRST = struct.Struct("=16xBBBBI"), struct.Struct("=HH"), 24
_IFA_ADDRESS, _IFA_LOCAL = 1, 2


def _brief(data: bytes) -> Brief:
    af, _length, _flags, scope, index = _IFADDRMSG.unpack_from(data)
    found, start = {}, _FIRST
    while start + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, start)
        found[kind] = data[start + _ATTRIBUTE.size : start + size]
        start += (size + 3) & ~3
    address = socket.inet_ntop(af, found.get(_IFA_LOCAL) or found[_IFA_ADDRESS])
    return Brief(index, address, _SCOPES.get(scope, str(scope)))


def ensure(netlink: Netlink, wanted: Address, *, alone: bool = False) -> bool:
    """Give an interface an address; with ``alone`` take every other one of the same family and scope from it.

    True where something changed.
    """
    index = netlink.index(wanted.interface)
    present = list_addresses(netlink, wanted.interface)
    family = wire.family(wanted.address)
    stray = [
        found
        for found in present
        if alone and found != wanted and found.scope == wanted.scope and wire.family(found.address) == family
    ]
    for found in stray:
        netlink.send(delete(found, index))
        log.warning("addr %s: removed, because %s is to be the only one", found, wanted.address)
    if wanted in present:
        return bool(stray)
    netlink.send(add(wanted, index))
    log.info("addr %s: added", wanted)
    return True


def remove(netlink: Netlink, address: Address) -> bool:
    """Take an address away; False where it, or the interface, was not there."""
    try:
        netlink.send(delete(address, netlink.index(address.interface)))
    except NetlinkError as error:
        if error.errno not in (errno.EADDRNOTAVAIL, errno.ENODEV):
            raise
        return False
    return True


def _compose(
    number: int, what: str, address: Address, index: int, *attrs: tuple[str, Any], modifiers: int = 0, flags: int = 0
) -> Request:
    plain, _, length = address.address.partition("/")
    return wire.compose(
        ifaddrmsg,
        number,
        what,
        modifiers=modifiers,
        attrs=[("IFA_LOCAL", plain), ("IFA_ADDRESS", plain), *attrs],
        family=wire.family(plain),
        prefixlen=int(length),
        flags=flags,
        scope=_SCOPE_NUMBERS[address.scope],
        index=index,
    )


def _parse(message: Any, netlink: Netlink) -> Address:
    local, address = wire.values(message, "IFA_LOCAL", "IFA_ADDRESS")
    scope = message["scope"]
    return Address(
        netlink.name(message["index"]), f"{local or address}/{message['prefixlen']}", _SCOPES.get(scope, str(scope))
    )
