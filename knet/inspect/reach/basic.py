"""The three requirements on a cluster's network: between pods of one node, of different nodes, between nodes and pods.

https://kubernetes.io/docs/concepts/services-networking/: without NAT, so that a pod sees others under their own
addresses.  What NetworkPolicies forbid is not what the network has to do: those pairs do not count.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from knet.inspect import desired
from knet.inspect.inventory import MACHINE
from knet.inspect.reach.matrix import Pair, Reach
from knet.inspect.world import World

#: broken pairs of a requirement that are shown
_MOST = 10


class Requirement(NamedTuple):
    """One of the three, with the pairs that it is about."""

    name: str
    pairs: Sequence[Pair]
    broken: Sequence[tuple[Pair, str]]
    """those for which it does not hold, and why"""
    isolated: int = 0
    """pairs that NetworkPolicies keep apart"""

    @property
    def holds(self) -> bool:
        """Nothing has shown that it does not."""
        return not self.broken

    def __str__(self) -> str:
        """``pod–pod across nodes   4/4``"""
        apart = f"   ({self.isolated} more kept apart by NetworkPolicies)" if self.isolated else ""
        count = f"{len(self.pairs) - len(self.broken)}/{len(self.pairs)}" if self.pairs else "nothing to try"
        return f"{self.name:<22} {count}{apart}"

    def json(self) -> dict[str, Any]:
        return {
            "requirement": self.name,
            "pairs": len(self.pairs),
            "isolated": self.isolated,
            "broken": [{"source": str(a.source), "destination": str(a.destination), "why": b} for a, b in self.broken],
        }


def requirements(world: World, reach: Reach) -> list[Requirement]:
    """The three, each with what was observed."""
    found: dict[str, list[Pair]] = {"pod–pod on one node": [], "pod–pod across nodes": [], "node–pod": []}
    for pair in reach.pairs:
        kinds = pair.source.owner.kind, pair.destination.owner.kind
        if kinds == ("pod", "pod"):
            apart = pair.source.machine != pair.destination.machine
            found["pod–pod across nodes" if apart else "pod–pod on one node"].append(pair)
        elif "pod" in kinds:
            found["node–pod"].append(pair)
    return [_requirement(world, name, pairs) for name, pairs in found.items()]


def _requirement(world: World, name: str, pairs: list[Pair]) -> Requirement:
    isolated = [pair for pair in pairs if pair.predicted.culprit == "policy" and not pair.observed.reached]
    meant = [pair for pair in pairs if pair not in isolated]
    return Requirement(name, meant, list(_broken(world, meant)), len(isolated))


def _broken(world: World, pairs: Sequence[Pair]) -> Iterator[tuple[Pair, str]]:
    for pair in pairs:
        source, arrived = pair.source, pair.observed.arrived
        own = {source.address}
        if source.owner.kind != "pod":
            own |= desired.own_addresses(world, source.machine)
        seen = {address for spot, address in arrived.items() if spot.kind != MACHINE}
        if not pair.observed.reached:
            yield pair, pair.experience
        elif not own.issuperset(seen):
            yield pair, f"seen as {', '.join(sorted(seen - own))}: translated on the way"


def text(rows: Sequence[Requirement], reach: Reach) -> str:
    """What does not hold, then the three."""
    lines = []
    for row in rows:
        lines.append(str(row))
        lines += [f"  {pair.source} → {pair.destination}: {why}" for pair, why in row.broken[:_MOST]]
        lines += [f"  … and {len(row.broken) - _MOST} more"] if len(row.broken) > _MOST else []
    return "\n".join(["", *lines, summary(rows, reach)])


def summary(rows: Sequence[Requirement], reach: Reach) -> str:
    """``3 of 3 requirements hold (12 probes, 0.2 s)``"""
    tried = [row for row in rows if row.pairs]
    untried = f", {len(rows) - len(tried)} could not be tried" if len(tried) < len(rows) else ""
    held = sum(row.holds for row in tried)
    return f"{held} of {len(rows)} requirements hold{untried} ({len(reach.pairs)} probes, {reach.seconds:.1f} s)"
