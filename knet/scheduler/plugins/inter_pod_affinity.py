"""InterPodAffinity: next to some pods, away from others, where "next to" is a node label: one node, one rack, one zone.

Anti-affinity works both ways: a pod that wants no other like it around keeps later ones off too.
https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from knet.api.objects import Pod, PodAffinityTerm
from knet.api.selectors import from_label_selector
from knet.client import key_of
from knet.scheduler.cluster import Cluster, NodeInfo
from knet.scheduler.framework import MAX_SCORE, Check, Rate, Rejection
from knet.scheduler.hints import Change

_AFFINITY = Rejection(("node(s) didn't match pod affinity rules",))
_ANTI_AFFINITY = Rejection(("node(s) didn't match pod anti-affinity rules",), evictable=True)
_OTHERS = Rejection(("node(s) didn't satisfy existing pods anti-affinity rules",), evictable=True)

#: what an existing pod's required affinity is worth to a newcomer that satisfies it (hardPodAffinityWeight)
HARD_WEIGHT = 1

#: a topology key and one of its values: ("topology.kubernetes.io/zone", "rack1")
Place = tuple[str, str]


class InterPodAffinity:
    name = "InterPodAffinity"
    helped_by = frozenset(Change) - {Change.NODE_ALLOCATABLE, Change.NODE_TAINTS}

    def filter(self, pod: Pod, cluster: Cluster) -> Check | None:
        wanted = pod.spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution
        unwanted = pod.spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution
        shunning = _shunned_by_others(pod, cluster)
        if not wanted and not unwanted and not shunning:
            return None
        together = [(term, _places(pod, term, cluster)) for term in wanted]
        apart = [(term, _places(pod, term, cluster)) for term in unwanted]
        # the first of a group that wants to be together finds nobody there yet: it may go anywhere
        first = (
            bool(together)
            and not any(places for _, places in together)
            and all(_matches(pod, term, pod, cluster) for term in wanted)
        )

        def check(info: NodeInfo) -> Rejection | None:
            if any((term.topologyKey, info.labels.get(term.topologyKey, "")) in places for term, places in apart):
                return _ANTI_AFFINITY
            if any(info.labels.get(key) == value for key, value in shunning):
                return _OTHERS
            for term, places in together:
                value = info.labels.get(term.topologyKey)
                if value is None or (not first and (term.topologyKey, value) not in places):
                    return _AFFINITY
            return None

        return check

    def score(self, pod: Pod, cluster: Cluster, nodes: Sequence[NodeInfo]) -> Rate | None:
        worth: Counter[Place] = Counter()
        affinity = pod.spec.affinity
        for row in affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution:
            for place, count in _places(pod, row.podAffinityTerm, cluster).items():
                worth[place] += row.weight * count
        for row in affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution:
            for place, count in _places(pod, row.podAffinityTerm, cluster).items():
                worth[place] -= row.weight * count
        for place, value in _wished_by_others(pod, cluster):
            worth[place] += value
        if not worth:
            return None

        def rate(info: NodeInfo) -> float:
            return sum(value for (key, name), value in worth.items() if info.labels.get(key) == name)

        return rate

    def normalise(self, rates: Sequence[float]) -> Sequence[float]:
        low, high = min(rates), max(rates)
        return [MAX_SCORE * (rate - low) / (high - low) for rate in rates] if high > low else [0] * len(rates)


def _matches(holder: Pod, term: PodAffinityTerm, other: Pod, cluster: Cluster) -> bool:
    """Whether ``other`` is one of those that a term of ``holder`` speaks of."""
    namespaces = term.namespaces or (() if term.namespaceSelector is not None else (holder.namespace,))
    if other.namespace not in namespaces:
        selector = from_label_selector(term.namespaceSelector)
        if not selector.matches(cluster.namespaces.get(other.namespace, {})):
            return False
    return from_label_selector(term.labelSelector).matches(other.metadata.labels)


def _places(pod: Pod, term: PodAffinityTerm, cluster: Cluster) -> Counter[Place]:
    """Where the pods are that a term speaks of, and how many."""
    found: Counter[Place] = Counter()
    for info in cluster.nodes:
        value = info.labels.get(term.topologyKey)
        if value is not None:
            count = sum(_matches(pod, term, placed.pod, cluster) for placed in info.pods.values())
            if count:
                found[term.topologyKey, value] += count
    return found


def _place_of(pod: Pod, key: str, cluster: Cluster) -> Place | None:
    info = cluster.node_of(key_of(pod))
    value = info.labels.get(key) if info is not None else None
    return (key, value) if value is not None else None


def _shunned_by_others(pod: Pod, cluster: Cluster) -> set[Place]:
    """Places where a pod runs whose required anti-affinity speaks of this one."""
    found = set()
    for placed in cluster.with_affinity.values():
        for term in placed.pod.spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution:
            if _matches(placed.pod, term, pod, cluster):
                place = _place_of(placed.pod, term.topologyKey, cluster)
                if place is not None:
                    found.add(place)
    return found


def _wished_by_others(pod: Pod, cluster: Cluster) -> Iterator[tuple[Place, int]]:
    """What the terms of pods that run already say about having this one near."""
    for placed in cluster.with_affinity.values():
        affinity = placed.pod.spec.affinity
        terms = [
            *((row, HARD_WEIGHT) for row in affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution),
            *(
                (row.podAffinityTerm, row.weight)
                for row in affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution
            ),
            *(
                (row.podAffinityTerm, -row.weight)
                for row in affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution
            ),
        ]
        for term, weight in terms:
            if _matches(placed.pod, term, pod, cluster):
                place = _place_of(placed.pod, term.topologyKey, cluster)
                if place is not None:
                    yield place, weight
