"""How many pods a HorizontalPodAutoscaler asks for, and how fast it goes there: pure tables."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from knet.api.autoscaling import Behavior, MetricTarget
from knet.api.objects import Pod
from knet.api.timing import UPSTREAM
from knet.controllers.podautoscaler.behavior import Change, Follow, Recommendation
from knet.controllers.podautoscaler.usage import NoMetrics, propose

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HALF = MetricTarget(type="Utilization", averageUtilization=50)


def pod(name: str, request: str = "100m", phase: str = "Running", ready: bool = True, age: int = 3600) -> Pod:
    started = (NOW - timedelta(seconds=age)).isoformat()
    container = {"name": "c", "resources": {"requests": {"cpu": request} if request else {}}}
    row = {"type": "Ready", "status": str(ready), "lastTransitionTime": started}
    status = {"phase": phase, "startTime": started, "conditions": [row]}
    return msgspec.convert({"metadata": {"name": name}, "spec": {"containers": [container]}, "status": status}, Pod)


PODS = [pod("a"), pod("b")]


@pytest.mark.parametrize(
    ("target", "usage", "pods", "replicas", "utilization"),
    [
        (HALF, {"a": 100, "b": 100}, PODS, 4, 100),
        (HALF, {"a": 25, "b": 25}, PODS, 1, 25),
        # within a tenth of the target nothing moves
        (HALF, {"a": 54, "b": 54}, PODS, 2, 54),
        (MetricTarget(averageValue="50m"), {"a": 90, "b": 60}, PODS, 3, None),
        # a pod without figures: nothing when growing, its whole target when shrinking
        (HALF, {"a": 100}, PODS, 2, 100),
        (HALF, {"a": 10}, PODS, 2, 10),
        (HALF, {"a": 200}, PODS, 4, 200),
        # a pod that has only just begun does not count for growing, and is no reason to shrink
        (HALF, {"a": 100, "b": 100}, [pod("a"), pod("b", age=10, ready=False)], 2, 100),
    ],
)
def test_replicas(
    target: MetricTarget, usage: dict[str, int], pods: list[Pod], replicas: int, utilization: int | None
) -> None:
    found = propose(target, "cpu", 2, usage, pods, "", UPSTREAM, NOW)
    assert (found.replicas, found.utilization) == (replicas, utilization)


@pytest.mark.parametrize(
    ("usage", "pods", "message"),
    [
        ({}, PODS, "unable to get metrics for resource cpu: no metrics returned from resource metrics API"),
        ({"a": 1}, [pod("a", request="")], "missing request for cpu in container c of Pod a"),
        ({"x": 1}, [pod("a")], "did not receive metrics for targeted pods (pods might be unready)"),
    ],
)
def test_without_figures_there_is_no_answer(usage: dict[str, int], pods: list[Pod], message: str) -> None:
    with pytest.raises(NoMetrics, match=message.replace("(", r"\(").replace(")", r"\)")):
        propose(HALF, "cpu", 1, usage, pods, "", UPSTREAM, NOW)


TWO_A_MINUTE = {"type": "Pods", "value": 2, "periodSeconds": 60}


def ago(seconds: int) -> datetime:
    return NOW - timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("current", "wanted", "past", "size", "reason"),
    [
        (3, 6, [(60, 2)], 6, ""),  # growing looks at no window
        (6, 2, [(60, 5), (200, 4)], 5, "ScaleDownStabilized"),
        (6, 2, [(301, 5)], 2, ""),
    ],
)
def test_shrinking_waits_for_its_window(
    current: int, wanted: int, past: list[tuple[int, int]], size: int, reason: str
) -> None:
    rules = Follow.of(Behavior(), UPSTREAM)
    rows = [Recommendation(ago(seconds), replicas) for seconds, replicas in past]
    assert rules.stabilized(current, wanted, rows, NOW) == (size, reason)


@pytest.mark.parametrize(
    ("behavior", "current", "wanted", "changes", "size", "reason"),
    [
        # by default the larger of four pods and a doubling in fifteen seconds
        ({}, 1, 20, [], 5, "ScaleUpLimit"),
        ({}, 8, 20, [], 16, "ScaleUpLimit"),
        ({}, 16, 20, [(5, 8)], 16, "ScaleUpLimit"),
        ({}, 16, 20, [(16, 8)], 20, ""),
        ({}, 16, 200, [(16, 8)], 32, "ScaleUpLimit"),
        ({}, 60, 200, [], 100, "TooManyReplicas"),
        ({}, 10, 0, [], 1, "TooFewReplicas"),
        ({"scaleDown": {"policies": [TWO_A_MINUTE]}}, 9, 1, [], 7, "ScaleDownLimit"),
        ({"scaleDown": {"selectPolicy": "Disabled"}}, 9, 1, [], 9, "ScaleDownLimit"),
    ],
)
def test_policies_limit_the_rate(
    behavior: Any, current: int, wanted: int, changes: list[tuple[int, int]], size: int, reason: str
) -> None:
    rules = Follow.of(msgspec.convert(behavior, Behavior), UPSTREAM)
    rows = [Change(ago(seconds), by) for seconds, by in changes]
    assert rules.limited(current, wanted, 1, 100, rows, NOW) == (size, reason)
