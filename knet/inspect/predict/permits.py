"""Which NetworkPolicies let a connection pass, and which do not: the enforcers' own reading, asked pair by pair.  Pure.

Peers and named ports are resolved by the enforcers' `Population`, once for each selection, so that a question costs a
few look-ups.
"""

from ipaddress import ip_address
from typing import NamedTuple

from knet.client.controller import Key, key_of
from knet.inspect import desired
from knet.inspect.world import World
from knet.policy.policies import EGRESS, INGRESS, Policy, Rule, Selection
from knet.policy.population import Endpoint, Labels


class Ruling(NamedTuple):
    """What the policies that isolate a pod say of a connection.

    ``policies`` are those that allow it, or, where none does, all that isolate the pod in that direction.
    """

    direction: str
    pod: Endpoint
    allowed: bool
    policies: tuple[Policy, ...]

    @property
    def key(self) -> Key:
        """Of the pod."""
        return Key(self.pod.namespace, self.pod.name)

    def __str__(self) -> str:
        """``NetworkPolicy default/deny-all``"""
        return ", ".join(f"NetworkPolicy {policy}" for policy in self.policies)


class Permits:
    """The policies of a world; made by `permits`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._policies: dict[str, list[Policy]] = {}
        self._population = desired.population(world)
        self._isolating: dict[tuple[str, str, Labels], tuple[Policy, ...]] = {}
        self._peers: dict[Selection, frozenset[str]] = {}
        self._at = {address: world.endpoints[key_of(pod)] for address, pod in world.pod_at.items()}
        if world.settings.policy != "none":
            for key, policy in sorted(desired.meanings(world).items()):
                self._policies.setdefault(key.namespace, []).append(policy)

    def rulings(self, source: str, destination: str, port: int, protocol: str) -> list[Ruling]:
        """What isolates the ends of a connection, the sender first; none where nothing does.  ``destination`` is a
        pod's own address, as policies never see a Service's; of ICMP the port is 0.

        A pod always reaches itself, and its machine, and its machine reaches it.
        """
        sender, receiver = self._at.get(source), self._at.get(destination)
        if not self._policies or source == destination:
            return []
        found = []
        if sender and not self._same_machine(sender, destination):
            found.append(self._ruling(EGRESS, sender, destination, receiver, port, protocol))
        if receiver and not self._same_machine(receiver, source):
            found.append(self._ruling(INGRESS, receiver, source, receiver, port, protocol))
        return [row for row in found if row is not None]

    def _same_machine(self, pod: Endpoint, address: str) -> bool:
        node = self._world.pods[Key(pod.namespace, pod.name)].spec.nodeName
        return address in desired.own_addresses(self._world, node)

    def _ruling(
        self, direction: str, pod: Endpoint, peer: str, receiver: Endpoint | None, port: int, protocol: str
    ) -> Ruling | None:
        isolating = self._isolate(direction, pod)
        if not isolating:
            return None
        allowing = tuple(
            policy
            for policy in isolating
            if any(self._allows(rule, peer, receiver, port, protocol) for rule in policy.rules[direction])
        )
        return Ruling(direction, pod, bool(allowing), allowing or isolating)

    def _isolate(self, direction: str, pod: Endpoint) -> tuple[Policy, ...]:
        key = direction, pod.namespace, pod.labels
        if key not in self._isolating:
            labels = dict(pod.labels)
            rows = self._policies.get(pod.namespace, ())
            self._isolating[key] = tuple(row for row in rows if direction in row.rules and row.pods.matches(labels))
        return self._isolating[key]

    def _allows(self, rule: Rule, peer: str, receiver: Endpoint | None, port: int, protocol: str) -> bool:
        if rule.selections is not None:
            named = any(peer in self._selected(selection) for selection in rule.selections)
            if not named and not any(ip_address(peer) in block for block in rule.blocks):
                return False
        if rule.ports is None:
            return True
        if any(of == protocol and first <= port <= last for of, (first, last) in rule.ports.ranges):
            return True
        offered = receiver.ports if receiver else ()
        return any((name, port) in offered and name.protocol == protocol for name in rule.ports.named)

    def _selected(self, selection: Selection) -> frozenset[str]:
        if selection not in self._peers:
            rows = self._population.select(selection)
            self._peers[selection] = frozenset(address for row in rows for address in row.addresses)
        return self._peers[selection]


def permits(world: World) -> Permits:
    """The policies of a world, ready to be asked."""
    return world.once("permits", lambda: Permits(world))
