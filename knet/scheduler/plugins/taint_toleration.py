"""Taints keep pods away that do not tolerate them: NoSchedule and NoExecute entirely, PreferNoSchedule by score.

https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
"""

from collections.abc import Sequence

from knet.api.objects import Pod
from knet.api.taints import tolerates
from knet.scheduler.cluster import Cluster, NodeInfo
from knet.scheduler.framework import Check, Rate, Rejection, highest_is_worst
from knet.scheduler.hints import Change


class TaintToleration:
    name = "TaintToleration"
    helped_by = frozenset({Change.NODE_ADDED, Change.NODE_TAINTS})

    def filter(self, pod: Pod, cluster: Cluster) -> Check | None:
        tolerations = pod.spec.tolerations

        def check(info: NodeInfo) -> Rejection | None:
            for taint in info.repelling:
                if not any(tolerates(toleration, taint) for toleration in tolerations):
                    return Rejection((f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}",))
            return None

        return check

    def score(self, pod: Pod, cluster: Cluster, nodes: Sequence[NodeInfo]) -> Rate | None:
        """Counts PreferNoSchedule taints that the pod does not tolerate."""
        if not any(info.discouraging for info in nodes):
            return None
        tolerations = [row for row in pod.spec.tolerations if row.effect in ("", "PreferNoSchedule")]

        def rate(info: NodeInfo) -> float:
            return sum(not any(tolerates(row, taint) for row in tolerations) for taint in info.discouraging)

        return rate

    def normalise(self, rates: Sequence[float]) -> Sequence[float]:
        return highest_is_worst(rates)
