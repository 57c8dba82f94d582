"""What one object makes different, on all machines, those that agree together.  Pure.

Two worlds are compared: without the object (or with it as it is) and with it (as it is to be); see `objects`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from knet.api.families import FAMILIES
from knet.client.controller import Key
from knet.inspect import desired
from knet.inspect.explain import ingress, records
from knet.inspect.explain.agreement import agreeing
from knet.inspect.explain.connections import Connection, fates
from knet.inspect.explain.difference import Change, difference
from knet.inspect.explain.narrowing import narrowed
from knet.inspect.explain.picture import Picture, is_flannels, picture, workers
from knet.inspect.world import World
from knet.kernel.conntrack import Tracked


class Subject(NamedTuple):
    """The object in question."""

    kind: str
    key: Key

    def __str__(self) -> str:
        """``Service default/web``"""
        return f"{self.kind} {self.key}"


@dataclass(frozen=True)
class Effect:
    """The changes that these machines have in common; of no machine: the cluster's own, DNS and Ingress."""

    machines: tuple[str, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Explanation:
    subject: Subject
    verb: str
    """created, configured, unchanged, deleted; "" for one that is there"""
    notes: tuple[str, ...]
    """what is not final, and what will follow that cannot be told yet"""
    effects: tuple[Effect, ...]
    connections: Mapping[str, tuple[Connection, ...]]
    """by machine, those that are forgotten, or kept although new ones go elsewhere"""
    owners: Mapping[str, str]
    """whose addresses stand in the lines"""


def explain(
    subject: Subject,
    verb: str,
    before: World,
    after: World,
    notes: Iterable[str] = (),
    tables: Mapping[str, Iterable[Tracked]] | None = None,
) -> Explanation:
    """What is different in ``after``; ``tables`` are the connections that machines track now."""
    old, new = narrowed((before, after), records.changed(before, after))
    found = agreeing({node: differences(old, new, node) for node in workers(after)})
    effects = [Effect(machines, changes) for machines, changes in found]
    if everywhere := cluster_changes(before, after):
        effects.append(Effect((), tuple(everywhere)))
    fate = {node: tuple(fates(old, new, node, table)) for node, table in (tables or {}).items()}
    owners = {address: str(owner) for world in (before, after) for address, owner in world.owners.items()}
    owners |= {text: owner for world in (before, after) for text, owner in _tunnels(world)}
    connections = {node: rows for node, rows in fate.items() if rows}
    return Explanation(subject, verb, tuple(notes), tuple(effects), connections, owners)


def differences(before: World, after: World, node: str) -> list[Change]:
    """Of one machine's kernel."""
    wanted: Picture = dict(picture(after, node))
    if node not in after.nodes:  # its flanneld does nothing without its Node
        wanted |= {section: lines for section, lines in picture(before, node).items() if is_flannels(section)}
    return difference(picture(before, node), wanted)


def cluster_changes(before: World, after: World) -> list[Change]:
    """Of what there is one for all machines."""
    names = records.changed(before, after)
    drawn = ({**records.records(world, names), **ingress.drawn(world)} for world in (before, after))
    return difference(next(drawn), next(drawn))


def _tunnels(world: World) -> Iterable[tuple[str, str]]:
    for family in FAMILIES:
        for name, lease in desired.leases(world, family).items():
            yield lease.subnet, f"pods of node {name}"
            if lease.vtep:
                yield lease.vtep.VtepMAC, f"node {name}"
