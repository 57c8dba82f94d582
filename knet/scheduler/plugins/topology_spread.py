"""PodTopologySpread: equal numbers of like pods in each zone, on each node.

Constraints with ``DoNotSchedule`` rule nodes out, those with ``ScheduleAnyway`` score.  A pod without any, made by a
controller, is spread by the cluster's defaults: over nodes (maxSkew 3) and zones (maxSkew 5), which only score.
https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from knet.api.names import HOSTNAME_LABEL, ZONE_LABEL
from knet.api.node_selection import required
from knet.api.objects import Pod
from knet.api.selectors import Selector, from_label_selector
from knet.scheduler.cluster import Cluster, NodeInfo, owner_uid
from knet.scheduler.framework import MAX_SCORE, Check, Rate, Rejection
from knet.scheduler.hints import Change

_SKEWED = Rejection(("node(s) didn't match pod topology spread constraints",), evictable=True)
_NO_LABEL = Rejection(("node(s) didn't match pod topology spread constraints (missing required label)",))

#: of a pod, how many like it run on a node
Count = Callable[[NodeInfo], int]


class _Constraint(NamedTuple):
    key: str
    max_skew: int
    count: Count
    #: whether the pod itself will be counted once it is placed
    counts_itself: bool


class TopologySpread:
    name = "PodTopologySpread"
    helped_by = frozenset(Change) - {Change.NODE_ALLOCATABLE}

    def filter(self, pod: Pod, cluster: Cluster) -> Check | None:
        constraints = _constraints(pod, "DoNotSchedule")
        if not constraints:
            return None
        eligible = _eligible(pod, cluster.nodes, constraints)
        domains = [_domains(row, eligible) for row in constraints]
        rules = [
            (row, counts, min(counts.values(), default=0)) for row, counts in zip(constraints, domains, strict=True)
        ]

        def check(info: NodeInfo) -> Rejection | None:
            for row, counts, fewest in rules:
                value = info.labels.get(row.key)
                if value is None:
                    return _NO_LABEL
                if counts[value] + row.counts_itself - fewest > row.max_skew:
                    return _SKEWED
            return None

        return check

    def score(self, pod: Pod, cluster: Cluster, nodes: Sequence[NodeInfo]) -> Rate | None:
        constraints = _constraints(pod, "ScheduleAnyway")
        explicit = bool(pod.spec.topologySpreadConstraints)
        if not explicit:
            constraints = _defaults(pod)
        eligible = _eligible(pod, cluster.nodes, constraints if explicit else [])
        rates = [_rate(row, eligible, nodes) for row in constraints if any(row.key in info.labels for info in nodes)]
        if len(rates) == 1:
            return rates[0]
        return (lambda info: sum(rate(info) for rate in rates)) if rates else None

    def normalise(self, rates: Sequence[float]) -> Sequence[float]:
        """The fewest pods get 100; the others what is left in proportion."""
        low, high = min(rates), max(rates)
        return [MAX_SCORE * (high + low - rate) // high for rate in rates] if high else [MAX_SCORE] * len(rates)


def _rate(row: _Constraint, eligible: Sequence[NodeInfo], nodes: Sequence[NodeInfo]) -> Rate:
    """What one constraint says against a node: the like pods in its domain (scoreForCount).

    Many small domains weigh more than few large ones: one pod more is a larger part of them.
    """
    count, extra = row.count, row.max_skew - 1
    if row.key == HOSTNAME_LABEL:  # every node its own domain: nothing to add up
        weight = math.log(len(nodes) + 2)
        return lambda info: round(count(info) * weight + extra)
    domains = _domains(row, eligible)
    weight = math.log(len({info.labels.get(row.key) for info in nodes} - {None}) + 2)

    def rate(info: NodeInfo) -> float:
        value = info.labels.get(row.key)
        return round(domains[value] * weight + extra) if value is not None else 0

    return rate


def _constraints(pod: Pod, when: str) -> list[_Constraint]:
    found = []
    for row in pod.spec.topologySpreadConstraints:
        if row.whenUnsatisfiable != when:
            continue
        selector = from_label_selector(row.labelSelector)
        count = _counter(pod.namespace, selector)
        found.append(_Constraint(row.topologyKey, row.maxSkew, count, selector.matches(pod.metadata.labels)))
    return found


def _counter(namespace: str, selector: Selector) -> Count:
    def count(info: NodeInfo) -> int:
        return sum(
            other.pod.namespace == namespace and not other.pod.deleting and selector.matches(other.pod.metadata.labels)
            for other in info.pods.values()
        )

    return count


def _defaults(pod: Pod) -> list[_Constraint]:
    """Upstream finds the like pods by the selectors of their Services and ReplicaSet; the controller says the same."""
    owner = owner_uid(pod)
    if not owner:
        return []

    def count(info: NodeInfo) -> int:
        return info.owners.get(owner, 0)

    return [_Constraint(HOSTNAME_LABEL, 3, count, True), _Constraint(ZONE_LABEL, 5, count, True)]


def _eligible(pod: Pod, nodes: Sequence[NodeInfo], constraints: Sequence[_Constraint]) -> Sequence[NodeInfo]:
    """The nodes that count: those the pod's node affinity allows and that have all the labels asked for."""
    matches = required(pod.spec)
    if matches is None and not constraints:
        return nodes
    return [
        info
        for info in nodes
        if all(row.key in info.labels for row in constraints) and (matches is None or matches(info.name, info.labels))
    ]


def _domains(row: _Constraint, nodes: Sequence[NodeInfo]) -> Counter[str]:
    """Like pods by the value of the topology key, domains without any included."""
    counts: Counter[str] = Counter()
    for info in nodes:
        value = info.labels.get(row.key)
        if value is not None:
            counts[value] += row.count(info)
    return counts
