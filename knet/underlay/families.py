"""The address families of a network: IPv6 beside IPv4, or instead of it.  Pure.

A topology declares IPv4 addresses; their IPv6 counterparts are made from them, so that one can be read in the other.
The network's bytes are groups of the prefix fd00::/16 (a ULA, RFC 4193), decimal digits and all, and the host's number
is the interface identifier::

    172.18.1.3/24   → fd00:172:18:1::3/64
    172.18.17.7/20  → fd00:172:18:16::1:7/64
    172.18.0.5/30   → fd00:172:18:0:4::1/80       where the last byte is part of the network
"""

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

from knet.underlay.plan import Interface, MachineSpec, Plan


def counterpart(address: IPv4Interface) -> IPv6Interface:
    """The IPv6 address of an interface that has this one."""
    return _join(address.network, int(address.ip) - int(address.network.network_address))


def _join(network: IPv4Network, host: int) -> IPv6Interface:
    prefix = [0xFD00, *map(_digits, network.network_address.packed)]  # five groups, the last one 0 up to a /24
    identifier = [_digits(octet) for octet in host.to_bytes(3, "big")] if host < 1 << 24 else [0, 0, host]
    number = sum(group << 16 * place for place, group in enumerate(reversed(prefix + identifier)))
    return IPv6Interface((number, 80 if network.prefixlen > 24 else 64))


def _digits(octet: int) -> int:
    """A byte as a group that looks like it: 172 is 0x172."""
    return int(str(octet), 16)


def in_families(plan: Plan, families: Iterable[str]) -> Plan:
    """``plan`` with addresses, gateways and routes of these families ("IPv4", "IPv6"), and of these alone."""
    families = set(families)
    if families == {"IPv4"}:
        return plan
    machines = tuple(_with_ipv6(machine) for machine in plan.machines)
    if "IPv4" not in families:
        machines = tuple(_without_ipv4(machine) for machine in machines)
    return replace(plan, machines=machines)


def _with_ipv6(machine: MachineSpec) -> MachineSpec:
    interfaces = tuple(
        replace(interface, address6=counterpart(interface.address)) if interface.address else interface
        for interface in machine.interfaces
    )
    networks = [interface.address.network for interface in machine.interfaces if interface.address]

    def hop(text: str) -> str:
        network = next(network for network in networks if IPv4Address(text) in network)
        return str(counterpart(IPv4Interface(f"{text}/{network.prefixlen}")).ip)

    routes6 = tuple((_network(to), hop(via)) for to, via in machine.routes if isinstance(to, IPv4Network))
    gateway6 = hop(machine.gateway) if machine.gateway else ""
    return replace(machine, interfaces=interfaces, gateway6=gateway6, routes=(*machine.routes, *routes6))


def _network(network: IPv4Network) -> IPv6Network:
    return _join(network, 0).network


def _without_ipv4(machine: MachineSpec) -> MachineSpec:
    """Hardware addresses stay those that the IPv4 addresses gave."""
    interfaces = tuple(Interface(i.name, None, i.address6, i.mac) for i in machine.interfaces)
    routes = tuple((to, via) for to, via in machine.routes if not isinstance(to, IPv4Network))
    return replace(machine, interfaces=interfaces, gateway="", routes=routes)
