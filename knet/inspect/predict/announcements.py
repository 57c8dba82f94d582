"""What routers learn by BGP: the load balancers' addresses that Nodes announce to them, and other routers.  Pure.

As `knet.cluster.peering` has it: who has a router in its network tells it; of what it hears a router takes the ways by
the fewest systems, all of them.  Neighbours that cannot be heard (BFD) have withdrawn.
"""

from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_interface

from knet.api.load_balancers import held
from knet.inspect.predict.cables import cables
from knet.inspect.trace.hops import Cause
from knet.inspect.world import World
from knet.kernel.routes import Route
from knet.speaker.announcements import announced
from knet.speaker.ranking import homes
from knet.underlay.plan import ROUTER
from knet.underlay.state import RUNNING
from knet.underlay.view import NodeState

#: BIRD's, in the kernel (/etc/iproute2/rt_protos), and the metric of all its routes
_BIRD, _METRIC = 12, 32


def learned(world: World, router: str) -> tuple[tuple[Route, Cause], ...]:
    """A router's routes to load balancers, one for each next hop."""
    if world.settings.lb_mode != "bgp":
        return ()
    return world.once("learned", lambda: _learned(world)).get(router, ())


def _learned(world: World) -> Mapping[str, tuple[tuple[Route, Cause], ...]]:
    machines, local = world.topology.machines, homes(world.slices.values())
    routers = [machine for machine in machines.values() if machine.role == ROUTER and machine.state == RUNNING]
    found: dict[str, list[tuple[Route, Cause]]] = {}
    for service in world.services.values():
        for address in held(service):
            nodes = [node for node in world.nodes.values() if address in announced([service], local, node)]
            cause = Cause("Service", service.name, service.namespace, "announced by BGP")
            known, waiting = [machines[node.name] for node in nodes if node.name in machines], routers
            while known and waiting:
                ways = {
                    router.name: [way for tells in known for way in _ways(world, router, tells)] for router in waiting
                }
                for name, hops in ways.items():
                    rows = (Route(_single(address), *hop, metric=_METRIC, protocol=_BIRD) for hop in hops)
                    found.setdefault(name, []).extend((row, cause) for row in rows if _same_family(row))
                known = [router for router in waiting if ways[router.name]]
                waiting = [router for router in waiting if not ways[router.name]]
    return {name: tuple(rows) for name, rows in found.items()}


def _ways(world: World, router: NodeState, tells: NodeState) -> Iterator[tuple[str, str]]:
    """The interface of a router, and beyond it the address of a neighbour that it hears."""
    net = cables(world)
    if tells.state != RUNNING or net.deaf(router.name, tells.name):
        return
    for interface in router.interfaces:
        across = net.across(interface.name)
        for there in (other for other in tells.interfaces if other.name in across):
            for own in map(ip_interface, interface.addresses):
                for other in map(ip_interface, there.addresses):
                    if other.ip in own.network:
                        yield interface.name, str(other.ip)


def _single(address: str) -> str:
    return f"{address}/{ip_address(address).max_prefixlen}"


def _same_family(route: Route) -> bool:
    return (":" in route.destination) == (":" in route.gateway)
