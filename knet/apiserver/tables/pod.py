"""The cells of a Pod: what STATUS says follows upstream's printPod step by step."""

from collections.abc import Mapping
from typing import Any

from knet.api import resources
from knet.api.resources import Resource
from knet.apiserver.tables.column import AGE, NAME, NONE, Column, Columns, condition, text, wide
from knet.apiserver.tables.times import age
from knet.store import Object

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
    reason = str(state.get("reason") or state.get("phase", ""))
    if condition(value, "PodScheduled").get("reason") == "SchedulingGated":
        reason = "SchedulingGated"
    initialising, init_reason = _init_reason(value)
    if initialising:
        reason = init_reason
    if not initialising or condition(value, "Initialized").get("status") == "True":
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
        return "Running" if condition(value, "Ready").get("status") == "True" else "NotReady"
    return reason


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


def readiness_gates(value: Object) -> str:
    """``1/2`` of the conditions that it waits for."""
    gates = value.get("spec", {}).get("readinessGates", [])
    if not gates:
        return NONE
    true = {row.get("type") for row in value.get("status", {}).get("conditions") or () if row.get("status") == "True"}
    return f"{sum(gate.get('conditionType') in true for gate in gates)}/{len(gates)}"


#: phase → TableRowCondition of a pod that has ended
ROW_CONDITIONS = {
    phase: {"type": "Completed", "status": "True", "reason": phase, "message": message}
    for phase, message in (("Succeeded", "The pod has completed successfully."), ("Failed", "The pod failed."))
}

COLUMNS: Mapping[Resource, Columns] = {
    resources.PODS: (
        NAME,
        Column("Ready", ready),
        Column("Status", status),
        Column("Restarts", restarts),
        AGE,
        wide("IP", text("status.podIP", NONE)),
        wide("Node", text("spec.nodeName", NONE)),
        wide("Nominated Node", text("status.nominatedNodeName", NONE)),
        wide("Readiness Gates", readiness_gates),
    ),
}
