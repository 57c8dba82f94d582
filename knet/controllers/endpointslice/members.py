"""Which pods are behind a Service, at which ports, and in what condition.

https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/
"""

from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import NamedTuple

from knet.api.names import ZONE_LABEL
from knet.api.objects import (
    Endpoint,
    EndpointConditions,
    EndpointHints,
    EndpointPort,
    ForZone,
    Node,
    ObjectReference,
    Pod,
    Service,
    ServicePort,
)

Ports = tuple[EndpointPort, ...]


class Member(NamedTuple):
    """A pod behind a Service: slices hold endpoints of equal ports and address type."""

    address_type: str
    ports: Ports
    endpoint: Endpoint


def members(service: Service, pods: Iterable[Pod], node: Callable[[str], Node | None]) -> list[Member]:
    """The endpoints of a Service. ``pods``: those that its selector matches; ``node``: finds a Node by name.

    A pod whose Node is unknown is left out (nobody could reach it), unless unready ones are published too.
    """
    found = []
    for pod in pods:
        if not has_address(pod):
            continue
        home = node(pod.spec.nodeName)
        if home is None and not service.spec.publishNotReadyAddresses:
            continue
        ports = pod_ports(service, pod)
        zone = home.metadata.labels.get(ZONE_LABEL, "") if home is not None else ""
        for family in service.spec.ipFamilies or ("IPv4",):
            addresses = tuple(ip for ip in pod_addresses(pod) if f"IPv{ip_address(ip).version}" == family)
            if addresses:
                found.append(Member(family, ports, _endpoint(service, pod, addresses[:1], zone)))
    return found


def has_address(pod: Pod) -> bool:
    """Whether it can be an endpoint: it has an address and has not finished; one that terminates still may serve."""
    return bool(pod.status.podIP) and not pod.finished


def pod_addresses(pod: Pod) -> tuple[str, ...]:
    return tuple(row.ip for row in pod.status.podIPs) or (pod.status.podIP,)


def pod_ports(service: Service, pod: Pod) -> Ports:
    """The pod's port for each port of the Service; a name that the pod does not have gives none.

    Two pods may give the same name to different numbers (a rollout that moves the port), hence per pod.
    """
    found = []
    for port in service.spec.ports:
        number = target_port(port, pod)
        if number is not None:
            found.append(
                EndpointPort(name=port.name, port=number, protocol=port.protocol, appProtocol=port.appProtocol)
            )
    return tuple(found)


def target_port(port: ServicePort, pod: Pod) -> int | None:
    """targetPort as a number, looked up among the container ports where it is a name (podutil.FindPort)."""
    if isinstance(port.targetPort, int):
        return port.targetPort or port.port
    sidecars = [row for row in pod.spec.initContainers if row.restartPolicy == "Always"]
    for container in (*pod.spec.containers, *sidecars):
        for row in container.ports:
            if row.name == port.targetPort and row.protocol == port.protocol:
                return row.containerPort
    return None


def hostname(service: Service, pod: Pod) -> str:
    """The pod's own DNS name below the Service's, given when its subdomain is the Service."""
    return pod.spec.hostname if pod.spec.hostname and pod.spec.subdomain == service.name else ""


def pod_reference(pod: Pod) -> ObjectReference:
    return ObjectReference(kind="Pod", namespace=pod.namespace, name=pod.name, uid=pod.uid)


def _hints(service: Service, zone: str) -> EndpointHints | None:
    """Whose clients should prefer an endpoint in ``zone`` (KEP-4444)."""
    if service.spec.trafficDistribution != "PreferClose" or not zone:
        return None
    return EndpointHints(forZones=(ForZone(name=zone),))


def _endpoint(service: Service, pod: Pod, addresses: tuple[str, ...], zone: str) -> Endpoint:
    serving = pod.ready
    ready = service.spec.publishNotReadyAddresses or (serving and not pod.deleting)
    return Endpoint(
        addresses=addresses,
        conditions=EndpointConditions(
            ready=ready,
            serving=serving,
            terminating=pod.deleting,
        ),
        hostname=hostname(service, pod),
        nodeName=pod.spec.nodeName,
        zone=zone,
        hints=_hints(service, zone) if ready else None,
        targetRef=pod_reference(pod),
    )
