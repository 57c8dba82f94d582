"""Services of type LoadBalancer: which of them are ours, and the pool that their addresses come from."""

import ipaddress
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from knet.api.objects import Service

#: the class that is ours (spec.loadBalancerClass); a Service that asks for none is, too
CLASS = "knet.io/speaker"

#: BGP mode: the kernel's routing table in which a node has what it announces; BGP's port
ANNOUNCED_TABLE = 179

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_ours(service: Service) -> bool:
    """Whether it is to have addresses of the pool."""
    return service.spec.type == "LoadBalancer" and service.spec.loadBalancerClass in (None, CLASS)


def held(service: Service) -> tuple[str, ...]:
    """The addresses that its status says."""
    return tuple(row.ip for row in service.status.loadBalancer.ingress if row.ip)


@dataclass(frozen=True)
class AddressPool:
    """Ranges, first and last address of each, of both families if need be.

    Written as MetalLB's: ``172.18.0.200-172.18.0.250, 10.1.2.0/28``.
    """

    ranges: tuple[tuple[Address, Address], ...]

    @classmethod
    def parse(cls, text: str) -> "AddressPool":
        """The pool that a text describes, "" being an empty one; ValueError says what is wrong with it."""
        return cls(tuple(_range(part.strip()) for part in text.split(",") if part.strip()))

    def __contains__(self, address: str) -> bool:
        found = ipaddress.ip_address(address)
        return any(_between(first, found, last) for first, last in self.ranges)

    def __str__(self) -> str:
        return ",".join(f"{first}-{last}" for first, last in self.ranges)

    def overlaps(self, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
        """Whether it shares an address with a network."""
        ends = network.network_address, network.broadcast_address
        return any(
            first.version == network.version and int(first) <= int(ends[1]) and int(ends[0]) <= int(last)
            for first, last in self.ranges
        )

    def free(self, family: str, taken: Collection[str]) -> str:
        """Its lowest address of that family ("IPv4", "IPv6") that is not taken; LookupError if there is none."""
        for address in self._addresses(4 if family == "IPv4" else 6):
            if str(address) not in taken:
                return str(address)
        raise LookupError(f"no available IPs: the pool has no free {family} address")

    def _addresses(self, version: int) -> Iterator[Address]:
        for first, last in self.ranges:
            if first.version == version:
                for number in range(int(first), int(last) + 1):
                    yield type(first)(number)


def _between(first: Address, found: Address, last: Address) -> bool:
    return first.version == found.version and int(first) <= int(found) <= int(last)


def _range(text: str) -> tuple[Address, Address]:
    if "-" in text:
        first, last = (ipaddress.ip_address(part.strip()) for part in text.split("-", 1))
        if first.version != last.version or int(first) > int(last):
            raise ValueError(f"{text} is no range: it has to go from a lower to a higher address of one family")
        return first, last
    network = ipaddress.ip_network(text)
    return network.network_address, network.broadcast_address
