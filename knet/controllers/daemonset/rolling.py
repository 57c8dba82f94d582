"""A rolling update of daemons: which old pods may go now, and on which nodes a new one may run beside the old.

https://kubernetes.io/docs/tasks/manage-daemon/update-daemon-set/ – a node that has no available pod anyway counts
against maxUnavailable, and costs nothing to update.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from knet.api.objects import Pod
from knet.api.workloads import DaemonSet
from knet.controllers.deployment.bounds import Bounds, resolve


class Step(NamedTuple):
    """What to do now; ``surge`` names nodes."""

    delete: list[Pod]
    surge: list[str]


def bounds(daemon_set: DaemonSet, desired: int) -> Bounds:
    """Both rounded up; where both come to nothing, one pod may be unavailable."""
    wanted = daemon_set.spec.updateStrategy.rollingUpdate
    surge = resolve(wanted.maxSurge, desired, round_up=True)
    unavailable = resolve(wanted.maxUnavailable, desired, round_up=True)
    return Bounds(surge, unavailable if surge or unavailable else 1)


def step(
    limits: Bounds,
    placed: Mapping[str, list[Pod]],
    is_new: Callable[[Pod], bool],
    available: Callable[[Pod], bool],
) -> Step:
    """The next step; ``placed`` has an entry for each node that is to run a pod."""
    if limits.surge:
        return _with_surge(limits, placed, is_new, available)
    unavailable = 0
    down: list[Pod] = []
    up: list[Pod] = []
    for pods in placed.values():
        alive = [pod for pod in pods if not pod.deleting]
        if not any(available(pod) for pod in alive):
            unavailable += 1
            down += [pod for pod in alive if not is_new(pod)]
        else:
            up += [pod for pod in alive if not is_new(pod)]
    return Step(down + up[: max(limits.unavailable - unavailable, 0)], [])


def _with_surge(
    limits: Bounds,
    placed: Mapping[str, list[Pod]],
    is_new: Callable[[Pod], bool],
    available: Callable[[Pod], bool],
) -> Step:
    surge: list[str] = []
    down: list[str] = []
    under_way = 0
    for node, pods in placed.items():
        alive = [pod for pod in pods if not pod.deleting]
        new = [pod for pod in alive if is_new(pod)]
        old = [pod for pod in alive if not is_new(pod)]
        if not old:
            continue
        if new:
            under_way += 1
        elif any(available(pod) for pod in old):
            surge.append(node)
        else:
            down.append(node)  # nothing to lose there
    return Step([], down + surge[: max(limits.surge - under_way, 0)])


def kept(limits: Bounds, pods: list[Pod], is_new: Callable[[Pod], bool], available: Callable[[Pod], bool]) -> list[Pod]:
    """Of several pods on a node those that stay: with surge an old one beside its successor until that is available."""
    ranked = sorted(pods, key=_oldest_ready)
    new = next((pod for pod in ranked if is_new(pod)), None)
    old = next((pod for pod in ranked if not is_new(pod)), None)
    if not limits.surge or new is None or old is None:
        return ranked[:1]
    return [new] if available(new) else [new, old]


def _oldest_ready(pod: Pod) -> tuple[bool, bool, str, str]:
    return not pod.spec.nodeName, not pod.ready, pod.metadata.creationTimestamp or "", pod.uid
