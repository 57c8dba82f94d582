"""NodeResourcesFit: what a pod requests has to be free; among nodes where it is, the emptiest is best."""

from collections.abc import Sequence

from knet.api.objects import Pod
from knet.scheduler.cluster import Cluster, NodeInfo
from knet.scheduler.framework import MAX_SCORE, Check, Rate, Rejection, as_rated
from knet.scheduler.hints import Change
from knet.scheduler.requests import pod_requests

_TOO_MANY = "Too many pods"


class ResourcesFit:
    name = "NodeResourcesFit"
    helped_by = frozenset({Change.NODE_ADDED, Change.NODE_ALLOCATABLE, Change.POD_REMOVED})

    def filter(self, pod: Pod, cluster: Cluster) -> Check | None:
        asked = [(name, value) for name, value in pod_requests(pod).asked.items() if value > 0]

        def check(info: NodeInfo) -> Rejection | None:
            reasons = [_TOO_MANY] if len(info.pods) + 1 > info.max_pods else []
            for name, value in asked:
                if value > info.allocatable.get(name, 0) - info.requested.get(name, 0):
                    reasons.append(f"Insufficient {name}")
            return Rejection(tuple(reasons), evictable=True) if reasons else None

        return check

    def score(self, pod: Pod, cluster: Cluster, nodes: Sequence[NodeInfo]) -> Rate | None:
        """LeastAllocated: the mean of the free parts of cpu and memory, with this pod on it, in percent."""
        cpu, memory = pod_requests(pod).scored

        def rate(info: NodeInfo) -> float:
            return (
                _free(info.allocatable.get("cpu", 0), info.scored_cpu + cpu)
                + _free(info.allocatable.get("memory", 0), info.scored_memory + memory)
            ) // 2

        return rate

    def normalise(self, rates: Sequence[float]) -> Sequence[float]:
        return as_rated(rates)


def _free(capacity: int, used: int) -> int:
    return (capacity - used) * MAX_SCORE // capacity if 0 < used <= capacity else 0
