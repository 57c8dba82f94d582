"""The kubelet's own check of a pod bound to it: whoever bound it may not have asked the scheduler.

Upstream: pkg/kubelet/lifecycle/predicate.go; a rejected pod is Failed for good.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from knet.api.host_ports import host_ports
from knet.api.objects import Pod
from knet.api.quantity import milli, whole
from knet.api.sysctls import SYSCTLS_32


class Needs(NamedTuple):
    """What a pod asks for: millicores, bytes, and its own place."""

    cpu: int
    memory: int
    pods: int = 1


def needs(pod: Pod) -> Needs:
    """The sum over its containers; init containers run before the others, so their needs do not add up."""
    return Needs(_request(pod, "cpu"), _request(pod, "memory"))


def capacity(allocatable: Mapping[str, str]) -> Needs:
    return Needs(milli(allocatable["cpu"]), whole(allocatable["memory"]), whole(allocatable["pods"]))


def reject(wanted: Needs, others: Iterable[Needs], there: Needs) -> tuple[str, str] | None:
    """(reason, message) why a pod cannot be on this node beside ``others`` (those not finished), or None."""
    others = tuple(others)
    for index, (name, need, most) in enumerate(zip(Needs._fields, wanted, there, strict=True)):
        if need and (taken := sum(other[index] for other in others)) + need > most:
            figures = f"requested: {need}, used: {taken}, capacity: {most}"
            return f"OutOf{name}", f"Node didn't have enough resource: {name}, {figures}"
    return None


def port_taken(pod: Pod, others: Iterable[Pod]) -> tuple[str, str] | None:
    """(reason, message) where a pod asks for a port of the machine that one of ``others`` (not finished) has."""
    if not (wanted := host_ports(pod)):
        return None
    taken = [port for other in others for port in host_ports(other)]
    if any(port.conflicts(other) for port in wanted for other in taken):
        return "NodePorts", "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
    return None


def forbidden_sysctl(pod: Pod) -> tuple[str, str] | None:
    """(reason, message) where a pod asks for a setting that others would feel; the safe ones are upstream's."""
    for row in pod.spec.securityContext.sysctls:
        if row.name not in SYSCTLS_32:
            return "SysctlForbidden", f'forbidden sysctl: "{row.name}" not allowlisted'
        if pod.spec.hostNetwork and row.name.startswith("net."):
            return "SysctlForbidden", f'forbidden sysctl: "{row.name}" not allowed with host net enabled'
        if pod.spec.hostIPC and row.name.startswith("kernel.shm"):
            return "SysctlForbidden", f'forbidden sysctl: "{row.name}" not allowed with host ipc enabled'
    return None


def _request(pod: Pod, name: str) -> int:
    amount = milli if name == "cpu" else whole
    rows = [
        amount(container.resources.requests.get(name, container.resources.limits.get(name, 0)))
        for container in (*pod.spec.initContainers, *pod.spec.containers)
    ]
    init = len(pod.spec.initContainers)
    return max([sum(rows[init:]), *rows[:init]], default=0)
