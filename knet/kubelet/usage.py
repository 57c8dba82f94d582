"""How much the pods and this machine use: CPU as a rate over a window, memory and traffic as of now.

A rate needs two readings.  One of every container is kept in each interval of the timing profile, at some
microseconds apiece; the second is taken when somebody asks.  A container's own start, when it had used nothing, is
its first.  Nothing else is measured before it is wanted.
"""

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from knet.api.objects import Pod
from knet.kernel.accounting import Account, Memory, Traffic, traffic
from knet.kernel.cgroup import Hierarchies, Limits
from knet.kubelet.machine import Machine
from knet.kubelet.pods import Pods
from knet.kubelet.runtime.containers import Running
from knet.kubelet.worker import PodWorker

#: the name of the group in which a kubelet is itself
KUBELET = "kubelet"


class Cpu(NamedTuple):
    """At the Unix time ``at``: nanoseconds used ever, and per second since a moment ``window`` seconds before."""

    at: float
    total: int
    rate: int
    window: float


class _Mark(NamedTuple):
    at: float
    total: int


class Gauge:
    """Readings of one account: those that are kept, and fresh ones."""

    def __init__(self, account: Account, first: _Mark) -> None:
        self.account = account
        self._marks = deque([first], maxlen=2)

    def keep(self, now: float) -> None:
        """Keep a reading; OSError if the group is gone."""
        self._marks.append(_Mark(now, self.account.cpu()))

    def read(self, now: float, interval: float) -> Cpu:
        """The rate over about an interval: since the latest kept reading that is at least half of one old."""
        total = self.account.cpu()
        since = self._marks[-1] if now - self._marks[-1].at >= interval / 2 else self._marks[0]
        window = max(now - since.at, 1e-3)
        return Cpu(now, total, round((total - since.total) / window), window)


class ContainerUsage(NamedTuple):
    name: str
    started_at: float
    cpu: Cpu
    memory: Memory


class PodUsage(NamedTuple):
    """A pod that has running containers; ``traffic`` is empty for one on the machine's network."""

    namespace: str
    name: str
    uid: str
    started_at: float
    containers: tuple[ContainerUsage, ...]
    traffic: tuple[Traffic, ...]


class MachineUsage(NamedTuple):
    """All that runs on the machine; ``system`` are its kubelet (with the container runtime) and its pods."""

    started_at: float
    cpu: Cpu
    memory: Memory
    traffic: tuple[Traffic, ...]
    system: dict[str, tuple[Cpu, Memory]]


class Usage:
    """`run` keeps the readings; `pods` and `machine` answer."""

    def __init__(self, machine: Machine, pods: Pods, hierarchies: Hierarchies, group: str) -> None:
        """``group`` is the machine's, and exists; the kubelet's own is its child of that name."""
        self._machine = machine
        self._pods = pods
        self._hierarchies = hierarchies
        self._started_at = machine.now()
        self._gauges: dict[str, Gauge] = {}
        self._all = self._gauge_of(group)
        self._kubelet = self._gauge_of(f"{group}/{KUBELET}")

    def _gauge_of(self, group: str) -> Gauge:
        account = Account(self._hierarchies, group)
        return Gauge(account, _Mark(self._machine.now(), account.cpu()))

    async def run(self) -> None:
        """Keep a reading of everything in every interval, until cancelled."""
        while True:
            await asyncio.sleep(self._machine.timing.metric_resolution)
            now = self._machine.now()
            running = {run.id: run for _, worker in self._pods.working() for run in _running(worker)}
            for container in self._gauges.keys() - running.keys():
                self._gauges.pop(container).account.close()
            for gauge in (self._all, self._kubelet, *filter(None, map(self._gauge, running.values()))):
                with contextlib.suppress(OSError):  # it has ended since
                    gauge.keep(now)

    def _gauge(self, run: Running) -> Gauge | None:
        """A container's gauge; None if it has no group, or none any more."""
        gauge = self._gauges.get(run.id)
        if gauge is None and run.record.cgroup:
            try:
                account = Account(self._hierarchies, run.record.cgroup)
            except OSError:
                return None
            gauge = self._gauges[run.id] = Gauge(account, _Mark(run.record.started_at, 0))
        return gauge

    def pods(self) -> list[PodUsage]:
        """The pods in which something runs."""
        return [usage for pod, worker in self._pods.working() if (usage := self._pod(pod, worker)).containers]

    def _pod(self, pod: Pod, worker: PodWorker) -> PodUsage:
        containers = tuple(filter(None, map(self._container, _running(worker))))
        sandbox = worker.sandbox
        interfaces: tuple[Traffic, ...] = ()
        if sandbox is not None and not sandbox.host_network:
            with contextlib.suppress(OSError):
                interfaces = tuple(traffic(sandbox.process.pid))
        return PodUsage(pod.namespace, pod.name, pod.uid, worker.started_at, containers, interfaces)

    def _container(self, run: Running) -> ContainerUsage | None:
        gauge = self._gauge(run)
        try:
            cpu = gauge.read(self._machine.now(), self._machine.timing.metric_resolution) if gauge else None
        except OSError:
            return None
        if gauge is None or cpu is None:
            return None
        return ContainerUsage(run.record.container, run.record.started_at, cpu, gauge.account.memory())

    def memory(self) -> Memory:
        """What the whole machine uses now."""
        return self._all.account.memory()

    def machine(self, pods: Iterable[PodUsage]) -> MachineUsage:
        """The machine with these pods of it, which are those that `pods` has just told of."""
        now, interval = self._machine.now(), self._machine.timing.metric_resolution
        everything, kubelet = self._all.read(now, interval), self._kubelet.read(now, interval)
        own = self._kubelet.account.memory()
        in_pods = sum((row.memory for pod in pods for row in pod.containers), Memory())
        pods_cpu = Cpu(now, everything.total - kubelet.total, max(everything.rate - kubelet.rate, 0), everything.window)
        system = {KUBELET: (kubelet, own), "pods": (pods_cpu, in_pods)}
        return MachineUsage(self._started_at, everything, own + in_pods, tuple(traffic(os.getpid())), system)


def _running(worker: PodWorker) -> Iterator[Running]:
    return (run.running for run in worker.runs.values() if run.running is not None)


def join_own_group(hierarchies: Hierarchies, group: str) -> None:
    """Move this process, and with it the runtime that it starts, into the kubelet's group of its machine.

    Containers are born into the machine's account of memory, so the kernel has the sum ready when the kubelet asks.
    """
    path = f"{group}/{KUBELET}"
    hierarchies.create(path, Limits())
    hierarchies.join(path, os.getpid())
    hierarchies.count_memory(group, os.getpid())
