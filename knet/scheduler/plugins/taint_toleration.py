"""Taints keep pods away that do not tolerate them: NoSchedule and NoExecute entirely, PreferNoSchedule by score.

https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
"""

from collections.abc import Sequence
from typing import Any

from knet.api.objects import Node, Taint, Toleration
from knet.api.taints import tolerates
from knet.scheduler.cluster import Cluster
from knet.scheduler.hints import Change
from knet.scheduler.node import NodeInfo
from knet.scheduler.plugin import SKIP, Plugin, Rejection, Skip, highest_is_worst
from knet.scheduler.pod import PodInfo


class TaintToleration(Plugin):
    local = True
    weight = 3
    helped_by = frozenset({Change.NODE_ADDED, Change.NODE_TAINTS})

    def helps(self, pod: PodInfo, change: Change, old: Node | None, new: Node) -> bool:
        return untolerated(new.spec.taints, pod.spec.tolerations) is None

    def pre_filter(self, pod: PodInfo, cluster: Cluster) -> Skip | None:
        return None if cluster.repelling else SKIP

    def filter(self, state: None, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        taint = untolerated(node.repelling, pod.spec.tolerations)
        if taint is None:
            return None
        return Rejection((f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}",), final=True)

    def pre_score(self, pod: PodInfo, nodes: Sequence[NodeInfo], cluster: Cluster) -> Any:
        """The tolerations that count against taints that only discourage."""
        if not cluster.discouraging:
            return SKIP
        return [row for row in pod.spec.tolerations if row.effect in ("", "PreferNoSchedule")]

    def score(self, tolerations: list[Toleration], pod: PodInfo, node: NodeInfo) -> float:
        return sum(not any(tolerates(row, taint) for row in tolerations) for taint in node.discouraging)

    def normalize(self, state: object, pod: PodInfo, scores: Sequence[float]) -> Sequence[float]:
        return highest_is_worst(scores)


def untolerated(taints: Sequence[Taint], tolerations: Sequence[Toleration]) -> Taint | None:
    """The first taint that keeps the pod off."""
    for taint in taints:
        if taint.effect != "PreferNoSchedule" and not any(tolerates(row, taint) for row in tolerations):
            return taint
    return None
