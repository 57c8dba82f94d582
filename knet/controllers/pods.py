"""What controllers ask about a pod, and how they make one from a template."""

from datetime import datetime, timedelta

from knet.api.objects import JSON, Condition, KubeObject, Pod, condition, owner_reference
from knet.controllers.conditions import parse_time


def active(pod: Pod) -> bool:
    """Counts as a replica: neither finished nor on its way out (controller.IsPodActive)."""
    return not pod.finished and not pod.deleting


def ready_condition(pod: Pod) -> Condition | None:
    return condition(pod.status.conditions, "Ready")


def ready_since(pod: Pod) -> datetime | None:
    """The moment it became ready; None if it is not."""
    row = ready_condition(pod)
    return parse_time(row.lastTransitionTime) if row is not None and row.status == "True" else None


def available_in(pod: Pod, min_ready_seconds: int, now: datetime) -> timedelta | None:
    """How long until the pod counts as available, zero if it does; None if it is not even ready."""
    if not pod.ready:
        return None
    if not min_ready_seconds:
        return timedelta()
    since = ready_since(pod)
    if since is None:
        return None
    return max(timedelta(), since + timedelta(seconds=min_ready_seconds) - now)


def pod_from_template(template: JSON, owner: KubeObject) -> JSON:
    """The body of a new pod of ``owner``; the API server appends the five random characters of the name."""
    meta = template.get("metadata") or {}
    metadata: JSON = {"generateName": f"{owner.name}-", "ownerReferences": [owner_reference(owner)]}
    for field in ("labels", "annotations", "finalizers"):
        if meta.get(field):
            metadata[field] = meta[field]
    return {"metadata": metadata, "spec": template.get("spec") or {}}
