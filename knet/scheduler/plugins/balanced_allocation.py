"""NodeResourcesBalancedAllocation: use a node's resources in equal parts, so that none is left over alone."""

from collections.abc import Sequence
from typing import Any

from knet.api.objects import JSON
from knet.scheduler.cluster import Cluster
from knet.scheduler.node import NodeInfo
from knet.scheduler.plugin import MAX_SCORE, SKIP, Handle, Plugin
from knet.scheduler.plugins.allocation import Resource, Share, resources_of, shares
from knet.scheduler.plugins.arguments import Args, struct
from knet.scheduler.pod import PodInfo


class NodeResourcesBalancedAllocation(Plugin):
    local = True

    def __init__(self) -> None:
        self._resources: tuple[Resource, ...] = resources_of(())

    def setup(self, handle: Handle, args: JSON) -> None:
        self._resources = resources_of((row.name, row.weight) for row in struct(args, _Args).resources)

    def pre_score(self, pod: PodInfo, nodes: Sequence[NodeInfo], cluster: Cluster) -> Any:
        """A pod that requests none of them changes nothing."""
        rows = shares(self._resources, pod.requests)
        return rows if any(row.asked for row in rows) else SKIP

    def score(self, rows: list[Share], pod: PodInfo, node: NodeInfo) -> float:
        """1 - the standard deviation of the used parts, in percent."""
        parts = []
        requested, allocatable = node.requested, node.allocatable
        for name, _, asked in rows:
            there_is = allocatable.get(name)
            if there_is:
                part = (requested.get(name, 0) + asked) / there_is
                parts.append(part if part < 1 else 1.0)
        if len(parts) == 2:
            deviation = abs(parts[0] - parts[1]) / 2
        else:
            mean = sum(parts) / max(len(parts), 1)
            deviation = (sum((part - mean) ** 2 for part in parts) / max(len(parts), 1)) ** 0.5
        return (1 - deviation) * MAX_SCORE


class _ResourceArgs(Args, frozen=True, kw_only=True):
    name: str
    weight: int = 1


class _Args(Args, frozen=True, kw_only=True):
    resources: tuple[_ResourceArgs, ...] = ()
