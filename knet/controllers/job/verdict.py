"""Has the Job come to its end, and how?  The rules in upstream's order; the first that holds decides.

A verdict is written as an interim condition (FailureTarget, SuccessCriteriaMet) before anything is done about it, and
as Failed or Complete when the last pod is gone (KEP-3939, KEP-4368).
"""

from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from knet.api.batch import Job
from knet.api.objects import Pod, condition
from knet.controllers.conditions import parse_time
from knet.controllers.job import failure_policy, success_policy
from knet.controllers.job.tally import Tally, has_failed


class Verdict(NamedTuple):
    """``type`` is the interim condition's."""

    type: Literal["FailureTarget", "SuccessCriteriaMet"]
    reason: str = ""
    message: str = ""

    @property
    def final(self) -> str:
        """The condition that a finished Job has."""
        return "Complete" if self.type == "SuccessCriteriaMet" else "Failed"


def verdict(job: Job, pods: list[Pod], counts: Tally, now: datetime) -> Verdict | None:
    """None while the Job goes on."""
    return _already(job) or _failure(job, pods, counts, now) or _success(job, counts)


def _already(job: Job) -> Verdict | None:
    success = condition(job.status.conditions, "SuccessCriteriaMet")
    if success is not None and success.status == "True":
        return Verdict("SuccessCriteriaMet", success.reason, success.message)
    failure = condition(job.status.conditions, "FailureTarget")
    if failure is not None and failure.status == "True":
        return Verdict("FailureTarget", failure.reason, failure.message)
    return None


def _failure(job: Job, pods: list[Pod], counts: Tally, now: datetime) -> Verdict | None:
    spec = job.spec
    for pod in pods:
        if has_failed(pod, job):
            match = failure_policy.judge(spec.podFailurePolicy, pod)
            if match.action == "FailJob":
                return Verdict("FailureTarget", "PodFailurePolicy", match.message)
    if counts.failed > spec.backoffLimit or _restarts_exceed(job, pods):
        return Verdict("FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    left = deadline(job, now)
    if left is not None and left <= timedelta():
        return Verdict("FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline")
    failed = len(counts.failed_indexes)
    if spec.maxFailedIndexes is not None and failed > spec.maxFailedIndexes:
        text = "Job has exceeded the specified maximal number of failed indexes"
        return Verdict("FailureTarget", "MaxFailedIndexesExceeded", text)
    if failed and failed + len(counts.succeeded_indexes) >= (spec.completions or 0):
        return Verdict("FailureTarget", "FailedIndexes", "Job has failed indexes")
    return None


def _restarts_exceed(job: Job, pods: list[Pod]) -> bool:
    """With restartPolicy OnFailure it is the kubelet that tries again, and restarts that count."""
    if job.spec.template.get("spec", {}).get("restartPolicy") != "OnFailure":
        return False
    restarts = sum(
        status.restartCount
        for pod in pods
        if pod.status.phase in ("Running", "Pending")
        for status in (*pod.status.initContainerStatuses, *pod.status.containerStatuses)
    )
    return restarts >= max(job.spec.backoffLimit, 1)


def deadline(job: Job, now: datetime) -> timedelta | None:
    """How long until activeDeadlineSeconds are over; None where there is no such limit, or the clock stands."""
    started = parse_time(job.status.startTime)
    if job.spec.activeDeadlineSeconds is None or started is None or job.spec.suspend:
        return None
    return started + timedelta(seconds=job.spec.activeDeadlineSeconds) - now


def _success(job: Job, counts: Tally) -> Verdict | None:
    completions = job.spec.completions
    if job.spec.indexed and (
        message := success_policy.met(job.spec.successPolicy, counts.succeeded_indexes, completions or 0)
    ):
        return Verdict("SuccessCriteriaMet", "SuccessPolicy", message)
    if counts.active:
        return None
    # without a number of completions, the first success says that the work is done
    done = counts.succeeded > 0 if completions is None else counts.succeeded >= completions
    if not done:
        return None
    return Verdict("SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods")
