"""The status of a budget, counted from its pods."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from knet.api.objects import JSON, Condition, Pod, condition
from knet.api.policy import BudgetStatus, PodDisruptionBudget
from knet.client.events import rfc3339
from knet.controllers.conditions import Conditions, parse_time, without
from knet.controllers.disruption.expected import Expectation

#: how long a pod whose eviction was admitted may be there without being deleted (DeletionTimeout)
DELETION_TIMEOUT = timedelta(minutes=2)
CONDITION = "DisruptionAllowed"


class Disrupted(NamedTuple):
    """Admitted evictions whose pods are still to go, those given up, and when the first of the former will be."""

    pending: dict[str, str]
    late: list[Pod]
    recheck: datetime | None


def disrupted(pods: Iterable[Pod], known: Mapping[str, str], now: datetime) -> Disrupted:
    """What is left of ``disruptedPods``: a pod that is being deleted, or gone, has been seen to go."""
    pending: dict[str, str] = {}
    late: list[Pod] = []
    recheck: datetime | None = None
    for pod in pods:
        since = parse_time(known.get(pod.name))
        if since is None or pod.deleting:
            continue
        end = since + DELETION_TIMEOUT
        if end < now:
            late.append(pod)
        else:
            pending[pod.name] = known[pod.name]
            recheck = min(recheck or end, end)
    return Disrupted(pending, late, recheck)


def healthy(pods: Iterable[Pod], pending: Mapping[str, str]) -> int:
    """Pods that are ready and not about to go."""
    return sum(pod.ready and not pod.deleting and pod.name not in pending for pod in pods)


def counted(
    budget: PodDisruptionBudget, expected: Expectation, current: int, pending: dict[str, str], now: datetime
) -> BudgetStatus:
    """A budget that expects no pods allows nothing, so that its first pods do not find it too generous."""
    allowed = max(0, current - expected.healthy) if expected.pods > 0 else 0
    generation = budget.metadata.generation
    reason = "SufficientPods" if allowed else "InsufficientPods"
    row = Condition(type=CONDITION, status=str(bool(allowed)), reason=reason, observedGeneration=generation)
    return BudgetStatus(
        disruptionsAllowed=allowed,
        currentHealthy=current,
        desiredHealthy=expected.healthy,
        expectedPods=expected.pods,
        disruptedPods=pending,
        observedGeneration=generation,
        conditions=_with(budget.status.conditions, row, now),
    )


def failed(budget: PodDisruptionBudget, why: str, now: datetime) -> BudgetStatus:
    """Nothing is allowed while it is not known what may be: only that is changed."""
    row = Condition(
        type=CONDITION,
        status="False",
        reason="SyncFailed",
        message=why,
        observedGeneration=budget.status.observedGeneration,
    )
    conditions = _with(budget.status.conditions, row, now)
    return msgspec.structs.replace(budget.status, disruptionsAllowed=0, conditions=conditions)


def _with(rows: Conditions, new: Condition, now: datetime) -> Conditions:
    old = condition(rows, new.type)
    since = old.lastTransitionTime if old is not None and old.status == new.status else None
    new = msgspec.structs.replace(new, lastTransitionTime=since or rfc3339(now))
    return (*without(rows, new.type), new)


def status_json(status: BudgetStatus) -> JSON:
    """As it goes on the wire."""
    found: JSON = {name: getattr(status, name) for name in ("disruptionsAllowed", "currentHealthy", "desiredHealthy")}
    found |= {"expectedPods": status.expectedPods, "observedGeneration": status.observedGeneration}
    if status.disruptedPods:
        found["disruptedPods"] = status.disruptedPods
    found["conditions"] = [{**msgspec.to_builtins(row), "message": row.message} for row in status.conditions]
    return found
