"""The desired state of one machine's Services, as values: what every renderer reads, whatever the mode.

Built anew from the caches for each sync; pure.  One entry per port of a Service, because that is what rules are
about; headless and ExternalName Services have no virtual address and do not appear.  A snapshot is of one address
family: a Service of both has an entry in each, with the addresses and endpoints of that family.

Upstream: pkg/proxy/serviceport.go, endpointslicecache.go, topology.go.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from knet.api.families import host_port
from knet.api.names import SERVICE_NAME_LABEL
from knet.api.objects import Endpoint as SliceEndpoint
from knet.api.objects import EndpointSlice, Service

#: a Service that carries it is some other proxy's (KEP-2447)
PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"


class ServicePortName(NamedTuple):
    """Names one port of one Service; printed as upstream's comments have it: ``default/web:http``."""

    namespace: str
    service: str
    port: str
    protocol: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service}:{self.port}" if self.port else f"{self.namespace}/{self.service}"


class Endpoint(NamedTuple):
    """One address that serves a port, with what KEP-1672 says about its pod's state."""

    ip: str
    port: int
    ready: bool
    serving: bool
    terminating: bool
    local: bool
    """it runs on this machine"""
    hinted: bool = False
    """the controller says in which zones clients should use it"""
    near: bool = False
    """… and this machine's zone is one of them"""
    placed: bool = True
    """on which machine it runs is known"""

    def __str__(self) -> str:
        return host_port(self.ip, self.port)


Endpoints = tuple[Endpoint, ...]


@dataclass(frozen=True)
class ServicePort:
    """One port of a Service: the addresses at which it is reached, and what is behind them.

    ``affinity_seconds`` 0 means no session affinity; ``protocol`` is TCP, UDP or SCTP.
    """

    name: ServicePortName
    protocol: str
    cluster_ip: str
    port: int
    node_port: int
    external_ips: tuple[str, ...]
    affinity_seconds: int
    internal_local: bool
    external_local: bool
    endpoints: Endpoints
    load_balancer_ips: tuple[str, ...] = ()
    """those that packets arrive with (ipMode VIP)"""
    source_ranges: tuple[str, ...] = ()
    """who may come by ``load_balancer_ips``, as CIDRs; empty: everybody"""
    health_check_port: int = 0
    """where load balancers ask if this machine has endpoints; 0: they need not"""

    @property
    def externally_accessible(self) -> bool:
        return bool(self.node_port or self.external_ips or self.load_balancer_ips)

    @property
    def firewalled(self) -> bool:
        return bool(self.load_balancer_ips and self.source_ranges)

    @property
    def uses_cluster_endpoints(self) -> bool:
        """Even with externalTrafficPolicy Local: what starts inside of the cluster is not subject to that policy."""
        return not self.internal_local or self.externally_accessible

    @property
    def uses_local_endpoints(self) -> bool:
        return self.internal_local or (self.external_local and self.externally_accessible)


class HealthCheck(NamedTuple):
    """What a load balancer that asks this machine about a Service is told."""

    port: int
    local_endpoints: int


