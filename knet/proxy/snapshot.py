"""The desired state of one machine's Services, as values: what every renderer reads, whatever the mode.

Built anew from the caches for each sync; pure.  One entry per port of a Service, because that is what rules are
about; headless and ExternalName Services have no virtual address and do not appear.

Upstream: pkg/proxy/serviceport.go, endpointslicecache.go, topology.go.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

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
    zone: str

    def __str__(self) -> str:
        return f"{self.ip}:{self.port}"


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

    @property
    def externally_accessible(self) -> bool:
        return bool(self.node_port or self.external_ips)

    @property
    def uses_cluster_endpoints(self) -> bool:
        """Even with externalTrafficPolicy Local: what starts inside of the cluster is not subject to that policy."""
        return not self.internal_local or self.externally_accessible

    @property
    def uses_local_endpoints(self) -> bool:
        return self.internal_local or (self.external_local and self.externally_accessible)


@dataclass(frozen=True)
class Snapshot:
    """All service ports, in the order of their names, and the machine that they are meant for.

    ``cluster_cidr`` holds the pods' addresses: what comes from elsewhere is masqueraded on its way to a Service.
    """

    ports: Mapping[ServicePortName, ServicePort]
    node_ip: str = ""
    cluster_cidr: str = ""


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
    """Ready endpoints; where there is none, those that still serve while they terminate (KEP-1669)."""
    cluster = _ready_or_last_resort(port.endpoints) if port.uses_cluster_endpoints else ()
    local: Endpoints = ()
    if port.uses_local_endpoints:
        local = _ready_or_last_resort(tuple(row for row in port.endpoints if row.local))
    return UsableEndpoints(cluster, local, bool(cluster or local or _ready_or_last_resort(port.endpoints)))


def _ready_or_last_resort(endpoints: Endpoints) -> Endpoints:
    ready = tuple(row for row in endpoints if row.ready)
    return ready or tuple(row for row in endpoints if row.serving and row.terminating)


def build(
    services: Iterable[Service],
    slices: Iterable[EndpointSlice],
    node_name: str,
    node_ip: str = "",
    cluster_cidr: str = "",
) -> Snapshot:
    """The snapshot for one machine."""
    by_service: dict[tuple[str, str], list[EndpointSlice]] = defaultdict(list)
    for row in slices:
        if row.addressType == "IPv4":
            by_service[row.namespace, row.metadata.labels.get(SERVICE_NAME_LABEL, "")].append(row)
    ports = {
        port.name: port
        for service in services
        if _is_ours(service)
        for port in service_ports(service, by_service.get((service.namespace, service.name), ()), node_name)
    }
    return Snapshot({name: ports[name] for name in sorted(ports)}, node_ip, cluster_cidr)


def _is_ours(service: Service) -> bool:
    has_address = service.spec.clusterIP not in ("", "None") and service.spec.type != "ExternalName"
    return has_address and PROXY_NAME_LABEL not in service.metadata.labels


def service_ports(service: Service, slices: Iterable[EndpointSlice], node_name: str) -> list[ServicePort]:
    """What one Service and its slices amount to."""
    spec = service.spec
    slices = list(slices)
    affinity = spec.sessionAffinityConfig.clientIP.timeoutSeconds if spec.sessionAffinity == "ClientIP" else 0
    found = []
    for port in spec.ports:
        name = ServicePortName(service.namespace, service.name, port.name, port.protocol)
        found.append(
            ServicePort(
                name=name,
                protocol=port.protocol,
                cluster_ip=spec.clusterIP,
                port=port.port,
                node_port=port.nodePort,
                external_ips=tuple(address for address in spec.externalIPs if ":" not in address),
                affinity_seconds=affinity,
                internal_local=spec.internalTrafficPolicy == "Local",
                external_local=spec.externalTrafficPolicy == "Local",
                endpoints=_endpoints(slices, name, node_name),
            )
        )
    return found


def _endpoints(slices: Iterable[EndpointSlice], name: ServicePortName, node_name: str) -> Endpoints:
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
                    endpoint = _endpoint(entry, address, port.port, node_name)
                    known = found.get((address, port.port))
                    found[address, port.port] = endpoint if known is None else max(known, endpoint)
    return tuple(sorted(found.values()))


def _endpoint(entry: SliceEndpoint, address: str, port: int, node_name: str) -> Endpoint:
    return Endpoint(
        ip=address,
        port=port,
        ready=entry.conditions.ready is not False,
        serving=entry.conditions.serving is not False,
        terminating=entry.conditions.terminating is True,
        local=bool(node_name) and entry.nodeName == node_name,
        zone=entry.zone,
    )
