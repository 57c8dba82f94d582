"""PodTopologySpread: equal numbers of like pods in each zone, on each node.

Constraints with ``DoNotSchedule`` rule nodes out, those with ``ScheduleAnyway`` score.  A pod without any that belongs
to a Service, ReplicaSet, ReplicationController or StatefulSet is spread by the cluster's defaults: over nodes (maxSkew
3) and zones (maxSkew 5), which only score, or over what the plugin's arguments say.
https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from knet.api.names import HOSTNAME_LABEL, ZONE_LABEL
from knet.api.node_selection import Matcher, required
from knet.api.objects import JSON, Node, Pod, TopologySpreadConstraint
from knet.api.selectors import Requirement, Selector, from_label_selector, from_labels
from knet.scheduler.cluster import Cluster, Group
from knet.scheduler.hints import Change
from knet.scheduler.node import NodeInfo
from knet.scheduler.plugin import MAX_SCORE, SKIP, Handle, Plugin, Rejection
from knet.scheduler.plugins.arguments import Args, choice, struct
from knet.scheduler.plugins.taint_toleration import untolerated
from knet.scheduler.pod import PodInfo

_SKEWED = Rejection(("node(s) didn't match pod topology spread constraints",))
_NO_LABEL = Rejection(("node(s) didn't match pod topology spread constraints (missing required label)",), final=True)

#: owners by whose selector a pod is found (helper.DefaultSelector)
_SELECTING = ("ReplicaSet", "ReplicationController", "StatefulSet")
_SYSTEM = (
    TopologySpreadConstraint(topologyKey=HOSTNAME_LABEL, whenUnsatisfiable="ScheduleAnyway", maxSkew=3),
    TopologySpreadConstraint(topologyKey=ZONE_LABEL, whenUnsatisfiable="ScheduleAnyway", maxSkew=5),
)

#: whether a pod, or the pods of a group, count
Counts = Callable[[PodInfo | Group], bool]


class _Constraint(NamedTuple):
    given: TopologySpreadConstraint
    counts: Counts

    @property
    def key(self) -> str:
        return self.given.topologyKey

    def includes(self, pod: PodInfo, node: NodeInfo, matches: Matcher | None) -> bool:
        """Whether pods on this node count: by default where the pod's node affinity lets it go, tainted or not."""
        if self.given.nodeAffinityPolicy == "Honor" and matches is not None and not matches(node.name, node.labels):
            return False
        if self.given.nodeTaintsPolicy == "Honor" and node.repelling:
            return untolerated(node.repelling, pod.spec.tolerations) is None
        return True


class _Domains:
    """One constraint's domains, with how many pods each has; ``fewest`` is what skew is measured from."""

    def __init__(self, constraint: _Constraint, pod: PodInfo, nodes: Sequence[NodeInfo], all_: Sequence[str]) -> None:
        self.constraint = constraint
        self.counts_itself = constraint.counts(pod)
        matches = required(pod.spec)
        self.included = {
            info: info.labels[constraint.key]
            for info in nodes
            if all(key in info.labels for key in all_) and constraint.includes(pod, info, matches)
        }
        self.count = dict.fromkeys(self.included.values(), 0)
        self.fewest = 0

    def add(self, group: Group) -> None:
        for info, number in group.nodes.items():
            if info in self.included:
                self.count[self.included[info]] += number

    def settle(self) -> None:
        """With fewer domains than minDomains, the missing ones are thought of as empty."""
        enough = len(self.count) >= self.constraint.given.minDomains
        self.fewest = min(self.count.values(), default=0) if enough else 0


class _Weight(NamedTuple):
    """Of a constraint that scores: the like pods by domain (or by node), what each weighs, what all are given."""

    key: str
    counts: Mapping[Any, int]
    by_node: bool
    weight: float
    extra: int


class _Scoring(NamedTuple):
    """``strict``: labels that a node has to have to be scored at all."""

    strict: tuple[str, ...]
    weights: tuple[_Weight, ...]


