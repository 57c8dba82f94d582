"""The scheduling cycle: from one pod and a cluster to one node, or to the reasons why there is none.

Nothing here waits or writes: all of it happens between two events, so every decision sees all earlier ones.  A plugin
that has nothing to say about a pod is told so by itself (SKIP) and costs nothing on a thousand nodes.
"""

from collections.abc import Callable, Mapping, Sequence
from heapq import nlargest
from itertools import takewhile
from typing import Any, NamedTuple

from knet.scheduler.cluster import Cluster
from knet.scheduler.cycle import Check, Cycle
from knet.scheduler.diagnosis import Diagnosis
from knet.scheduler.memory import Memory
from knet.scheduler.node import NodeInfo
from knet.scheduler.plugin import (
    MAX_SCORE,
    POINTS,
    SKIP,
    Nomination,
    Only,
    Plugin,
    Rejection,
    method,
    rejection,
    running,
)
from knet.scheduler.pod import PodInfo

#: with fewer nodes than this all of them are looked at (minFeasibleNodesToFind)
_ENOUGH = 100
#: of how many nodes the scores are told
TOLD = 3


class Decision(NamedTuple):
    """``node`` is the choice; where it is None, ``diagnosis`` says why. ``cycle`` is None if nothing was asked.

    ``scores`` are the best few nodes' ("n2 341"), best first, where more than one would have done.
    """

    node: NodeInfo | None
    diagnosis: Diagnosis
    cycle: Cycle | None
    scores: str = ""


