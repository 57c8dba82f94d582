"""What to do next for a pod: a function from what was observed to steps (upstream's computePodActions).

The worker carries the steps out and asks again; a second question with nothing changed gets the same answer, and
with everything done, none.
"""

from dataclasses import dataclass
from enum import Enum

from knet.kubelet.state import ContainerView, PodView, phase, restarts


class Do(Enum):
    PREPARE_VOLUMES = "prepare volumes"
    CREATE_SANDBOX = "create sandbox"
    REMOVE_SANDBOX = "remove sandbox"
    START = "start container"
    STOP = "stop container"
    FINISH = "finish"


@dataclass(frozen=True)
class Step:
    """One thing to do; ``container`` and ``why`` (for the Event) where there is one."""

    do: Do
    container: str = ""
    why: str = ""


@dataclass(frozen=True)
class Plan:
    """Steps to take now, and when to ask again though nothing happened (Unix time, 0 for never)."""

    steps: tuple[Step, ...] = ()
    wake_at: float = 0.0


def decide(view: PodView, now: float) -> Plan:
    """The next steps for a pod at the Unix time ``now``."""
    if view.terminating or phase(view) in ("Succeeded", "Failed"):
        return _wind_down(view)
    if view.sandbox == "lost":
        return _stop_all(view) or Plan((Step(Do.REMOVE_SANDBOX),))
    plan = _run(view, now)
    deadline = view.pod.spec.activeDeadlineSeconds
    if deadline is not None and view.started_at:
        plan = Plan(plan.steps, _sooner(plan.wake_at, view.started_at + deadline))
    return plan


def _wind_down(view: PodView) -> Plan:
    """Containers first, all at once but for the sidecars, then the sandbox, then the rest."""
    stopping = _stop_all(view)
    if stopping is not None:
        return stopping
    if view.sandbox != "absent":
        return Plan((Step(Do.REMOVE_SANDBOX),))
    return Plan((Step(Do.FINISH),) if view.terminating else ())


def _stop_all(view: PodView) -> Plan | None:
    """Steps to stop what runs, None where nothing does. Sidecars outlive the app containers they serve (KEP-753)."""
    running = [row for row in view.containers if row.running]
    if not running:
        return None
    first = [row for row in running if not row.sidecar] or running
    return Plan(
        tuple(Step(Do.STOP, row.spec.name, f"Stopping container {row.spec.name}") for row in first if not row.stopping)
    )


def _run(view: PodView, now: float) -> Plan:
    if view.sandbox == "absent":
        if view.retry_at > now:
            return Plan(wake_at=view.retry_at)
        return Plan((Step(Do.CREATE_SANDBOX if view.volumes_ready else Do.PREPARE_VOLUMES),))
    steps: list[Step] = []
    wake_at = 0.0
    for row in _wanted(view):
        if row.running:
            if row.failing and not row.stopping:
                steps.append(Step(Do.STOP, row.spec.name, row.failing))
        elif row.current is not None and not restarts(view.pod.spec.restartPolicy, row):
            continue
        elif row.not_before > now:
            wake_at = _sooner(wake_at, row.not_before)
        else:
            steps.append(Step(Do.START, row.spec.name))
    return Plan(tuple(steps), wake_at)


def _wanted(view: PodView) -> list[ContainerView]:
    """The containers whose turn has come: sidecars and one init container at a time, then all others.

    Ephemeral containers are there to find out why the others do not get on: it is always their turn.
    """
    wanted = [*view.ephemeral_containers]
    if view.initialized:
        return wanted + [row for row in view.containers if row.sidecar or row.app]
    for row in view.init_containers:
        if row.sidecar:
            wanted.append(row)
            if not row.started:
                return wanted
        elif not row.succeeded:
            return [*wanted, row]
    return wanted


def _sooner(one: float, other: float) -> float:
    return min(one, other) if one and other else one or other
