"""ConfigMaps, Secrets, ServiceAccounts, ResourceQuotas, Leases, Events and PriorityClasses."""

from collections.abc import Callable, Mapping

from knet.api import resources
from knet.api.resources import Resource
from knet.apiserver.tables.column import AGE, NAME, Column, Columns, at, count, text, wide
from knet.apiserver.tables.times import age
from knet.store import Object

# ---- quotas ----------------------------------------------------------------------------------------------


def quota(limits: bool) -> Callable[[Object], str]:
    """``pods: 1/10, requests.cpu: 0/2``: what is used of what may be, of limits or of everything else."""

    def read(value: Object) -> str:
        status = value.get("status", {})
        used = status.get("used") or {}
        rows = [
            f"{name}: {used.get(name, '0')}/{hard}"
            for name, hard in sorted((status.get("hard") or {}).items())
            if name.startswith("limits.") == limits
        ]
        return ", ".join(rows)

    return read


# ---- events ----------------------------------------------------------------------------------------------


def event_first_seen(value: Object) -> str:
    """Age of the first occurrence."""
    return age(value.get("firstTimestamp") or value.get("eventTime"))


def event_last_seen(value: Object) -> str:
    """Age of the last occurrence."""
    if (series := value.get("series")) is not None:
        return age(series.get("lastObservedTime"))
    return age(value["lastTimestamp"]) if value.get("lastTimestamp") else event_first_seen(value)


def event_object(value: Object) -> str:
    """``pod/web-1``."""
    about = value.get("involvedObject", {})
    return "/".join(part for part in (about.get("kind", "").lower(), about.get("name")) if part)


def event_source(value: Object) -> str:
    """``kubelet, n1``."""
    source = value.get("source") or {}
    component = source.get("component") or value.get("reportingComponent", "")
    host = source.get("host") or value.get("reportingInstance", "")
    return f"{component}, {host}" if host else component


def event_count(value: Object) -> int:
    """How often."""
    series = value.get("series")
    return int(series.get("count", 0) if series is not None else value.get("count") or 1)


COLUMNS: Mapping[Resource, Columns] = {
    resources.CONFIGMAPS: (NAME, Column("Data", count("data", "binaryData")), AGE),
    resources.SECRETS: (NAME, Column("Type", text("type")), Column("Data", count("data")), AGE),
    resources.SERVICEACCOUNTS: (NAME, Column("Secrets", count("secrets")), AGE),
    resources.RESOURCEQUOTAS: (NAME, Column("Request", quota(limits=False)), Column("Limit", quota(limits=True)), AGE),
    resources.LEASES: (NAME, Column("Holder", text("spec.holderIdentity")), AGE),
    resources.PRIORITYCLASSES: (
        NAME,
        Column("Value", at("value", 0), "integer"),
        Column("Global-Default", at("globalDefault", False), "boolean"),
        AGE,
        Column("PreemptionPolicy", text("preemptionPolicy")),
    ),
    resources.EVENTS: (
        Column("Last Seen", event_last_seen),
        Column("Type", text("type")),
        Column("Reason", text("reason")),
        Column("Object", event_object),
        wide("Subobject", text("involvedObject.fieldPath")),
        wide("Source", event_source),
        Column("Message", lambda value: str(value.get("message", "")).strip()),
        wide("First Seen", event_first_seen),
        wide("Count", event_count),
        wide("Name", text("metadata.name"), format_="name"),
    ),
}
