"""Which addresses a node announces by BGP.  Pure."""

from collections.abc import Iterable, Mapping, Set

from knet.api.load_balancers import held, is_ours
from knet.api.objects import Node, Service
from knet.speaker.ranking import candidates


def announced(
    services: Iterable[Service], homes: Mapping[tuple[str, str], Set[str]], node: Node | None
) -> frozenset[str]:
    """The addresses that lead to a ready endpoint through ``node``: none while it is not Ready, or not there.

    ``homes``: namespace and name of a Service → the nodes of its ready endpoints.  As in MetalLB, with
    externalTrafficPolicy Cluster an endpoint anywhere will do, with Local it has to be on this node.
    """
    if node is None or not node.ready:
        return frozenset()
    found: set[str] = set()
    for service in services:
        local = homes.get((service.namespace, service.name), frozenset())
        if is_ours(service) and local and candidates(service, local, [node]):
            found.update(held(service))
    return frozenset(found)
