"""Who may hold an address, in which order: the same on every machine, so that they need not agree about it."""

import hashlib
from collections.abc import Iterable, Mapping

from knet.api.names import SERVICE_NAME_LABEL
from knet.api.objects import EndpointSlice, Node, Service

#: a Node with it balances nothing
EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"


def ranking(address: str, nodes: Iterable[str]) -> list[str]:
    """The nodes, best first: by a hash of both, so that addresses spread over nodes (rendezvous hashing)."""
    return sorted(nodes, key=lambda node: hashlib.sha256(f"{node}#{address}".encode()).digest())


def candidates(service: Service, slices: Iterable[EndpointSlice], nodes: Iterable[Node]) -> list[str]:
    """The nodes that may hold a Service's addresses: all, or with externalTrafficPolicy Local those with endpoints."""
    names = [node.name for node in nodes if EXCLUDED not in node.metadata.labels and not node.deleting]
    if service.spec.externalTrafficPolicy != "Local":
        return names
    local = {
        endpoint.nodeName
        for row in slices
        if (row.namespace, row.metadata.labels.get(SERVICE_NAME_LABEL)) == (service.namespace, service.name)
        for endpoint in row.endpoints
        if endpoint.conditions.ready is not False
    }
    return [name for name in names if name in local]


def places(addresses: Mapping[str, Iterable[str]], node: str) -> dict[str, int]:
    """The addresses that a node may hold, with its place in the ranking of each: 0 is the first.

    ``addresses`` have the names of their candidates.
    """
    ranked = {address: ranking(address, names) for address, names in addresses.items()}
    return {address: names.index(node) for address, names in ranked.items() if node in names}
