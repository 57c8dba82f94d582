"""Node-pressure eviction: when the machine's memory is short, the pod that takes most beyond what it asked for goes.

https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/.  A machine's memory is what the cluster
file says it is; available is what its pods and its kubelet do not use of that.
"""

import asyncio
import logging
from typing import NamedTuple

from knet.api.objects import Container, Pod
from knet.api.quantity import whole
from knet.kubelet.machine import Machine
from knet.kubelet.node import Health, NodeReporter
from knet.kubelet.pods import Pods
from knet.kubelet.qos import qos_class
from knet.kubelet.shutdown import is_critical
from knet.kubelet.usage import PodUsage, Usage

log = logging.getLogger(__name__)

#: evictionHard memory.available: 100Mi, or this part of a machine that is smaller than usual
THRESHOLD, PART = 100 << 20, 0.1
#: seconds that an evicted pod has to end (hard eviction: none)
GRACE = 0.0
REFUSED = ("Evicted", "The node had condition: [MemoryPressure]. ")


class Candidate(NamedTuple):
    """A pod with what it uses and what it asked for, in bytes, by container."""

    pod: Pod
    used: dict[str, int]
    asked: dict[str, int]

    @property
    def rank(self) -> tuple[bool, int, int]:
        """The highest goes first: who exceeds requests, then who matters least, then who exceeds them most."""
        beyond = sum(self.used.values()) - sum(self.asked.values())
        return beyond > 0, -self.pod.spec.priority, beyond


def threshold(capacity: int) -> int:
    """Bytes below which memory is short."""
    return min(THRESHOLD, int(capacity * PART))


def candidate(pod: Pod, usage: PodUsage) -> Candidate:
    asked = {row.name: _request(row) for row in (*pod.spec.initContainers, *pod.spec.containers)}
    return Candidate(pod, {row.name: row.memory.working_set for row in usage.containers}, asked)


def _request(container: Container) -> int:
    resources = container.resources
    return whole(resources.requests.get("memory", resources.limits.get("memory", 0)))


def message(chosen: Candidate, limit: int, available: int) -> str:
    """Upstream's sentence for the Event and the pod's status."""
    text = "The node was low on resource: memory. "
    text += f"Threshold quantity: {_amount(limit)}, available: {available // 1024}Ki. "
    for name, used in chosen.used.items():
        asked = chosen.asked.get(name, 0)
        if used > asked:
            text += f"Container {name} was using {used // 1024}Ki, request is {_amount(asked)}, has larger consumption"
            text += " of memory. "
    return text


def _amount(size: int) -> str:
    for unit, shift in (("Gi", 30), ("Mi", 20), ("Ki", 10)):
        if size and not size % (1 << shift):
            return f"{size >> shift}{unit}"
    return str(size)


class MemoryPressure:
    """Looks in intervals; one pod goes at a time, and the next look is after it has gone."""

    def __init__(self, machine: Machine, pods: Pods, usage: Usage, node: NodeReporter, health: Health) -> None:
        self._machine = machine
        self._pods = pods
        self._usage = usage
        self._node = node
        self._health = health
        self._capacity = whole(machine.allocatable["memory"])
        self._limit = threshold(self._capacity)
        self._short_at = 0.0
        pods.checks.append(self._refuse)

    def _refuse(self, pod: Pod) -> tuple[str, str] | None:
        best_effort = qos_class(pod.spec) == "BestEffort" and not is_critical(pod)
        return REFUSED if self._health.short_of_memory and best_effort else None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._machine.timing.eviction_monitoring_period)
            available = self._capacity - self._usage.memory().working_set
            self._tell(available < self._limit)
            if available < self._limit:
                await self._evict(available)

    def _tell(self, short: bool) -> None:
        """The condition holds on for a while, so that pods do not come and go."""
        now = self._machine.now()
        if short:
            self._short_at = now
        lasting = now - self._short_at < self._machine.timing.eviction_pressure_transition_period
        if self._health.short_of_memory != (short or lasting):
            self._health.short_of_memory = short or lasting
            self._node.changed()

    async def _evict(self, available: int) -> None:
        used = {usage.uid: usage for usage in self._usage.pods()}
        rows = [
            (candidate(pod, used[pod.uid]), worker)
            for pod, worker in self._pods.working()
            if pod.uid in used and not is_critical(pod)
        ]
        if not rows:
            log.warning("memory is short, and there is no pod to evict")
            return
        chosen, worker = max(rows, key=lambda row: row[0].rank)
        text = message(chosen, self._limit, available)
        self._machine.events.event(chosen.pod, "Warning", "Evicted", text)
        worker.doom("Evicted", text, GRACE)
        await worker.stopped.wait()
