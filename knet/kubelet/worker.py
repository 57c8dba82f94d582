"""The worker of one pod: observe, decide, act, report; then wait until something changes.

Everything that may change the next decision sets one event: a new version of the pod, a container's end, a probe's
verdict, a timer, the network becoming ready.  There is no polling and no order of events to get wrong.
"""

import asyncio
import logging
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from knet import cni
from knet.api.objects import Condition, Pod, Volume
from knet.client import ApiError, Conflict, NotFound, Unavailable
from knet.kernel.recorder import record
from knet.kubelet import volumes
from knet.kubelet.container_run import ContainerRun
from knet.kubelet.decide import Do, Plan, Step, decide
from knet.kubelet.environment import Facts
from knet.kubelet.etc_files import kernel_name
from knet.kubelet.machine import Machine, write_etc
from knet.kubelet.pod_status import pod_status
from knet.kubelet.qos import qos_class
from knet.kubelet.runtime.record import Record
from knet.kubelet.runtime.sandbox import (
    Sandbox,
    SandboxConfig,
    SandboxError,
    create_host_sandbox,
    create_sandbox,
    find_sandbox,
    release,
    remove_sandbox,
)
from knet.kubelet.state import PodView, phase

log = logging.getLogger(__name__)

NETWORK_NOT_READY = (
    "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
    "message:Network plugin returns error: cni plugin not initialized"
)
#: seconds between attempts to set volumes or a sandbox up: doubled from the first to the second
RETRY = (0.5, 8.0)
#: seconds for which a pod on its way up need not report between two steps (`statuses` would wait as long)
BUSY = 0.4
#: seconds after which volumes are compared with the objects they show
REFRESH = 60.0


class _Shown(NamedTuple):
    """What of a status somebody may be waiting for."""

    final: str
    ready: str
    restarts: int
    reasons: tuple[str, ...]


