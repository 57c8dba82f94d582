"""A pod that names its node runs there or nowhere.

Such a pod is bound already when it is created, and reaches no scheduler; the rule is for one that gets the name
while it waits.
"""

from knet.api.objects import Pod
from knet.scheduler.cluster import Cluster, NodeInfo
from knet.scheduler.framework import Check, Rejection
from knet.scheduler.hints import Change

_REJECTION = Rejection(("node(s) didn't match the requested node name",))


class NodeName:
    name = "NodeName"
    helped_by = frozenset({Change.NODE_ADDED})

    def filter(self, pod: Pod, cluster: Cluster) -> Check | None:
        wanted = pod.spec.nodeName
        if not wanted:
            return None

        def check(info: NodeInfo) -> Rejection | None:
            return None if info.name == wanted else _REJECTION

        return check
