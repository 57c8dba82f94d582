"""What there is to look at in a cluster, and the words by which people choose of it.

A *spot* is a machine, a pod or a switch; interfaces are chosen by name.  Accepted, wherever something is to be chosen:

===================================  ==========================================================================
``n1``  ``node/n1``  ``s1``          a machine, a switch: all its interfaces (of a switch: its ports)
``n1/cni0``  ``s1/s1-eth1``          one of them
``pod/web-0``  ``default/pod/web-0`` a pod, of the namespace that is meant or of another; ``pod/default/web-0`` too
``pod/web-0/eth0``                   one of its interfaces
``svc/web``                          the pods behind a Service
``deployment/web``                   the pods that a workload selects: also statefulset, daemonset, replicaset, job
``link/n1-s1``                       both ends of a link
``all``                              everything
===================================  ==========================================================================

A name may be a pattern: ``pod/web-*``, ``n*/cni0``.  A pod in its machine's network stands for the machine.
"""

import asyncio
import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import NamedTuple

import msgspec

from knet.api import resources
from knet.api.names import SERVICE_NAME_LABEL
from knet.api.objects import EndpointSlice, LabelSelector, Meta, Part
from knet.api.resources import Resource
from knet.api.selectors import from_label_selector
from knet.client import ApiError, Client, Unavailable
from knet.errors import KnetError
from knet.policy.population import NarrowPod
from knet.underlay.state import LinkState
from knet.underlay.view import NetworkView, NodeState

MACHINE, POD, SWITCH = "machine", "pod", "switch"
#: seconds for the API server to say what there is
PATIENCE = 3.0
_NODE, _LINK, _ALL = "node", "link", "all"
#: kinds that select pods by labels
_WORKLOADS = (
    resources.DEPLOYMENTS,
    resources.STATEFULSETS,
    resources.DAEMONSETS,
    resources.REPLICASETS,
    resources.JOBS,
)
#: how a kind may be written → what it is
_KINDS = {
    alias: row.singular
    for row in (resources.PODS, resources.SERVICES, resources.NODES, *_WORKLOADS)
    for alias in (row.singular, row.plural, row.kind, row.group_resource, *row.short_names)
} | {"machine": _NODE, "switch": _NODE, "link": _LINK, "links": _LINK}


class Spot(NamedTuple):
    """What names a site: its kind (machine, pod or switch), its name and, a pod's, its namespace."""

    kind: str
    name: str
    namespace: str = ""

    def __str__(self) -> str:
        """``n1``, ``pod/default/web-0``"""
        return f"pod/{self.namespace}/{self.name}" if self.kind == POD else self.name


#: a Service or a workload: kind, namespace and name
Member = tuple[str, str, str]


class Choice(NamedTuple):
    """A spot, and which of its interfaces.

    ``interface``: a name or pattern, "" for all.  ``named``: it was asked for by name and has to be there; others are
    members of something and may have none to show.
    """

    spot: Spot
    interface: str = ""
    named: bool = True


class _Selecting(Part, frozen=True, kw_only=True):
    selector: LabelSelector | None = None


class _Workload(Part, frozen=True, kw_only=True):
    metadata: Meta = Meta()
    spec: _Selecting = _Selecting()


class _Workloads(Part, frozen=True, kw_only=True):
    items: tuple[_Workload, ...] = ()


