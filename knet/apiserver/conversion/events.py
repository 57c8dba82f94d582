"""Events of events.k8s.io/v1, stored as core Events: the same fields under newer names."""

from knet.store import Object

#: events.k8s.io/v1 → v1
_FIELDS = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_BACK = {old: new for new, old in _FIELDS.items()}
_ABOUT = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
#: field labels
LABELS = {
    **{f"regarding.{key}": f"involvedObject.{key}" for key in _ABOUT},
    "reason": "reason",
    "reportingController": "reportingComponent",
    "type": "type",
}


def to_core(value: Object) -> Object:
    """As the core group spells it."""
    return {_FIELDS.get(key, key): item for key, item in value.items()} | {"apiVersion": "v1"}


def from_core(value: Object) -> Object:
    """As events.k8s.io spells it."""
    return {_BACK.get(key, key): item for key, item in value.items()} | {"apiVersion": "events.k8s.io/v1"}
