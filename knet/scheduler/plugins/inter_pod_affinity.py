"""InterPodAffinity: next to some pods, away from others, where "next to" is a node label: one node, one rack, one zone.

Anti-affinity works both ways: a pod that wants no other like it around keeps later ones off too.
https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from knet.api.objects import JSON, Affinity, Node, PodAffinityTerm
from knet.api.selectors import Selector, from_label_selector
from knet.scheduler.cluster import Cluster, Group
from knet.scheduler.hints import Change
from knet.scheduler.node import NodeInfo
from knet.scheduler.plugin import MAX_SCORE, SKIP, Handle, Plugin, Rejection
from knet.scheduler.plugins.arguments import Args, struct
from knet.scheduler.pod import Likeness, PodInfo

_AFFINITY = Rejection(("node(s) didn't match pod affinity rules",), final=True)
_ANTI_AFFINITY = Rejection(("node(s) didn't match pod anti-affinity rules",))
_OTHERS = Rejection(("node(s) didn't satisfy existing pods anti-affinity rules",))

#: how many templates' terms are kept ready; cleared when there are more
_READY = 1024

#: a topology key and one of its values: ("topology.kubernetes.io/zone", "rack1")
Place = tuple[str, str]


class _Term(NamedTuple):
    key: str
    namespaces: tuple[str, ...]
    namespace_selector: Selector
    selector: Selector

    def matches(self, other: PodInfo | Group, namespaces: Mapping[str, dict[str, str]]) -> bool:
        """Whether another pod is one of those that the term speaks of."""
        namespace = other.likeness.namespace
        if namespace not in self.namespaces and not self.namespace_selector.matches(namespaces.get(namespace, {})):
            return False
        return self.selector.matches(other.labels)


class _Terms(NamedTuple):
    """Required ones, and preferred ones with their weights: negative for anti-affinity."""

    near: tuple[_Term, ...]
    apart: tuple[_Term, ...]
    preferred: tuple[tuple[_Term, int], ...]


_NONE = _Terms((), (), ())


class _State:
    """How many pods that matter are in which place."""

    def __init__(self, terms: _Terms) -> None:
        self.terms = terms
        self.near: Counter[Place] = Counter()
        self.apart: Counter[Place] = Counter()
        #: places of pods that do not want this one around, and what keys these have
        self.shunned: Counter[Place] = Counter()
        self.shunned_keys: set[str] = set()


class InterPodAffinity(Plugin):
    weight = 2
    helped_by = frozenset(
        {Change.NODE_ADDED, Change.NODE_LABELS, Change.POD_ADDED, Change.POD_LABELS, Change.POD_REMOVED}
    )

    def __init__(self) -> None:
        #: what an existing pod's required affinity is worth to a newcomer that satisfies it
        self._hard_weight = 1
        self._ignore_preferred = False
        self._cluster = Cluster()
        self._ready: dict[Likeness, _Terms] = {}

    def setup(self, handle: Handle, args: JSON) -> None:
        self._cluster = handle.cluster
        given = struct(args, _Args)
        if not 0 <= given.hardPodAffinityWeight <= 100:
            raise ValueError(f"hardPodAffinityWeight: {given.hardPodAffinityWeight} is not in the range 0-100")
        self._hard_weight = given.hardPodAffinityWeight
        self._ignore_preferred = given.ignorePreferredTermsOfExistingPods

    # ---- filter ----------------------------------------------------------------------------------------------

    def helps(self, pod: PodInfo, change: Change, old: Any, new: Any) -> bool:
        if isinstance(new, Node):
            return True
        namespaces, terms = self._cluster.namespaces, self._terms(pod)
        for row in (old, new):
            if row is not None:
                other = PodInfo(row)
                if any(term.matches(other, namespaces) for term in (*terms.near, *terms.apart)):
                    return True
                if any(term.matches(pod, namespaces) for term in self._terms(other).apart):
                    return True
        return False

    def pre_filter(self, pod: PodInfo, cluster: Cluster) -> Any:
        state = _State(self._terms(pod))
        minds_itself = bool(state.terms.near or state.terms.apart)
        if not minds_itself and not cluster.with_terms and not cluster.nominating:
            return SKIP
        for group in cluster.groups.values() if minds_itself else cluster.with_terms.values():
            self._count(state, pod, group, group.nodes.items())
        # nobody minds; and in a what-if pods only go, unless some are nominated
        return state if minds_itself or state.shunned or cluster.nominating else SKIP

    def recount(self, state: _State, pod: PodInfo, other: PodInfo, node: NodeInfo, by: int) -> None:
        self._count(state, pod, other, ((node, by),))

    def _count(
        self, state: _State, pod: PodInfo, other: PodInfo | Group, nodes: Iterable[tuple[NodeInfo, int]]
    ) -> None:
        """Another pod, or a group, counts where it is, if it is meant by the pod or means it."""
        namespaces, terms = self._cluster.namespaces, state.terms
        if terms.near and all(term.matches(other, namespaces) for term in terms.near):
            for term in terms.near:
                _add(state.near, term.key, nodes)
        for term in terms.apart:
            if term.matches(other, namespaces):
                _add(state.apart, term.key, nodes)
        if other.likeness.terms:
            for term in self._terms(other).apart:
                if term.matches(pod, namespaces):
                    state.shunned_keys.add(term.key)
                    _add(state.shunned, term.key, nodes)

    def filter(self, state: _State, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        labels = node.labels
        if state.terms.near and not self._near(state, pod, labels):
            return _AFFINITY
        for term in state.terms.apart:
            if state.apart.get((term.key, labels.get(term.key, ""))):
                return _ANTI_AFFINITY
        for key in state.shunned_keys:
            if state.shunned.get((key, labels.get(key, ""))):
                return _OTHERS
        return None

    def _near(self, state: _State, pod: PodInfo, labels: dict[str, str]) -> bool:
        """The first of a group that wants to be together finds nobody there yet: it may go anywhere."""
        terms = state.terms.near
        if any(term.key not in labels for term in terms):
            return False
        if all(state.near[term.key, labels[term.key]] > 0 for term in terms):
            return True
        nobody = not any(count > 0 for count in state.near.values())
        return nobody and all(term.matches(pod, self._cluster.namespaces) for term in terms)

    # ---- score -----------------------------------------------------------------------------------------------

    def pre_score(self, pod: PodInfo, nodes: Sequence[NodeInfo], cluster: Cluster) -> Any:
        """The topology keys that matter, and by key and value what it is worth to be there."""
        own = self._terms(pod).preferred
        if not own and (self._ignore_preferred or not cluster.with_terms):
            return SKIP
        worth: Counter[Place] = Counter()
        namespaces = cluster.namespaces
        for group in cluster.groups.values() if own else cluster.with_terms.values():
            for term, weight in own:
                if term.matches(group, namespaces):
                    _add(worth, term.key, group.nodes.items(), weight)
            if group.likeness.terms:
                theirs = self._terms(group)
                wishes = (*theirs.preferred, *((term, self._hard_weight) for term in theirs.near))
                for term, weight in wishes:
                    if weight and term.matches(pod, namespaces):
                        _add(worth, term.key, group.nodes.items(), weight)
        return ({key for key, _ in worth}, worth) if worth else SKIP

    def score(self, state: tuple[set[str], Counter[Place]], pod: PodInfo, node: NodeInfo) -> float:
        (keys, worth), labels = state, node.labels
        return sum(worth.get((key, labels.get(key, "")), 0) for key in keys)

    def normalize(self, state: object, pod: PodInfo, scores: Sequence[float]) -> Sequence[float]:
        low, high = min(scores), max(scores)
        return [int(MAX_SCORE * (score - low) / (high - low)) for score in scores] if high > low else [0] * len(scores)

    # ---- terms -----------------------------------------------------------------------------------------------

    def _terms(self, of: PodInfo | Group) -> _Terms:
        likeness = of.likeness
        if not likeness.terms:
            return _NONE
        found = self._ready.get(likeness)
        if found is None:
            if len(self._ready) >= _READY:
                self._ready.clear()
            affinity = of.affinity if isinstance(of, Group) else of.spec.affinity
            found = self._ready[likeness] = _compiled(likeness.namespace, affinity)
        return found


def _compiled(namespace: str, affinity: Affinity) -> _Terms:
    def term(row: PodAffinityTerm) -> _Term:
        own = () if row.namespaces or row.namespaceSelector is not None else (namespace,)
        selector, others = from_label_selector(row.labelSelector), from_label_selector(row.namespaceSelector)
        return _Term(row.topologyKey, row.namespaces or own, others, selector)

    near, apart = affinity.podAffinity, affinity.podAntiAffinity
    return _Terms(
        tuple(map(term, near.requiredDuringSchedulingIgnoredDuringExecution)),
        tuple(map(term, apart.requiredDuringSchedulingIgnoredDuringExecution)),
        (
            *((term(r.podAffinityTerm), r.weight) for r in near.preferredDuringSchedulingIgnoredDuringExecution),
            *((term(r.podAffinityTerm), -r.weight) for r in apart.preferredDuringSchedulingIgnoredDuringExecution),
        ),
    )


def _add(counts: Counter[Place], key: str, nodes: Iterable[tuple[NodeInfo, int]], weight: int = 1) -> None:
    for info, number in nodes:
        value = info.labels.get(key)
        if value is not None:
            counts[key, value] += number * weight


class _Args(Args, frozen=True, kw_only=True):
    hardPodAffinityWeight: int = 1
    ignorePreferredTermsOfExistingPods: bool = False