class Framework:
    """One profile at work. Deterministic: it remembers where it left off, and equal nodes take turns.

    ``points``: the plugins that may take part at each, in order; those do that have its method.  ``percentage``: of
    nodes that have to fit before the best of them is taken; 0 leaves it to their number.
    """

    def __init__(
        self, name: str, points: Mapping[str, Sequence[Plugin]], cluster: Cluster, percentage: int = 0
    ) -> None:
        self.name = name
        self.cluster = cluster
        self._percentage = percentage
        self._having = {
            point: [(row, found) for row in points.get(point, ()) if (found := method(row, point)) is not None]
            for point in POINTS
        }
        self.plugins = tuple(dict.fromkeys(plugin for rows in points.values() for plugin in rows))
        prepares, checks = dict(self._having["pre_filter"]), dict(self._having["filter"])
        self._filters = [(row, prepares.get(row), checks.get(row)) for row in dict.fromkeys((*checks, *prepares))]
        # up to the first filter that is not local: which plugin refuses a node must not depend on what is remembered
        self._remembered = set(takewhile(_is_local, checks))
        self._recounts = dict(self._having["recount"])
        self._pre_scores, self._normalizes = dict(self._having["pre_score"]), dict(self._having["normalize"])
        local = {row: _is_local(row) and row not in self._normalizes for row, _ in self._having["score"]}
        self._local_scores = [(row, score) for row, score in self._having["score"] if local[row]]
        self._other_scores = [(row, score) for row, score in self._having["score"] if not local[row]]
        self._memory = Memory(cluster)
        self._start = 0
        self._turn = 0

    def having(self, point: str) -> list[tuple[Plugin, Callable[..., Any]]]:
        """The plugins that take part at a point, in order, with their methods."""
        return self._having[point]

    # ---- filter ----------------------------------------------------------------------------------------------

    def decide(self, pod: PodInfo) -> Decision:
        """Raises PluginError."""
        cluster = self.cluster
        diagnosis = Diagnosis(len(cluster.nodes))
        if not cluster.nodes:
            return Decision(None, diagnosis, None)
        cycle, only = self._prepare(pod, diagnosis)
        if diagnosis.whole:
            return Decision(None, diagnosis, cycle)
        nominated = cluster.node(cluster.nomination(pod.key) or pod.status.nominatedNodeName)
        if nominated is not None and (only is None or nominated.name in only) and cycle.refusal(nominated) is None:
            return Decision(nominated, diagnosis, cycle)
        if only is None:
            feasible = self._search(cycle, diagnosis)
        else:
            named = [info for name in sorted(only) if (info := cluster.node(name)) is not None]
            feasible, _ = self._passing(cycle, named, len(named), diagnosis)
        if not feasible:
            return Decision(None, diagnosis, cycle)
        if len(feasible) == 1:
            return Decision(feasible[0], diagnosis, cycle)
        node, scores = self._best(pod, feasible)
        return Decision(node, diagnosis, cycle, scores)

    def _prepare(self, pod: PodInfo, diagnosis: Diagnosis) -> tuple[Cycle, frozenset[str] | None]:
        """pre_filter of all: the filters that remain, and the names of the nodes that do; None for all."""
        checks: list[Check] = []
        states: dict[str, Any] = {}
        skipped: set[str] = set()
        only: frozenset[str] | None = None
        narrowed: list[str] = []
        for plugin, prepare, check in self._filters:
            state = None
            if prepare is not None:
                with running(plugin, "pre_filter"):
                    state = prepare(pod, self.cluster)
            if isinstance(state, str):
                state = rejection(state)
            if state is SKIP:
                skipped.add(plugin.name)
                continue
            if isinstance(state, Rejection):
                diagnosis.others, diagnosis.whole = state, True
                diagnosis.plugins.add(plugin.name)
                break
            if isinstance(state, Only):
                only = state.names if only is None else only & state.names
                narrowed.append(plugin.name)
                state = state.state
            states[plugin.name] = state
            if check is not None:
                recount = self._recounts.get(plugin)
                checks.append(Check(plugin.name, check, state, recount, plugin in self._remembered))
        if narrowed and not diagnosis.whole:
            _tell_of_narrowing(diagnosis, only or frozenset(), narrowed)
        return Cycle(pod, self.cluster, checks, states, skipped), only

    def _search(self, cycle: Cycle, diagnosis: Diagnosis) -> list[NodeInfo]:
        """Nodes that pass, as many as are worth scoring, beginning where the last search ended."""
        nodes, start = self.cluster.nodes, self._start
        enough = nodes_to_find(len(nodes), self._percentage)
        feasible, seen = self._passing(cycle, (*nodes[start:], *nodes[:start]), enough, diagnosis)
        self._start = (start + seen) % len(nodes)
        return feasible

    def _passing(
        self, cycle: Cycle, nodes: Sequence[NodeInfo], enough: int, diagnosis: Diagnosis
    ) -> tuple[list[NodeInfo], int]:
        feasible, refusals, seen = cycle.passing(nodes, enough, self._memory.of(cycle.pod).verdicts)
        for info, name, refusal in refusals:
            diagnosis.refused[info.name] = refusal
            diagnosis.plugins.add(name)
        return feasible, seen

    # ---- post filter -----------------------------------------------------------------------------------------

    def nomination(self, decision: Decision) -> Nomination:
        """What post_filter makes of a decision without a node: the first answer that names one, else all of them."""
        found: list[Nomination] = []
        for plugin, post_filter in self.having("post_filter") if decision.cycle is not None else ():
            with running(plugin, "post_filter"):
                answer: Nomination | None = post_filter(decision.cycle, decision.diagnosis)
            if answer is not None:
                if answer.node:
                    return answer
                found.append(answer)
        if not found:
            return Nomination(None)
        return found[0]._replace(message=", ".join(row.message for row in found if row.message))

    # ---- score -----------------------------------------------------------------------------------------------

    def _best(self, pod: PodInfo, feasible: list[NodeInfo]) -> tuple[NodeInfo, str]:
        totals = self.scores(pod, feasible)
        highest = max(totals)
        best = [info for info, total in zip(feasible, totals, strict=True) if total == highest]
        self._turn += 1
        chosen = best[self._turn % len(best)]
        others = nlargest(TOLD, ((total, info.name) for info, total in zip(feasible, totals, strict=True)))
        ranking = [(highest, chosen.name), *(row for row in others if row[1] != chosen.name)][:TOLD]
        return chosen, ", ".join(f"{name} {total}" for total, name in ranking)

    def scores(self, pod: PodInfo, feasible: Sequence[NodeInfo]) -> list[int]:
        """The weighted sum of all scores, by node."""
        known = self._memory.of(pod).scores
        unknown = [info for info in feasible if info not in known]
        if unknown:
            known |= zip(unknown, self._sum(self._local_scores, pod, unknown, [0] * len(unknown)), strict=True)
        return self._sum(self._other_scores, pod, feasible, [known[info] for info in feasible])

    def _sum(
        self,
        scoring: list[tuple[Plugin, Callable[..., Any]]],
        pod: PodInfo,
        nodes: Sequence[NodeInfo],
        totals: list[int],
    ) -> list[int]:
        for plugin, score in scoring:
            scores = self._scored(plugin, score, pod, nodes)
            if scores is not None:
                weight = plugin.weight
                totals = [total + weight * int(value) for total, value in zip(totals, scores, strict=True)]
        return totals

    def _scored(
        self, plugin: Plugin, score: Callable[..., float], pod: PodInfo, feasible: Sequence[NodeInfo]
    ) -> Sequence[float] | None:
        state, prepare = None, self._pre_scores.get(plugin)
        if prepare is not None:
            with running(plugin, "pre_score"):
                state = prepare(pod, feasible, self.cluster)
            if state is SKIP:
                return None
        with running(plugin, "score"):
            scores: Sequence[float] = [score(state, pod, info) for info in feasible]
        with running(plugin, "normalize"):
            if plugin in self._normalizes:
                scores = self._normalizes[plugin](state, pod, scores)
            if not 0 <= min(scores) <= max(scores) <= MAX_SCORE:
                raise ValueError(f"scores {min(scores)} to {max(scores)} are not in the range of [0, {MAX_SCORE}]")
        return scores


def _is_local(plugin: Plugin) -> bool:
    """A subclass of a local plugin has to say so of itself."""
    return bool(type(plugin).__dict__.get("local"))


def _tell_of_narrowing(diagnosis: Diagnosis, only: frozenset[str], narrowed: list[str]) -> None:
    names = " ".join(sorted(narrowed))
    diagnosis.plugins.update(narrowed)
    if only:
        diagnosis.others = Rejection((f"node(s) didn't satisfy plugin(s) [{names}]",), final=True)
        return
    many = f"plugin(s) [{names}] simultaneously" if len(narrowed) > 1 else f"plugin {names}"
    diagnosis.others, diagnosis.whole = Rejection((f"node(s) didn't satisfy {many}",), final=True), True


def nodes_to_find(count: int, percentage: int = 0) -> int:
    """How many feasible nodes are enough (percentageOfNodesToScore, adaptive): all of 100, 420 of 1,000."""
    if count <= _ENOUGH:
        return count
    percent = percentage or max(50 - count // 125, 5)
    return min(max(count * percent // 100, _ENOUGH), count)