class PodTopologySpread(Plugin):
    weight = 2
    helped_by = frozenset(
        {
            Change.NODE_ADDED,
            Change.NODE_REMOVED,
            Change.NODE_LABELS,
            Change.NODE_TAINTS,
            Change.POD_ADDED,
            Change.POD_LABELS,
            Change.POD_REMOVED,
        }
    )

    def __init__(self) -> None:
        self._defaults: tuple[TopologySpreadConstraint, ...] = _SYSTEM
        self._by_system = True
        self._cluster = Cluster()

    def setup(self, handle: Handle, args: JSON) -> None:
        self._cluster = handle.cluster
        given = struct(args, _Args)
        kind = choice("defaultingType", given.defaultingType, ("System", "List"))
        self._by_system = kind == "System"
        if self._by_system and given.defaultConstraints:
            raise ValueError("defaultConstraints: when .defaultingType is System, must be empty")
        if any("labelSelector" in row for row in given.defaultConstraints):
            raise ValueError("defaultConstraints: constraint must not define a selector, as they are deduced")
        try:
            rows = msgspec.convert(given.defaultConstraints, tuple[TopologySpreadConstraint, ...])
        except msgspec.ValidationError as error:
            raise ValueError(f"defaultConstraints: {error}") from None
        self._defaults = _SYSTEM if self._by_system else rows

    # ---- filter ----------------------------------------------------------------------------------------------

    def helps(self, pod: PodInfo, change: Change, old: Any, new: Any) -> bool:
        constraints = self._constraints(pod, "DoNotSchedule")
        some = [row for row in (old, new) if row is not None]
        if isinstance(some[0], Node):
            return any(all(row.key in node.metadata.labels for row in constraints) for node in some)
        likes = [PodInfo(row) for row in some if isinstance(row, Pod)]
        return any(row.counts(like) for row in constraints for like in likes)

    def pre_filter(self, pod: PodInfo, cluster: Cluster) -> Any:
        constraints = self._constraints(pod, "DoNotSchedule")
        if not constraints:
            return SKIP
        keys = [row.key for row in constraints]
        domains = [_Domains(row, pod, cluster.nodes, keys) for row in constraints]
        for group in cluster.groups.values():
            for row in domains:
                if row.constraint.counts(group):
                    row.add(group)
        for row in domains:
            row.settle()
        return domains

    def recount(self, domains: list[_Domains], pod: PodInfo, other: PodInfo, node: NodeInfo, by: int) -> None:
        for row in domains:
            if node in row.included and row.constraint.counts(other):
                row.count[row.included[node]] += by
                row.settle()

    def filter(self, domains: list[_Domains], pod: PodInfo, node: NodeInfo) -> Rejection | None:
        for row in domains:
            value = node.labels.get(row.constraint.key)
            if value is None:
                return _NO_LABEL
            if row.count.get(value, 0) + row.counts_itself - row.fewest > row.constraint.given.maxSkew:
                return _SKEWED
        return None

    # ---- score -----------------------------------------------------------------------------------------------

    def pre_score(self, pod: PodInfo, nodes: Sequence[NodeInfo], cluster: Cluster) -> Any:
        constraints = self._constraints(pod, "ScheduleAnyway")
        if not constraints:
            return SKIP
        keys = tuple(row.key for row in constraints)
        strict = keys if pod.spec.topologySpreadConstraints or not self._by_system else ()
        scored = [info for info in nodes if all(key in info.labels for key in strict)] if strict else nodes
        weights = (_weight(row, pod, scored, strict, cluster) for row in constraints)
        return _Scoring(strict, tuple(row for row in weights if row is not None))

    def score(self, state: _Scoring, pod: PodInfo, node: NodeInfo) -> float:
        """What speaks against a node: the like pods in its domains; -1 for nodes without those labels.

        Many small domains weigh more than few large ones: one pod more is a larger part of them (scoreForCount).
        """
        labels = node.labels
        for key in state.strict:
            if key not in labels:
                return -1
        total = 0.5
        for key, counts, by_node, weight, extra in state.weights:
            value = labels.get(key)
            if value is not None:
                total += counts.get(node if by_node else value, 0) * weight + extra
        return int(total)

    def normalize(self, state: object, pod: PodInfo, scores: Sequence[float]) -> Sequence[float]:
        """The fewest pods get 100; the others what is left in proportion."""
        rated = [score for score in scores if score >= 0]
        low, high = min(rated, default=0), max(rated, default=0)
        if not high:
            return [MAX_SCORE if score >= 0 else 0 for score in scores]
        return [MAX_SCORE * (high + low - score) // high if score >= 0 else 0 for score in scores]

    # ---- constraints -----------------------------------------------------------------------------------------

    def _constraints(self, pod: PodInfo, when: str) -> list[_Constraint]:
        own = pod.spec.topologySpreadConstraints
        if own:
            return [_explicit(pod, row) for row in own if row.whenUnsatisfiable == when]
        wanted = [row for row in self._defaults if row.whenUnsatisfiable == when]
        counts = self._alike(pod) if wanted else None
        return [_Constraint(row, counts) for row in wanted] if counts is not None else []

    def _alike(self, pod: PodInfo) -> Counts | None:
        """Pods of the same owner and Services; None for a pod that has neither."""
        owner = next((row.uid for row in pod.metadata.ownerReferences if row.controller and row.kind in _SELECTING), "")
        selectors = list(self._service_selectors(pod))
        if not owner and not selectors:
            return None
        namespace = pod.namespace

        def counts(other: PodInfo | Group) -> bool:
            likeness = other.likeness
            if likeness.namespace != namespace or likeness.deleting or (owner and likeness.owner != owner):
                return False
            return all(selector.matches(other.labels) for selector in selectors)

        return counts

    def _service_selectors(self, pod: PodInfo) -> Iterator[Selector]:
        for key, service in self._cluster.services.items():
            if key.namespace == pod.namespace:
                selector = from_labels(service.spec.selector)
                if selector.matches(pod.labels):
                    yield selector


def _explicit(pod: PodInfo, row: TopologySpreadConstraint) -> _Constraint:
    selector = from_label_selector(row.labelSelector)
    keys = [Requirement(key, "In", (pod.labels[key],)) for key in row.matchLabelKeys if key in pod.labels]
    if keys:
        selector = Selector((*selector.requirements, *keys), selector.nothing)
    namespace = pod.namespace

    def counts(other: PodInfo | Group) -> bool:
        likeness = other.likeness
        return likeness.namespace == namespace and not likeness.deleting and selector.matches(other.labels)

    return _Constraint(row, counts)


def _weight(
    row: _Constraint, pod: PodInfo, nodes: Sequence[NodeInfo], strict: Sequence[str], cluster: Cluster
) -> _Weight | None:
    """How one constraint scores these nodes; None where none of them has its label."""
    groups = [group for group in cluster.groups.values() if row.counts(group)]
    key, extra = row.key, row.given.maxSkew - 1
    if key == HOSTNAME_LABEL:  # every node its own domain: nothing to add up
        return _Weight(key, _sum(group.nodes for group in groups), True, math.log(len(nodes) + 2), extra)
    domains = {info.labels.get(key, "") for info in nodes}
    if domains <= {""}:
        return None
    matches = required(pod.spec)
    counts: Mapping[Any, int]
    if matches is None and row.given.nodeTaintsPolicy == "Ignore" and len(strict) < 2:
        counts = _sum(group.domains(key) for group in groups)
    else:
        there = _sum(group.nodes for group in groups)
        counted = Counter[str]()
        for info, number in there.items():
            if all(name in info.labels for name in strict) and row.includes(pod, info, matches):
                counted[info.labels.get(key, "")] += number
        counts = counted
    return _Weight(key, counts, False, math.log(len(domains) + 2), extra)


def _sum(counts: Iterable[Mapping[Any, int]]) -> Mapping[Any, int]:
    """All of them together; where there is only one, that very one."""
    rows = list(counts)
    if len(rows) == 1:
        return rows[0]
    total = Counter[Any]()
    for row in rows:
        total.update(row)
    return total


class _Args(Args, frozen=True, kw_only=True):
    defaultConstraints: tuple[JSON, ...] = ()
    defaultingType: str = "System"
