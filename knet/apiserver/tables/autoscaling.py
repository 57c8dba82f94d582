"""HorizontalPodAutoscalers, PodDisruptionBudgets and Scales."""

from collections.abc import Mapping

from knet.api import resources
from knet.api.resources import Resource
from knet.apiserver.tables.column import AGE, NAME, NONE, UNKNOWN, UNSET, Column, Columns, at, shortened
from knet.store import Object

#: type of metric → the field that describes it, and whether a target per pod is marked as such
_SOURCES = {
    "External": ("external", True),
    "Object": ("object", True),
    "Pods": ("pods", False),
    "Resource": ("resource", False),
    "ContainerResource": ("containerResource", False),
}
_METRICS_SHOWN = 2


def reference(value: Object) -> str:
    """``Deployment/web``."""
    target = value.get("spec", {}).get("scaleTargetRef", {})
    return f"{target.get('kind', '')}/{target.get('name', '')}"


def targets(value: Object) -> str:
    """``cpu: 12%/50%, 3/10 (avg) + 1 more...``."""
    current = value.get("status", {}).get("currentMetrics") or []
    parts = []
    for index, row in enumerate(value.get("spec", {}).get("metrics") or ()):
        key, marked = _SOURCES.get(row.get("type", ""), ("", False))
        parts.append(_target(row.get(key) or {}, _current(current, index, key), marked) if key else "<unknown type>")
    return shortened(parts, NONE, _METRICS_SHOWN, ", ")


def _current(current: list[Object], index: int, key: str) -> Object:
    source = current[index].get(key) if index < len(current) else None
    found: Object = (source or {}).get("current", {})
    return found


def _target(source: Object, current: Object, marked: bool) -> str:
    target = source.get("target", {})
    name = f"{source['name']}: " if source.get("name") else ""
    if "averageValue" in target:
        return f"{name}{current.get('averageValue', UNKNOWN)}/{target['averageValue']}{' (avg)' if marked else ''}"
    if "value" in target:
        return f"{current.get('value', UNKNOWN)}/{target['value']}"
    percent, wanted = current.get("averageUtilization"), target.get("averageUtilization")
    return f"{name}{UNKNOWN if percent is None else f'{percent}%'}/{'<auto>' if wanted is None else f'{wanted}%'}"


COLUMNS: Mapping[Resource, Columns] = {
    resources.HORIZONTALPODAUTOSCALERS: (
        NAME,
        Column("Reference", reference),
        Column("Targets", targets),
        Column("MinPods", lambda value: str(value.get("spec", {}).get("minReplicas", UNSET))),
        Column("MaxPods", at("spec.maxReplicas", 0)),
        Column("Replicas", at("status.currentReplicas", 0)),
        AGE,
    ),
    resources.PODDISRUPTIONBUDGETS: (
        NAME,
        Column("Min Available", lambda value: str(at("spec.minAvailable", "N/A")(value))),
        Column("Max Unavailable", lambda value: str(at("spec.maxUnavailable", "N/A")(value))),
        Column("Allowed Disruptions", at("status.disruptionsAllowed", 0), "integer"),
        AGE,
    ),
    resources.SCALES: (
        NAME,
        Column("Desired", at("spec.replicas", 0), "integer"),
        Column("Available", at("status.replicas", 0), "integer"),
        AGE,
    ),
}
