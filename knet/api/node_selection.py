"""Which nodes a pod may run on: nodeSelector and required node affinity, for the scheduler and for DaemonSets.

https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
"""

from collections.abc import Callable, Mapping

from knet.api.objects import NodeSelectorTerm, PodSpec
from knet.api.selectors import Requirement

_BY_NAME = ("metadata.name", "In")

#: asked with a node's name and labels
Matcher = Callable[[str, Mapping[str, str]], bool]


def required(spec: PodSpec) -> Matcher | None:
    """Whether a node meets nodeSelector and the required terms; None for a pod that has neither."""
    selector = spec.nodeSelector
    affinity = spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution
    if not selector and affinity is None:
        return None
    # any one of the terms will do; a list without terms is met by no node
    terms = [term(row) for row in affinity.nodeSelectorTerms] if affinity is not None else None

    def matches(name: str, labels: Mapping[str, str]) -> bool:
        if any(labels.get(key) != value for key, value in selector.items()):
            return False
        return terms is None or any(meets(name, labels) for meets in terms)

    return matches


def named_nodes(spec: PodSpec) -> frozenset[str] | None:
    """The nodes that the required terms name, where all of them name some: a DaemonSet's pods do."""
    affinity = spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution
    found: frozenset[str] = frozenset()
    for row in affinity.nodeSelectorTerms if affinity is not None else ():
        fields = [set(field.values) for field in row.matchFields if (field.key, field.operator) == _BY_NAME]
        if not fields:
            return None
        found |= set.intersection(*fields)
    return found if affinity is not None and affinity.nodeSelectorTerms else None


def term(row: NodeSelectorTerm) -> Matcher:
    """All expressions and fields of a term have to hold; an empty term matches nothing."""
    by_label = [Requirement(row.key, row.operator, row.values) for row in row.matchExpressions]
    by_field = [Requirement(row.key, row.operator, row.values) for row in row.matchFields]

    def matches(name: str, labels: Mapping[str, str]) -> bool:
        if not by_label and not by_field:
            return False
        fields = {"metadata.name": name}
        return all(row.matches(labels) for row in by_label) and all(row.matches(fields) for row in by_field)

    return matches
