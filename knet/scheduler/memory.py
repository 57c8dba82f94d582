"""What pods of one shape have been told of nodes that have not changed since.

The pods of a Deployment ask for the same, and between two of them one node of a thousand has changed: where the last
one went.  So the answers of plugins that look at nothing but the node (`Plugin.local`) are kept by the pod's shape, and
forgotten node by node, as the cluster tells which have changed.
"""

from knet.scheduler.cluster import Cluster
from knet.scheduler.node import NodeInfo
from knet.scheduler.plugin import Rejection
from knet.scheduler.pod import PodInfo, Shape

#: shapes that are remembered; the one that was asked for the longest ago goes first
SHAPES = 64


class Remembered:
    """Of one shape, by node: which plugin refuses it and why, or None; and the sum of scores."""

    def __init__(self) -> None:
        self.verdicts: dict[NodeInfo, tuple[str, Rejection] | None] = {}
        self.scores: dict[NodeInfo, int] = {}
        self._upto = (0, 0)

    def catch_up(self, cluster: Cluster) -> None:
        """Forget what was said of nodes that have changed."""
        epoch, position = self._upto
        if epoch != cluster.epoch:
            self.verdicts.clear()
            self.scores.clear()
        else:
            for info in cluster.changed[position:]:
                self.verdicts.pop(info, None)
                self.scores.pop(info, None)
        self._upto = cluster.epoch, len(cluster.changed)


class Memory:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._shapes: dict[Shape, Remembered] = {}

    def of(self, pod: PodInfo) -> Remembered:
        """What still holds for pods like this one."""
        found = self._shapes.pop(pod.shape, None) or Remembered()
        self._shapes[pod.shape] = found
        if len(self._shapes) > SHAPES:
            del self._shapes[next(iter(self._shapes))]
        found.catch_up(self._cluster)
        return found
