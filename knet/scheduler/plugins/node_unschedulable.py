"""Cordoned nodes take no pods, save those that tolerate the taint that stands for it (DaemonSets do)."""

from knet.api.names import UNSCHEDULABLE_TAINT
from knet.api.objects import Node, Taint
from knet.api.taints import tolerates
from knet.scheduler.cluster import Cluster
from knet.scheduler.hints import Change
from knet.scheduler.node import NodeInfo
from knet.scheduler.plugin import SKIP, Plugin, Rejection, Skip
from knet.scheduler.pod import PodInfo

_TAINT = Taint(key=UNSCHEDULABLE_TAINT, effect="NoSchedule")
_REJECTION = Rejection(("node(s) were unschedulable",), final=True)


class NodeUnschedulable(Plugin):
    local = True
    helped_by = frozenset({Change.NODE_ADDED, Change.NODE_TAINTS})

    def helps(self, pod: PodInfo, change: Change, old: Node | None, new: Node) -> bool:
        return not new.spec.unschedulable

    def pre_filter(self, pod: PodInfo, cluster: Cluster) -> Skip | None:
        if not cluster.unschedulable or any(tolerates(toleration, _TAINT) for toleration in pod.spec.tolerations):
            return SKIP
        return None

    def filter(self, state: None, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        return _REJECTION if node.node.spec.unschedulable else None
