"""Two pods of one node cannot have the same hostPort."""

from knet.api.host_ports import host_ports
from knet.api.objects import Node, Pod
from knet.scheduler.cluster import Cluster
from knet.scheduler.hints import Change
from knet.scheduler.node import NodeInfo
from knet.scheduler.plugin import SKIP, Plugin, Rejection, Skip
from knet.scheduler.pod import PodInfo

_REJECTION = Rejection(("node(s) didn't have free ports for the requested pod ports",))


class NodePorts(Plugin):
    local = True
    helped_by = frozenset({Change.NODE_ADDED, Change.POD_REMOVED})

    def helps(self, pod: PodInfo, change: Change, old: Node | Pod | None, new: Node | Pod | None) -> bool:
        if isinstance(old, Pod):
            return any(port.conflicts(other) for port in pod.ports for other in host_ports(old))
        return True

    def pre_filter(self, pod: PodInfo, cluster: Cluster) -> Skip | None:
        return None if pod.ports else SKIP

    def filter(self, state: None, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        taken = any(port.conflicts(other) for port in pod.ports for other in node.ports)
        return _REJECTION if taken else None
