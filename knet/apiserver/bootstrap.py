"""What a cluster has from the start.

Its namespaces, the system's priority classes, and the Service through which pods reach the API server.
"""

from collections.abc import Sequence
from typing import Any

from knet.api.families import of_family
from knet.api.names import SERVICE_NAME_LABEL, SYSTEM_NAMESPACE
from knet.api.resources import ENDPOINTS, ENDPOINTSLICES, NAMESPACES, PRIORITYCLASSES, SERVICES, Resource
from knet.apiserver import creating, updating
from knet.apiserver.context import Context
from knet.apiserver.options import WriteOptions
from knet.apiserver.routes import Target
from knet.store import Object

SYSTEM_NAMESPACES = ("default", SYSTEM_NAMESPACE, "kube-public", "kube-node-lease")
#: scheduling.SystemPriorityClasses
SYSTEM_PRIORITIES = (
    (
        "system-cluster-critical",
        2000000000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
    (
        "system-node-critical",
        2000001000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
)
_LABELS = {"component": "apiserver", "provider": "kubernetes"}


async def bootstrap(context: Context, addresses: Sequence[str], port: int) -> None:
    """Create what is missing, and let ``default/kubernetes`` point to this server, by its address of the cluster's
    primary family: the Service has one family, as upstream's."""
    for name in SYSTEM_NAMESPACES:
        await _ensure(context, NAMESPACES, "", {"metadata": {"name": name}})
    for name, value, description in SYSTEM_PRIORITIES:
        metadata = {"name": name}
        await _ensure(context, PRIORITYCLASSES, "", {"metadata": metadata, "value": value, "description": description})
    family, network = next(iter(context.allocations.networks.items()))
    address = of_family(addresses, family)
    service = {
        "metadata": {"name": "kubernetes", "labels": _LABELS},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": str(network[1]),
            "ports": [{"name": "https", "port": 443, "targetPort": port, "protocol": "TCP"}],
        },
    }
    ports = [{"name": "https", "port": port, "protocol": "TCP"}]
    endpoints: Object = {
        "metadata": {"name": "kubernetes", "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": [{"ip": address}], "ports": ports}],
    }
    endpoint_slice: Object = {
        "metadata": {"name": "kubernetes", "labels": {SERVICE_NAME_LABEL: "kubernetes"}},
        "addressType": family,
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": ports,
    }
    await _ensure(context, SERVICES, "default", service)
    await _ensure(context, ENDPOINTS, "default", endpoints, "subsets")
    await _ensure(context, ENDPOINTSLICES, "default", endpoint_slice, "endpoints", "ports")


async def _ensure(context: Context, resource: Resource, namespace: str, value: Object, *keep_current: str) -> None:
    """Create an object, or bring the named parts of an existing one up to date."""
    target = Target(context.kinds[resource], namespace, value["metadata"]["name"])
    if context.store.get(target.kind.key(namespace, target.name)) is None:
        await creating.create_object(context, target, value, WriteOptions())
    elif keep_current:
        current: dict[str, Any] = {key: value[key] for key in keep_current}
        await updating.modify(context, target, lambda old: old | current, WriteOptions())
