"""A Job's status, and how the end of a pod gets into it exactly once.

Three steps, each safe to be the last one before a crash: the pod's uid is written into ``uncountedTerminatedPods`` (an
index into ``completedIndexes``); its finalizer is removed; what has no finalizer any more leaves the list and is a
number.  Which step is due for which pod is read from status and pods alone (KEP-2307).
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from knet.api.batch import Job
from knet.api.objects import JSON, Condition, Pod, condition
from knet.client.events import rfc3339
from knet.controllers.conditions import Conditions, conditions_json
from knet.controllers.job import failure_policy
from knet.controllers.job.indexes import index_of, render
from knet.controllers.job.tally import Tally, has_failed, tracked
from knet.controllers.job.verdict import Verdict

#: uids in the status at a time (MaxUncountedPods): 20 KB
MAX_UNCOUNTED = 500


class Ledger(NamedTuple):
    """``status`` is what the Job's status is to be; then the finalizers of ``release`` may go.

    ``finished``: this status says that the Job is over.
    """

    status: JSON
    release: list[Pod]
    finished: bool


class Doings(NamedTuple):
    """What this pass has done already: pods made, and pods of the active ones deleted."""

    created: int = 0
    deleted: int = 0


def ledger(job: Job, pods: list[Pod], counts: Tally, decided: Verdict | None, done: Doings, now: datetime) -> Ledger:
    """The next status.  ``decided`` is None, too, as long as active pods of a decided Job could not be deleted."""
    held = {pod.uid for pod in pods if tracked(pod)}
    uncounted = job.status.uncountedTerminatedPods
    succeeded = [uid for uid in uncounted.succeeded if uid in held]
    failed = [uid for uid in uncounted.failed if uid in held]
    numbers = {
        "succeeded": job.status.succeeded + len(uncounted.succeeded) - len(succeeded),
        "failed": job.status.failed + len(uncounted.failed) - len(failed),
    }
    release: list[Pod] = []
    for pod in sorted(filter(tracked, pods), key=lambda pod: index_of(pod, job.spec.completions) or 0):
        if len(succeeded) + len(failed) >= MAX_UNCOUNTED:
            break
        if not _over(job, pod, counts, decided):
            continue
        release.append(pod)
        if pod.uid in succeeded or pod.uid in failed:
            continue
        if pod.status.phase == "Succeeded":
            if not job.spec.indexed:
                succeeded.append(pod.uid)
        elif _counts_as_failed(job, pod, decided):
            failed.append(pod.uid)
    if job.spec.indexed:
        numbers["succeeded"] = len(counts.succeeded_indexes)
    active = len(counts.active) + done.created - done.deleted
    terminating = counts.terminating + done.deleted
    finished = decided is not None and not (succeeded or failed or terminating or active)
    status: JSON = {
        "active": active or None,
        "ready": sum(pod.ready for pod in counts.active) if not done.deleted else 0,
        "terminating": terminating,
        "succeeded": numbers["succeeded"] or None,
        "failed": numbers["failed"] or None,
        "completedIndexes": render(counts.succeeded_indexes) or None,
        "failedIndexes": render(counts.failed_indexes) if job.spec.backoffLimitPerIndex is not None else None,
        "startTime": _start_time(job, now),
        "completionTime": rfc3339(now) if finished and decided and decided.final == "Complete" else None,
        "uncountedTerminatedPods": {"succeeded": succeeded or None, "failed": failed or None},
        "conditions": conditions_json(_conditions(job, decided, finished, now)) or None,
    }
    return Ledger(status, release, finished)


def _over(job: Job, pod: Pod, counts: Tally, decided: Verdict | None) -> bool:
    """Whether nothing more is to be learned from the pod."""
    if job.deleting or decided is not None or pod.status.phase == "Succeeded":
        return True
    index = index_of(pod, job.spec.completions)
    replaced = index is None or index not in counts.to_replace or counts.to_replace[index].uid != pod.uid
    return has_failed(pod, job) and replaced


def _counts_as_failed(job: Job, pod: Pod, decided: Verdict | None) -> bool:
    """When a Job fails, whatever of it still runs has failed with it."""
    swept = decided is not None and decided.type == "FailureTarget"
    if not has_failed(pod, job) and not swept:
        return False
    if job.spec.indexed and index_of(pod, job.spec.completions) is None:
        return False
    return failure_policy.judge(job.spec.podFailurePolicy, pod).counts


def _start_time(job: Job, now: datetime) -> str | None:
    suspended = condition(job.status.conditions, "Suspended")
    resumed = suspended is not None and suspended.status == "True" and not job.spec.suspend
    if resumed or (job.status.startTime is None and not job.spec.suspend):
        return rfc3339(now)
    return job.status.startTime


def suspension(job: Job) -> Condition | None:
    """The Suspended condition where it has to change; None otherwise."""
    have = condition(job.status.conditions, "Suspended")
    if job.spec.suspend and (have is None or have.status != "True"):
        return Condition(type="Suspended", status="True", reason="JobSuspended", message="Job suspended")
    if not job.spec.suspend and have is not None and have.status == "True":
        return Condition(type="Suspended", status="False", reason="JobResumed", message="Job resumed")
    return None


def _conditions(job: Job, decided: Verdict | None, finished: bool, now: datetime) -> Conditions:
    rows = job.status.conditions
    if decided is None:
        changed = suspension(job)
        return rows if changed is None else _with(rows, (changed,), now)
    added = [Condition(type=decided.type, status="True", reason=decided.reason, message=decided.message)]
    if finished:
        added.append(Condition(type=decided.final, status="True", reason=decided.reason, message=decided.message))
    return _with(rows, added, now)


def _with(rows: Conditions, added: Iterable[Condition], now: datetime) -> Conditions:
    time = rfc3339(now)
    for new in added:
        have = condition(rows, new.type)
        if have is None or have.status != new.status:
            stamped = Condition(
                type=new.type,
                status=new.status,
                reason=new.reason,
                message=new.message,
                lastProbeTime=time,
                lastTransitionTime=time,
            )
            rows = (*(row for row in rows if row.type != new.type), stamped)
    return rows


def unchanged(job: Job, status: JSON) -> bool:
    """Whether the object says all this already."""
    have = job.status
    uncounted = have.uncountedTerminatedPods
    return status == {
        "active": have.active or None,
        "ready": have.ready,
        "terminating": have.terminating,
        "succeeded": have.succeeded or None,
        "failed": have.failed or None,
        "completedIndexes": have.completedIndexes or None,
        "failedIndexes": have.failedIndexes,
        "startTime": have.startTime,
        "completionTime": have.completionTime,
        "uncountedTerminatedPods": {
            "succeeded": list(uncounted.succeeded) or None,
            "failed": list(uncounted.failed) or None,
        },
        "conditions": conditions_json(have.conditions) or None,
    }
