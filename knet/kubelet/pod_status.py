"""A pod's status, as the kubelet reports it: computed from what was observed, every time anew.

Reasons, messages and their conditions: upstream's pkg/kubelet/status/generate.go and kubelet_pods.go.
"""

from datetime import UTC, datetime

from knet.api.objects import JSON, Condition, condition
from knet.kubelet.state import Attempt, ContainerView, PodView, phase

#: a pod that never got as far as a container shows this
CREATING, INITIALIZING = "ContainerCreating", "PodInitializing"

#: a pod that its kubelet ends for one of these reasons is a disrupted one (KEP-3329)
DISRUPTED = ("Evicted", "Terminated", "Preempting")


def time_text(moment: float) -> str:
    """metav1.Time of a Unix time."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod_status(view: PodView, host_ips: tuple[str, ...], known: tuple[Condition, ...], now: float) -> JSON:
    """The body of a PATCH of pods/status below ``status``.

    ``known`` are the conditions reported last: one keeps its time while its status stays.
    """
    current = phase(view)
    status: JSON = {
        "phase": current,
        "hostIP": host_ips[0],
        "hostIPs": [{"ip": ip} for ip in host_ips],
        "startTime": time_text(view.started_at),
        "qosClass": view.qos,
        "conditions": _conditions(view, current, known, now),
    }
    if view.doomed is not None:
        status |= {"reason": view.doomed[0], "message": view.doomed[1]}
        if all(row.current is None for row in view.containers):
            return status  # rejected before anything was tried: upstream shows no containers
    status["containerStatuses"] = [_container(view, row) for row in view.app_containers]
    if view.init_containers:
        status["initContainerStatuses"] = [_container(view, row) for row in view.init_containers]
    if view.ephemeral_containers:
        status["ephemeralContainerStatuses"] = [_container(view, row) for row in view.ephemeral_containers]
    if view.ips:
        # a strategic patch would add the addresses of a new sandbox to those of former ones
        status |= {"podIP": view.ips[0], "podIPs": [{"$patch": "replace"}, *({"ip": ip} for ip in view.ips)]}
    return status


def _conditions(view: PodView, current: str, reported: tuple[Condition, ...], now: float) -> list[JSON]:
    containers = _containers_ready(view, current)
    rows = [
        Condition(type="PodReadyToStartContainers", status=_bool(view.sandbox == "ready")),
        _initialized(view, current),
        _ready(view, containers),
        containers,
    ]
    if view.doomed is not None and view.doomed[0] in DISRUPTED:
        rows.append(
            Condition(type="DisruptionTarget", status="True", reason="TerminationByKubelet", message=view.doomed[1])
        )
    scheduled = condition(view.pod.status.conditions, "PodScheduled")
    if scheduled is None:
        rows.append(Condition(type="PodScheduled", status="True"))
    return [_dated(row, reported, now) for row in rows]


def _dated(row: Condition, reported: tuple[Condition, ...], now: float) -> JSON:
    known = condition(reported, row.type)
    same = known is not None and known.status == row.status and known.lastTransitionTime
    body: JSON = {
        "type": row.type,
        "status": row.status,
        "lastProbeTime": None,
        "lastTransitionTime": known.lastTransitionTime if same and known is not None else time_text(now),
    }
    # null removes what an earlier status said
    return body | {"reason": row.reason or None, "message": row.message or None}


def _initialized(view: PodView, current: str) -> Condition:
    if view.initialized:
        reason = "PodCompleted" if current == "Succeeded" else ""
        return Condition(type="Initialized", status="True", reason=reason)
    pending = " ".join(
        row.spec.name for row in view.init_containers if not (row.started if row.sidecar else row.succeeded)
    )
    return Condition(
        type="Initialized",
        status="False",
        reason="ContainersNotInitialized",
        message=f"containers with incomplete status: [{pending}]",
    )


def _containers_ready(view: PodView, current: str) -> Condition:
    final = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(current)
    if final:
        return Condition(type="ContainersReady", status="False", reason=final)
    rows = [*(row for row in view.init_containers if row.sidecar), *view.app_containers]
    unknown = [row.spec.name for row in rows if row.current is None]
    unready = [row.spec.name for row in rows if row.current is not None and not _is_ready(row)]
    parts = [f"containers with unknown status: [{' '.join(unknown)}]"] if unknown and unready else []
    if not unready and unknown:
        unready = unknown
    if not unready:
        return Condition(type="ContainersReady", status="True")
    parts.append(f"containers with unready status: [{' '.join(unready)}]")
    return Condition(type="ContainersReady", status="False", reason="ContainersNotReady", message=", ".join(parts))


def _ready(view: PodView, containers: Condition) -> Condition:
    if containers.status != "True":
        return Condition(type="Ready", status="False", reason=containers.reason, message=containers.message)
    messages = []
    for gate in view.pod.spec.readinessGates:
        found = condition(view.pod.status.conditions, gate.conditionType)
        if found is None:
            messages.append(f'corresponding condition of pod readiness gate "{gate.conditionType}" does not exist.')
        elif found.status != "True":
            messages.append(
                f'the status of pod readiness gate "{gate.conditionType}" is not "True", but {found.status}'
            )
    if messages:
        return Condition(type="Ready", status="False", reason="ReadinessGatesNotReady", message=", ".join(messages))
    return Condition(type="Ready", status="True")


def _bool(value: bool) -> str:
    return "True" if value else "False"


def _is_ready(row: ContainerView) -> bool:
    return row.running and row.started and row.ready


def _container(view: PodView, row: ContainerView) -> JSON:
    attempt = row.current
    body: JSON = {
        "name": row.spec.name,
        "image": attempt.image if attempt else row.spec.image,
        "imageID": attempt.image_id if attempt else "",
        "restartCount": attempt.number if attempt else 0,
        "ready": row.succeeded if row.init and not row.sidecar else _is_ready(row),
        "started": row.running and row.started,
        "state": {},
        "lastState": {},
    }
    if row.ephemeral:  # nobody is to wait for it
        body["ready"] = False
        del body["started"]
    if attempt is not None and attempt.id:
        body["containerID"] = f"knet://{attempt.id}"
    if row.running and attempt is not None:
        body["state"] = {"running": {"startedAt": time_text(attempt.started_at)}}
        if row.previous is not None:
            body["lastState"] = _terminated(row.previous)
    elif row.waiting is not None:
        body["state"] = {"waiting": {"reason": row.waiting.reason, "message": row.waiting.message}}
        if not row.waiting.message:
            del body["state"]["waiting"]["message"]
        if attempt is not None:
            body["lastState"] = _terminated(attempt)
    elif attempt is not None:
        body["state"] = _terminated(attempt)
        if row.previous is not None:
            body["lastState"] = _terminated(row.previous)
    else:
        reason = INITIALIZING if view.init_containers and (not row.init or view.sandbox == "ready") else CREATING
        body["state"] = {"waiting": {"reason": reason}}
    return body


def _terminated(attempt: Attempt) -> JSON:
    if attempt.exit is None:
        return {}
    body: JSON = {
        "exitCode": attempt.exit.code,
        "reason": attempt.exit.reason,
        "startedAt": time_text(attempt.started_at),
        "finishedAt": time_text(attempt.exit.at),
        "containerID": f"knet://{attempt.id}",
    }
    if attempt.exit.signal:
        body["signal"] = attempt.exit.signal
    if attempt.exit.message:
        body["message"] = attempt.exit.message
    return {"terminated": body}
