"""The cells of Deployments, ReplicaSets and ControllerRevisions."""

from collections.abc import Callable

from knet.api.resources import RESOURCES
from knet.store import Object

NONE = "<none>"


def _status(key: str) -> Callable[[Object], int]:
    def read(value: Object) -> int:
        return int(value.get("status", {}).get(key) or 0)

    return read


updated = _status("updatedReplicas")
available = _status("availableReplicas")
current = _status("replicas")
ready = _status("readyReplicas")


def desired(value: Object) -> int:
    """spec.replicas."""
    return int(value["spec"].get("replicas", 0))


def deployment_ready(value: Object) -> str:
    """``2/3``."""
    return f"{ready(value)}/{desired(value)}"


def _template_containers(value: Object) -> list[Object]:
    found: list[Object] = value["spec"].get("template", {}).get("spec", {}).get("containers", [])
    return found


def containers(value: Object) -> str:
    """Names, with commas."""
    return ",".join(row.get("name", "") for row in _template_containers(value))


def images(value: Object) -> str:
    """Images, with commas."""
    return ",".join(row.get("image", "") for row in _template_containers(value))


def selector(value: Object) -> str:
    """``app=web,tier in (a,b)``."""
    return format_selector(value["spec"].get("selector") or {})


def format_selector(rows: Object) -> str:
    """A LabelSelector in the notation of the query string, sorted by key."""
    parts = {key: f"{key}={item}" for key, item in rows.get("matchLabels", {}).items()}
    for row in rows.get("matchExpressions", ()):
        key, operator = row.get("key", ""), row.get("operator")
        values = ",".join(sorted(row.get("values", ())))
        parts[key] = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }.get(str(operator), key)
    return ",".join(parts[key] for key in sorted(parts)) or NONE


def controller(value: Object) -> str:
    """``daemonset.apps/agent``."""
    for owner in value["metadata"].get("ownerReferences", ()):
        if owner.get("controller"):
            group = owner["apiVersion"].rpartition("/")[0]
            kind = owner["kind"].lower()
            known = any(row.kind == owner["kind"] for row in RESOURCES)
            return f"{kind}.{group}/{owner['name']}" if group or not known else f"{kind}/{owner['name']}"
    return NONE


def revision(value: Object) -> int:
    """Its number."""
    return int(value.get("revision", 0))
