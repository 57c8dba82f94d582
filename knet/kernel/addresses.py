"""Addresses of interfaces (IPv4 and IPv6)."""

import errno
import ipaddress
import logging
from dataclasses import dataclass, field
from typing import Any

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
