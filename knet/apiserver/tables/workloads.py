"""What runs pods: Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs, CronJobs and their like."""

from collections.abc import Mapping
from datetime import UTC, datetime

from knet.api import resources
from knet.api.resources import Resource
from knet.apiserver.tables.column import (
    AGE,
    NAME,
    NONE,
    Cell,
    Column,
    Columns,
    aged,
    at,
    condition,
    count,
    labels,
    selector,
    text,
    wide,
)
from knet.apiserver.tables.times import human_duration, seconds_since
from knet.store import Object


def number(path: str) -> Cell:
    """A number, 0 where it is absent."""
    return at(path, 0)


def ready(value: Object) -> str:
    """``2/3``."""
    return f"{value.get('status', {}).get('readyReplicas', 0)}/{value.get('spec', {}).get('replicas', 0)}"


def of_containers(key: str, path: str = "spec.template.spec.containers") -> Cell:
    """Names or images of a template's containers, with commas."""
    read = at(path, ())
    return lambda value: ",".join(row.get(key, "") for row in read(value))


def completions(value: Object) -> str:
    """``1/3``; ``1/1 of 4`` where any success of several workers will do."""
    spec, succeeded = value.get("spec", {}), value.get("status", {}).get("succeeded", 0)
    if "completions" in spec:
        return f"{succeeded}/{spec['completions']}"
    workers = spec.get("parallelism", 0)
    return f"{succeeded}/1 of {workers}" if workers > 1 else f"{succeeded}/1"


def duration(value: Object) -> str:
    """From the start of a Job to its end, or until now."""
    status = value.get("status", {})
    if not status.get("startTime"):
        return ""
    end = datetime.fromisoformat(status["completionTime"]) if status.get("completionTime") else datetime.now(UTC)
    seconds = seconds_since(status["startTime"], end)
    return "" if seconds is None else human_duration(seconds)


def job_status(value: Object) -> str:
    """Complete, Failed, Terminating, Suspended, FailureTarget or Running."""
    deleting = bool(value["metadata"].get("deletionTimestamp"))
    for kind, name in _JOB_STATES:
        if condition(value, kind).get("status") == "True" or (deleting and not kind):
            return name
    return "Running"


#: condition (none: it is being deleted) → what is printed; the first that holds
_JOB_STATES = (
    ("Complete", "Complete"),
    ("Failed", "Failed"),
    ("", "Terminating"),
    ("Suspended", "Suspended"),
    ("FailureTarget", "FailureTarget"),
)


def controller(value: Object) -> str:
    """``daemonset.apps/agent``."""
    for owner in value["metadata"].get("ownerReferences", ()):
        if owner.get("controller"):
            group = owner.get("apiVersion", "").rpartition("/")[0]
            kind = owner.get("kind", "").lower()
            return f"{kind}.{group}/{owner.get('name', '')}" if group else f"{kind}/{owner.get('name', '')}"
    return NONE


_CONTAINERS = wide("Containers", of_containers("name"))
_IMAGES = wide("Images", of_containers("image"))
_SELECTOR = wide("Selector", selector("spec.selector"))
_JOB_TEMPLATE = "spec.jobTemplate.spec.template.spec.containers"
_REPLICAS: Columns = (
    NAME,
    Column("Desired", number("spec.replicas"), "integer"),
    Column("Current", number("status.replicas"), "integer"),
    Column("Ready", number("status.readyReplicas"), "integer"),
    AGE,
    _CONTAINERS,
    _IMAGES,
)

COLUMNS: Mapping[Resource, Columns] = {
    resources.DEPLOYMENTS: (
        NAME,
        Column("Ready", ready),
        Column("Up-to-date", number("status.updatedReplicas")),
        Column("Available", number("status.availableReplicas")),
        AGE,
        _CONTAINERS,
        _IMAGES,
        _SELECTOR,
    ),
    resources.REPLICASETS: (*_REPLICAS, _SELECTOR),
    resources.REPLICATIONCONTROLLERS: (*_REPLICAS, wide("Selector", labels("spec.selector"))),
    resources.STATEFULSETS: (NAME, Column("Ready", ready), AGE, _CONTAINERS, _IMAGES),
    resources.DAEMONSETS: (
        NAME,
        Column("Desired", number("status.desiredNumberScheduled"), "integer"),
        Column("Current", number("status.currentNumberScheduled"), "integer"),
        Column("Ready", number("status.numberReady"), "integer"),
        Column("Up-to-date", number("status.updatedNumberScheduled"), "integer"),
        Column("Available", number("status.numberAvailable"), "integer"),
        Column("Node Selector", labels("spec.template.spec.nodeSelector")),
        AGE,
        _CONTAINERS,
        _IMAGES,
        _SELECTOR,
    ),
    resources.JOBS: (
        NAME,
        Column("Status", job_status),
        Column("Completions", completions),
        Column("Duration", duration),
        AGE,
        _CONTAINERS,
        _IMAGES,
        _SELECTOR,
    ),
    resources.CRONJOBS: (
        NAME,
        Column("Schedule", text("spec.schedule")),
        Column("Timezone", text("spec.timeZone", NONE)),
        Column("Suspend", lambda value: str(value.get("spec", {}).get("suspend", False)), "boolean"),
        Column("Active", count("status.active"), "integer"),
        Column("Last Schedule", aged("status.lastScheduleTime", NONE)),
        AGE,
        wide("Containers", of_containers("name", _JOB_TEMPLATE)),
        wide("Images", of_containers("image", _JOB_TEMPLATE)),
        wide("Selector", selector("spec.jobTemplate.spec.selector")),
    ),
    resources.PODTEMPLATES: (
        NAME,
        Column("Containers", of_containers("name", "template.spec.containers")),
        Column("Images", of_containers("image", "template.spec.containers")),
        Column("Pod Labels", labels("template.metadata.labels")),
    ),
    resources.CONTROLLERREVISIONS: (
        NAME,
        Column("Controller", controller),
        Column("Revision", number("revision")),
        AGE,
    ),
}
