"""HorizontalPodAutoscalers of autoscaling/v1, stored as autoscaling/v2.

v1 knows one target, the CPU utilisation; everything else stands in annotations, in the notation of v2beta1
(pkg/apis/autoscaling/v1/conversion.go).  The annotations exist in v1 only: to v2 they are fields.
"""

from typing import Any

import orjson

from knet.store import Object

_PREFIX = "autoscaling.alpha.kubernetes.io/"
_METRICS, _CURRENT, _CONDITIONS, _BEHAVIOR = (
    _PREFIX + name for name in ("metrics", "current-metrics", "conditions", "behavior")
)
_ANNOTATIONS = (_METRICS, _CURRENT, _CONDITIONS, _BEHAVIOR)
#: v2's name of a figure → the ending of its name in the annotations ("targetAverageValue"), and v2's type of target
_FIGURES = {
    "averageUtilization": ("AverageUtilization", "Utilization"),
    "averageValue": ("AverageValue", "AverageValue"),
    "value": ("Value", "Value"),
}


def to_v2(value: Object) -> Object:
    """A v1 object in the form of v2."""
    value = {**value, "apiVersion": "autoscaling/v2"}
    annotations = dict(value.get("metadata", {}).get("annotations", {}))
    extra = {key: _parsed(annotations.pop(key, "")) for key in _ANNOTATIONS}
    _annotate(value, annotations)
    spec = dict(value.get("spec", {}))
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    metrics = [_cpu("target", percent)] if percent is not None else []
    metrics += [_metric_v2(row, "target") for row in extra[_METRICS] or ()]
    if metrics:
        spec["metrics"] = metrics
    if extra[_BEHAVIOR]:
        spec["behavior"] = extra[_BEHAVIOR]
    value["spec"] = spec
    if "status" in value or extra[_CURRENT] or extra[_CONDITIONS]:
        status = dict(value.get("status", {}))
        percent = status.pop("currentCPUUtilizationPercentage", None)
        if extra[_CURRENT]:
            status["currentMetrics"] = [_metric_v2(row, "current") for row in extra[_CURRENT]]
        elif percent is not None:
            status["currentMetrics"] = [_cpu("current", percent)]
        if extra[_CONDITIONS]:
            status["conditions"] = extra[_CONDITIONS]
        value["status"] = status
    return value


def from_v2(value: Object) -> Object:
    """A v2 object in the form of v1."""
    value = {**value, "apiVersion": "autoscaling/v1"}
    annotations = dict(value.get("metadata", {}).get("annotations", {}))
    spec = dict(value.get("spec", {}))
    others = []
    for row in spec.pop("metrics", ()):
        percent = _cpu_percent(row, "target")
        if percent is not None and "targetCPUUtilizationPercentage" not in spec:
            spec["targetCPUUtilizationPercentage"] = percent
        else:
            others.append(_metric_v1(row, "target"))
    behavior = spec.pop("behavior", None)
    value["spec"] = spec
    status = dict(value.get("status", {}))
    current = status.pop("currentMetrics", ())
    for row in current:
        if (percent := _cpu_percent(row, "current")) is not None:
            status["currentCPUUtilizationPercentage"] = percent
    conditions = status.pop("conditions", None)
    if "status" in value:
        value["status"] = status
    texts = (others, [_metric_v1(row, "current") for row in current], conditions, behavior)
    for key, item in zip(_ANNOTATIONS, texts, strict=True):
        if item:
            annotations[key] = orjson.dumps(item).decode()
    _annotate(value, annotations)
    return value


def _annotate(value: Object, annotations: dict[str, str]) -> None:
    metadata = {key: item for key, item in value.get("metadata", {}).items() if key != "annotations"}
    value["metadata"] = metadata | ({"annotations": annotations} if annotations else {})


def _parsed(text: str) -> Any:
    """What an annotation says; nothing where somebody wrote something else into it."""
    try:
        return orjson.loads(text) if text else None
    except orjson.JSONDecodeError:
        return None


def _cpu(role: str, percent: int) -> Object:
    figure: Object = {"averageUtilization": percent}
    if role == "target":
        figure = {"type": "Utilization", **figure}
    return {"type": "Resource", "resource": {"name": "cpu", role: figure}}


def _cpu_percent(row: Object, role: str) -> int | None:
    resource = row.get("resource") or {}
    if row.get("type") != "Resource" or resource.get("name") != "cpu":
        return None
    percent: int | None = resource.get(role, {}).get("averageUtilization")
    return percent


def _metric_v1(row: Object, role: str) -> Object:
    """A metric in the annotations' notation; ``role`` is target (spec) or current (status)."""
    key = _source(row)
    source = row.get(key) or {}
    flat: Object = {name: source[name] for name in ("name", "container") if name in source}
    if "describedObject" in source:
        flat["target"] = source["describedObject"]
    if "metric" in source:
        flat["metricName"] = source["metric"].get("name", "")
        if selector := source["metric"].get("selector"):
            flat[_selector(key)] = selector
    for name, item in source.get(role, {}).items():
        if name in _FIGURES:
            flat[_figure(key, role, name)] = item
    return {"type": row.get("type", ""), key: flat}


def _metric_v2(row: Object, role: str) -> Object:
    """A metric out of the annotations in v2's notation."""
    key = _source(row)
    flat = row.get(key) or {}
    source: Object = {name: flat[name] for name in ("name", "container") if name in flat}
    if "target" in flat:
        source["describedObject"] = flat["target"]
    if "metricName" in flat:
        source["metric"] = {"name": flat["metricName"]}
        if selector := flat.get(_selector(key)):
            source["metric"]["selector"] = selector
    figures = {name: flat[_figure(key, role, name)] for name in _FIGURES if _figure(key, role, name) in flat}
    if role == "target":
        kind = next((_FIGURES[name][1] for name in reversed(_FIGURES) if name in figures), "")
        figures = {"type": kind, **figures}
    return {"type": row.get("type", ""), key: {**source, role: figures}}


def _source(row: Object) -> str:
    """The field that describes a metric of this type: ContainerResource → containerResource."""
    kind = str(row.get("type", ""))
    return kind[:1].lower() + kind[1:]


def _selector(key: str) -> str:
    return "metricSelector" if key == "external" else "selector"


def _figure(key: str, role: str, name: str) -> str:
    return name if (key, name) == ("object", "averageValue") else role + _FIGURES[name][0]
