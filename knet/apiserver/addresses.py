"""Cluster addresses and node ports: allocated when a Service is written, free again when it is gone.

A cluster has one range of addresses, or one of each family.  The Services themselves are the record of what is in
use; the allocations in memory are derived from them at the start and kept in step by the writes.  A given address or
port is checked against the same set.

KEP-3070: dynamic allocation starts above the lower band, so that addresses which people choose by hand (kube-dns has
the tenth) seldom collide.
"""

import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address

from knet.api.families import Network
from knet.api.resources import SERVICES
from knet.api.services import needs_health_check, needs_node_ports
from knet.apiserver import field, service_families
from knet.apiserver.kind import Kind
from knet.apiserver.status import StatusError, internal_error, invalid
from knet.store import Object

#: upstream's --service-node-port-range
NODE_PORTS = range(30000, 32768)
#: the band below, of at most 128 ports (upstream: min(max(16, size / 32), 128)), is kept for ports given by hand
NODE_PORT_BAND = 86
#: addresses that are given out of a range, however large it is (upstream's bitmap has as many bits)
MOST = 1 << 16


@dataclass(frozen=True)
class Claims:
    """What one Service occupies."""

    addresses: frozenset[str]
    """in their canonical form"""
    ports: frozenset[int]
    """whatever the protocol: TCP and UDP share a number only within one Service"""


