"""ImageLocality: where a pod's images are already, it starts sooner.

An image counts the less the fewer nodes have it, lest all its pods crowd where it came first.
"""

from collections.abc import Sequence
from typing import Any

from knet.scheduler.cluster import Cluster
from knet.scheduler.node import NodeInfo
from knet.scheduler.plugin import MAX_SCORE, SKIP, Plugin
from knet.scheduler.pod import PodInfo

_MB = 1024 * 1024
#: bytes per container below which nothing counts, and above which nothing more does
LEAST, MOST = 23 * _MB, 1000 * _MB


class ImageLocality(Plugin):
    def pre_score(self, pod: PodInfo, nodes: Sequence[NodeInfo], cluster: Cluster) -> Any:
        """By node: the sum of its images' sizes, each times the share of nodes that have it."""
        if not cluster.images:
            return SKIP
        sums: dict[NodeInfo, int] = {}
        for container in (*pod.spec.initContainers, *pod.spec.containers):
            holders = cluster.images.get(complete(container.image), {})
            for info, size in holders.items():
                sums[info] = sums.get(info, 0) + int(size * (len(holders) / len(cluster.nodes)))
        return sums or SKIP

    def score(self, sums: dict[NodeInfo, int], pod: PodInfo, node: NodeInfo) -> float:
        most = MOST * (len(pod.spec.initContainers) + len(pod.spec.containers))
        found = min(max(sums.get(node, 0), LEAST), most)
        return MAX_SCORE * (found - LEAST) // (most - LEAST)


def complete(image: str) -> str:
    """With the tag that is meant where there is none."""
    return image if image.rfind(":") > image.rfind("/") else f"{image}:latest"
