"""Nodes, Namespaces, RuntimeClasses and the health of components."""

from collections.abc import Callable, Mapping

from knet.api import resources
from knet.api.resources import Resource
from knet.apiserver.tables.column import AGE, NAME, NONE, UNKNOWN, Column, Columns, at, condition, text, wide
from knet.store import Object

_ROLE_PREFIX = "node-role.kubernetes.io/"


def status(value: Object) -> str:
    """``Ready,SchedulingDisabled``."""
    ready = condition(value, "Ready")
    parts = [("Ready" if ready.get("status") == "True" else "NotReady") if ready else "Unknown"]
    if value.get("spec", {}).get("unschedulable"):
        parts.append("SchedulingDisabled")
    return ",".join(parts)


def roles(value: Object) -> str:
    """From the labels node-role.kubernetes.io/ROLE."""
    labels = value["metadata"].get("labels", {})
    found = {key.removeprefix(_ROLE_PREFIX) for key in labels if key.startswith(_ROLE_PREFIX)}
    if role := labels.get("kubernetes.io/role"):
        found.add(role)
    return ",".join(sorted(found - {""})) or NONE


def address(kind: str) -> Callable[[Object], str]:
    """The first address of a type."""

    def read(value: Object) -> str:
        for row in value.get("status", {}).get("addresses") or ():
            if row.get("type") == kind:
                return str(row.get("address", ""))
        return NONE

    return read


def _health(key: str) -> Callable[[Object], str]:
    """Of the condition of a ComponentStatus."""

    def read(value: Object) -> str:
        row: Object = next((row for row in value.get("conditions") or () if row.get("type") == "Healthy"), {})
        if key == "status":
            return {None: "Unknown", "True": "Healthy"}.get(row.get("status"), "Unhealthy")
        return str(row.get(key, ""))

    return read


COLUMNS: Mapping[Resource, Columns] = {
    resources.NODES: (
        NAME,
        Column("Status", status),
        Column("Roles", roles),
        AGE,
        Column("Version", text("status.nodeInfo.kubeletVersion")),
        wide("Internal-IP", address("InternalIP")),
        wide("External-IP", address("ExternalIP")),
        wide("OS-Image", text("status.nodeInfo.osImage", UNKNOWN)),
        wide("Kernel-Version", text("status.nodeInfo.kernelVersion", UNKNOWN)),
        wide("Container-Runtime", text("status.nodeInfo.containerRuntimeVersion", UNKNOWN)),
    ),
    resources.NAMESPACES: (NAME, Column("Status", at("status.phase")), AGE),
    resources.RUNTIMECLASSES: (NAME, Column("Handler", text("handler")), AGE),
    resources.COMPONENTSTATUSES: (
        NAME,
        Column("Status", _health("status")),
        Column("Message", _health("message")),
        Column("Error", _health("error")),
    ),
}
