"""The kubelet's own check of a pod bound to it: whoever bound it may not have asked the scheduler.

Upstream: pkg/kubelet/lifecycle/predicate.go; a rejected pod is Failed for good.
"""

from collections.abc import Iterable, Mapping

from knet.api.objects import Pod
from knet.api.quantity import milli, whole


def reject(pod: Pod, others: Iterable[Pod], allocatable: Mapping[str, str]) -> tuple[str, str] | None:
    """(reason, message) why a pod cannot be on this node beside ``others`` (those not finished), or None."""
    others = list(others)
    needs = {"pods": 1, "cpu": request(pod, "cpu"), "memory": request(pod, "memory")}
    used = {
        "pods": len(others),
        "cpu": sum(request(other, "cpu") for other in others),
        "memory": sum(request(other, "memory") for other in others),
    }
    for name, need in needs.items():
        capacity = milli(allocatable[name]) if name == "cpu" else whole(allocatable[name])
        if need and used[name] + need > capacity:
            figures = f"requested: {need}, used: {used[name]}, capacity: {capacity}"
            return f"OutOf{name}", (f"Pod was rejected: Node didn't have enough resource: {name}, {figures}")
    return None


def request(pod: Pod, name: str) -> int:
    """What a pod asks for: millicores of "cpu", bytes of "memory". Init containers run before the others."""
    amount = milli if name == "cpu" else whole
    rows = [
        (container, amount(container.resources.requests.get(name, container.resources.limits.get(name, 0))))
        for container in (*pod.spec.initContainers, *pod.spec.containers)
    ]
    init = len(pod.spec.initContainers)
    return max([sum(value for _, value in rows[init:]), *(value for _, value in rows[:init])], default=0)
