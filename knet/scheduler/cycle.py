"""One attempt to place a pod: its filters, asked about nodes as they are, or as they would be."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from knet.scheduler.cluster import Cluster
from knet.scheduler.node import NodeInfo
from knet.scheduler.plugin import PluginError, Rejection, rejection
from knet.scheduler.pod import PodInfo


class Check(NamedTuple):
    """A filter that has something to say about a pod. ``remembered``: what it says holds for all pods of its shape."""

    plugin: str
    filter: Callable[[Any, PodInfo, NodeInfo], object]
    state: Any
    recount: Callable[[Any, PodInfo, PodInfo, NodeInfo, int], None] | None
    remembered: bool


class Cycle:
    """One attempt: the filters with their states, asked about nodes as they are, or as they would be."""

    def __init__(
        self, pod: PodInfo, cluster: Cluster, checks: list[Check], states: dict[str, Any], skipped: set[str]
    ) -> None:
        self.pod = pod
        self.cluster = cluster
        #: what pre_filter answered, by plugin; and those that it excused from this pod
        self.states = states
        self.skipped = skipped
        self._checks = checks
        self._remembered = [row for row in checks if row.remembered]
        self._others = [row for row in checks if not row.remembered]
        self._recounts = [(row.recount, row.state) for row in checks if row.recount is not None]

    def refusal(self, node: NodeInfo) -> tuple[str, Rejection] | None:
        """Which plugin refuses a node and why; reckons with pods nominated to it that come first.

        It has to do without them, too: they may never come (RunFilterPluginsWithNominatedPods).
        """
        if node.nominated:
            priority, uid = self.pod.priority, self.pod.uid
            first = [
                row
                for key, row in node.nominated.items()
                if row.priority >= priority and row.uid != uid and key not in node.pods
            ]
            if first:
                for row in first:
                    self.put(node, row)
                try:
                    refused = self._ask(node, self._checks)
                finally:
                    for row in first:
                        self.take(node, row)
                if refused is not None:
                    return refused
        return self._ask(node, self._checks)

    def passing(
        self, nodes: Sequence[NodeInfo], enough: int, known: dict[NodeInfo, tuple[str, Rejection] | None]
    ) -> tuple[list[NodeInfo], list[tuple[NodeInfo, str, Rejection]], int]:
        """The first so many nodes that will do, those before them that will not, and how many were looked at.

        ``known`` is what remembered checks have said; what it lacks is filled in.
        """
        feasible: list[NodeInfo] = []
        refusals = []
        remembered, others = self._remembered, self._others
        for seen, node in enumerate(nodes, 1):
            if node.nominated:
                refused = self.refusal(node)
            else:
                if node not in known:
                    known[node] = self._ask(node, remembered)
                refused = known[node]
                if others and refused is None:
                    refused = self._ask(node, others)
            if refused is not None:
                refusals.append((node, *refused))
                continue
            feasible.append(node)
            if len(feasible) >= enough:
                return feasible, refusals, seen
        return feasible, refusals, len(nodes)

    def _ask(self, node: NodeInfo, checks: Sequence[Check]) -> tuple[str, Rejection] | None:
        pod, name = self.pod, ""
        try:
            for name, check, state, _, _ in checks:
                answer = check(state, pod, node)
                if answer is not None:
                    return name, rejection(answer)
        except Exception as error:
            raise PluginError(name, "filter", error) from error
        return None

    def put(self, node: NodeInfo, other: PodInfo) -> None:
        """As if another pod ran here."""
        self.cluster.put(node, other)
        self._recount(other, node, 1)

    def take(self, node: NodeInfo, other: PodInfo) -> None:
        """As if it did not."""
        self.cluster.take(node, other)
        self._recount(other, node, -1)

    def _recount(self, other: PodInfo, node: NodeInfo, by: int) -> None:
        for recount, state in self._recounts:
            recount(state, self.pod, other, node, by)
