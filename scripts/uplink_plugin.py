"""A scheduler plugin to learn from: pods say how much bandwidth they need, nodes how fast their uplink is.

sudo knet up --scheduler-plugin scripts/uplink_plugin.py
kubectl label node n1 example.com/uplink-mbit=100
kubectl label node n2 example.com/uplink-mbit=1000
kubectl run fast --image=nginx --annotations=example.com/needs-mbit=400
kubectl get pod fast -o wide                # n2: the only uplink that is fast enough
kubectl run faster --image=nginx --annotations=example.com/needs-mbit=700
kubectl describe pod faster                 # 0/2 nodes are available: 2 node(s) had too little uplink bandwidth. …
kubectl delete pod fast                     # and faster is scheduled
"""

from knet.scheduler.hints import Change
from knet.scheduler.node import NodeInfo
from knet.scheduler.plugin import SKIP, Plugin
from knet.scheduler.pod import PodInfo

NEEDS = "example.com/needs-mbit"
UPLINK = "example.com/uplink-mbit"


class UplinkBandwidth(Plugin):
    weight = 2  # of its score among all plugins'
    #: after which changes a pod that we refused is worth another attempt
    helped_by = frozenset({Change.NODE_ADDED, Change.NODE_LABELS, Change.POD_REMOVED})

    def pre_filter(self, pod: PodInfo, cluster: object) -> object:
        """Once per pod: what it needs is the state that filter gets. Pods that need nothing are not our business."""
        return needs(pod) or SKIP

    def filter(self, wanted: int, pod: PodInfo, node: NodeInfo) -> str | None:
        """Once per node: None lets the pod go there, a text is why not."""
        return None if wanted <= spare(node) else "node(s) had too little uplink bandwidth"

    def pre_score(self, pod: PodInfo, nodes: list[NodeInfo], cluster: object) -> object:
        return None if needs(pod) else SKIP

    def score(self, state: None, pod: PodInfo, node: NodeInfo) -> float:
        return spare(node)

    def normalize(self, state: None, pod: PodInfo, scores: list[float]) -> list[float]:
        """Scores of all nodes at once: bring them to 0…100."""
        most = max(max(scores), 1)
        return [100 * max(score, 0) / most for score in scores]


def needs(pod: PodInfo) -> int:
    return int(pod.metadata.annotations.get(NEEDS, 0))


def spare(node: NodeInfo) -> int:
    """What is left of a node's uplink, Mbit/s. ``node.pods`` are those that run there or are about to."""
    return int(node.labels.get(UPLINK, 0)) - sum(needs(pod) for pod in node.pods.values())
