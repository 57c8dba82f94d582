"""One container of a pod through its runs: image, configuration, start, hooks, probes, stop.

The worker of the pod decides when to `start` and to `stop`; what happens to the container in between reaches the
worker by ``changed``.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from knet.api.objects import Container, Pod
from knet.client import ApiError, Unavailable
from knet.images import Image
from knet.kernel.recorder import record
from knet.kubelet import handlers
from knet.kubelet.backoff import duration
from knet.kubelet.container_config import container_config, process_namespace
from knet.kubelet.environment import ConfigError, Facts, Sources, environment, referenced
from knet.kubelet.etc_files import hostname
from knet.kubelet.handlers import Answer, Target, ask
from knet.kubelet.image_pull import pull
from knet.kubelet.machine import Machine
from knet.kubelet.probes import Probes, Reports
from knet.kubelet.runtime.containers import Running
from knet.kubelet.runtime.execution import run_command
from knet.kubelet.runtime.paths import PodPaths
from knet.kubelet.runtime.records import attempt_of
from knet.kubelet.runtime.sandbox import Sandbox
from knet.kubelet.runtime.shim_client import ShimLost, StartError
from knet.kubelet.state import Attempt, ContainerView, Exit, Waiting, restarts

log = logging.getLogger(__name__)

#: seconds a container gets to end after its stop signal, however short the grace period (upstream's minimum)
SHORTEST_STOP = 2.0
#: seconds before a container that cannot be configured is tried again
CONFIG_RETRY = 2.0
#: seconds that a new shim is given to be there
SHIM_RETRY = 0.2
#: what a failed start shows before it is CrashLoopBackOff, and for how many seconds at least
START_ERRORS = ("RunContainerError", "PostStartHookError")
ERROR_SHOWN = 1.0


class ContainerRun:
    """State and deeds of one container, of the kind "init", "app" or "ephemeral".

    ``changed`` is called whenever `view` may have changed.
    """

    def __init__(
        self,
        machine: Machine,
        paths: PodPaths,
        pod: Pod,
        spec: Container,
        kind: str,
        changed: Callable[[], None],
    ) -> None:
        self.spec = spec
        self.kind = kind
        self._machine = machine
        self._pod = pod
        self._changed = changed
        self._paths = paths
        self._first = _runs_before_a_reboot(pod, spec.name)
        self.running: Running | None = None
        self.current: Attempt | None = None
        self._previous: Attempt | None = None
        self._probes: Probes | None = None
        self._started = False
        self._ready = False
        self._failing = ""
        self._changed_image = False
        self._waiting: Waiting | None = None
        self._waiting_since = 0.0
        self._hook_error: Waiting | None = None
        self._not_before = 0.0
        self._stop: asyncio.Task[None] | None = None
        self._grace: asyncio.Timeout | None = None
        self._hook: asyncio.Task[Answer] | None = None

    @property
    def view(self) -> ContainerView:
        return ContainerView(
            spec=self.spec,
            init=self.kind == "init",
            ephemeral=self.kind == "ephemeral",
            current=self.current,
            previous=self._previous,
            started=self._started,
            ready=self._ready,
            failing=self._failing,
            stopping=self._stop is not None,
            waiting=self._waiting,
            not_before=self._not_before,
            changed=self._changed_image,
        )

    def update(self, spec: Container) -> None:
        """The container as the pod's spec has it now: with another image it is run anew, at once."""
        if spec.image == self.spec.image:
            return
        self.spec = spec
        if self.running is not None and self.kind == "app":
            self._changed_image = True
            self._failing = f"Container {spec.name} definition changed, will be restarted"
        elif self.running is None:
            self._waiting, self._not_before = None, 0.0

    # ---- starting --------------------------------------------------------------------------------------------

    def adopt(self, address: str) -> None:
        """Take over what an earlier kubelet started."""
        attempts, running = self._machine.containers.attempts(self._paths, self.spec.name)
        if attempts:
            self.current = attempts[-1]
            self._previous = attempts[-2] if len(attempts) > 1 else None
        if running is not None:
            # as upstream: what was ready is ready until its probe says otherwise
            status = next((row for row in self._pod.status.containerStatuses if row.name == self.spec.name), None)
            self._started = bool(status and status.started)
            self._ready = bool(status and status.ready)
            self._attend(running, address)

    async def start(
        self,
        pod: Pod,
        sandbox: Sandbox,
        facts: Facts,
        volumes: Mapping[str, Path],
        runs: "Mapping[str, ContainerRun]",
    ) -> None:
        """Start the next run, or note why that does not work and when to try again; ``runs`` are all of the pod."""
        self._pod = pod
        number = self._first if self.current is None else self.current.number + 1
        image = await self._pull()
        if image is None:
            return
        try:
            env = await self._environment(facts)
            env = {"HOSTNAME": self._machine.node_name if pod.spec.hostNetwork else hostname(pod), **env}
            beside = process_namespace(pod, self.spec, sandbox, {name: run.running for name, run in runs.items()})
            config = container_config(pod, self.spec, number, image, env, volumes, beside)
        except (ConfigError, ApiError, Unavailable) as error:
            reason = error.reason if isinstance(error, ConfigError) else ConfigError.reason
            self._wait_for(reason, str(error), CONFIG_RETRY)
            self._event("Warning", "Failed", f"Error: {error}")
            return
        if self.current is not None:
            self._machine.crash_backoff.next(self._key, self._machine.now())
        began = self._machine.now()
        try:
            running = await self._machine.containers.start(config, self._paths, sandbox)
        except ShimLost:
            self._not_before = self._machine.now() + SHIM_RETRY
            return
        except (StartError, OSError) as error:
            self._event("Warning", "Failed", f"Error: {error}")
            self._take(Attempt(
                self.spec.name, number, "", image.name, image.id, self._machine.now(),
                Exit(128, self._machine.now(), "StartError", message=str(error)),
            ))  # fmt: skip
            self._back_off(Waiting("RunContainerError", str(error)))
            return
        self._event("Normal", "Created", f"Created container: {self.spec.name}")
        self._event("Normal", "Started", f"Started container {self.spec.name}")
        took = self._machine.now() - began
        self._record("container", "%s runs (pid %d, %s)", self.spec.name, running.process.pid, image.name, took=took)
        self._waiting = None
        self._changed_image = False
        self._take(attempt_of(running.record))
        self._started = self._ready = False
        self._failing = ""
        if self.spec.lifecycle.postStart is not None:
            running.exit.add_done_callback(lambda _: self._changed())
            if not await self._post_start(running, sandbox.ip):
                return
        self._attend(running, sandbox.ip)

    def _take(self, attempt: Attempt) -> None:
        self._previous, self.current = self.current, attempt

    def _attend(self, running: Running, address: str) -> None:
        """Watch a running container: its end, and its probes."""
        self.running = running
        running.exit.add_done_callback(lambda future: self._ended(running, future.result()))
        if running.exit.done():
            return
        reports = Reports(self._on_started, self._on_ready, self._on_failed, self._on_unhealthy)
        age = self._machine.now() - (self.current.started_at if self.current else self._machine.now())
        self._probes = Probes(self._target(running, address), reports, self._machine.eager, age)

    def _target(self, running: Running, address: str) -> Target:
        return Target(self.spec, address, lambda command: run_command(self._machine.containers, running, command))

    async def _pull(self) -> Image | None:
        """The image, unpacked; None with the reason in `view` if there is none (yet)."""
        try:
            missing = [
                row.name
                for row in self._pod.spec.imagePullSecrets
                if await self._machine.lookups.secret(self._pod.namespace, row.name) is None
            ]
        except (ApiError, Unavailable):  # no image of ours needs them
            missing = []
        if missing:
            text = f"Unable to retrieve some image pull secrets ({', '.join(missing)}); attempting to pull the image"
            self._event("Warning", "FailedToRetrieveImagePullSecret", f"{text} may not succeed.")
        outcome = pull(self._machine, self._pod, self.spec, self._waiting)
        if isinstance(outcome, Image):
            return outcome
        self._waiting, self._not_before = outcome.waiting, self._machine.now() + outcome.retry_after
        return None

    async def _environment(self, facts: Facts) -> dict[str, str]:
        config_maps, secrets = referenced(self.spec)
        lookups, namespace = self._machine.lookups, self._pod.namespace
        found_maps = {name: await lookups.config_map(namespace, name) for name in config_maps}
        found_secrets = {name: await lookups.secret(namespace, name) for name in secrets}
        sources = Sources(
            {name: row for name, row in found_maps.items() if row is not None},
            {name: row for name, row in found_secrets.items() if row is not None},
        )
        return environment(self._pod, self.spec, facts, sources, self._machine.services.list())

    async def _post_start(self, running: Running, address: str) -> bool:
        """The postStart hook; a container whose hook fails is killed (and restarted by its policy)."""
        hook = self.spec.lifecycle.postStart
        assert hook is not None
        self._hook = asking = asyncio.create_task(ask(hook, self._target(running, address), None))
        await _first(asking, running.exit)
        self._hook = None
        if not asking.done() or asking.cancelled():
            asking.cancel()
            self._attend(running, address)
            return False
        answer = asking.result()
        if answer.good:
            return True
        log.warning("pod %s/%s: PostStartHook failed: %s", self._pod.namespace, self._pod.name, answer.text)
        self._event("Warning", "FailedPostStartHook", "PostStartHook failed")
        self.running = running
        running.exit.add_done_callback(lambda future: self._ended(running, future.result()))
        self._failing = "FailedPostStartHook"
        self._hook_error = Waiting("PostStartHookError", answer.text)
        self._changed()
        return False

    # ---- what happens to it ----------------------------------------------------------------------------------

    def _ended(self, running: Running, how: Exit) -> None:
        if self.current is None or self.current.id != running.id:
            return
        self.current = attempt_of(running.record, how)
        ended = f"killed by signal {how.signal}" if how.signal else f"exit code {how.code}"
        self._record("container", "%s ended (%s)", self.spec.name, ended)
        self._leave()
        self._back_off(self._hook_error)
        self._hook_error = None
        self._changed()

    def _leave(self) -> None:
        """Stop attending: the container has ended, or the kubelet is about to."""
        if self._probes is not None:
            self._probes.stop()
        self.running = None
        self._probes = None
        self._started = self._ready = False
        self._failing = ""

    def _back_off(self, error: Waiting | None) -> None:
        """After a run: wait as long as its history says; what kept it from starting is shown for a while."""
        now = self._machine.now()
        delay = self._machine.crash_backoff.delay(self._key, now)
        self._not_before = (self.current.exit.at if self.current and self.current.exit else now) + delay
        self._waiting = None
        if error is not None and restarts(self._pod.spec.restartPolicy, self.view):
            self._waiting, self._waiting_since = error, now
            asyncio.get_running_loop().call_later(ERROR_SHOWN, self._changed)

    def show_back_off(self) -> None:
        """The container is waiting for its next run: CrashLoopBackOff."""
        now = self._machine.now()
        delay = self._machine.crash_backoff.delay(self._key, now)
        told = self._waiting is not None and (
            self._waiting.reason not in START_ERRORS or now < self._waiting_since + ERROR_SHOWN
        )
        if delay and self._not_before > now and not told:
            pod = self._pod
            where = f"{pod.name}_{pod.namespace}({pod.uid})"
            text = f"back-off {duration(delay)} restarting failed container={self.spec.name} pod={where}"
            self._waiting = Waiting("CrashLoopBackOff", text)
            self._event("Warning", "BackOff", f"Back-off restarting failed container {self.spec.name} in pod {where}")

    def _wait_for(self, reason: str, message: str, seconds: float) -> None:
        self._waiting = Waiting(reason, message)
        self._not_before = self._machine.now() + seconds

    def _on_started(self) -> None:
        if self.spec.startupProbe is not None:
            self._record("probe", "%s: startup probe succeeded", self.spec.name)
        self._started = True
        self._changed()

    def _on_ready(self, ready: bool) -> None:
        probe = self.spec.readinessProbe
        told = f"readiness {handlers.title(probe, self.spec)} {'succeeded' if ready else 'failed'}" if probe else "runs"
        self._record("probe", "%s: %s → %s", self.spec.name, told, "ready" if ready else "not ready")
        self._ready = ready
        self._changed()

    def _on_failed(self, which: str) -> None:
        self._record("probe", "%s: %s probe failed → restart", self.spec.name, which)
        self._failing = f"Container {self.spec.name} failed {which} probe, will be restarted"
        self._changed()

    def _on_unhealthy(self, sentence: str) -> None:
        if self._stop is None:
            self._event("Warning", "Unhealthy", sentence)

    # ---- stopping --------------------------------------------------------------------------------------------

    def abandon_hook(self) -> None:
        """The pod is to end: a postStart hook that still runs holds nobody up any longer."""
        if self._hook is not None:
            self._hook.cancel()

    def stop(self, grace: float, why: str) -> None:
        """Begin to stop the running container; a second call can only shorten the time it has."""
        loop = asyncio.get_running_loop()
        if self._stop is not None:
            latest = loop.time() + max(grace, SHORTEST_STOP)
            if self._grace is not None and (self._grace.when() or 0.0) > latest:
                self._grace.reschedule(latest)
            return
        if self.running is not None:
            self._event("Normal", "Killing", why)
            self._stop = asyncio.create_task(self._stop_now(self.running, grace))

    async def _stop_now(self, running: Running, grace: float) -> None:
        """preStop, the image's stop signal, then SIGKILL when the grace period is over."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        if self._probes is not None:
            self._probes.stop(readiness_too=False)
        try:
            if self.spec.lifecycle.preStop is not None:
                self._signal("preStop hook", running)
                await self._pre_stop(running, deadline)
            self._signal(_signal_name(running.record.stop_signal), running, max(deadline - loop.time(), 0.0))
            running.process.kill(running.record.stop_signal)
            with contextlib.suppress(TimeoutError):
                until = max(deadline, loop.time() + SHORTEST_STOP)
                async with asyncio.timeout_at(until) as self._grace:
                    await asyncio.shield(running.exit)
            if not running.exit.done():
                self._signal("SIGKILL", running)
            running.process.kill(signal.SIGKILL)
            await asyncio.shield(running.exit)
        finally:
            self._stop = self._grace = None
            self._changed()

    async def _pre_stop(self, running: Running, deadline: float) -> None:
        hook = self.spec.lifecycle.preStop
        assert hook is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline) as self._grace:
                asking = asyncio.create_task(ask(hook, self._target(running, self._address()), None))
                try:
                    await _first(asking, running.exit)
                finally:
                    asking.cancel()
                if asking.done() and not asking.cancelled() and not asking.result().good:
                    text = asking.result().text  # for the log alone, as upstream: it may hold secrets
                    log.warning("pod %s/%s: PreStopHook failed: %s", self._pod.namespace, self._pod.name, text)
                    self._event("Warning", "FailedPreStopHook", "PreStopHook failed")

    def _address(self) -> str:
        return self._pod.status.podIP

    def release(self) -> None:
        """The kubelet stops: leave the container running."""
        if self._stop is not None:
            self._stop.cancel()
        if self._probes is not None:
            self._probes.stop()

    # ---- telling ---------------------------------------------------------------------------------------------

    @property
    def _key(self) -> str:
        return f"{self._pod.uid}/{self.spec.name}/{self.spec.image}"

    def _event(self, kind: str, reason: str, message: str) -> None:
        self._machine.events.event(self._pod, kind, reason, message)

    def _record(self, kind: str, text: str, *args: object, took: float = 0.0) -> None:
        record("kubelet", kind, (self._pod.ref,), text, *args, took=took)

    def _signal(self, name: str, running: Running, left: float = 0.0) -> None:
        """Told before it is sent; ``left``: the seconds of grace that it has from now on."""
        grace = f", {left:.3g} s of grace left" if left else ""
        self._record("signal", "%s to %s (pid %d%s)", name, self.spec.name, running.process.pid, grace)


def _runs_before_a_reboot(pod: Pod, container: str) -> int:
    """How often the API saw it run: its runs go on from there on a machine that knows nothing of them any more."""
    for status in (*pod.status.containerStatuses, *pod.status.initContainerStatuses):
        if status.name == container and status.containerID:
            return status.restartCount + 1
    return 0


def _signal_name(number: int) -> str:
    """SIGTERM; a real-time signal between the first and the last has no name."""
    return next((row.name for row in signal.Signals if row == number), f"signal {number}")


async def _first(asking: "asyncio.Task[Answer]", exit_: "asyncio.Future[Exit]") -> None:
    """Until a hook is done, or the container that it was for."""
    waiting: list[asyncio.Future[Any]] = [asking, exit_]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
