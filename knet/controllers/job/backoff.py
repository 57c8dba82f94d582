"""How long a Job waits before it replaces failed pods: doubled with each failure since the last success.

Upstream keeps the count in memory; here it is read from the pods themselves, which stay until their Job goes, so that a
restarted controller waits as long as its predecessor would have.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from knet.api.objects import Pod
from knet.api.timing import Timing
from knet.controllers.conditions import parse_time
from knet.controllers.pods import ready_condition


def finish_time(pod: Pod) -> datetime:
    """When a pod ended: its last container did, else it lost its readiness, was deleted, or (never begun) was made."""
    ends = [
        parse_time(status.state.terminated.finishedAt)
        for status in pod.status.containerStatuses
        if status.state.terminated is not None
    ]
    known = [end for end in ends if end is not None]
    if known and len(known) == len(pod.status.containerStatuses):
        return max(known)
    row = ready_condition(pod)
    lost = row.lastTransitionTime if row is not None and row.status == "False" else None
    found = parse_time(lost or pod.metadata.deletionTimestamp or pod.metadata.creationTimestamp)
    assert found is not None, "every stored object has a creationTimestamp"
    return found


def delay(failures: int, timing: Timing) -> timedelta:
    """After so many failures in a row; nothing after none."""
    if not failures:
        return timedelta()
    return timedelta(seconds=min(timing.job_backoff * 2.0 ** min(failures - 1, 30), timing.job_backoff_max))


def wait(succeeded: Iterable[Pod], failed: Iterable[Pod], timing: Timing, now: datetime) -> timedelta:
    """How long the next pod has to wait yet."""
    last_success = max(map(finish_time, succeeded), default=None)
    ends = [finish_time(pod) for pod in failed]
    since = [end for end in ends if last_success is None or end > last_success]
    if not since:
        return timedelta()
    return max(timedelta(), max(since) + delay(len(since), timing) - now)
