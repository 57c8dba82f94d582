"""Whether one end reaches another, and if not, why: the prediction without the story.  Pure, some microseconds a pair.

`knet reach` asks for thousands of pairs; `knet.inspect.predict.path` tells one of them hop by hop, from the same parts.
Whether anybody listens is nobody's to predict.
"""

from typing import NamedTuple

from knet.api.families import family_of
from knet.client.controller import Key
from knet.inspect.attribution import port_cause
from knet.inspect.predict.routes import Problem
from knet.inspect.predict.services import REJECT, Translated
from knet.inspect.predict.walk import Ends, Stage, returns, source_of, walk
from knet.inspect.trace.evidence import DELIVERED, DROPPED, REFUSED
from knet.inspect.trace.hops import Cause
from knet.inspect.world import Owner, World, addresses_of
from knet.proxy.snapshot import Endpoint


class Verdict(NamedTuple):
    """The answer; ``culprit`` is one of `knet.inspect.trace.evidence.CULPRITS`, "" where there is none."""

    outcome: str = DELIVERED
    culprit: str = ""
    text: str = ""
    because: tuple[Cause, ...] = ()
    some: bool = False
    """delivered by some of the endpoints that chance may choose, and not by others: of these tells the rest"""

    @property
    def reached(self) -> bool:
        """Always."""
        return self.outcome == DELIVERED and not self.some


def verdict(
    world: World, source: Owner, destination: Owner | str, port: int = 0, protocol: str = "tcp", family: str = ""
) -> Verdict:
    """Whether a connection of ``source`` gets to ``destination``, an owner of addresses or an address.

    ``port`` is the Service's where it is one; of ICMP it is 0.  ``family`` "" is the first that both have.  KeyError
    for an end that the world has not, ValueError for ends without a family in common.
    """
    to = (destination,) if isinstance(destination, str) else addresses(world, destination)
    machine = machine_of(world, source)
    own = addresses(world, source)
    for address in to:
        for mine in own:
            if family_of(mine) == family_of(address) and family in ("", family_of(address)):
                from_here = mine not in world.pod_at
                start = source_of(world, machine, address) if from_here else mine
                return _verdict(world, machine, Ends(start, address, port, protocol), from_here)
    raise ValueError(f"{source} and {destination} have no address family in common")


def addresses(world: World, owner: Owner) -> tuple[str, ...]:
    """All addresses at which an end is reached, the primary one first; KeyError."""
    if owner.kind == "pod":
        return tuple(row.ip for row in world.pods[Key(owner.namespace, owner.name)].status.podIPs)
    if owner.kind == "service":
        return addresses_of(world.services[Key(owner.namespace, owner.name)])
    rows = world.topology.machines[owner.name].interfaces[0].addresses
    return tuple(row.partition("/")[0] for row in rows)


def machine_of(world: World, owner: Owner) -> str:
    """The machine that an end is on, or is; KeyError."""
    if owner.kind == "pod":
        return world.pods[Key(owner.namespace, owner.name)].spec.nodeName
    return world.topology.machines[owner.name].name


def _verdict(world: World, machine: str, packet: Ends, from_here: bool) -> Verdict:
    """For all endpoints that chance may choose."""
    first, others = _through(world, machine, packet, from_here, 0)
    found = [first, *(_through(world, machine, packet, from_here, place)[0] for place in range(1, others))]
    bad = [row for row in found if row.outcome != DELIVERED]
    return bad[0]._replace(outcome=DELIVERED, some=True) if 0 < len(bad) < len(found) else found[0]


def _through(world: World, machine: str, packet: Ends, from_here: bool, place: int) -> tuple[Verdict, int]:
    """By the endpoint in that place of the list; and how many there are."""
    count = 1

    def choose(translated: Translated) -> Endpoint:
        nonlocal count
        count = len(translated.endpoints)
        return translated.endpoints[place]

    stages = list(walk(world, machine, packet, from_here, choose))
    return ended(stages[-1]) or _answered(world, stages) or Verdict(), count


def ended(stage: Stage) -> Verdict | None:
    """What keeps a packet from going on after its last stage; None where it is delivered."""
    if (found := stage.translated) and found.verdict:
        return Verdict(REFUSED if found.verdict == REJECT else DROPPED, *(stage.problem or _unserved(found)))
    if stage.problem:
        return Verdict(REFUSED if stage.refused else DROPPED, *stage.problem)
    if row := stage.refusal:
        causes = tuple(Cause("NetworkPolicy", policy.name, policy.namespace) for policy in row.policies)
        return Verdict(DROPPED, "policy", f"{row.direction} is not allowed by {row}", causes)
    return None


def _answered(world: World, stages: list[Stage]) -> Verdict | None:
    for stretch in returns(world, stages):
        if stretch.problem:
            return Verdict(DROPPED, stretch.problem.culprit, f"its answer: {stretch.problem.text}")
    return None


def _unserved(found: Translated) -> Problem:
    name = found.port.name if found.port else None
    text = f"Service {name} {found.reason}" if name else f"the Service {found.reason}"
    return Problem("no-endpoints", text, (port_cause(name),) if name else ())
