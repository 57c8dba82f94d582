"""DefaultPreemption: room for a pod by taking pods of lower priority off a node, as few and unimportant as will do.

On every node where that could help, all lower pods are thought away; if the pod then fits, they are let back one by
one, the important first, as long as it still does. Whoever cannot come back is a victim. PodDisruptionBudgets are
kept where that is possible.
https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from knet.api.objects import JSON, condition
from knet.api.policy import PodDisruptionBudget
from knet.api.selectors import from_label_selector
from knet.scheduler.cycle import Cycle
from knet.scheduler.diagnosis import Diagnosis, availability
from knet.scheduler.news import BY_SCHEDULER
from knet.scheduler.node import NodeInfo
from knet.scheduler.plugin import Handle, Nomination, Plugin, Rejection
from knet.scheduler.plugins.arguments import Args, struct
from knet.scheduler.pod import PodInfo

_NO_VICTIMS = Rejection(("No preemption victims found for incoming pod",), final=True)
_NO_HELP = Rejection(("Preemption is not helpful for scheduling",), final=True)
#: makes all priorities positive, so that a sum grows with every victim
_LOWEST = 2**31
_LATER_THAN_ALL = "9999"


class Candidate(NamedTuple):
    """A node with its victims, the most important first; ``violations``: how many are within a budget."""

    node: NodeInfo
    victims: tuple[PodInfo, ...]
    violations: int


class DefaultPreemption(Plugin):
    def __init__(self) -> None:
        self._args = _Args()
        self._turn = 0

    def setup(self, handle: Handle, args: JSON) -> None:
        self._args = struct(args, _Args)
        if not 0 <= self._args.minCandidateNodesPercentage <= 100:
            raise ValueError("minCandidateNodesPercentage is not in the range [0, 100]")

    def post_filter(self, cycle: Cycle, diagnosis: Diagnosis) -> Nomination:
        if why := self._not_eligible(cycle, diagnosis):
            return Nomination(None, message=f"preemption: {why}")
        nodes = cycle.cluster.nodes
        worth_a_try = [info for info in nodes if (refusal := diagnosis.of(info.name)) is not None and not refusal.final]
        candidates, refused = self._candidates(cycle, worth_a_try)
        if not candidates:
            return Nomination("", message=f"preemption: {availability(len(nodes), refused, _NO_HELP)}")
        best = max(candidates, key=_preference)
        return Nomination(best.node.name, best.victims)

    def _not_eligible(self, cycle: Cycle, diagnosis: Diagnosis) -> str:
        pod, cluster = cycle.pod, cycle.cluster
        if pod.spec.preemptionPolicy == "Never":
            return "not eligible due to preemptionPolicy=Never."
        info = cluster.node(cluster.nomination(pod.key) or pod.status.nominatedNodeName)
        if info is None:
            return ""
        refusal = diagnosis.of(info.name)
        if refusal is not None and refusal.final:
            return ""
        if any(row.priority < pod.priority and _going_for_another(row) for row in info.pods.values()):
            return "not eligible due to a terminating pod on the nominated node."
        return ""

    def _candidates(self, cycle: Cycle, nodes: Sequence[NodeInfo]) -> tuple[list[Candidate], dict[str, Rejection]]:
        """Enough candidates, at least one of them within all budgets if there is such; and why other nodes are none."""
        share = len(nodes) * self._args.minCandidateNodesPercentage // 100
        enough = max(share, self._args.minCandidateNodesAbsolute, 1)
        found: list[Candidate] = []
        refused: dict[str, Rejection] = {}
        budgets = list(cycle.cluster.budgets.values())
        self._turn = start = (self._turn + 1) % len(nodes) if nodes else 0
        for info in (*nodes[start:], *nodes[:start]):
            result = victims_on(cycle, info, budgets)
            if isinstance(result, Rejection):
                refused[info.name] = result
                continue
            found.append(result)
            if len(found) >= enough and any(not row.violations for row in found):
                break
        return found, refused


def victims_on(cycle: Cycle, node: NodeInfo, budgets: Sequence[PodDisruptionBudget]) -> Candidate | Rejection:
    """Whom to take off a node for the pod to fit; or why that does not help."""
    lower = [row for row in node.pods.values() if row.priority < cycle.pod.priority]
    if not lower:
        return _NO_VICTIMS
    away: dict[PodInfo, None] = {}
    try:
        for row in lower:
            cycle.take(node, row)
            away[row] = None
        refused = cycle.refusal(node)
        if refused is not None:
            return refused[1]
        violations = 0
        violating, rest = within_budgets(sorted(lower, key=_importance), budgets)
        for row in (*violating, *rest):
            cycle.put(node, row)
            del away[row]
            if cycle.refusal(node) is not None:
                cycle.take(node, row)
                away[row] = None
                violations += row in violating
        return Candidate(node, tuple(sorted(away, key=_importance)), violations)
    finally:
        for row in away:
            cycle.put(node, row)


def within_budgets(
    pods: Iterable[PodInfo], budgets: Sequence[PodDisruptionBudget]
) -> tuple[list[PodInfo], list[PodInfo]]:
    """Those whose end would exceed a budget, counting from the first, and the rest.

    A budget with an empty selector is about nobody here; one that has noted a pod as disrupted does not count it again.
    """
    left = [(row, from_label_selector(row.spec.selector), [row.status.disruptionsAllowed]) for row in budgets]
    violating: list[PodInfo] = []
    rest: list[PodInfo] = []
    for pod in pods:
        violates = False
        for budget, selector, allowed in left:
            if budget.namespace != pod.namespace or not pod.labels or pod.name in budget.status.disruptedPods:
                continue
            if selector.requirements and selector.matches(pod.labels):
                allowed[0] -= 1
                violates = violates or allowed[0] < 0
        (violating if violates else rest).append(pod)
    return violating, rest


def _importance(pod: PodInfo) -> tuple[int, str]:
    """The higher priority first, then whoever has run longer."""
    return -pod.priority, pod.status.startTime or _LATER_THAN_ALL


def _preference(candidate: Candidate) -> tuple[int, int, int, int, str]:
    """The least harm: budgets, the most important victim, all of them, their number, how long they have run."""
    victims = candidate.victims
    highest = victims[0].priority
    earliest = min(row.status.startTime or _LATER_THAN_ALL for row in victims if row.priority == highest)
    total = sum(row.priority + _LOWEST for row in victims)
    return -candidate.violations, -highest, -total, -len(victims), earliest


def _going_for_another(pod: PodInfo) -> bool:
    if not pod.likeness.deleting:
        return False
    found = condition(pod.status.conditions, "DisruptionTarget")
    return found is not None and found.status == "True" and found.reason == BY_SCHEDULER


class _Args(Args, frozen=True, kw_only=True):
    minCandidateNodesPercentage: int = 10
    minCandidateNodesAbsolute: int = 100
