"""Where each machine sends a packet: the routes that it should have, and the trail that follows from them.  Pure.

A machine's routes come from its interfaces (the kernel's own), from the topology, from cni0 and from flanneld::

    172.18.0.0/24 dev n1-eth0      topology       10.244.1.0/24 dev cni0                        Node n1 podCIDR
    default dev n1-eth0            topology       10.244.2.0/24 via 10.244.2.0 dev flannel.1    Node n2 podCIDR
"""

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_interface, ip_network
from typing import NamedTuple

from knet.api.families import family_of
from knet.cni.bridge import BRIDGE
from knet.inspect import desired
from knet.inspect.predict.announcements import learned
from knet.inspect.predict.cables import Crossing, cables
from knet.inspect.predict.holders import Place, holders
from knet.inspect.trace.hops import Cause
from knet.inspect.world import World
from knet.kernel.routes import PROTOCOL_KERNEL, Route
from knet.underlay.state import RUNNING

#: a packet that has crossed so many machines goes round in a circle
LONGEST = 16


class Known(NamedTuple):
    """A route, and why a machine has it."""

    network: IPv4Network | IPv6Network
    route: Route
    cause: Cause


class Problem(NamedTuple):
    """Why a packet cannot get there; ``culprit`` is one of `knet.inspect.trace.evidence.CULPRITS`."""

    culprit: str
    text: str
    because: tuple[Cause, ...] = ()


class Leg(NamedTuple):
    """What a machine does with a packet that is not for itself, and how that gets to the next machine."""

    machine: str
    known: Known
    hop: str
    """the address whose hardware address is needed: the gateway's, or the destination's own"""
    crossings: tuple[Crossing, ...] = ()
    """cables to the next machine; none to a pod, nor where it is packed into another packet"""
    outer: "tuple[Leg, ...]" = ()
    """the way of that other packet"""


class Trail(NamedTuple):
    """A packet's way over machines."""

    legs: tuple[Leg, ...]
    end: str = ""
    """the machine that has the address, or whose pod has it; "" where it does not get to any"""
    problem: Problem | None = None


def routes(world: World, machine: str, family: str) -> tuple[Known, ...]:
    """All that a machine should have, those with the longest prefix first."""

    def make() -> tuple[Known, ...]:
        rows = (Known(_network(route), route, cause) for route, cause in _routes(world, machine, family))
        return tuple(sorted(rows, key=lambda row: -row.network.prefixlen))

    return world.once(("routes", machine, family), make)


def lookup(world: World, machine: str, address: str, gateway: str = "") -> Known | None:
    """The route that a machine should take to an address; None where it has none.

    Of several to the same network, among which chance decides, the one by that ``gateway``, if it is one of them.
    """
    where = ip_address(address)
    rows = routes(world, machine, family_of(address))
    found = next((row for row in rows if where in row.network), None)
    if found is None or not gateway or found.route.gateway == gateway:
        return found
    return next((row for row in rows if (row.network, row.route.gateway) == (found.network, gateway)), found)


def trail(world: World, machine: str, address: str) -> Trail:
    """From a machine, where it stands before the look-up of its route, to who has the address."""
    return world.once(("trail", machine, address), lambda: _trail(world, machine, address))


def _routes(world: World, machine: str, family: str) -> Iterator[tuple[Route, Cause]]:
    node = world.topology.machines.get(machine)
    declared = Cause("Topology", machine)
    for interface in node.interfaces if node else ():
        for own in map(ip_interface, interface.addresses):
            if f"IPv{own.version}" == family:
                route = Route(str(own.network), interface.name, source=str(own.ip), protocol=PROTOCOL_KERNEL)
                yield route, declared._replace(detail=f"address {own}")
    for route in node.routes if node else ():
        if family_of(route.destination) == family:
            yield route, declared._replace(detail=f"route {route.destination}")
    for route, cause in learned(world, machine):
        if family_of(route.destination) == family:
            yield route, cause
    for own in map(ip_interface, desired.gateways(world, machine)):
        if f"IPv{own.version}" == family:
            route = Route(str(own.network), BRIDGE, source=str(own.ip), protocol=PROTOCOL_KERNEL)
            yield route, Cause("Node", machine, detail="podCIDR")
    state = desired.overlay(world, machine, family)
    subnets = {lease.subnet: lease.node for lease in desired.leases(world, family).values()}
    for route in state.routes if state else ():
        yield route, Cause("Node", subnets[route.destination], detail="podCIDR")


