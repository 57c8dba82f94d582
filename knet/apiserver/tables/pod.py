"""The cells of a Pod: what STATUS says follows upstream's printPod step by step."""

from typing import Any

from knet.apiserver.tables.times import age
from knet.store import Object

NONE = "<none>"
_NODE_LOST = "NodeLost"


def _statuses(value: Object, key: str = "containerStatuses") -> list[Object]:
    found: list[Object] = value.get("status", {}).get(key) or []
    return found


def _sidecars(value: Object) -> set[str]:
    """Init containers that keep running beside the others."""
    return {
        row["name"] for row in value.get("spec", {}).get("initContainers", ()) if row.get("restartPolicy") == "Always"
    }


def ready(value: Object) -> str:
    """``1/2``."""
    sidecars = _sidecars(value)
    beside = [row for row in _statuses(value, "initContainerStatuses") if row.get("name") in sidecars]
    total = len(value.get("spec", {}).get("containers", ())) + len(sidecars)
    count = sum(bool(row.get("ready")) and "running" in row.get("state", {}) for row in _statuses(value)) + sum(
        bool(row.get("ready")) for row in beside
    )
    return f"{count}/{total}"


def status(value: Object) -> str:
    """Phase, or the most telling reason there is."""
    state = value.get("status", {})
    reason = state.get("reason") or state.get("phase", "")
    for condition in state.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            reason = "SchedulingGated"
    initialising, init_reason = _init_reason(value)
    if initialising:
        reason = init_reason
    else:
        reason = _containers_reason(value, reason)
    if value["metadata"].get("deletionTimestamp"):
        if state.get("reason") == _NODE_LOST:
            return "Unknown"
        if state.get("phase") not in ("Succeeded", "Failed"):
            return "Terminating"
    return reason


def _init_reason(value: Object) -> tuple[bool, str]:
    """``Init:0/2`` and its worse relatives; only while init containers are at work."""
    specs = {row["name"]: row for row in value.get("spec", {}).get("initContainers", ())}
    sidecars = _sidecars(value)
    for index, row in enumerate(_statuses(value, "initContainerStatuses")):
        state = row.get("state", {})
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if terminated is not None and terminated.get("exitCode", 0) == 0:
            continue
        if row.get("name") in sidecars and row.get("started"):
            continue
        if terminated is not None:
            return True, "Init:" + (terminated.get("reason") or _exit(terminated))
        if waiting is not None and waiting.get("reason") not in (None, "", "PodInitializing"):
            return True, f"Init:{waiting['reason']}"
        return True, f"Init:{index}/{len(specs)}"
    return False, ""


def _exit(terminated: Object) -> str:
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _containers_reason(value: Object, reason: str) -> str:
    running = False
    for row in reversed(_statuses(value)):
        state = row.get("state", {})
        waiting, terminated = state.get("waiting"), state.get("terminated")
        if waiting is not None and waiting.get("reason"):
            reason = waiting["reason"]
        elif terminated is not None:
            reason = terminated.get("reason") or _exit(terminated)
        elif row.get("ready") and "running" in state:
            running = True
    if reason == "Completed" and running:
        return "Running" if _has_ready_condition(value) else "NotReady"
    return reason


def _has_ready_condition(value: Object) -> bool:
    return any(
        row.get("type") == "Ready" and row.get("status") == "True"
        for row in value.get("status", {}).get("conditions") or ()
    )


def restarts(value: Object) -> str:
    """``3 (2m ago)``."""
    rows = _statuses(value)
    initialising, _ = _init_reason(value)
    sidecars = _sidecars(value)
    init = _statuses(value, "initContainerStatuses")
    rows = init if initialising else rows + [row for row in init if row.get("name") in sidecars]
    count = sum(row.get("restartCount", 0) for row in rows)
    ended: list[Any] = [(row.get("lastState", {}).get("terminated") or {}).get("finishedAt") for row in rows]
    last = max((time for time in ended if time), default="")
    return f"{count} ({age(last)} ago)" if count and last else str(count)


def address(value: Object) -> str:
    """The pod's address."""
    return value.get("status", {}).get("podIP") or NONE


def node(value: Object) -> str:
    """Where it runs."""
    return value.get("spec", {}).get("nodeName") or NONE


def nominated_node(value: Object) -> str:
    """Where the scheduler would make room for it."""
    return value.get("status", {}).get("nominatedNodeName") or NONE


def readiness_gates(value: Object) -> str:
    """``1/2`` of the conditions that it waits for."""
    gates = value.get("spec", {}).get("readinessGates", [])
    if not gates:
        return NONE
    true = {row.get("type") for row in value.get("status", {}).get("conditions") or () if row.get("status") == "True"}
    return f"{sum(gate.get('conditionType') in true for gate in gates)}/{len(gates)}"