class Allocations:
    """Who has which address and node port; ``networks`` by family, the primary one first."""

    def __init__(self, networks: Mapping[str, Network]) -> None:
        self.networks = networks
        self._addresses: set[str] = set()
        self._ports: set[int] = set()

    def load(self, services: Iterable[Object]) -> None:
        """Take over what existing Services occupy."""
        for value in services:
            claims = claims_of(value)
            self._addresses |= claims.addresses
            self._ports |= claims.ports

    @contextmanager
    def claim(self, kind: Kind, value: Object, old: Object | None, keep: bool = True) -> Iterator[None]:
        """Complete a Service with what it lacks; freed again if the write inside fails, or if not ``keep``.

        Raises StatusError 422 for a given address or port that cannot be had.  Other kinds pass through.
        """
        if kind.resource is not SERVICES:
            yield
            return
        families = tuple(self.networks)
        errors = service_families.settle(value["spec"], old["spec"] if old else None, families)
        if old and not errors:
            errors = service_families.unchanged(value["spec"], old["spec"])
        if errors:
            raise invalid("", "Service", value["metadata"]["name"], errors)
        before = claims_of(old) if old else Claims(frozenset(), frozenset())
        added = self._complete(kind, value, before)
        try:
            yield
        except Exception:
            self._free(added)
            raise
        if not keep:
            self._free(added)
        elif old is not None:
            after = claims_of(value)
            self._free(Claims(before.addresses - after.addresses, before.ports - after.ports))

    def release(self, kind: Kind, value: Object) -> None:
        """A Service is gone."""
        if kind.resource is SERVICES:
            self._free(claims_of(value))

    def _free(self, claims: Claims) -> None:
        self._addresses -= claims.addresses
        self._ports -= claims.ports

    def _complete(self, kind: Kind, value: Object, before: Claims) -> Claims:
        spec = value["spec"]
        addresses: set[str] = set()
        ports: set[int] = set()
        errors: field.Errors = []
        try:
            if spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
                self._complete_addresses(spec, before, addresses, errors)
            if spec.get("type") in ("NodePort", "LoadBalancer"):
                self._complete_ports(spec, before, ports, errors)
            if needs_health_check(spec):
                self._complete_health_port(spec, before, ports)
            if errors:
                raise invalid("", "Service", value["metadata"]["name"], errors)
        except StatusError:
            self._free(Claims(frozenset(addresses), frozenset(ports)))
            raise
        return Claims(frozenset(addresses), frozenset(ports))

    def _complete_addresses(self, spec: Object, before: Claims, taken: set[str], errors: field.Errors) -> None:
        """An address of each of the Service's families."""
        given = spec["clusterIPs"] = list(spec.get("clusterIPs") or ())
        for index, family in enumerate(spec["ipFamilies"]):
            if index == len(given):
                given.append(self._next_address(self.networks[family], taken))
            elif canonical(given[index]) not in before.addresses:
                self._take_address(given[index], self.networks[family], given, taken, errors)
        spec["clusterIP"] = given[0]

    def _complete_ports(self, spec: Object, before: Claims, taken: set[int], errors: field.Errors) -> None:
        """Ports of one number (TCP and UDP of a DNS, say) have one node port, unless they say otherwise."""
        given = {port["port"]: port["nodePort"] for port in reversed(spec.get("ports", ())) if port.get("nodePort")}
        for index, port in enumerate(spec.get("ports", ())):
            if not port.get("nodePort") and needs_node_ports(spec):
                port["nodePort"] = given.get(port["port"]) or self._next_port(taken, "failed to allocate a nodePort")
                given[port["port"]] = port["nodePort"]
            number = port.get("nodePort", 0)
            if number and number not in before.ports and number not in taken and (why := self._take_port(number)):
                errors.append(field.invalid(f"spec.ports[{index}].nodePort", number, why))
            elif number and number not in before.ports:
                taken.add(number)

    def _complete_health_port(self, spec: Object, before: Claims, taken: set[int]) -> None:
        number = spec.get("healthCheckNodePort", 0)
        if not number:
            spec["healthCheckNodePort"] = self._next_port(taken, "failed to allocate a HealthCheck NodePort 0")
        elif number not in before.ports:
            if why := self._take_port(number):
                raise internal_error(f"failed to allocate requested HealthCheck NodePort {number}: {why}")
            taken.add(number)

    def _next_address(self, network: Network, taken: set[str]) -> str:
        first, last = int(network.network_address) + 1, int(network.broadcast_address)
        last -= network.version == 4  # IPv6 has no broadcast
        band = min(max(16, network.num_addresses // 16), 256)
        for start, stop in ((first + band, last + 1), (first, min(first + band, last + 1))):
            size = min(stop - start, MOST)
            offset = random.randrange(size) if size > 0 else 0
            for step in range(size):
                address = str(network[start + (offset + step) % size - first + 1])
                if address not in self._addresses:
                    self._addresses.add(address)
                    taken.add(address)
                    return address
        raise internal_error("failed to allocate a serviceIP: range is full")

    def _take_address(
        self, text: str, network: Network, given: list[str], taken: set[str], errors: field.Errors
    ) -> None:
        address = ip_address(text)
        why = ""
        unusable = (network.network_address, *([network.broadcast_address] if network.version == 4 else ()))
        if address not in network or address in unusable:
            why = f"the provided IP ({text}) is not in the valid range. The range of valid IPs is {network}"
        elif str(address) in self._addresses:
            why = "provided IP is already allocated"
        if why:
            errors.append(field.invalid("spec.clusterIPs", given, f"failed to allocate IP {text}: {why}"))
            return
        self._addresses.add(str(address))
        taken.add(str(address))

    def _next_port(self, taken: set[int], failed: str) -> int:
        upper, lower = NODE_PORTS[NODE_PORT_BAND:], NODE_PORTS[:NODE_PORT_BAND]
        for band in (upper, lower):
            start = random.randrange(len(band))
            for step in range(len(band)):
                number = band[(start + step) % len(band)]
                if number not in self._ports:
                    self._ports.add(number)
                    taken.add(number)
                    return number
        raise internal_error(f"{failed}: range is full")

    def _take_port(self, number: int) -> str:
        """Claim a port that was given; why it cannot be had, else ""."""
        if number not in NODE_PORTS:
            valid = f"{NODE_PORTS[0]}-{NODE_PORTS[-1]}"
            return f"provided port is not in the valid range. The range of valid ports is {valid}"
        if number in self._ports:
            return "provided port is already allocated"
        self._ports.add(number)
        return ""


def canonical(address: str) -> str:
    """An address as it is written by programs; IPv4 has one form only."""
    return str(ip_address(address)) if ":" in address else address


def claims_of(value: Object) -> Claims:
    """What a stored Service occupies."""
    spec = value.get("spec", {})
    return Claims(
        frozenset(canonical(address) for address in spec.get("clusterIPs", ()) if address != "None"),
        frozenset(
            number
            for number in (
                spec.get("healthCheckNodePort"),
                *(port.get("nodePort") for port in spec.get("ports", ())),
            )
            if number
        ),
    )
