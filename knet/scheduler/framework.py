"""Filter, score, choose: from one pod and a cluster to one node or the reasons why there is none.

A plugin is asked once per pod (`filter`, `score`) and answers with a function over nodes, or with None where it has
nothing to say about this pod: a pod without host ports costs the host-port rule nothing on a thousand nodes.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from knet.api.objects import Pod
from knet.scheduler.cluster import Cluster, NodeInfo
from knet.scheduler.hints import Change

MAX_SCORE = 100
#: with fewer nodes than this all of them are looked at (minFeasibleNodesToFind)
_ENOUGH = 100


class Rejection(NamedTuple):
    """Why a node will not do, in words that follow a count: "Insufficient cpu".

    ``evictable``: removing pods of lower priority could change that.
    """

    reasons: tuple[str, ...]
    evictable: bool = False


Check = Callable[[NodeInfo], Rejection | None]
Rate = Callable[[NodeInfo], float]


class FilterPlugin(Protocol):
    """Rules nodes out. ``helped_by``: the changes after which a pod that it rejected is worth another attempt."""

    name: str
    helped_by: frozenset[Change]

    def filter(self, pod: Pod, cluster: Cluster) -> Check | None: ...


class ScorePlugin(Protocol):
    """Prefers nodes. ``score`` sees the feasible ones; ``normalise`` brings what it rated to 0…100."""

    name: str

    def score(self, pod: Pod, cluster: Cluster, nodes: Sequence[NodeInfo]) -> Rate | None: ...

    def normalise(self, rates: Sequence[float]) -> Sequence[float]: ...


class Profile(NamedTuple):
    """The plugins of one scheduler, in the order in which they are asked, scores with their weights."""

    filters: tuple[FilterPlugin, ...]
    scores: tuple[tuple[ScorePlugin, int], ...]


class Decision(NamedTuple):
    """``node`` is the choice; where it is None, ``rejections`` says of every node which plugin refused and why."""

    node: NodeInfo | None
    rejections: dict[str, tuple[str, Rejection]]


class Framework:
    """A profile at work. Deterministic: it remembers where it left off, and equal nodes take turns."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._start = 0
        self._turn = 0

    def decide(self, pod: Pod, cluster: Cluster) -> Decision:
        checks = [
            (plugin.name, check)
            for plugin in self.profile.filters
            if (check := plugin.filter(pod, cluster)) is not None
        ]
        feasible, rejections = self._feasible(cluster.nodes, checks)
        if not feasible:
            return Decision(None, rejections)
        return Decision(feasible[0] if len(feasible) == 1 else self._best(pod, cluster, feasible), rejections)

    def _feasible(
        self, nodes: Sequence[NodeInfo], checks: list[tuple[str, Check]]
    ) -> tuple[list[NodeInfo], dict[str, tuple[str, Rejection]]]:
        """Nodes that pass all checks, as many as are worth scoring, beginning where the last search ended."""
        enough = nodes_to_find(len(nodes))
        feasible: list[NodeInfo] = []
        rejections: dict[str, tuple[str, Rejection]] = {}
        seen = 0
        for info in _rotated(nodes, self._start):
            seen += 1
            for name, check in checks:
                rejection = check(info)
                if rejection is not None:
                    rejections[info.name] = name, rejection
                    break
            else:
                feasible.append(info)
                if len(feasible) >= enough:
                    break
        self._start = (self._start + seen) % len(nodes) if nodes else 0
        return feasible, rejections

    def _best(self, pod: Pod, cluster: Cluster, feasible: list[NodeInfo]) -> NodeInfo:
        totals = [0.0] * len(feasible)
        for plugin, weight in self.profile.scores:
            rate = plugin.score(pod, cluster, feasible)
            if rate is None:
                continue
            scores = plugin.normalise([rate(info) for info in feasible])
            for position, value in enumerate(scores):
                totals[position] += weight * int(value)
        highest = max(totals)
        best = [info for info, total in zip(feasible, totals, strict=True) if total == highest]
        self._turn += 1
        return best[self._turn % len(best)]


def nodes_to_find(count: int) -> int:
    """How many feasible nodes are enough (percentageOfNodesToScore, adaptive): all of 100, 420 of 1,000."""
    if count <= _ENOUGH:
        return count
    percent = max(50 - count // 125, 5)
    return max(count * percent // 100, _ENOUGH)


def _rotated(nodes: Sequence[NodeInfo], start: int) -> Iterable[NodeInfo]:
    for offset in range(len(nodes)):
        yield nodes[(start + offset) % len(nodes)]


def as_rated(rates: Sequence[float]) -> Sequence[float]:
    """For plugins whose ratings are 0…100 already."""
    return rates


def highest_is_best(rates: Sequence[float]) -> Sequence[float]:
    """In proportion to the highest (helper.DefaultNormalizeScore)."""
    top = max(rates, default=0)
    return [MAX_SCORE * rate // top for rate in rates] if top else rates


def highest_is_worst(rates: Sequence[float]) -> Sequence[float]:
    """As above, reversed: what was rated 0 gets 100."""
    top = max(rates, default=0)
    return [MAX_SCORE - MAX_SCORE * rate // top for rate in rates] if top else [MAX_SCORE] * len(rates)