@dataclass(frozen=True)
class Snapshot:
    """All service ports, in the order of their names, and the machine that they are meant for.

    ``cluster_cidr`` holds the pods' addresses: what comes from elsewhere is masqueraded on its way to a Service.
    ``family`` is 4 or 6; all addresses are of it.
    """

    ports: Mapping[ServicePortName, ServicePort]
    node_ip: str = ""
    cluster_cidr: str = ""
    family: int = 4
    #: by which snapshot this one has come from another, and by what: most readers have just seen that one
    _token: object = field(default_factory=object, init=False, repr=False, compare=False)
    _step: tuple[object, frozenset[ServicePortName]] | None = field(default=None, init=False, repr=False, compare=False)

    def replaced(self, changed: Mapping[ServicePortName, ServicePort | None]) -> "Snapshot":
        """With these ports as they are now, None for one that is gone; this one where nothing is different."""
        different = {name: port for name, port in changed.items() if self.ports.get(name) != port}
        if not different:
            return self
        ports = dict(self.ports)
        for name, port in different.items():
            if port is None:
                del ports[name]
            else:
                ports[name] = port
        if any(name not in self.ports for name in different):
            ports = {name: ports[name] for name in sorted(ports)}
        successor = replace(self, ports=ports)
        object.__setattr__(successor, "_step", (self._token, frozenset(different)))
        return successor

    def different(self, earlier: "Snapshot") -> Collection[ServicePortName]:
        """The names of the ports that are not what they were in an earlier snapshot, or of more than these."""
        if self is earlier:
            return ()
        if self._step is not None and self._step[0] is earlier._token:
            return self._step[1]
        names = {name for name, port in self.ports.items() if earlier.ports.get(name) is not port}
        return names | (earlier.ports.keys() - self.ports.keys())

    @property
    def health_checks(self) -> Mapping[tuple[str, str], HealthCheck]:
        """By namespace and name of the Service: how many of its ready pods are on this machine, whatever the port."""
        ready: dict[tuple[str, str], set[str]] = defaultdict(set)
        numbers = {}
        for port in self.ports.values():
            if port.health_check_port:
                service = port.name.namespace, port.name.service
                numbers[service] = port.health_check_port
                ready[service] |= {row.ip for row in port.endpoints if row.local and row.ready}
        return {service: HealthCheck(number, len(ready[service])) for service, number in numbers.items()}


@dataclass(frozen=True)
class UsableEndpoints:
    """Which endpoints traffic may be sent to.  Each list is sorted, and empty where its policy is not in use."""

    cluster: Endpoints
    """policy Cluster: any machine"""
    local: Endpoints
    """policy Local: this machine only"""
    anywhere: bool
    """whether some machine has a usable one: decides between REJECT (none at all) and DROP (just none here)"""

    @property
    def reachable(self) -> Endpoints:
        """Both lists together."""
        return tuple(sorted({*self.cluster, *self.local}))


def usable_endpoints(port: ServicePort) -> UsableEndpoints:
    """Ready endpoints; where there is none, those that still serve while they terminate (KEP-1669).

    Under policy Cluster the ready ones that are meant for this zone, if there are any, and if all ready ones say for
    which zones they are meant: with some that do not, the hints are not complete (KEP-2433).
    """
    cluster = _near(_ready_or_last_resort(port.endpoints)) if port.uses_cluster_endpoints else ()
    local: Endpoints = ()
    if port.uses_local_endpoints:
        local = _ready_or_last_resort(tuple(row for row in port.endpoints if row.local))
    return UsableEndpoints(cluster, local, bool(cluster or local or _ready_or_last_resort(port.endpoints)))


def _ready_or_last_resort(endpoints: Endpoints) -> Endpoints:
    ready = tuple(row for row in endpoints if row.ready)
    return ready or tuple(row for row in endpoints if row.serving and row.terminating)


def _near(endpoints: Endpoints) -> Endpoints:
    if not all(row.hinted and row.ready for row in endpoints):
        return endpoints
    return tuple(row for row in endpoints if row.near) or endpoints


def build(
    services: Iterable[Service],
    slices: Iterable[EndpointSlice],
    node_name: str,
    node_ip: str = "",
    cluster_cidr: str = "",
    family: int = 4,
    zone: str = "",
) -> Snapshot:
    """The snapshot for one machine, which stands in ``zone``; ``family`` 4 or 6 picks addresses and slices."""
    by_service: dict[tuple[str, str], list[EndpointSlice]] = defaultdict(list)
    for row in slices:
        if row.addressType == f"IPv{family}":
            by_service[row.namespace, row.metadata.labels.get(SERVICE_NAME_LABEL, "")].append(row)
    here = Place(node_name, zone)
    ports = {
        port.name: port
        for service in services
        for port in service_ports(service, by_service.get((service.namespace, service.name), ()), here, family)
    }
    return Snapshot({name: ports[name] for name in sorted(ports)}, node_ip, cluster_cidr, family)


