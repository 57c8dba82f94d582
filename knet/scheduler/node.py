"""A node as the scheduler and its plugins see it: its object, what runs on it, and the sums of that."""

from collections import Counter

from knet.api.host_ports import HostPort
from knet.api.objects import Node, Taint
from knet.client import Key
from knet.scheduler.pod import PodInfo
from knet.scheduler.requests import Amounts, amounts

#: pods per node where a Node does not say
DEFAULT_MAX_PODS = 110


class NodeInfo:
    """Only `Cluster` changes it.

    ``node`` is the object, ``labels`` its labels, ``pods`` what runs here or is about to.  ``allocatable`` and
    ``requested`` are by resource: cpu in thousandths of a core, memory and storage in bytes, all else in pieces;
    ``scored`` counts something also for containers that request no cpu or memory.
    Sums are kept by addition and subtraction: a decision over a thousand nodes reads them and adds up nothing.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.node = Node()
        self.labels: dict[str, str] = {}
        self.allocatable: Amounts = {}
        self.max_pods = 0
        self.repelling: tuple[Taint, ...] = ()
        self.discouraging: tuple[Taint, ...] = ()
        self.pods: dict[Key, PodInfo] = {}
        self.requested: Amounts = {}
        self.scored: Amounts = {}
        self.ports: Counter[HostPort] = Counter()
        #: pods that are to run here once their victims have gone
        self.nominated: dict[Key, PodInfo] = {}

    def set_node(self, node: Node) -> None:
        self.node = node
        self.labels = node.metadata.labels
        self.allocatable = amounts(node.status.allocatable)
        self.max_pods = self.allocatable.pop("pods", DEFAULT_MAX_PODS)
        self.repelling = tuple(taint for taint in node.spec.taints if taint.effect in ("NoSchedule", "NoExecute"))
        self.discouraging = tuple(taint for taint in node.spec.taints if taint.effect == "PreferNoSchedule")

    def put(self, pod: PodInfo) -> None:
        """Count a pod that is not here yet."""
        self.pods[pod.key] = pod
        self._count(pod, 1)

    def take(self, pod: PodInfo) -> None:
        del self.pods[pod.key]
        self._count(pod, -1)

    def _count(self, pod: PodInfo, sign: int) -> None:
        for sums, added in ((self.requested, pod.requests), (self.scored, pod.scored)):
            for name, value in added.items():
                sums[name] = sums.get(name, 0) + sign * value
        for port in pod.ports:
            self.ports[port] += sign
            if not self.ports[port]:
                del self.ports[port]
