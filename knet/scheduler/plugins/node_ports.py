"""Two pods of one node cannot have the same hostPort."""

from knet.api.objects import Pod
from knet.scheduler.cluster import Cluster, NodeInfo, host_ports
from knet.scheduler.framework import Check, Rejection
from knet.scheduler.hints import Change

_REJECTION = Rejection(("node(s) didn't have free ports for the requested pod ports",), evictable=True)


class NodePorts:
    name = "NodePorts"
    helped_by = frozenset({Change.NODE_ADDED, Change.POD_REMOVED})

    def filter(self, pod: Pod, cluster: Cluster) -> Check | None:
        wanted = host_ports(pod)
        if not wanted:
            return None

        def check(info: NodeInfo) -> Rejection | None:
            taken = any(port.conflicts(other) for port in wanted for other in info.ports)
            return _REJECTION if taken else None

        return check