class Place(NamedTuple):
    """Where a machine stands, by which endpoints are local or near."""

    node: str
    zone: str


def _is_ours(service: Service) -> bool:
    has_address = service.spec.clusterIP not in ("", "None") and service.spec.type != "ExternalName"
    return has_address and PROXY_NAME_LABEL not in service.metadata.labels


def service_ports(service: Service, slices: Iterable[EndpointSlice], here: Place, family: int) -> list[ServicePort]:
    """What one Service and its slices amount to; nothing where it has no address of the family, or another proxy."""
    spec = service.spec
    slices = list(slices)
    if not _is_ours(service):
        return []
    cluster_ip = next(iter(_of_family(family, spec.clusterIPs or (spec.clusterIP,))), "")
    if not cluster_ip:
        return []
    affinity = spec.sessionAffinityConfig.clientIP.timeoutSeconds if spec.sessionAffinity == "ClientIP" else 0
    external_ips = _of_family(family, spec.externalIPs)
    virtual = [row.ip for row in service.status.loadBalancer.ingress if row.ip and row.ipMode == "VIP"]
    load_balancer_ips = _of_family(family, virtual)
    source_ranges = _of_family(family, (text.strip() for text in spec.loadBalancerSourceRanges))
    external_local = spec.externalTrafficPolicy == "Local"
    health_check_port = spec.healthCheckNodePort if spec.type == "LoadBalancer" and external_local else 0
    found = []
    for port in spec.ports:
        name = ServicePortName(service.namespace, service.name, port.name, port.protocol)
        found.append(
            ServicePort(
                name=name,
                protocol=port.protocol,
                cluster_ip=cluster_ip,
                port=port.port,
                node_port=port.nodePort,
                external_ips=external_ips,
                affinity_seconds=affinity,
                internal_local=spec.internalTrafficPolicy == "Local",
                external_local=external_local,
                endpoints=_endpoints(slices, name, here),
                load_balancer_ips=load_balancer_ips,
                source_ranges=source_ranges,
                health_check_port=health_check_port,
            )
        )
    return found


def _of_family(family: int, addresses: Iterable[str]) -> tuple[str, ...]:
    """Those addresses, or CIDRs, that are of the family."""
    return tuple(text for text in addresses if text and (":" in text) == (family == 6))


def _endpoints(slices: Iterable[EndpointSlice], name: ServicePortName, here: Place) -> Endpoints:
    """The endpoints of a port, sorted; one that stands in two slices (it is being moved) counts once, its better self.

    A slice's port without a number means "all ports" and cannot be turned into rules: upstream passes over it, too.
    """
    found: dict[tuple[str, int], Endpoint] = {}
    for row in slices:
        for port in row.ports:
            if port.port is None or port.name != name.port or port.protocol != name.protocol:
                continue
            for entry in row.endpoints:
                for address in entry.addresses[:1]:
                    endpoint = _endpoint(entry, address, port.port, here)
                    known = found.get((address, port.port))
                    found[address, port.port] = endpoint if known is None else max(known, endpoint)
    return tuple(sorted(found.values()))


def _endpoint(entry: SliceEndpoint, address: str, port: int, here: Place) -> Endpoint:
    zones = [row.name for row in entry.hints.forZones] if entry.hints is not None else []
    return Endpoint(
        ip=address,
        port=port,
        ready=entry.conditions.ready is not False,
        serving=entry.conditions.serving is not False,
        terminating=entry.conditions.terminating is True,
        local=bool(here.node) and entry.nodeName == here.node,
        hinted=bool(zones),
        near=here.zone in zones,
        placed=bool(entry.nodeName),
    )
