"""One read of a cluster: its objects, the choices that it was brought up with, and the machines' network.  A value.

Whoever predicts, explains or compares starts from a `World`; what the components make of it (rules, routes, chains) is
in `knet.inspect.desired`.  A world in which an object is not there yet, or not any more, is another value::

    after = replace(world, services={**world.services, key_of(service): service})
"""

import asyncio
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, TypeVar, cast

import msgspec

from knet.api.families import IPV4, family_of
from knet.api.ingress import Ingress
from knet.api.names import CLUSTER_CIDR, CLUSTER_DNS, SERVICE_CIDR, SERVICE_NAME_LABEL
from knet.api.networking import NetworkPolicy
from knet.api.objects import EndpointSlice, K, Namespace, Node, Pod, Secret, Service
from knet.client import Client
from knet.client.controller import Key, key_of
from knet.cni.bridge import veth_name
from knet.policy.population import Endpoint, NarrowPod, endpoint
from knet.underlay.state import LinkState
from knet.underlay.view import NodeState

T = TypeVar("T")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The cluster's choices that decide about packets; the names and meanings of `knet up`."""

    cni: str = "vxlan"
    proxy: str = "iptables"
    ipvs_scheduler: str = "rr"
    policy: str = "nftables"
    lb_mode: str = "layer2"
    mtu: int = 0
    """of pods; 0: what the links have room for"""
    pod_ranges: dict[str, str] = msgspec.field(default_factory=lambda: {IPV4: CLUSTER_CIDR})
    """by address family, the primary one first"""
    service_ranges: dict[str, str] = msgspec.field(default_factory=lambda: {IPV4: SERVICE_CIDR})
    dns_ip: str = CLUSTER_DNS
    load_balancers: str = ""
    """the pool of their addresses, as `knet.api.load_balancers.AddressPool` reads it"""

    @property
    def families(self) -> tuple[str, ...]:
        return tuple(self.pod_ranges)


@dataclass(frozen=True)
class Topology:
    """Machines, switches and what is between them, as they are now."""

    nodes: tuple[NodeState, ...] = ()
    """machines, then switches"""
    links: tuple[LinkState, ...] = ()
    partitions: tuple[tuple[tuple[str, ...], ...], ...] = ()
    """groups that do not hear each other"""

    @cached_property
    def by_name(self) -> Mapping[str, NodeState]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def machines(self) -> Mapping[str, NodeState]:
        return {node.name: node for node in self.nodes if not node.is_switch}

    @cached_property
    def link_at(self) -> Mapping[str, LinkState]:
        """The link that an interface of a machine, or a port of a switch, is an end of."""
        return {end.interface: link for link in self.links for end in link.ends}


class Owner(NamedTuple):
    """Whose an address is: ``kind`` is pod, service, node or machine (one that is no Node)."""

    kind: str
    name: str
    namespace: str = ""

    def __str__(self) -> str:
        """``pod default/web-0``, ``node n1``"""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    @property
    def short(self) -> str:
        """``default/web-0``, ``svc/default/web``, ``n1``"""
        return "/".join(filter(None, ("svc" if self.kind == "service" else "", self.namespace, self.name)))


