"""A packet's way from machine to machine, as the objects have it: what each machine does with it.  Pure.

A machine's stage is what netfilter and the routes there amount to, in the order in which a packet meets them::

    prerouting, or output      kube-proxy's translation; ports of the machine that lead to pods
    routes                     `knet.inspect.predict.routes.leg`
    forward                    the network policies, about the machine's own pods
    postrouting                masquerading: kube-proxy's for what it translated, flanneld's for the rest

Answers are looked up by connection tracking and meet none of the rules; they go back by routes, and each machine that
has changed an address changes it back.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from types import MappingProxyType
from typing import NamedTuple

from knet.api.families import family_of
from knet.client.controller import Key
from knet.cni.masquerade import MULTICAST
from knet.cni.portmap import PortMapping
from knet.inspect import desired
from knet.inspect.predict.holders import holders
from knet.inspect.predict.permits import Ruling, permits
from knet.inspect.predict.routes import LONGEST, Leg, Problem, leg, lookup, next_machine, trail
from knet.inspect.predict.services import Translated, services
from knet.inspect.trace.hops import Cause
from knet.inspect.world import World
from knet.proxy.snapshot import Endpoint

_network = functools.cache(ip_network)


class Ends(NamedTuple):
    """What of a packet decides about its way."""

    source: str
    destination: str
    port: int
    protocol: str


@dataclass(frozen=True)
class Stage:
    """What one machine does with a packet."""

    machine: str
    before: Ends
    """as it comes to the machine"""
    after: Ends
    """as it leaves it, or gets to whom it is for"""
    from_here: bool
    """a process of the machine itself has sent it"""
    translated: Translated | None = None
    endpoint: Endpoint | None = None
    """the one of these that it is sent to"""
    mapped: PortMapping | None = None
    """the port of the machine that leads to a pod, where that is what it was sent to"""
    leg: Leg | None = None
    """the further way; None where it ends here"""
    rulings: tuple[Ruling, ...] = ()
    masquerade: str = ""
    """who has it leave under the machine's address: kube-proxy or flanneld; "" nobody"""
    problem: Problem | None = None
    refused: bool = False
    """its sender is told of that, by a kernel that has the address and no socket"""

    @property
    def refusal(self) -> Ruling | None:
        return next((row for row in self.rulings if not row.allowed), None)

    @property
    def ends(self) -> bool:
        """Whether nothing comes after this."""
        refused = self.translated is not None and bool(self.translated.verdict)
        return refused or self.leg is None or self.problem is not None or self.refusal is not None


#: which of the endpoints that may be meant
Choice = Callable[[Translated], Endpoint]
#: machine and destination of a route → its next hop; machine and address → the machine that has answered for it
Gateways = Mapping[tuple[str, str], str]
NONE: Gateways = MappingProxyType({})


def walk(
    world: World, machine: str, packet: Ends, from_here: bool, choose: Choice, gateways: Gateways = NONE
) -> Iterator[Stage]:
    """The stages of a connection's first packet, from the machine that it starts on; a pod's starts on its machine.

    ``gateways`` are the next hops that chance has chosen, and who has answered for them, as far as that is known.
    """
    for _ in range(LONGEST):
        stage = _stage(world, machine, packet, from_here, choose, gateways)
        yield stage
        if stage.ends or stage.leg is None:
            return
        following = next_machine(stage.leg)
        if not following:
            return
        machine, packet, from_here = following, stage.after, False


def _stage(world: World, machine: str, before: Ends, from_here: bool, choose: Choice, gateways: Gateways) -> Stage:
    family = family_of(before.destination)
    after, translated, endpoint = before, None, None
    if machine in world.nodes:
        found = services(world, machine, family)
        translated = found.translated(*before, from_here)
    if translated and translated.verdict:
        problem = None if translated.port else _no_such_port(world, before)
        return Stage(machine, before, after, from_here, translated, problem=problem)
    mapped = None
    if translated:
        endpoint = choose(translated)
        after = after._replace(destination=endpoint.ip, port=endpoint.port)
    elif mapped := _mapped(world, machine, before):
        after = after._replace(destination=mapped.address, port=mapped.port)
    if after.destination in desired.own_addresses(world, machine) or _holds(world, machine, after.destination):
        problem = _no_such_port(world, after)
        refused = problem is not None
        return Stage(machine, before, after, from_here, translated, endpoint, mapped, problem=problem, refused=refused)
    known = lookup(world, machine, after.destination)
    chosen = gateways.get((machine, known.route.destination), "") if known else ""
    taken = leg(world, machine, after.destination, chosen, gateways.get((machine, after.destination), ""))
    if isinstance(taken, Problem):
        problem = _no_such_port(world, after) or taken
        return Stage(machine, before, after, from_here, translated, endpoint, mapped, problem=problem)
    rulings = tuple(_rulings(world, machine, after))
    masquerade = ""
    if translated and endpoint and translated.masquerades(before.source, endpoint.ip):
        masquerade = "kube-proxy"
    elif machine in world.nodes and leaves_the_pods(world, machine, after):
        masquerade = "flanneld"
    if masquerade:
        after = after._replace(source=source_of(world, machine, after.destination))
    return Stage(machine, before, after, from_here, translated, endpoint, mapped, taken, rulings, masquerade)