@dataclass(frozen=True)
class Inventory:
    """What there is to choose from, as values."""

    nodes: Sequence[NodeState] = ()
    """machines and switches"""
    links: Sequence[LinkState] = ()
    pods: Sequence[NarrowPod] = ()
    """with those that are over, and those in their machine's network"""
    members: Mapping[Member, Sequence[Spot]] = field(default_factory=dict)
    """pods of Services and workloads"""
    blind: str = ""
    """why there are no objects: the API server did not answer"""

    @cached_property
    def pod(self) -> Mapping[Spot, NarrowPod]:
        """Pods by their spots."""
        return {spot_of_pod(pod): pod for pod in self.pods}

    def choose(self, words: Iterable[str], namespace: str = "default") -> list[Choice]:
        """What people mean by these words (see the module), in their order, each once; KnetError for what is not there,
        naming what is nearest, and for what may mean two things."""
        found: dict[tuple[Spot, str], Choice] = {}
        for word in words:
            for choice in self._chosen(word, namespace):
                spot, interface, named = choice
                key = self._network(spot), interface
                found.setdefault(key, Choice(*key, named))
        return list(found.values())

    # ---- one word ------------------------------------------------------------------------------------------------

    def _chosen(self, word: str, namespace: str) -> list[Choice]:
        if word == _ALL:
            return self._everything()
        parts, elsewhere = word.split("/"), False
        if len(parts) > 2 and parts[0] not in _KINDS and _KINDS.get(parts[1], _NODE) not in (_NODE, _LINK):
            namespace, elsewhere = parts.pop(0), True
        kind, rest = _KINDS.get(parts[0]), parts[1:]
        if kind is None:
            kind, rest = _NODE, parts
        if not rest or not all(rest):
            raise KnetError(f"{word!r}: say {parts[0]}/NAME")
        if self.blind and kind not in (_NODE, _LINK):
            raise KnetError(f"{word} cannot be looked up: the API server does not answer ({self.blind})")
        if kind == _LINK:
            return self._link(word, rest)
        if kind == _NODE:
            return self._node(word, rest)
        if kind == POD:
            return self._pod(word, rest, namespace, elsewhere)
        return self._members(word, kind, rest, namespace)

    def _everything(self) -> list[Choice]:
        nodes = [Choice(spot_of(node), named=False) for node in self.nodes]
        return nodes + [Choice(spot_of_pod(pod), named=False) for pod in self.pods if not pod.over]

    def _node(self, word: str, rest: list[str]) -> list[Choice]:
        name, interface = _interface(word, rest)
        found = [node for node in self.nodes if fnmatchcase(node.name, name)]
        if not found:
            raise self._unknown(word, "machine or switch", name)
        return [Choice(spot_of(node), interface, node.name == name) for node in found]

    def _link(self, word: str, rest: list[str]) -> list[Choice]:
        name, _ = _interface(word, rest)
        found = [link for link in self.links if name in _names_of(link)]
        if len({_names_of(link) for link in found}) > 1:
            raise KnetError(f"{word} may be {' or '.join(_names_of(link)[0] for link in found)}")
        if not found:
            raise self._unknown(word, "link", name)
        nodes = {node.name: node for node in self.nodes}
        return [Choice(spot_of(nodes[end.node]), end.interface) for link in found for end in link.ends]

    def _pod(self, word: str, rest: list[str], namespace: str, elsewhere: bool) -> list[Choice]:
        """NAME, NAME/INTERFACE, NAMESPACE/NAME or NAMESPACE/NAME/INTERFACE; ``elsewhere``: the namespace was told."""
        if len(rest) > (2 if elsewhere else 3):
            raise KnetError(f"{word!r} has a part too many")
        name, interface = (*rest, "")[:2]
        readings = {f"interface {interface} of pod {name} in namespace {namespace}": (namespace, name, interface)}
        if len(rest) == 2 and not elsewhere:
            readings[f"pod {interface} in namespace {name}"] = (name, interface, "")
        if len(rest) == 3:
            readings = {word: (rest[0], rest[1], rest[2])}
        choices = {meaning: self._pods(word, *reading) for meaning, reading in readings.items()}
        meant = {meaning: found for meaning, found in choices.items() if found}
        if len(meant) > 1:
            raise KnetError(f"{word} may be {' or '.join(meant)}: say NAMESPACE/pod/NAME/INTERFACE")
        if not meant:
            raise self._no_pod(word, namespace, rest[0])
        return next(iter(meant.values()))

    def _pods(self, word: str, namespace: str, name: str, interface: str) -> list[Choice]:
        there = (pod for pod in self.pods if pod.namespace == namespace and fnmatchcase(pod.name, name))
        return [Choice(spot_of_pod(pod), interface, pod.name == name) for pod in there]

    def _no_pod(self, word: str, namespace: str, name: str) -> KnetError:
        elsewhere = sorted({pod.namespace for pod in self.pods if pod.name == name})
        if elsewhere:
            others = ", ".join(f"{place}/pod/{name}" for place in elsewhere)
            return KnetError(f"there is no pod {name} in namespace {namespace}; there is {others}")
        return self._unknown(word, f"pod in namespace {namespace}", name, namespace)

    def _members(self, word: str, kind: str, rest: list[str], namespace: str) -> list[Choice]:
        name, interface = _interface(word, rest)
        keys = [key for key in self.members if key[:2] == (kind, namespace) and fnmatchcase(key[2], name)]
        if not keys:
            raise self._unknown(word, f"{kind} in namespace {namespace}", name, namespace)
        found = [Choice(spot, interface, named=False) for key in keys for spot in self.members[key]]
        if not found:
            raise KnetError(f"{word} has no pods")
        return found

    def _unknown(self, word: str, what: str, name: str, namespace: str = "") -> KnetError:
        """No such thing, but perhaps one of a similar name."""
        near = nearest(word, self._words(namespace))
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        return KnetError(f"there is no {what} called {name!r}{hint}")

    def _words(self, namespace: str) -> list[str]:
        """All that may be said, as one says it in a namespace ("default" where none is meant)."""
        here = namespace or "default"
        nodes = [node.name for node in self.nodes]
        pods = [pod for pod in self.pods if not pod.over]
        named = [(pod.namespace, "pod", pod.name) for pod in pods] + [(key[1], key[0], key[2]) for key in self.members]
        objects = [f"{_SHORT.get(kind, kind)}/{name}" for place, kind, name in named if place == here]
        others = [f"{place}/{_SHORT.get(kind, kind)}/{name}" for place, kind, name in named if place != here]
        return [*nodes, *objects, *others, *(f"link/{_names_of(link)[0]}" for link in self.links)]

    def _network(self, spot: Spot) -> Spot:
        """The spot in whose network it is: a machine's, for a pod without its own."""
        if spot.kind == POD and (pod := self.pod[spot]).spec.hostNetwork and pod.spec.nodeName:
            return Spot(MACHINE, pod.spec.nodeName)
        return spot


