"""Which pods a Job that goes on wants to have made, or to be rid of."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from knet.api.batch import Job
from knet.api.objects import Pod
from knet.api.timing import Timing
from knet.controllers.job import backoff
from knet.controllers.job.indexes import index_of
from knet.controllers.job.tally import Tally, failures_in_all, has_failed
from knet.controllers.replicaset.ranking import rank

#: most pods created or deleted by one pass (MaxPodCreateDeletePerSync)
BURST = 500


class Demand(NamedTuple):
    """Either deletions or creations; ``create`` has a completion index, or None, for each pod.

    ``wait`` is the time until a failed pod may be replaced.
    """

    delete: Sequence[Pod] = ()
    create: Sequence[int | None] = ()
    wait: timedelta | None = None


def demand(job: Job, pods: list[Pod], counts: Tally, timing: Timing, now: datetime) -> Demand:
    """Deletions come first: an index that two pods have must be cleared before others are filled."""
    wanted = _wanted(job, counts)
    if doomed := _superfluous(job, counts, max(len(counts.active) - wanted, 0), now):
        return Demand(delete=doomed[:BURST])
    missing = wanted - len(counts.active) - (counts.terminating if job.spec.replaces_failed_only else 0)
    if missing <= 0:
        return Demand()
    if job.spec.backoffLimitPerIndex is not None:
        return _by_index(job, counts, min(missing, BURST), timing, now)
    ended = [pod for pod in pods if pod.status.phase == "Succeeded"]
    wait = backoff.wait(ended, (pod for pod in pods if has_failed(pod, job)), timing, now)
    if wait > timedelta():
        return Demand(wait=wait)
    count = min(missing, BURST)
    return Demand(create=[*_free_indexes(job, counts, count)] if job.spec.indexed else [None] * count)


def _wanted(job: Job, counts: Tally) -> int:
    """How many pods should be active."""
    spec = job.spec
    if spec.suspend:
        return 0
    if spec.completions is None:
        # after the first success those that run may end, but no more are made
        return len(counts.active) if counts.succeeded else spec.parallelism
    return min(spec.parallelism, max(spec.completions - counts.succeeded, 0))


def _superfluous(job: Job, counts: Tally, at_least: int, now: datetime) -> list[Pod]:
    """Pods without a place of their own, and of the others those whose loss is felt least."""
    doomed: list[Pod] = []
    left: list[Pod] = []
    taken: set[int] = set()
    for pod in sorted(counts.active, key=lambda pod: rank(pod, 0, now), reverse=True):
        index = index_of(pod, job.spec.completions)
        if job.spec.indexed and (index is None or index in taken or index in counts.succeeded_indexes):
            doomed.append(pod)
            continue
        if index is not None:
            taken.add(index)
        left.append(pod)
    return doomed + left[::-1][: max(at_least - len(doomed), 0)]


def _free_indexes(job: Job, counts: Tally, count: int) -> list[int]:
    """The lowest indexes that have not come to an end and have no pod."""
    places = (index_of(pod, job.spec.completions) for pod in counts.active)
    taken = counts.succeeded_indexes | counts.failed_indexes | {index for index in places if index is not None}
    free: list[int] = []
    for index in range(job.spec.completions or 0):
        if len(free) == count:
            break
        if index not in taken:
            free.append(index)
    return free


def _by_index(job: Job, counts: Tally, count: int, timing: Timing, now: datetime) -> Demand:
    """Each index waits for its own sake only."""
    ready: list[int | None] = []
    waits: list[timedelta] = []
    for index in _free_indexes(job, counts, count):
        former = counts.to_replace.get(index)
        wait = timedelta()
        if former is not None:
            wait = backoff.finish_time(former) + backoff.delay(failures_in_all(former) + 1, timing) - now
        if wait > timedelta():
            waits.append(wait)
        else:
            ready.append(index)
    return Demand(create=ready, wait=min(waits, default=None))
