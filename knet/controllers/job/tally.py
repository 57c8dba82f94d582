"""Counting a Job's pods: what has succeeded, what has failed, what runs, what is on its way out.

A pod that has ended is counted once: by its tracking finalizer as long as it is not in the status, by the status'
``uncountedTerminatedPods`` while the finalizer is being removed, by the status' numbers from then on (KEP-2307).
"""

from collections.abc import Mapping
from typing import NamedTuple

from knet.api.batch import Job
from knet.api.objects import Pod
from knet.controllers.job import failure_policy
from knet.controllers.job.indexes import index_of, parse
from knet.controllers.pods import active as is_active

FINALIZER = "batch.kubernetes.io/job-tracking"
#: how often pods of this index have failed before this one, and how often that was to be ignored (KEP-3850)
FAILURE_COUNT = "batch.kubernetes.io/job-index-failure-count"
IGNORED_COUNT = "batch.kubernetes.io/job-index-ignored-failure-count"


class Tally(NamedTuple):
    """Of one look at the pods."""

    succeeded: int
    failed: int
    succeeded_indexes: frozenset[int]
    #: empty without backoffLimitPerIndex
    failed_indexes: frozenset[int]
    active: list[Pod]
    terminating: int
    #: by index, the failed pod whose replacement has to be made yet; it passes its failure count on
    to_replace: Mapping[int, Pod]


def tracked(pod: Pod) -> bool:
    """Its end is not in the Job's status for good."""
    return FINALIZER in pod.metadata.finalizers


def has_failed(pod: Pod, job: Job) -> bool:
    """Ended without success; a pod that is being deleted may never come to say so itself."""
    if pod.status.phase == "Failed":
        return True
    return not job.spec.replaces_failed_only and pod.deleting and pod.status.phase != "Succeeded"


def failure_count(pod: Pod, annotation: str = FAILURE_COUNT) -> int:
    """What its predecessors in the index have passed on to a pod."""
    text = pod.metadata.annotations.get(annotation, "")
    return int(text) if text.isascii() and text.isdecimal() else 0


def tally(job: Job, pods: list[Pod]) -> Tally:
    """Count; ``pods`` are all that the Job owns."""
    spec, status = job.spec, job.status
    counted = {*status.uncountedTerminatedPods.succeeded, *status.uncountedTerminatedPods.failed}
    fresh = [pod for pod in pods if tracked(pod) and pod.uid not in counted and _has_place(pod, job)]
    succeeded = [pod for pod in fresh if pod.status.phase == "Succeeded"]
    failed = [pod for pod in fresh if has_failed(pod, job)]
    active = [pod for pod in pods if is_active(pod)]
    number = status.succeeded + len(succeeded) + len(status.uncountedTerminatedPods.succeeded)
    succeeded_indexes, failed_indexes, to_replace = frozenset[int](), frozenset[int](), dict[int, Pod]()
    if spec.indexed:
        succeeded_indexes = parse(status.completedIndexes, spec.completions or 0) | _indexes(succeeded, job)
        number = len(succeeded_indexes)
        if spec.backoffLimitPerIndex is not None:
            given_up = [pod for pod in pods if tracked(pod) and has_failed(pod, job) and _gives_up(pod, job)]
            failed_indexes = parse(status.failedIndexes or "", spec.completions or 0) | _indexes(given_up, job)
            to_replace = _to_replace(job, pods, succeeded_indexes | failed_indexes | _indexes(active, job))
    return Tally(
        succeeded=number,
        failed=status.failed
        + sum(failure_policy.judge(spec.podFailurePolicy, pod).counts for pod in failed)
        + len(status.uncountedTerminatedPods.failed),
        succeeded_indexes=succeeded_indexes,
        failed_indexes=failed_indexes,
        active=active,
        terminating=sum(pod.deleting and not pod.finished for pod in pods),
        to_replace=to_replace,
    )


def _has_place(pod: Pod, job: Job) -> bool:
    return not job.spec.indexed or index_of(pod, job.spec.completions) is not None


def _indexes(pods: list[Pod], job: Job) -> frozenset[int]:
    found = (index_of(pod, job.spec.completions) for pod in pods)
    return frozenset(index for index in found if index is not None)


def _gives_up(pod: Pod, job: Job) -> bool:
    """Whether this failure is the last one that its index is allowed."""
    assert job.spec.backoffLimitPerIndex is not None
    match = failure_policy.judge(job.spec.podFailurePolicy, pod)
    if match.action == "FailIndex":
        return True
    return match.counts and failure_count(pod) >= job.spec.backoffLimitPerIndex


def _to_replace(job: Job, pods: list[Pod], settled: frozenset[int]) -> dict[int, Pod]:
    found: dict[int, Pod] = {}
    for pod in pods:
        index = index_of(pod, job.spec.completions)
        if index is None or index in settled or not tracked(pod) or not has_failed(pod, job):
            continue
        if index not in found or failures_in_all(found[index]) <= failures_in_all(pod):
            found[index] = pod
    return found


def failures_in_all(pod: Pod) -> int:
    """Counted and ignored failures before this pod."""
    return failure_count(pod) + failure_count(pod, IGNORED_COUNT)