#: as people call them
_SHORT = {"service": "svc"}


def nearest(word: str, words: Iterable[str]) -> list[str]:
    """At most three that somebody may have meant: those that go on where it ends, then those that look like it."""
    known = list(dict.fromkeys(words))
    name = word.rpartition("/")[2]
    bare = {row: row.rpartition("/")[2] for row in known}
    close = difflib.get_close_matches(name, bare.values(), 3, 0.5)
    found = [row for row in known if row.startswith(word)]
    found += difflib.get_close_matches(word, known, 3, 0.7)
    found += [row for row in known if bare[row] == name]
    found += [row for row in known if bare[row].startswith(name) or bare[row] in close]
    return list(dict.fromkeys(found))[:3]


async def inventory(view: NetworkView, client: Client) -> Inventory:
    """What there is now; without objects (`Inventory.blind`) where the API server does not answer in a few seconds."""
    try:
        async with asyncio.timeout(PATIENCE):
            pods, members = await _objects(client)
    except (ApiError, Unavailable, TimeoutError) as error:
        return Inventory(view.nodes(), view.links(), blind=str(error) or "no answer")
    return Inventory(view.nodes(), view.links(), pods, members)


async def _objects(client: Client) -> tuple[Sequence[NarrowPod], Mapping[Member, Sequence[Spot]]]:
    """Pods, and which of them are members of what."""
    rows = (resources.SERVICES, *_WORKLOADS)
    listed, slices, (services, *workloads) = await asyncio.gather(
        client.list(NarrowPod), client.list(EndpointSlice), asyncio.gather(*(_listed(client, row) for row in rows))
    )
    pods = listed.items
    found: dict[Member, list[Spot]] = {
        ("service", service.metadata.namespace, service.metadata.name): [] for service in services
    }
    for slice_ in slices.items:
        service_name = slice_.metadata.labels.get(SERVICE_NAME_LABEL, "")
        targets = (row.targetRef for row in slice_.endpoints if row.targetRef and row.targetRef.kind == "Pod")
        spots = [Spot(POD, target.name, slice_.namespace) for target in targets]
        found.setdefault(("service", slice_.namespace, service_name), []).extend(spots)
    for row, of_kind in zip(_WORKLOADS, workloads, strict=True):
        for workload in of_kind:
            namespace, selects = workload.metadata.namespace, from_label_selector(workload.spec.selector).matches
            chosen = (pod for pod in pods if pod.namespace == namespace and selects(pod.metadata.labels))
            found[row.singular, namespace, workload.metadata.name] = [spot_of_pod(pod) for pod in chosen]
    there = {spot_of_pod(pod) for pod in pods if not pod.over}
    return pods, {key: [spot for spot in dict.fromkeys(spots) if spot in there] for key, spots in found.items()}


async def _listed(client: Client, row: Resource) -> tuple[_Workload, ...]:
    return msgspec.json.decode(await client.raw("GET", row.path()), type=_Workloads).items


def spot_of(node: NodeState) -> Spot:
    return Spot(SWITCH if node.is_switch else MACHINE, node.name)


def spot_of_pod(pod: NarrowPod) -> Spot:
    return Spot(POD, pod.name, pod.namespace)


def _names_of(link: LinkState) -> tuple[str, str]:
    """``n1-s1`` and ``s1-n1``"""
    a, b = (end.node for end in link.ends)
    return f"{a}-{b}", f"{b}-{a}"


def _interface(word: str, rest: list[str]) -> tuple[str, str]:
    """A name and perhaps, after it, an interface."""
    if len(rest) > 2:
        raise KnetError(f"{word!r} has a part too many")
    return rest[0], rest[1] if len(rest) > 1 else ""
