"""How far and how soon to follow a recommendation: stabilization windows and scaling policies (KEP-853).  Pure.

https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#configurable-scaling-behavior
"""

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from knet.api.autoscaling import Behavior, ScalingPolicy, ScalingRules
from knet.api.timing import Timing

_UP = ScalingRules(
    stabilizationWindowSeconds=0,
    policies=(
        ScalingPolicy(type="Pods", value=4, periodSeconds=15),
        ScalingPolicy(type="Percent", value=100, periodSeconds=15),
    ),
)
_DOWN = ScalingRules(policies=(ScalingPolicy(type="Percent", value=100, periodSeconds=15),))


class Recommendation(NamedTuple):
    """What the metrics asked for at a time."""

    time: datetime
    replicas: int


class Change(NamedTuple):
    """A scaling that was done; negative downwards."""

    time: datetime
    by: int


class Limited(NamedTuple):
    """The size to go to, and the condition's reason where that is not what was recommended."""

    replicas: int
    reason: str = ""


class Follow(NamedTuple):
    """The rules of one autoscaler, with defaults filled in."""

    up: ScalingRules
    down: ScalingRules
    down_window: float

    @classmethod
    def of(cls, behavior: Behavior, timing: Timing) -> "Follow":
        """``timing`` has the window for shrinking that holds where the object says nothing."""
        up, down = _filled(behavior.scaleUp, _UP), _filled(behavior.scaleDown, _DOWN)
        window = down.stabilizationWindowSeconds
        return cls(up, down, timing.hpa_downscale_stabilization if window is None else window)

    def stabilized(self, current: int, wanted: int, past: Iterable[Recommendation], now: datetime) -> Limited:
        """The lowest that was asked for within the window for growing, the highest within that for shrinking."""
        lowest = highest = wanted
        for row in past:
            age = (now - row.time).total_seconds()
            if age < (self.up.stabilizationWindowSeconds or 0):
                lowest = min(lowest, row.replicas)
            if age < self.down_window:
                highest = max(highest, row.replicas)
        size = min(max(current, lowest), highest)
        if size == wanted:
            return Limited(size)
        return Limited(size, "ScaleUpStabilized" if wanted > current else "ScaleDownStabilized")

    def limited(
        self, current: int, wanted: int, least: int, most: int, past: Iterable[Change], now: datetime
    ) -> Limited:
        """Within the policies' rates and the autoscaler's own bounds."""
        changes = list(past)
        if wanted > current:
            rate = max(_reach(self.up, current, changes, now, "up"), current)
            allowed = min(rate, most)
            if wanted > allowed:
                return Limited(allowed, "ScaleUpLimit" if rate < most else "TooManyReplicas")
        elif wanted < current:
            rate = min(_reach(self.down, current, changes, now, "down"), current)
            allowed = max(rate, least)
            if wanted < allowed:
                return Limited(allowed, "ScaleDownLimit" if rate > least else "TooFewReplicas")
        return Limited(wanted)


def _filled(rules: ScalingRules | None, default: ScalingRules) -> ScalingRules:
    if rules is None:
        return default
    window = rules.stabilizationWindowSeconds
    return ScalingRules(
        stabilizationWindowSeconds=default.stabilizationWindowSeconds if window is None else window,
        selectPolicy=rules.selectPolicy,
        policies=rules.policies or default.policies,
    )


def _reach(
    rules: ScalingRules, current: int, changes: list[Change], now: datetime, direction: Literal["up", "down"]
) -> int:
    """How far the policies let the number go from what it was when their period began."""
    if rules.selectPolicy == "Disabled":
        return current
    reaches: list[int] = []
    for policy in rules.policies:
        since = now - timedelta(seconds=policy.periodSeconds)
        at_start = current - sum(change.by for change in changes if change.time > since)
        if direction == "up":
            by = policy.value if policy.type == "Pods" else at_start * policy.value / 100
            reaches.append(math.ceil(at_start + by))
        else:
            by = policy.value if policy.type == "Pods" else at_start * policy.value / 100
            reaches.append(int(at_start - by))
    farthest = max if (direction == "up") == (rules.selectPolicy == "Max") else min
    return farthest(reaches)
