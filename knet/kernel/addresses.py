"""Addresses of interfaces (IPv4 and IPv6)."""

import errno
import ipaddress
import logging
import struct
from dataclasses import dataclass

from knet.kernel import netlink_wire as wire
from knet.kernel.netlink import Netlink, NetlinkError
from knet.kernel.netlink_wire import CREATE, Request

log = logging.getLogger(__name__)

RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST = 1, 2, 4
#: struct ifaddrmsg: family, prefix length, flags, scope, interface
_IFADDRMSG = struct.Struct("=BBBBI")

SCOPES = {0: "global", 200: "site", 253: "link", 254: "host"}
_SCOPE_NUMBERS = {name: number for number, name in SCOPES.items()}


@dataclass(frozen=True)
class Address:
    interface: str
    address: str
    """with its prefix length: 10.244.1.1/24"""
    scope: str = "global"

    def __str__(self) -> str:
        return f"{self.address} dev {self.interface}"


def add(address: Address, index: int) -> Request:
    """Add an address to the interface of that index; an IPv4 subnet of more than two addresses gets its broadcast."""
    body = _body(address, index)
    network = ipaddress.ip_interface(address.address).network
    if network.version == 4 and network.prefixlen < 31:
        body += wire.ip(IFA_BROADCAST, str(network.broadcast_address))
    return Request(RTM_NEWADDR, CREATE, body, f"addr add {address}")


def delete(address: Address, index: int) -> Request:
    return Request(RTM_DELADDR, 0, _body(address, index), f"addr del {address}")


def list_addresses(netlink: Netlink, interface: str = "") -> list[Address]:
    """The addresses of one interface, or of all."""
    index = netlink.index(interface) if interface else 0
    request = Request(RTM_GETADDR, 0, _IFADDRMSG.pack(0, 0, 0, 0, index), "addr show")
    return [_parse(reply.body, netlink) for reply in netlink.dump(request)]


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


def _body(address: Address, index: int) -> bytes:
    plain, _, length = address.address.partition("/")
    header = _IFADDRMSG.pack(wire.family(plain), int(length), 0, _SCOPE_NUMBERS[address.scope], index)
    return header + wire.ip(IFA_LOCAL, plain) + wire.ip(IFA_ADDRESS, plain)


def _parse(body: bytes, netlink: Netlink) -> Address:
    _family, length, _flags, scope, index = _IFADDRMSG.unpack_from(body)
    found = wire.attributes(body, _IFADDRMSG.size)
    plain = wire.ip_text(found.get(IFA_LOCAL) or found.get(IFA_ADDRESS))
    return Address(netlink.name(index), f"{plain}/{length}", SCOPES.get(scope, str(scope)))
