"""NodeResourcesFit: what a pod requests has to be free; which of the nodes where it is are best, a strategy says.

``LeastAllocated`` spreads load (the default), ``MostAllocated`` packs it, ``RequestedToCapacityRatio`` follows a curve.
https://kubernetes.io/docs/concepts/scheduling-eviction/resource-bin-packing/
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from knet.api.objects import JSON, Node, Pod
from knet.scheduler.cluster import Cluster
from knet.scheduler.hints import Change
from knet.scheduler.node import NodeInfo
from knet.scheduler.plugin import MAX_SCORE, Handle, Plugin, Rejection
from knet.scheduler.plugins.allocation import Resource, Share, resources_of, shares
from knet.scheduler.plugins.arguments import Args, choice, positive, struct
from knet.scheduler.pod import PodInfo
from knet.scheduler.requests import amounts, pod_requests

_TOO_MANY = "Too many pods"
#: of a shape's points: scores there go from 0 to 10
_MAX_CUSTOM = 10

#: (used with the pod on it, there is) → 0…100
Curve = Callable[[int, int], int]


def least(used: int, there_is: int) -> int:
    return (there_is - used) * MAX_SCORE // there_is if used <= there_is else 0


def most(used: int, there_is: int) -> int:
    return min(used, there_is) * MAX_SCORE // there_is


def along(points: Sequence[tuple[int, int]]) -> Curve:
    """Straight lines between (utilization in percent, score); flat beyond the ends."""

    def curve(used: int, there_is: int) -> int:
        percent = min(used * 100 // there_is, 100)
        left = points[0]
        if percent <= left[0]:
            return left[1]
        for right in points[1:]:
            if percent <= right[0]:
                return left[1] + int((right[1] - left[1]) * (percent - left[0]) / (right[0] - left[0]))
            left = right
        return left[1]

    return curve


class _Asked(NamedTuple):
    """What the filter compares, and whether that is anything."""

    rows: tuple[tuple[str, int], ...]


class NodeResourcesFit(Plugin):
    local = True
    helped_by = frozenset({Change.NODE_ADDED, Change.NODE_ALLOCATABLE, Change.POD_REMOVED, Change.POD_SCALED_DOWN})

    def __init__(self) -> None:
        self._resources: tuple[Resource, ...] = resources_of(())
        self._curve: Curve = least
        self._only_positive = False
        self._ignored: tuple[str, ...] = ()
        self._ignored_groups: tuple[str, ...] = ()

    def setup(self, handle: Handle, args: JSON) -> None:
        given = struct(args, _Args)
        strategy = given.scoringStrategy
        self._ignored, self._ignored_groups = given.ignoredResources, given.ignoredResourceGroups
        self._resources = resources_of((row.name, positive("weight", row.weight or 1)) for row in strategy.resources)
        kind = choice("scoringStrategy.type", strategy.type, (*_CURVES, "RequestedToCapacityRatio"))
        self._only_positive = kind not in _CURVES
        self._curve = _CURVES[kind] if kind in _CURVES else along(_points(strategy.requestedToCapacityRatio))

    # ---- filter ----------------------------------------------------------------------------------------------

    def helps(self, pod: PodInfo, change: Change, old: Node | Pod | None, new: Node | Pod | None) -> bool:
        if isinstance(new, Node):
            room = amounts(new.status.allocatable)
            return all(value <= room.get(name, 0) for name, value in self._asked(pod).rows)
        if change is Change.POD_SCALED_DOWN and isinstance(old, Pod) and isinstance(new, Pod):
            before, now = pod_requests(old).asked, pod_requests(new).asked
            return any(now.get(name, 0) < before.get(name, 0) for name, _ in self._asked(pod).rows)
        return True

    def pre_filter(self, pod: PodInfo, cluster: Cluster) -> _Asked:
        return self._asked(pod)

    def _asked(self, pod: PodInfo) -> _Asked:
        if not self._ignored and not self._ignored_groups:
            return _Asked(tuple(pod.requests.items()))
        return _Asked(tuple((name, value) for name, value in pod.requests.items() if not self._ignores(name)))

    def _ignores(self, name: str) -> bool:
        group, slash, _ = name.partition("/")
        return bool(slash) and (name in self._ignored or group in self._ignored_groups)

    def filter(self, asked: _Asked, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        allocatable, requested = node.allocatable, node.requested
        for name, value in asked.rows:
            if value > allocatable.get(name, 0) - requested.get(name, 0):
                return self._refusal(asked, node)
        return None if len(node.pods) < node.max_pods else self._refusal(asked, node)

    def _refusal(self, asked: _Asked, node: NodeInfo) -> Rejection:
        reasons = [_TOO_MANY] if len(node.pods) >= node.max_pods else []
        for name, value in asked.rows:
            if value > node.allocatable.get(name, 0) - node.requested.get(name, 0):
                reasons.append(f"Insufficient {name}")
        return Rejection(tuple(reasons))

    # ---- score -----------------------------------------------------------------------------------------------

    def pre_score(self, pod: PodInfo, nodes: Sequence[NodeInfo], cluster: Cluster) -> list[Share]:
        return shares(self._resources, pod.scored)

    def score(self, rows: list[Share], pod: PodInfo, node: NodeInfo) -> float:
        total = weights = 0
        curve, used, allocatable = self._curve, node.scored, node.allocatable
        for name, weight, asked in rows:
            there_is = allocatable.get(name)
            if there_is:
                value = curve(used.get(name, 0) + asked, there_is)
                if value > 0 or not self._only_positive:
                    total += value * weight
                    weights += weight
        if not weights:
            return 0
        return int(total / weights + 0.5) if self._only_positive else total // weights


_CURVES: dict[str, Curve] = {"LeastAllocated": least, "MostAllocated": most}


class _ResourceArgs(Args, frozen=True, kw_only=True):
    name: str
    weight: int = 1


class _Point(Args, frozen=True, kw_only=True):
    utilization: int
    score: int


class _Ratio(Args, frozen=True, kw_only=True):
    shape: tuple[_Point, ...] = ()


class _Strategy(Args, frozen=True, kw_only=True):
    type: str = "LeastAllocated"
    resources: tuple[_ResourceArgs, ...] = ()
    requestedToCapacityRatio: _Ratio = _Ratio()


class _Args(Args, frozen=True, kw_only=True):
    ignoredResources: tuple[str, ...] = ()
    ignoredResourceGroups: tuple[str, ...] = ()
    scoringStrategy: _Strategy = _Strategy()


def _points(ratio: _Ratio) -> list[tuple[int, int]]:
    """The curve's points, scores as nodes get them; ValueError for a curve that goes back or out of bounds."""
    where = "scoringStrategy.requestedToCapacityRatio.shape"
    points = [(row.utilization, row.score) for row in ratio.shape]
    if not points:
        raise ValueError(f"{where}: at least one point must be specified")
    if any(not 0 <= x <= 100 or not 0 <= y <= _MAX_CUSTOM for x, y in points):
        raise ValueError(f"{where}: utilization is 0 to 100 and score 0 to 10")
    if any(left[0] >= right[0] for left, right in pairwise(points)):
        raise ValueError(f"{where}: utilization values must be in increasing order")
    return [(x, y * MAX_SCORE // _MAX_CUSTOM) for x, y in points]