class PodWorker:
    """Runs one pod on this machine; `run` ends when the pod is gone from here and from the API."""

    def __init__(self, machine: Machine, pod: Pod) -> None:
        self._machine = machine
        self._pod = pod
        self._paths = machine.paths(pod)
        self._wake = asyncio.Event()
        self._removed = False
        self._doomed: tuple[str, str] | None = None
        self._allowed: float | None = None
        #: set when nothing of the pod runs any more, for good
        self.stopped = asyncio.Event()
        self._qos = qos_class(pod.spec)
        self._final = pod.status.phase if pod.finished else ""
        self._sandbox: Sandbox | Record | None = None
        self._ips: tuple[str, ...] = ()
        #: its network policies are in force
        self._isolated = False
        self._volumes: dict[str, Path] | None = None
        self._refresh_at = 0.0
        self._retry_at = 0.0
        self._retry = RETRY[0]
        self._started_at = _unix(pod.status.startTime) or machine.now()
        self._known: tuple[Condition, ...] = pod.status.conditions
        self._shown: _Shown | None = None
        self._reported_at = 0.0
        self._runs: dict[str, ContainerRun] = {}
        self._take_up_containers()

    def _take_up_containers(self) -> None:
        """Those of the spec that are new (all at first, ephemeral ones later) or have a new image."""
        spec = self._pod.spec
        for kind, containers in (
            ("init", spec.initContainers),
            ("app", spec.containers),
            ("ephemeral", spec.ephemeralContainers),
        ):
            for row in containers:
                if row.name in self._runs:
                    self._runs[row.name].update(row)
                else:
                    self._runs[row.name] = ContainerRun(
                        self._machine, self._paths, self._pod, row, kind, self._wake.set
                    )

    # ---- from outside ----------------------------------------------------------------------------------------

    def update(self, pod: Pod) -> None:
        """A new version of the pod. Our own status coming back is no news."""
        old, self._pod = self._pod, pod
        self._machine.statuses.seen(pod)
        self._take_up_containers()
        if (old.metadata.deletionTimestamp, old.metadata.deletionGracePeriodSeconds, old.spec) != (
            pod.metadata.deletionTimestamp,
            pod.metadata.deletionGracePeriodSeconds,
            pod.spec,
        ) or pod.spec.readinessGates:
            self._wake.set()
        if pod.deleting:
            self._abandon_hooks()
            for name, run in self._runs.items():
                if run.view.stopping:  # a second deletion may shorten the time that is left
                    run.stop(self._grace(name), "")

    def remove(self) -> None:
        """The API has this pod no more."""
        self._removed = True
        self._machine.statuses.forget(self._pod.uid)
        self._abandon_hooks()
        self._wake.set()

    def doom(self, reason: str, message: str, grace: float | None = None) -> None:
        """End the pod for a reason of this machine's; it will be Failed. ``grace``: the most that it gets, seconds."""
        if self._doomed is None:
            self._doomed, self._allowed = (reason, message), grace
            self._wake.set()

    def _abandon_hooks(self) -> None:
        for run in self._runs.values():
            run.abandon_hook()

    def network_became_ready(self) -> None:
        """What failed for want of it is tried again at once."""
        self._retry, self._retry_at = RETRY[0], 0.0
        self._wake.set()

    @property
    def pod(self) -> Pod:
        return self._pod

    @property
    def started_at(self) -> float:
        return self._started_at

    @property
    def runs(self) -> dict[str, ContainerRun]:
        return self._runs

    @property
    def sandbox(self) -> Sandbox | None:
        """The living sandbox, if there is one."""
        return self._sandbox if isinstance(self._sandbox, Sandbox) and not self._sandbox.lost.done() else None

    def adopt(self) -> None:
        """Take over what an earlier kubelet left running."""
        self._sandbox = find_sandbox(self._paths.directory)
        if self._sandbox is not None:
            self._ips = self._sandbox.ips
            if isinstance(self._sandbox, Sandbox):
                self._sandbox.lost.add_done_callback(lambda _: self._wake.set())
            self._volumes = volumes.places(self._pod, self._paths)
            self._refresh_at = self._machine.now()
        for run in self._runs.values():
            run.adopt(next(iter(self._ips), ""))
        self._isolated = any(run.current is not None for run in self._runs.values())

    # ---- the loop --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        while True:
            self._wake.clear()
            now = self._machine.now()
            self._check_deadline(now)
            view = self._view()
            plan = decide(view, now)
            if plan.steps and plan.steps[0].do is Do.FINISH:
                if await self._finish(view):
                    return
                await self._pause(now + self._retry)
                continue
            if not plan.steps:
                for run in self._runs.values():
                    run.show_back_off()
                view = self._view()
            if not plan.steps or now - self._reported_at > BUSY:
                self._report(view, now)
            for step in plan.steps:
                await self._act(step)
            if not plan.steps or all(step.do is Do.STOP for step in plan.steps):
                await self._pause(await self._next_wake(plan, view, now))

    async def _pause(self, until: float) -> None:
        """Until something changes, or until a Unix time (0: however long it takes)."""
        try:
            async with asyncio.timeout(max(until - self._machine.now(), 0.0) if until else None):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _next_wake(self, plan: Plan, view: PodView, now: float) -> float:
        """When to look again; volumes whose time has come are refreshed on the way."""
        if self._volumes is None or view.terminating or not self._refresh_at:
            return plan.wake_at
        if now >= self._refresh_at:
            await self._set_up_volumes(again=True)
        return min(plan.wake_at, self._refresh_at) if plan.wake_at else self._refresh_at

    def _view(self) -> PodView:
        sandbox = "absent"
        if isinstance(self._sandbox, Sandbox):
            sandbox = "lost" if self._sandbox.lost.done() else "ready"
        elif self._sandbox is not None:
            sandbox = "lost"
        return PodView(
            pod=self._pod,
            containers=tuple(run.view for run in self._runs.values()),
            sandbox=sandbox,
            ips=self._ips,
            volumes_ready=self._volumes is not None,
            retry_at=self._retry_at,
            started_at=self._started_at,
            doomed=self._doomed,
            removed=self._removed,
            final=self._final,
            qos=self._qos,
        )

    def _report(self, view: PodView, now: float, awaited: bool = False) -> None:
        if view.final or view.removed:
            return
        self._reported_at = now
        status = pod_status(view, self._machine.node_ips, self._known, now)
        self._known = tuple(
            Condition(type=row["type"], status=row["status"], lastTransitionTime=row["lastTransitionTime"])
            for row in status["conditions"]
        )
        final = status["phase"] if status["phase"] in ("Succeeded", "Failed") else ""
        ready = next(row.status for row in self._known if row.type == "Ready")
        reasons = tuple(run.waiting.reason for run in view.containers if run.waiting is not None)
        restarts = sum(run.current.number + run.ephemeral for run in view.containers if run.current is not None)
        before, self._shown = self._shown, _Shown(final, ready, restarts, reasons)
        urgent = before is not None and (before[:3] != self._shown[:3] or (before.reasons != reasons and bool(reasons)))
        self._machine.statuses.publish(self._pod, status, awaited or urgent)

    def _check_deadline(self, now: float) -> None:
        seconds = self._pod.spec.activeDeadlineSeconds
        if seconds is not None and self._doomed is None and now >= self._started_at + seconds:
            self._doomed = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")

    # ---- deeds -----------------------------------------------------------------------------------------------

    async def _act(self, step: Step) -> None:
        if step.do is Do.PREPARE_VOLUMES:
            await self._set_up_volumes()
        elif step.do is Do.CREATE_SANDBOX:
            async with self._machine.turn:
                await self._create_sandbox()
                await asyncio.sleep(0)  # between two of a burst, heartbeats and ends of containers have their turn
        elif step.do is Do.REMOVE_SANDBOX and self._sandbox is not None:
            if phase(self._view()) not in ("Succeeded", "Failed") and not self._view().terminating:
                self._event("Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
            await remove_sandbox(self._sandbox, self._paths.directory, self._machine.plugins)
            self._record("sandbox removed, %s free again", ", ".join(self._sandbox.ips))
            self._sandbox = None
        elif step.do is Do.START and isinstance(self._sandbox, Sandbox) and not self._view().terminating:
            if not self._isolated and not await self._isolate():
                return
            run = self._runs[step.container]
            await run.start(self._pod, self._sandbox, self._facts(), self._volumes or {}, self._runs)
        elif step.do is Do.STOP:
            self._runs[step.container].stop(self._grace(step.container), step.why)

    def _grace(self, container: str) -> float:
        """Seconds that a container has to end: the deletion's, a probe's own, or the pod's."""
        run, meta = self._runs[container], self._pod.metadata
        if meta.deletionGracePeriodSeconds is not None and meta.deletionTimestamp is not None:
            return meta.deletionGracePeriodSeconds
        for word, probe in (("liveness", run.spec.livenessProbe), ("startup", run.spec.startupProbe)):
            if word in run.view.failing and probe is not None and probe.terminationGracePeriodSeconds is not None:
                return probe.terminationGracePeriodSeconds
        grace = self._pod.spec.terminationGracePeriodSeconds
        return grace if self._allowed is None else min(grace, self._allowed)

    def _facts(self) -> Facts:
        return Facts(self._machine.node_ips, self._ips, self._machine.allocatable)

    async def _set_up_volumes(self, again: bool = False) -> None:
        self._paths.create()
        places: dict[str, Path] = {}
        volume = Volume(name="")
        try:
            for volume in self._pod.spec.volumes:
                places[volume.name] = await volumes.set_up(
                    self._pod, volume, self._paths, self._facts(), self._machine.lookups.as_volumes()
                )
        except (volumes.VolumeError, OSError, ApiError, Unavailable) as error:
            self._event("Warning", "FailedMount", volumes.told(self._pod, volume, places, error))
            if not again:
                self._try_later()
                return
        self._refresh_at = (
            self._machine.now() + REFRESH if any(map(volumes.shows_objects, self._pod.spec.volumes)) else 0.0
        )
        if not again:
            self._volumes = places
            self._retry, self._retry_at = RETRY[0], 0.0

    async def _create_sandbox(self) -> None:
        pod, directory, network = self._pod, self._paths.directory, self._machine.network()
        began = self._machine.now()
        try:
            config = SandboxConfig(
                kernel_name(pod, self._machine.dns.domain),
                pod.spec.hostIPC,
                pod.spec.shareProcessNamespace,
                {row.name: row.value for row in pod.spec.securityContext.sysctls},
            )
            if pod.spec.hostNetwork:
                sandbox = create_host_sandbox(directory, self._machine.node_ips, config)
            elif network is not None:
                sandbox = await create_sandbox(directory, pod, config, self._machine.plugins, network)
            else:
                self._event("Warning", "NetworkNotReady", f"network is not ready: {NETWORK_NOT_READY}")
                self._try_later()
                return
        except (SandboxError, OSError, ValueError) as error:
            self._event("Warning", "FailedCreatePodSandBox", str(error))
            self._try_later()
            return
        sandbox.lost.add_done_callback(lambda _: self._wake.set())
        self._sandbox, self._ips, self._isolated = sandbox, sandbox.ips, False
        self._retry, self._retry_at = RETRY[0], 0.0
        write_etc(pod, sandbox.ips, self._machine, self._paths)
        where = "the machine's network" if sandbox.host_network else "a network of its own"
        took = self._machine.now() - began
        self._record("sandbox in %s, %s (pause %d)", where, ", ".join(sandbox.ips), sandbox.process.pid, took=took)

    async def _isolate(self) -> bool:
        """Let no container run before the network policies that isolate the pod are in force."""
        assert isinstance(self._sandbox, Sandbox)
        began = self._machine.now()
        try:
            if not self._sandbox.host_network and await cni.isolate(self._pod, list(self._ips)):
                self._record("network policies in force", took=self._machine.now() - began)
                # isolated pods that let this one in have to hear of its address before it calls them
                self._report(self._view(), self._machine.now(), awaited=True)
        except cni.IsolationError as error:
            self._event("Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
            await remove_sandbox(self._sandbox, self._paths.directory, self._machine.plugins)
            self._sandbox = None
            self._try_later()
            return False
        self._isolated = True
        return True

    def _try_later(self) -> None:
        self._retry_at = self._machine.now() + self._retry
        self._retry = min(2 * self._retry, RETRY[1])

    async def _finish(self, view: PodView) -> bool:
        """Everything has ended: clean up, give the last word, delete the pod. False where the API did not answer."""
        self.stopped.set()
        volumes.tear_down(self._paths)
        self._volumes = None
        self._machine.containers.forget(self._paths)
        if not self._removed:
            self._report(view, self._machine.now())
            if not self._pod.deleting:
                await self._wake.wait()
                return False
            await self._machine.statuses.flush(self._pod.uid)
            self._paths.remove()  # who sees the pod gone finds nothing left of it here
            try:
                await self._machine.client.delete(
                    Pod, self._pod.name, self._pod.namespace, grace_period=0, uid=self._pod.uid
                )
            except (NotFound, Conflict):
                pass  # deleted by force, or replaced by a namesake
            except (ApiError, Unavailable) as error:
                log.warning("pod %s/%s not deleted: %s", self._pod.namespace, self._pod.name, error)
                return False
        self._paths.remove()
        self._machine.statuses.forget(self._pod.uid)
        self._machine.lookups.forget(self._pod.uid)
        return True

    def release(self) -> None:
        """The kubelet stops: let everything run on."""
        for run in self._runs.values():
            run.release()
        if isinstance(self._sandbox, Sandbox):
            release(self._sandbox)

    def _event(self, kind: str, reason: str, message: str) -> None:
        self._machine.events.event(self._pod, kind, reason, message)

    def _record(self, text: str, *args: object, took: float = 0.0) -> None:
        record("kubelet", "sandbox", (self._pod.ref,), text, *args, took=took)


def _unix(text: str | None) -> float:
    """A metav1.Time as Unix time, 0 where there is none."""
    return datetime.fromisoformat(text).timestamp() if text else 0.0
