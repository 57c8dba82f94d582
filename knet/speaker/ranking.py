"""Who may announce an address, in which order: the same on every machine, so that they need not agree about it."""

import hashlib
from collections.abc import Iterable, Mapping, Set

from knet.api.names import SERVICE_NAME_LABEL
from knet.api.objects import EndpointSlice, Node, Service

#: a Node with it balances nothing
EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"


def ranking(address: str, nodes: Iterable[str]) -> list[str]:
    """The nodes, best first: by a hash of both, so that addresses spread over nodes (rendezvous hashing)."""
    return sorted(nodes, key=lambda node: hashlib.sha256(f"{node}#{address}".encode()).digest())


def homes(slices: Iterable[EndpointSlice]) -> dict[tuple[str, str], set[str]]:
    """Namespace and name of a Service → the nodes of its ready endpoints."""
    found: dict[tuple[str, str], set[str]] = {}
    for row in slices:
        ready = {endpoint.nodeName for endpoint in row.endpoints if endpoint.conditions.ready is not False}
        found.setdefault((row.namespace, row.metadata.labels.get(SERVICE_NAME_LABEL, "")), set()).update(ready)
    return found


def candidates(service: Service, local: Set[str], nodes: Iterable[Node]) -> list[str]:
    """The nodes that may announce a Service's addresses: all, or with externalTrafficPolicy Local those with endpoints.

    ``local`` are the nodes of its ready endpoints (`homes`).
    """
    names = [node.name for node in nodes if EXCLUDED not in node.metadata.labels and not node.deleting]
    if service.spec.externalTrafficPolicy != "Local":
        return names
    return [name for name in names if name in local]


def places(addresses: Mapping[str, Iterable[str]], node: str) -> dict[str, int]:
    """The addresses that a node may hold, with its place in the ranking of each: 0 is the first.

    ``addresses`` have the names of their candidates.
    """
    ranked = {address: ranking(address, names) for address, names in addresses.items()}
    return {address: names.index(node) for address, names in ranked.items() if node in names}