def _network(route: Route) -> IPv4Network | IPv6Network:
    return ip_network("0.0.0.0/0" if route.destination == "default" else route.destination)


def leg(world: World, machine: str, address: str, gateway: str = "", answered: str = "") -> Leg | Problem:
    """From one machine to the next, or to its pod, of a packet that is not for the machine itself.

    ``gateway`` is the next hop, where chance decides among several and it is known on which; ``answered`` the machine
    that has said that it holds a load balancer's address, where that was seen.
    """
    key = "leg", machine, address, gateway, answered
    return world.once(key, lambda: _leg(world, machine, address, gateway, answered))


def next_machine(taken: Leg) -> str:
    """Where a leg leads; "" to a pod of the machine's own."""
    crossings = taken.outer[-1].crossings if taken.outer else taken.crossings
    return crossings[-1].receiver.node if crossings else ""


def _trail(world: World, machine: str, address: str) -> Trail:
    legs: list[Leg] = []
    for _ in range(LONGEST):
        if address in desired.own_addresses(world, machine):
            return Trail(tuple(legs), machine)
        taken = leg(world, machine, address)
        if isinstance(taken, Problem):
            return Trail(tuple(legs), problem=taken)
        legs.append(taken)
        if not (following := next_machine(taken)):
            return Trail(tuple(legs), machine)
        machine = following
    return Trail(tuple(legs), problem=Problem("no-route", f"a packet to {address} goes round in a circle"))


def _leg(world: World, machine: str, address: str, gateway: str, answered: str) -> Leg | Problem:
    known = lookup(world, machine, address, gateway)
    if known is None:
        return Problem("no-route", f"{machine} has no route to {address}")
    route = known.route
    hop = route.gateway or address
    if route.interface == BRIDGE:
        pod = world.pod_at.get(address)
        if pod is None or pod.spec.nodeName != machine:
            return Problem("no-neighbour", f"no pod of {machine} has the address {address}", (known.cause,))
        return Leg(machine, known, hop)
    state = desired.overlay(world, machine, family_of(address))
    if state and state.device and route.interface == state.device.name:
        macs = {row.address: row.mac for row in state.neighbours}
        far = next(row.destination for row in state.fdb if row.mac == macs[hop])
        outer = trail(world, machine, far)
        return outer.problem or Leg(machine, known, hop, outer=outer.legs)
    return _cross(world, machine, known, hop, answered)


def _cross(world: World, machine: str, known: Known, hop: str, answered: str) -> Leg | Problem:
    """Over cables, to the machine whose interface has the next hop's address."""
    interface, net = known.route.interface, cables(world)
    rows = _interfaces(world).get(hop) or _holding(world, hop, answered)
    bearers = [row for row in rows if row[0] != machine]
    across = net.across(interface)
    problem = None
    for node, port in bearers:
        if port not in across:
            continue
        if split := net.deaf(machine, node):
            text = " | ".join(",".join(group) for group in split)
            problem = problem or Problem("partition", f"{machine} and {node} are kept apart by the partition {text}")
        elif (state := world.topology.machines[node].state) != RUNNING:
            problem = problem or Problem("machine-off", f"{node} is {state}")
        else:
            return Leg(machine, known, hop, across[port])
    if problem:
        return problem
    if not bearers:
        return Problem("no-neighbour", f"nobody behind {interface} of {machine} has the address {hop}")
    for node, _ in bearers:
        if (state := world.topology.machines[node].state) != RUNNING:
            return Problem("machine-off", f"{node} is {state}")
    for link in net.broken(interface):
        return Problem("link-down", f"the link {link.name} is {link.state}", (Cause("Link", link.name),))
    return Problem("no-neighbour", f"{hop} is not behind {interface} of {machine}")


def _holding(world: World, address: str, answered: str) -> Sequence[Place]:
    """Who holds a load balancer's address: the machine that was seen to have answered, if it may."""
    found = holders(world, address)
    return [row for row in found.standing if row[0] == answered] or found.holding


def _interfaces(world: World) -> Mapping[str, list[tuple[str, str]]]:
    """Who has an address of the topology: machine and interface."""

    def make() -> Mapping[str, list[tuple[str, str]]]:
        found: dict[str, list[tuple[str, str]]] = {}
        for machine in world.topology.machines.values():
            for interface in machine.interfaces:
                for address in interface.addresses:
                    found.setdefault(address.partition("/")[0], []).append((machine.name, interface.name))
        return found

    return world.once("interfaces", make)
