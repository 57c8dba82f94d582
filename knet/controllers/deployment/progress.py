"""The Progressing condition: is the rollout getting anywhere, and when do we stop believing so.

`kubectl rollout status` reads the reason.  Every sign of progress renews lastUpdateTime; without one for
progressDeadlineSeconds the condition becomes False, ProgressDeadlineExceeded.  That stops nothing: it tells.
"""

from datetime import datetime, timedelta

from msgspec.structs import replace

from knet.api.objects import Condition, Deployment, DeploymentStatus, ReplicaSet, condition
from knet.client.events import rfc3339
from knet.controllers.conditions import parse_time, put_condition, set_condition, without
from knet.controllers.deployment.revision import UNLIMITED

PROGRESSING = "Progressing"
CREATED, FOUND, UPDATED = "NewReplicaSetCreated", "FoundNewReplicaSet", "ReplicaSetUpdated"
AVAILABLE, TIMED_OUT = "NewReplicaSetAvailable", "ProgressDeadlineExceeded"
PAUSED, RESUMED, CREATE_FAILED = "DeploymentPaused", "DeploymentResumed", "ReplicaSetCreateError"


def has_deadline(deployment: Deployment) -> bool:
    return deployment.spec.progressDeadlineSeconds != UNLIMITED


def progressing(status: str, reason: str, message: str, now: datetime) -> Condition:
    moment = rfc3339(now)
    return Condition(
        type=PROGRESSING,
        status=status,
        reason=reason,
        message=message,
        lastUpdateTime=moment,
        lastTransitionTime=moment,
    )


def pause_condition(deployment: Deployment, now: datetime) -> Condition | None:
    """The condition to write when a Deployment was just paused or resumed, so that the pause is not held against it."""
    current = condition(deployment.status.conditions, PROGRESSING)
    if not has_deadline(deployment) or (current is not None and current.reason == TIMED_OUT):
        return None
    noted = current is not None and current.reason == PAUSED
    if deployment.spec.paused and not noted:
        return progressing("Unknown", PAUSED, "Deployment is paused", now)
    if not deployment.spec.paused and noted:
        return progressing("Unknown", RESUMED, "Deployment is resumed", now)
    return None


def complete(deployment: Deployment, status: DeploymentStatus) -> bool:
    """All pods are of the current template, all are available, none of another is left."""
    wanted = deployment.spec.replicas
    return (
        status.updatedReplicas == status.replicas == status.availableReplicas == wanted
        and status.observedGeneration >= deployment.metadata.generation
    )


def advanced(before: DeploymentStatus, after: DeploymentStatus) -> bool:
    """More updated, fewer old, more ready or more available pods than before."""
    return (
        after.updatedReplicas > before.updatedReplicas
        or after.replicas - after.updatedReplicas < before.replicas - before.updatedReplicas
        or after.readyReplicas > before.readyReplicas
        or after.availableReplicas > before.availableReplicas
    )


def timed_out(deployment: Deployment, now: datetime) -> bool:
    current = condition(deployment.status.conditions, PROGRESSING)
    if current is None or current.reason == AVAILABLE:
        return False
    if current.reason == TIMED_OUT:
        return True
    since = parse_time(current.lastUpdateTime) or now
    return now > since + timedelta(seconds=deployment.spec.progressDeadlineSeconds)


def with_progress(
    deployment: Deployment,
    new: ReplicaSet | None,
    old: list[ReplicaSet],
    status: DeploymentStatus,
    now: datetime,
) -> DeploymentStatus:
    """``status`` (of `status.calculate`) with Progressing and ReplicaFailure brought up to date."""
    rows = status.conditions
    if not has_deadline(deployment):
        rows = without(rows, PROGRESSING)
    current = condition(deployment.status.conditions, PROGRESSING)
    at_rest = status.replicas == status.updatedReplicas and current is not None and current.reason == AVAILABLE
    if has_deadline(deployment) and not at_rest:
        who = f'ReplicaSet "{new.name}"' if new is not None else f'Deployment "{deployment.name}"'
        if complete(deployment, status):
            done = progressing("True", AVAILABLE, f"{who} has successfully progressed.", now)
            rows = set_condition(rows, done)
        elif advanced(deployment.status, status):
            # written even where status and reason stay, for lastUpdateTime is what the deadline counts from
            rows = put_condition(rows, progressing("True", UPDATED, f"{who} is progressing.", now))
        elif timed_out(deployment, now):
            rows = set_condition(rows, progressing("False", TIMED_OUT, f"{who} has timed out progressing.", now))
    failure = _failure(new, old)
    rows = set_condition(rows, failure) if failure is not None else without(rows, "ReplicaFailure")
    return replace(status, conditions=rows)


def _failure(new: ReplicaSet | None, old: list[ReplicaSet]) -> Condition | None:
    """The first ReplicaFailure of a ReplicaSet, the new one's before the old ones'."""
    for row in ([new] if new is not None else []) + old:
        if (found := condition(row.status.conditions, "ReplicaFailure")) is not None:
            return replace(found, lastUpdateTime=found.lastTransitionTime)
    return None


def recheck_after(deployment: Deployment, status: DeploymentStatus, now: datetime) -> float | None:
    """Seconds until the deadline has to be looked at again; None when the rollout is done, or given up.

    One second more than the deadline, since condition times are whole seconds.
    """
    current = condition(status.conditions, PROGRESSING)
    if not has_deadline(deployment) or current is None or current.reason in (TIMED_OUT, PAUSED):
        return None
    if complete(deployment, status):
        return None
    since = parse_time(current.lastUpdateTime) or now
    due = since + timedelta(seconds=deployment.spec.progressDeadlineSeconds + 1)
    return max(1.0, (due - now).total_seconds())
