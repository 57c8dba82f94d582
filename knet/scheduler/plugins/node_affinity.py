"""nodeSelector and nodeAffinity: required terms rule nodes out, preferred ones attract.

https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
"""

from collections.abc import Sequence

from knet.api.node_selection import required, term
from knet.api.objects import Pod
from knet.scheduler.cluster import Cluster, NodeInfo
from knet.scheduler.framework import Check, Rate, Rejection, highest_is_best
from knet.scheduler.hints import Change

_REJECTION = Rejection(("node(s) didn't match Pod's node affinity/selector",))


class NodeAffinity:
    name = "NodeAffinity"
    helped_by = frozenset({Change.NODE_ADDED, Change.NODE_LABELS})

    def filter(self, pod: Pod, cluster: Cluster) -> Check | None:
        matches = required(pod.spec)
        if matches is None:
            return None

        def check(info: NodeInfo) -> Rejection | None:
            return None if matches(info.name, info.labels) else _REJECTION

        return check

    def score(self, pod: Pod, cluster: Cluster, nodes: Sequence[NodeInfo]) -> Rate | None:
        preferred = pod.spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution
        if not preferred:
            return None
        terms = [(term(row.preference), row.weight) for row in preferred]

        def rate(info: NodeInfo) -> float:
            return sum(weight for matches, weight in terms if matches(info.name, info.labels))

        return rate

    def normalise(self, rates: Sequence[float]) -> Sequence[float]:
        return highest_is_best(rates)