@dataclass(frozen=True, eq=False)
class World:
    """Objects by name; each is as wide as the components read it."""

    settings: Settings
    topology: Topology
    nodes: Mapping[str, Node] = field(default_factory=dict)
    pods: Mapping[Key, Pod] = field(default_factory=dict)
    services: Mapping[Key, Service] = field(default_factory=dict)
    slices: Mapping[Key, EndpointSlice] = field(default_factory=dict)
    policies: Mapping[Key, NetworkPolicy] = field(default_factory=dict)
    namespaces: Mapping[str, Namespace] = field(default_factory=dict)
    ingresses: Mapping[Key, Ingress] = field(default_factory=dict)
    secrets: Mapping[Key, Secret] = field(default_factory=dict)
    """those with certificates"""
    _memory: dict[Hashable, object] = field(default_factory=dict, init=False, repr=False)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What ``make`` returned when it was first called for this key: what follows is worked out once."""
        if key not in self._memory:
            self._memory[key] = make()
        return cast(T, self._memory[key])

    @cached_property
    def endpoints(self) -> Mapping[Key, Endpoint]:
        """Pods with addresses of their own, as policies see them; ``local`` is not told."""
        found = {}
        for key, pod in self.pods.items():
            if row := endpoint(msgspec.convert(pod, NarrowPod, from_attributes=True), ""):
                found[key] = row
        return found

    @cached_property
    def pod_at(self) -> Mapping[str, Pod]:
        """Pods by each of their addresses; who is leaving only where nobody else has it."""
        rows = sorted(self.endpoints.items(), key=lambda row: not self.pods[row[0]].deleting)
        return {address: self.pods[key] for key, row in rows for address in row.addresses}

    @cached_property
    def pod_behind(self) -> Mapping[tuple[str, str], Pod]:
        """Pods by their machine and the interface there that leads to them."""
        pods = self.pod_at.values()
        return {(pod.spec.nodeName, veth_name(f"{pod.namespace}/{pod.name}")): pod for pod in pods}

    @cached_property
    def slices_of(self) -> Mapping[Key, tuple[EndpointSlice, ...]]:
        """EndpointSlices by their Service."""
        found: dict[Key, list[EndpointSlice]] = {}
        for row in self.slices.values():
            found.setdefault(Key(row.namespace, row.metadata.labels.get(SERVICE_NAME_LABEL, "")), []).append(row)
        return {key: tuple(rows) for key, rows in found.items()}

    @cached_property
    def owners(self) -> Mapping[str, Owner]:
        """Addresses of pods, Services, Nodes and other machines."""
        found = {}
        for machine in self.topology.machines.values():
            kind = "node" if machine.name in self.nodes else "machine"
            for interface in machine.interfaces:
                for address in interface.addresses:
                    found[address.partition("/")[0]] = Owner(kind, machine.name)
        found |= owners_of(self.nodes.values(), self.services.values())
        found |= {address: Owner("pod", pod.name, pod.namespace) for address, pod in self.pod_at.items()}
        return found

    def translations(self, address: str, port: int) -> frozenset[tuple[str, int]]:
        """To which addresses and ports a connection to these may be sent on, with themselves among them."""
        owner = self.owners.get(address, Owner("", ""))
        found = {(address, port)}
        for key, service in self.services.items():
            by_node_port = owner.kind == "node" and port in (row.nodePort for row in service.spec.ports)
            if by_node_port or owner == Owner("service", key.name, key.namespace):
                found |= {
                    (endpoint, row.port or 0)
                    for part in self.slices_of.get(key, ())
                    if part.addressType == family_of(address)
                    for row in part.ports
                    for member in part.endpoints
                    for endpoint in member.addresses
                }
        return frozenset(found)


def owners_of(nodes: Iterable[Node], services: Iterable[Service]) -> dict[str, Owner]:
    """The addresses that these have."""
    found: dict[str, Owner] = {}
    for node in nodes:
        owner = Owner("node", node.name)
        found |= {row.address: owner for row in node.status.addresses if row.type != "Hostname"}
    for service in services:
        found |= dict.fromkeys(addresses_of(service), Owner("service", service.name, service.namespace))
    return found


def addresses_of(service: Service) -> tuple[str, ...]:
    """The virtual addresses of a Service, each once."""
    spec = service.spec
    balanced = (row.ip for row in service.status.loadBalancer.ingress if row.ip)
    found = (*spec.clusterIPs, spec.clusterIP, *spec.externalIPs, *balanced)
    return tuple(dict.fromkeys(address for address in found if address not in ("", "None")))


async def read(client: Client, settings: Settings, topology: Topology) -> World:
    """The world as the API server shows it now; ApiError, Unavailable."""

    async def every(kind: type[K]) -> tuple[K, ...]:
        return (await client.list(kind)).items

    nodes, pods, services, slices, policies, namespaces = await asyncio.gather(
        every(Node), every(Pod), every(Service), every(EndpointSlice), every(NetworkPolicy), every(Namespace)
    )
    ingresses, secrets = await asyncio.gather(
        every(Ingress), client.list(Secret, field_selector="type=kubernetes.io/tls")
    )
    return World(
        settings=settings,
        topology=topology,
        nodes={row.name: row for row in nodes},
        pods=by_key(pods),
        services=by_key(services),
        slices=by_key(slices),
        policies=by_key(policies),
        namespaces={row.name: row for row in namespaces},
        ingresses=by_key(ingresses),
        secrets=by_key(secrets.items),
    )


def by_key(rows: Iterable[K]) -> dict[Key, K]:
    return {key_of(row): row for row in rows}
