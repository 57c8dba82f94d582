"""From what pods use to how many there should be: pure.

desired = ceil(pods × usage / target), https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/
– with upstream's caution: a pod without figures is assumed to use nothing when that argues for growing, and all of its
target when it argues for shrinking; a pod that has only just begun counts for nothing; and nothing moves while usage is
within a tenth of the target.
"""

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from knet.api.autoscaling import MetricTarget
from knet.api.objects import Pod
from knet.api.quantity import milli
from knet.api.timing import Timing
from knet.controllers.conditions import parse_time
from knet.controllers.pods import ready_condition

#: --horizontal-pod-autoscaler-tolerance
TOLERANCE = 0.1


class NoMetrics(Exception):
    """The figures that a metric needs are not there; the message is upstream's."""


class Proposal(NamedTuple):
    """What one metric asks for; ``average`` is the usage of a pod in thousandths, ``utilization`` in per cent."""

    replicas: int
    average: int
    utilization: int | None


class _Groups(NamedTuple):
    ready: list[str]
    unready: list[str]
    missing: list[str]


def propose(
    target: MetricTarget,
    resource: str,
    current: int,
    usage: Mapping[str, int],
    pods: Iterable[Pod],
    container: str,
    timing: Timing,
    now: datetime,
) -> Proposal:
    """How many pods one resource metric asks for; NoMetrics.

    ``usage``: by the pod's name, in thousandths of the resource's unit; ``container`` "" means all of a pod's.
    """
    known = {pod.name: pod for pod in pods if not pod.deleting and pod.status.phase != "Failed"}
    if not usage:
        raise NoMetrics(f"unable to get metrics for resource {resource}: no metrics returned from resource metrics API")
    groups = _group(known.values(), usage, resource, timing, now)
    if not groups.ready:
        raise NoMetrics("did not receive metrics for targeted pods (pods might be unready)")
    by_utilization = target.averageUtilization is not None
    wanted = (
        {name: _request(known[name], resource, container) * (target.averageUtilization or 0) // 100 for name in known}
        if by_utilization
        else dict.fromkeys(known, milli(target.averageValue or "0"))
    )
    ratio = sum(usage[name] for name in groups.ready) / max(sum(wanted[name] for name in groups.ready), 1)
    average = sum(usage[name] for name in groups.ready) // len(groups.ready)
    utilization = None
    if by_utilization:
        requested = sum(_request(known[name], resource, container) for name in groups.ready)
        utilization = sum(usage[name] for name in groups.ready) * 100 // max(requested, 1)
    return Proposal(_replicas(current, ratio, groups, usage, wanted), average, utilization)


def _replicas(current: int, ratio: float, groups: _Groups, usage: Mapping[str, int], wanted: Mapping[str, int]) -> int:
    unready = groups.unready if ratio > 1 else []
    if not groups.missing and not unready:
        return current if abs(1 - ratio) <= TOLERANCE else math.ceil(ratio * len(groups.ready))
    counted = {name: usage[name] for name in groups.ready}
    counted |= {name: wanted[name] if ratio < 1 else 0 for name in groups.missing}
    counted |= dict.fromkeys(unready, 0)
    cautious = sum(counted.values()) / max(sum(wanted[name] for name in counted), 1)
    if abs(1 - cautious) <= TOLERANCE or (ratio < 1) != (cautious < 1):
        return current
    size = math.ceil(cautious * len(counted))
    # caution must not turn the direction round
    return current if (cautious < 1 and size > current) or (cautious > 1 and size < current) else size


def _group(pods: Iterable[Pod], usage: Mapping[str, int], resource: str, timing: Timing, now: datetime) -> _Groups:
    groups = _Groups([], [], [])
    for pod in pods:
        if pod.name not in usage:
            (groups.unready if pod.status.phase == "Pending" else groups.missing).append(pod.name)
        elif resource == "cpu" and _begins(pod, timing, now):
            groups.unready.append(pod.name)
        else:
            groups.ready.append(pod.name)
    return groups


def _begins(pod: Pod, timing: Timing, now: datetime) -> bool:
    """Whether its CPU usage is that of starting up and says nothing of the load."""
    row, started = ready_condition(pod), parse_time(pod.status.startTime)
    changed = parse_time(row.lastTransitionTime) if row is not None else None
    if pod.status.phase == "Pending" or row is None or started is None or changed is None:
        return True
    if now < started + timedelta(seconds=timing.hpa_cpu_initialization):
        return row.status == "False" or now < changed + timedelta(seconds=timing.hpa_sync)
    # one that has never been ready is still beginning, however long that takes
    return row.status == "False" and changed < started + timedelta(seconds=timing.hpa_initial_readiness_delay)


def _request(pod: Pod, resource: str, container: str) -> int:
    total = 0
    for row in pod.spec.containers:
        if container not in ("", row.name):
            continue
        request = row.resources.requests.get(resource) or row.resources.limits.get(resource)
        if request is None:
            raise NoMetrics(f"missing request for {resource} in container {row.name} of Pod {pod.name}")
        total += milli(request)
    return total
