"""Services, Endpoints, Secrets, ConfigMaps, Namespaces and Nodes (pkg/apis/core/v1/defaults.go); EndpointSlices."""

import base64

from knet.api.names import NAMESPACE_NAME_LABEL
from knet.api.services import externally_accessible
from knet.store import Object

#: three hours
_AFFINITY_SECONDS = 10800


def default_service(value: Object) -> None:
    """A Service; its address and node ports are allocated later (`knet.apiserver.addresses`)."""
    spec = value.setdefault("spec", {})
    kind = spec.setdefault("type", "ClusterIP")
    affinity = spec.setdefault("sessionAffinity", "None")
    if affinity == "None":
        spec.pop("sessionAffinityConfig", None)
    elif affinity == "ClientIP":
        config = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        config.setdefault("timeoutSeconds", _AFFINITY_SECONDS)
    for port in spec.get("ports", ()):
        port.setdefault("protocol", "TCP")
        if not port.get("targetPort"):
            port["targetPort"] = port.get("port", 0)
    if externally_accessible(spec):
        spec["externalTrafficPolicy"] = spec.get("externalTrafficPolicy") or "Cluster"
    for row in value.get("status", {}).get("loadBalancer", {}).get("ingress") or ():
        if kind == "LoadBalancer" and row.get("ip"):
            row.setdefault("ipMode", "VIP")
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    if kind != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")


def default_secret(value: Object) -> None:
    """A Secret: ``stringData`` is written into ``data`` and never read back."""
    value["type"] = value.get("type") or "Opaque"
    text = value.pop("stringData", None)
    if text:
        data = value.setdefault("data", {})
        for key, plain in text.items():
            data[key] = base64.b64encode(plain.encode()).decode()


def default_namespace(value: Object) -> None:
    """A Namespace carries its name as a label, so that selectors can name it."""
    metadata = value["metadata"]
    if metadata.get("name"):
        metadata["labels"] = {**metadata.get("labels", {}), NAMESPACE_NAME_LABEL: metadata["name"]}


def default_endpoints(value: Object) -> None:
    """Endpoints: TCP."""
    for subset in value.get("subsets", ()):
        for port in subset.get("ports", ()):
            port.setdefault("protocol", "TCP")


def default_endpoint_slice(value: Object) -> None:
    """EndpointSlices: TCP, unnamed ports."""
    for port in value.get("ports", ()):
        port.setdefault("protocol", "TCP")
        port.setdefault("name", "")


def default_node(value: Object) -> None:
    """A Node can give to pods all it has, unless it says otherwise."""
    value.setdefault("spec", {})
    status = value.get("status", {})
    if status.get("capacity"):
        status.setdefault("allocatable", dict(status["capacity"]))
