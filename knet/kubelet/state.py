"""What a pod's worker has observed, as values: the input of `knet.kubelet.decide` and `knet.kubelet.pod_status`."""

import functools
from dataclasses import dataclass

from knet.api.objects import Container, Pod


@dataclass(frozen=True)
class Exit:
    """How a run of a container ended. ``code`` is a shell's (128 + signal); ``reason`` is status' word for it."""

    code: int
    at: float
    reason: str
    signal: int = 0
    message: str = ""


@dataclass(frozen=True)
class Attempt:
    """One run of a container: the ``number`` counts from 0 and is status' restartCount; times are Unix times."""

    container: str
    number: int
    id: str
    image: str
    image_id: str
    started_at: float
    exit: Exit | None = None

    @property
    def running(self) -> bool:
        return self.exit is None


@dataclass(frozen=True)
class Waiting:
    """Why a container does not run: upstream's reason, and a sentence."""

    reason: str
    message: str = ""


@dataclass(frozen=True)
class ContainerView:
    """A container of the spec with what has become of it.

    ``failing`` says why it is to be killed and run again (a liveness or startup probe), ``stopping`` that this is
    under way.  ``started`` and ``ready`` are what the probes say, or what holds without probes.  ``not_before`` is
    when it may be started again (Unix time).  ``changed``: its spec has another image than the one that it runs.
    """

    spec: Container
    init: bool = False
    ephemeral: bool = False
    current: Attempt | None = None
    previous: Attempt | None = None
    started: bool = False
    ready: bool = False
    failing: str = ""
    stopping: bool = False
    waiting: Waiting | None = None
    not_before: float = 0.0
    changed: bool = False

    @property
    def running(self) -> bool:
        return self.current is not None and self.current.running

    @property
    def app(self) -> bool:
        """One of those that the pod is for."""
        return not self.init and not self.ephemeral

    @property
    def sidecar(self) -> bool:
        """An init container that stays (KEP-753)."""
        return self.init and self.spec.restartPolicy == "Always"

    @property
    def succeeded(self) -> bool:
        return self.current is not None and self.current.exit is not None and self.current.exit.code == 0

    @property
    def failed(self) -> bool:
        return self.current is not None and self.current.exit is not None and self.current.exit.code != 0


@dataclass(frozen=True)
class PodView:
    """A pod and its containers: init, app and ephemeral ones, each group in the spec's order.

    ``sandbox`` is "absent", "ready" or "lost" (its pause process died).  ``doomed`` is (reason, message) of a pod that
    the kubelet itself ends: DeadlineExceeded, Evicted, a failed admission.  ``removed``: the API has it no more.
    ``final``: the phase Succeeded or Failed that it had already when this kubelet first saw it.
    """

    pod: Pod
    containers: tuple[ContainerView, ...]
    sandbox: str = "absent"
    ips: tuple[str, ...] = ()
    volumes_ready: bool = False
    retry_at: float = 0.0
    started_at: float = 0.0
    doomed: tuple[str, str] | None = None
    removed: bool = False
    final: str = ""
    qos: str = "BestEffort"

    @property
    def terminating(self) -> bool:
        return self.removed or self.doomed is not None or self.pod.deleting

    @functools.cached_property
    def init_containers(self) -> tuple[ContainerView, ...]:
        return tuple(row for row in self.containers if row.init)

    @functools.cached_property
    def app_containers(self) -> tuple[ContainerView, ...]:
        return tuple(row for row in self.containers if row.app)

    @functools.cached_property
    def ephemeral_containers(self) -> tuple[ContainerView, ...]:
        return tuple(row for row in self.containers if row.ephemeral)

    @functools.cached_property
    def initialized(self) -> bool:
        """All init containers have done their part, or an app container ran already (then they did)."""
        if any(row.current is not None for row in self.app_containers):
            return True
        return all(row.started if row.sidecar else row.succeeded for row in self.init_containers)


def restarts(policy: str, container: ContainerView) -> bool:
    """Whether a container that has ended is to run again; one that has changed does whatever the policy."""
    if container.changed:
        return True
    if container.sidecar or container.ephemeral:
        return container.sidecar
    if container.init:
        return container.failed and policy != "Never"
    return policy == "Always" or (policy == "OnFailure" and container.failed)


def phase(view: PodView) -> str:
    """status.phase (upstream's getPhase); Succeeded and Failed are final."""
    policy = view.pod.spec.restartPolicy
    if view.final:
        return view.final
    if view.doomed is not None and not any(row.running for row in view.containers):
        return "Failed"
    if not view.initialized:
        failed = any(row.failed and not restarts(policy, row) for row in view.init_containers)
        return "Failed" if failed else "Pending"
    apps = view.app_containers
    if any(row.current is None for row in apps):
        return "Pending"
    if any(row.running or restarts(policy, row) for row in apps):
        return "Running"
    return "Succeeded" if all(row.succeeded for row in apps) else "Failed"