def _mapped(world: World, machine: str, packet: Ends) -> PortMapping | None:
    if packet.destination not in desired.own_addresses(world, machine):
        return None
    rows = world.once(("host ports", machine), lambda: desired.host_ports(world, machine))
    wanted = packet.port, packet.protocol, family_of(packet.destination)
    return next((row for row in rows if (row.host_port, row.protocol, family_of(row.address)) == wanted), None)


def _holds(world: World, machine: str, address: str) -> bool:
    """Whether it is a load balancer's, and the machine has it."""
    return any(name == machine for name, _ in holders(world, address).holding)


def _no_such_port(world: World, packet: Ends) -> Problem | None:
    """Why a packet to a Service gets nowhere that nobody has translated; None where it has, or should have been."""
    owner = world.owners.get(packet.destination)
    if owner is None or owner.kind != "service":
        return None
    wanted = f"{packet.port}/{packet.protocol}" if packet.port else packet.protocol
    service = world.services[Key(owner.namespace, owner.name)]
    served = [f"{row.port}/{row.protocol.lower()}" for row in service.spec.ports]
    if wanted in served:
        return None
    cause = Cause("Service", owner.name, owner.namespace)
    return Problem("no-such-port", f"{cause} does not serve {wanted}, but {', '.join(served) or 'nothing'}", (cause,))


def _rulings(world: World, machine: str, packet: Ends) -> Iterator[Ruling]:
    """What the machine's own table says: it knows its own pods only."""
    for row in permits(world).rulings(*packet):
        if world.pods[row.key].spec.nodeName == machine:
            yield row


def source_of(world: World, machine: str, destination: str) -> str:
    """The address that a machine gives what it sends, itself or for others: that of the interface it leaves by."""
    family = family_of(destination)
    known = lookup(world, machine, destination)
    if known and known.route.source:
        return known.route.source
    state = desired.overlay(world, machine, family) if known else None
    if known and state and state.device and state.device.name == known.route.interface:
        return state.device.address.address.partition("/")[0]
    return desired.machine_address(world, machine, family).partition("/")[0]


def leaves_the_pods(world: World, machine: str, packet: Ends) -> bool:
    """Whether flanneld's chain masquerades: what goes from pods to the world, and from the machine to remote pods."""
    family = family_of(packet.destination)
    lease = desired.leases(world, family).get(machine)
    if lease is None:
        return False
    source, destination = ip_address(packet.source), ip_address(packet.destination)
    pods, own = _network(world.settings.pod_ranges[family]), _network(lease.subnet)
    if destination in own or (source in own and destination in pods):
        return False
    if source in pods:
        return destination not in _network(MULTICAST[family])
    return destination in pods


class Return(NamedTuple):
    """A stretch of the answer's way, with the addresses that it has there; ``legs`` go as far as the next stretch."""

    machine: str
    source: str
    destination: str
    port: int
    """of the source"""
    unmasked: bool = False
    """the machine has just put the sender's address in the place of its own"""
    legs: tuple[Leg, ...] = ()
    problem: Problem | None = None


def returns(world: World, stages: list[Stage]) -> Iterator[Return]:
    """The way back of the answer to a packet that was delivered: from machine to machine that changes its addresses."""
    first, last = stages[0], stages[-1]
    machine, ends = (next_machine(last.leg) if last.leg else "") or last.machine, last.after
    unmasked = False
    for stage in reversed(stages):
        if stage.before == stage.after and not stage.masquerade:
            continue
        yield _stretch(world, machine, ends, unmasked, stage.machine)
        machine, ends, unmasked = stage.machine, stage.before, bool(stage.masquerade)
    # IPVS has a Service's address on the machine itself, which takes it for its own as the source, too
    yield _stretch(world, machine, ends, unmasked, first.machine if first.from_here else "")


def _stretch(world: World, machine: str, ends: Ends, unmasked: bool, to: str) -> Return:
    """Answers to what has these ends, from a machine to another, or (to "") to whom they are for."""
    found = Return(machine, ends.destination, ends.source, ends.port, unmasked)
    if machine == to:
        return found
    way = trail(world, machine, ends.source)
    if not to:
        return found._replace(legs=way.legs, problem=way.problem)
    legs = tuple(itertools.takewhile(lambda taken: taken.machine != to, way.legs))
    if len(legs) == len(way.legs) and way.end != to:
        lost = Problem("no-route", f"the answer does not come back by {to}, which has translated the addresses")
        return found._replace(legs=legs, problem=way.problem or lost)
    return found._replace(legs=legs)
