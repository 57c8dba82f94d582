"""NodeResourcesBalancedAllocation: use cpu and memory of a node in equal parts, so that neither is left over alone."""

from collections.abc import Sequence

from knet.api.objects import Pod
from knet.scheduler.cluster import Cluster, NodeInfo
from knet.scheduler.framework import MAX_SCORE, Rate, as_rated
from knet.scheduler.requests import pod_requests


class BalancedAllocation:
    name = "NodeResourcesBalancedAllocation"

    def score(self, pod: Pod, cluster: Cluster, nodes: Sequence[NodeInfo]) -> Rate | None:
        """1 - the standard deviation of the two used parts, in percent; a pod that requests nothing changes neither."""
        asked = pod_requests(pod).asked
        cpu, memory = asked.get("cpu", 0), asked.get("memory", 0)
        if not cpu and not memory:
            return None

        def rate(info: NodeInfo) -> float:
            used_cpu = _part(info.requested.get("cpu", 0) + cpu, info.allocatable.get("cpu", 0))
            used_memory = _part(info.requested.get("memory", 0) + memory, info.allocatable.get("memory", 0))
            return (1 - abs(used_cpu - used_memory) / 2) * MAX_SCORE

        return rate

    def normalise(self, rates: Sequence[float]) -> Sequence[float]:
        return as_rated(rates)


def _part(used: int, capacity: int) -> float:
    return min(used / capacity, 1.0) if capacity else 1.0
