"""Cordoned nodes take no pods, save those that tolerate the taint that stands for it (DaemonSets do)."""

from knet.api.names import UNSCHEDULABLE_TAINT
from knet.api.objects import Pod, Taint
from knet.api.taints import tolerates
from knet.scheduler.cluster import Cluster, NodeInfo
from knet.scheduler.framework import Check, Rejection
from knet.scheduler.hints import Change

_TAINT = Taint(key=UNSCHEDULABLE_TAINT, effect="NoSchedule")
_REJECTION = Rejection(("node(s) were unschedulable",))


class NodeUnschedulable:
    name = "NodeUnschedulable"
    helped_by = frozenset({Change.NODE_ADDED, Change.NODE_TAINTS})

    def filter(self, pod: Pod, cluster: Cluster) -> Check | None:
        if any(tolerates(toleration, _TAINT) for toleration in pod.spec.tolerations):
            return None
        return _check


def _check(info: NodeInfo) -> Rejection | None:
    return _REJECTION if info.node.spec.unschedulable else None
