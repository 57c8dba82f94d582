"""A pod that names its node runs there or nowhere.

Such a pod is bound already when it is created, and reaches no scheduler; the rule is for one that gets the name
while it waits.
"""

from knet.scheduler.cluster import Cluster
from knet.scheduler.hints import Change
from knet.scheduler.node import NodeInfo
from knet.scheduler.plugin import SKIP, Plugin, Rejection, Skip
from knet.scheduler.pod import PodInfo

_REJECTION = Rejection(("node(s) didn't match the requested node name",), final=True)


class NodeName(Plugin):
    local = True
    helped_by = frozenset({Change.NODE_ADDED})

    def pre_filter(self, pod: PodInfo, cluster: Cluster) -> Skip | None:
        return SKIP if not pod.spec.nodeName else None

    def filter(self, state: None, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        return None if node.name == pod.spec.nodeName else _REJECTION
