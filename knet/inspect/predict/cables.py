"""Which cables a frame crosses from one interface to another, and which hear each other at all.  Pure.

Switches flood and learn, and keep to a tree (`knet.underlay.tree`), so a frame takes the one way over cables that are
up; what a cable does to it is in the cable's state.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from knet.inspect.world import Topology, World
from knet.underlay import isolation
from knet.underlay.state import LinkState, Sending
from knet.underlay.view import NodeState


class Crossing(NamedTuple):
    """A cable in the direction in which it is crossed."""

    link: LinkState
    sender: Sending
    receiver: Sending


class Cables:
    """The cables of a topology; made by `cables`."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._at: dict[str, list[Crossing]] = {}
        for link in topology.links:
            for sender, receiver in (link.ends, link.ends[::-1]):
                self._at.setdefault(sender.node, []).append(Crossing(link, sender, receiver))
        self._apart = isolation.apart(topology.partitions)
        self._ways: dict[str, Mapping[str, tuple[Crossing, ...]]] = {}

    def across(self, interface: str) -> Mapping[str, tuple[Crossing, ...]]:
        """From a machine's interface: the interfaces of machines that it reaches without a router, and how."""
        if interface not in self._ways:
            self._ways[interface] = dict(self._search(interface))
        return self._ways[interface]

    def broken(self, interface: str) -> Iterator[LinkState]:
        """The cables that could be crossed from there were they not cut, or without carrier."""
        seen, waiting = {interface}, deque(self._starting(interface))
        while waiting:
            crossing = waiting.popleft()
            if not crossing.link.up:
                yield crossing.link
            if crossing.receiver.interface in seen or crossing.receiver.node not in self._switches:
                continue
            seen.add(crossing.receiver.interface)
            waiting += [row for row in self._at[crossing.receiver.node] if row.sender.interface not in seen]

    def deaf(self, a: str, b: str) -> tuple[tuple[str, ...], ...] | None:
        """The partition that keeps two machines apart, if one does."""
        if b not in self._apart.get(a, ()):
            return None
        return next(row for row in self._topology.partitions if b in isolation.apart([row]).get(a, ()))

    @property
    def _switches(self) -> Mapping[str, NodeState]:
        return {name: node for name, node in self._topology.by_name.items() if node.is_switch}

    def _starting(self, interface: str) -> list[Crossing]:
        return [row for rows in self._at.values() for row in rows if row.sender.interface == interface]

    def _search(self, interface: str) -> Iterator[tuple[str, tuple[Crossing, ...]]]:
        switches, seen = self._switches, {interface}
        waiting: deque[tuple[Crossing, ...]] = deque((row,) for row in self._starting(interface))
        while waiting:
            way = waiting.popleft()
            end = way[-1].receiver
            if not way[-1].link.up or end.interface in seen:
                continue
            seen.add(end.interface)
            if end.node not in switches:
                yield end.interface, way
                continue
            waiting += [(*way, row) for row in self._at[end.node] if row.sender.interface not in seen]


def cables(world: World) -> Cables:
    """The cables of a world, ready to be asked."""
    return world.once("cables", lambda: Cables(world.topology))
