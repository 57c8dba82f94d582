"""nodeSelector and nodeAffinity: required terms rule nodes out, preferred ones attract.

https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
"""

from collections.abc import Sequence
from typing import Any

from knet.api.node_selection import Matcher, named_nodes, required, term
from knet.api.objects import Node
from knet.scheduler.cluster import Cluster
from knet.scheduler.hints import Change
from knet.scheduler.node import NodeInfo
from knet.scheduler.plugin import SKIP, Only, Plugin, Rejection, Skip, highest_is_best
from knet.scheduler.pod import PodInfo

_REJECTION = Rejection(("node(s) didn't match Pod's node affinity/selector",), final=True)
_CONFLICT = Rejection(("pod affinity terms conflict",), final=True)


class NodeAffinity(Plugin):
    local = True
    weight = 2
    helped_by = frozenset({Change.NODE_ADDED, Change.NODE_LABELS})

    def helps(self, pod: PodInfo, change: Change, old: Node | None, new: Node) -> bool:
        matches = required(pod.spec)
        return matches is None or matches(new.name, new.metadata.labels)

    def pre_filter(self, pod: PodInfo, cluster: Cluster) -> Skip | Only | Rejection | Matcher:
        matches = required(pod.spec)
        if matches is None:
            return SKIP
        named = named_nodes(pod.spec)
        if named is None:
            return matches
        return Only(named, matches) if named else _CONFLICT

    def filter(self, matches: Matcher, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        return None if matches(node.name, node.labels) else _REJECTION

    def pre_score(self, pod: PodInfo, nodes: Sequence[NodeInfo], cluster: Cluster) -> Any:
        preferred = pod.spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution
        return [(term(row.preference), row.weight) for row in preferred] or SKIP

    def score(self, terms: list[tuple[Matcher, int]], pod: PodInfo, node: NodeInfo) -> float:
        return sum(weight for matches, weight in terms if matches(node.name, node.labels))

    def normalize(self, state: object, pod: PodInfo, scores: Sequence[float]) -> Sequence[float]:
        return highest_is_best(scores)
