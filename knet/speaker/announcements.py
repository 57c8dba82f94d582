"""Which addresses a node announces by BGP, and the routes that say so.  Pure."""

from collections.abc import Iterable, Mapping, Set
from ipaddress import ip_address

from knet.api.load_balancers import ANNOUNCED_TABLE, held, is_ours
from knet.api.objects import Node, Service
from knet.kernel.routes import Route
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


def route(address: str) -> Route:
    """What says in the kernel that an address is announced: it forwards nothing, for no rule points to its table."""
    return Route(f"{address}/{ip_address(address).max_prefixlen}", type="blackhole", table=ANNOUNCED_TABLE)
