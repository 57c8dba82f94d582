"""Services and EndpointSlices for tests, with one address plan: pods 10.244.N.x and fd00:10:244:N::x on node nN,
Services 10.96.0.x and fd00:10:96::x."""

import re

from knet.api.names import SERVICE_NAME_LABEL
from knet.api.objects import (
    ClientIPConfig,
    Endpoint,
    EndpointConditions,
    EndpointHints,
    EndpointPort,
    EndpointSlice,
    ForZone,
    LoadBalancerIngress,
    LoadBalancerStatus,
    Meta,
    Service,
    ServicePort,
    ServiceSpec,
    ServiceStatus,
    SessionAffinityConfig,
)

HTTP = ServicePort(name="http", port=80, targetPort=8080)


def service(
    name, ip="10.96.0.80", ports=(HTTP,), namespace="default", labels=None, sticky=0, more_ips=(), balanced=(), **spec
):
    """A ClusterIP Service; ``ip`` "None" makes it headless, ``sticky`` seconds of ClientIP affinity.

    ``balanced``: the addresses, or rows of status.loadBalancer.ingress, that make it a LoadBalancer.
    """
    if balanced:
        spec["type"] = "LoadBalancer"
    ingress = tuple(LoadBalancerIngress(ip=row) if isinstance(row, str) else row for row in balanced)
    if sticky:
        spec["sessionAffinity"] = "ClientIP"
        spec["sessionAffinityConfig"] = SessionAffinityConfig(clientIP=ClientIPConfig(timeoutSeconds=sticky))
    return Service(
        metadata=Meta(name=name, namespace=namespace, labels=labels or {}),
        spec=ServiceSpec(clusterIP=ip, clusterIPs=(ip, *more_ips) if ip else (), ports=tuple(ports), **spec),
        status=ServiceStatus(loadBalancer=LoadBalancerStatus(ingress=ingress)),
    )


def endpoint(address, ready=True, serving=None, terminating=False, hostname="", zones=()):
    """An endpoint on the node that its address belongs to; ``zones`` are those it is hinted for."""
    conditions = EndpointConditions(ready=ready, serving=serving, terminating=terminating)
    planned = re.match(r"10\.244\.(\d+)\.|fd00:10:244:(\d+):", address)
    node = f"n{planned[1] or planned[2]}" if planned else ""
    hints = EndpointHints(forZones=tuple(ForZone(name=zone) for zone in zones)) if zones else None
    return Endpoint(addresses=(address,), conditions=conditions, nodeName=node, hostname=hostname, hints=hints)


def endpoint_slice(name, *endpoints, ports=(("http", 8080, "TCP"),), namespace="default", suffix="a", family="IPv4"):
    """A slice of the Service ``name``; endpoints are made by `endpoint`, or plain addresses."""
    return EndpointSlice(
        metadata=Meta(name=f"{name}-{suffix}", namespace=namespace, labels={SERVICE_NAME_LABEL: name}),
        addressType=family,
        endpoints=tuple(endpoint(row) if isinstance(row, str) else row for row in endpoints),
        ports=tuple(EndpointPort(name=label, port=port, protocol=protocol) for label, port, protocol in ports),
    )
