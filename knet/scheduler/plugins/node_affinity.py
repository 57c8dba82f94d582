"""nodeSelector and nodeAffinity: required terms rule nodes out, preferred ones attract.

https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
"""

from collections.abc import Callable, Sequence

from knet.api.objects import NodeSelectorTerm, Pod
from knet.api.selectors import Requirement
from knet.scheduler.cluster import Cluster, NodeInfo
from knet.scheduler.framework import Check, Rate, Rejection, highest_is_best
from knet.scheduler.hints import Change

_REJECTION = Rejection(("node(s) didn't match Pod's node affinity/selector",))

Matcher = Callable[[NodeInfo], bool]


class NodeAffinity:
    name = "NodeAffinity"
    helped_by = frozenset({Change.NODE_ADDED, Change.NODE_LABELS})

    def filter(self, pod: Pod, cluster: Cluster) -> Check | None:
        matches = required(pod)
        if matches is None:
            return None

        def check(info: NodeInfo) -> Rejection | None:
            return None if matches(info) else _REJECTION

        return check

    def score(self, pod: Pod, cluster: Cluster, nodes: Sequence[NodeInfo]) -> Rate | None:
        preferred = pod.spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution
        if not preferred:
            return None
        terms = [(_term(row.preference), row.weight) for row in preferred]

        def rate(info: NodeInfo) -> float:
            return sum(weight for matches, weight in terms if matches(info))

        return rate

    def normalise(self, rates: Sequence[float]) -> Sequence[float]:
        return highest_is_best(rates)


def required(pod: Pod) -> Matcher | None:
    """Whether a node meets nodeSelector and the required terms; None for a pod that has neither."""
    selector = pod.spec.nodeSelector
    affinity = pod.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution
    if not selector and affinity is None:
        return None
    # any one of the terms will do; a list without terms is met by no node
    terms = [_term(term) for term in affinity.nodeSelectorTerms] if affinity is not None else None

    def matches(info: NodeInfo) -> bool:
        labels = info.labels
        if any(labels.get(key) != value for key, value in selector.items()):
            return False
        return terms is None or any(term(info) for term in terms)

    return matches


def _term(term: NodeSelectorTerm) -> Matcher:
    """All expressions and fields of a term have to hold; an empty term matches nothing."""
    by_label = [Requirement(row.key, row.operator, row.values) for row in term.matchExpressions]
    by_field = [Requirement(row.key, row.operator, row.values) for row in term.matchFields]

    def matches(info: NodeInfo) -> bool:
        if not by_label and not by_field:
            return False
        fields = {"metadata.name": info.name}
        return all(row.matches(info.labels) for row in by_label) and all(row.matches(fields) for row in by_field)

    return matches
