"""Autoscalers, disruption budgets, quotas, limit ranges and priorities (pkg/apis/*/validation)."""

from collections.abc import Iterable

from knet.api.quantity import parse_quantity
from knet.apiserver import field, formats
from knet.apiserver.field import Errors
from knet.apiserver.validation.rules import (
    EvenEmpty,
    Required,
    Rule,
    at_most_100_percent,
    both,
    each,
    fixed,
    form,
    int_or_percent,
    numbered,
    one_of,
    quantity_not_negative,
    shape,
    updates,
)
from knet.apiserver.validation.selectors import label_selector
from knet.store import Object

#: user-defined priorities end here; above are the system's
HIGHEST_USER_PRIORITY = 1000000000
SYSTEM_PRIORITIES = {"system-node-critical": 2000001000, "system-cluster-critical": 2000000000}

# ---- autoscaling -----------------------------------------------------------------------------------------

_REFERENCE = shape({"kind": Required(form(formats.path_segment)), "name": Required(form(formats.path_segment))})
_METRIC = shape({"name": Required(form(formats.path_segment)), "selector": label_selector})


def _target(*figures: str) -> Rule:
    """What a metric is to be: a figure of one of these kinds, more than nothing."""

    def check(value: Object, path: str) -> Errors:
        errors: Errors = []
        if not value.get("type"):
            errors.append(field.required(f"{path}.type", "must specify a metric target type"))
        elif value["type"] not in ("Utilization", "Value", "AverageValue"):
            detail = "must be either Utilization, Value, or AverageValue"
            errors.append(field.invalid(f"{path}.type", value["type"], detail))
        for key in ("value", "averageValue"):
            if key in value and parse_quantity(value[key]) <= 0:
                errors.append(field.invalid(f"{path}.{key}", value[key], "must be positive"))
        if "averageUtilization" in value and value["averageUtilization"] < 1:
            errors.append(
                field.invalid(f"{path}.averageUtilization", value["averageUtilization"], "must be greater than 0")
            )
        given = [key for key in figures if key in value]
        if not given:
            detail = f"must set either {' or '.join(_TARGET_NAMES[key] for key in figures)}"
            errors.append(field.required(f"{path}.{figures[0]}", detail))
        elif len(given) > 1:
            detail = f"may not set both {' and '.join(_TARGET_NAMES[key] for key in figures)}"
            errors.append(field.forbidden(f"{path}.{figures[-1]}", detail))
        return errors

    return check


_TARGET_NAMES = {
    "value": "a target value",
    "averageValue": "a target average value",
    "averageUtilization": "a target utilization",
}
_METRICS = {
    "Object": (
        "object",
        shape({"describedObject": _REFERENCE, "metric": _METRIC, "target": _target("averageValue", "value")}),
    ),
    "Pods": ("pods", shape({"metric": _METRIC, "target": _target("averageValue")})),
    "Resource": (
        "resource",
        shape(
            {
                "name": Required(None, "must specify a resource name"),
                "target": _target("averageUtilization", "averageValue"),
            }
        ),
    ),
    "ContainerResource": (
        "containerResource",
        shape(
            {
                "name": Required(None, "must specify a resource name"),
                "container": Required(None, "must specify a container"),
                "target": _target("averageUtilization", "averageValue"),
            }
        ),
    ),
    "External": ("external", shape({"metric": _METRIC, "target": _target("averageValue", "value")})),
}


def _metric(row: Object, path: str) -> Errors:
    kind = row.get("type", "")
    if not kind:
        return [field.required(f"{path}.type", "must specify a metric source type")]
    if kind not in _METRICS:
        return [field.not_supported(f"{path}.type", kind, sorted(_METRICS))]
    key, rule = _METRICS[kind]
    if row.get(key) is None:
        detail = "must populate information for the given metric source"
        return [field.required(f"{path}.{key}", detail)]
    return rule({"metric": {}, "target": {}, **row[key]}, f"{path}.{key}")


_SCALING = shape(
    {
        "stabilizationWindowSeconds": both(
            lambda value, path: (
                [] if value >= 0 else [field.invalid(path, value, "must be greater than or equal to zero")]
            ),
            lambda value, path: (
                [] if value <= 3600 else [field.invalid(path, value, "must be less than or equal to 3600")]
            ),
        ),
        "selectPolicy": one_of("Disabled", "Max", "Min"),
        "policies": Required(
            each(
                shape(
                    {
                        "type": one_of("Percent", "Pods"),
                        "value": lambda value, path: (
                            [] if value > 0 else [field.invalid(path, value, "must be greater than zero")]
                        ),
                        "periodSeconds": lambda value, path: (
                            []
                            if 0 < value <= 1800
                            else [
                                field.invalid(
                                    path,
                                    value,
                                    "must be greater than zero" if value <= 0 else "must be less than or equal to 1800",
                                )
                            ]
                        ),
                    }
                )
            ),
            "must specify at least one Policy",
        ),
    }
)
_AUTOSCALER = shape(
    {
        "scaleTargetRef": _REFERENCE,
        "metrics": each(_metric),
        "behavior": shape({"scaleUp": _SCALING, "scaleDown": _SCALING}),
    }
)


def validate_autoscaler(value: Object) -> Errors:
    """A HorizontalPodAutoscaler of autoscaling/v2."""
    spec = {"scaleTargetRef": {}, **value.get("spec", {})}
    low, high = spec.get("minReplicas", 1), spec.get("maxReplicas", 0)
    errors: Errors = []
    if low < 1:
        errors.append(field.invalid("spec.minReplicas", low, "must be greater than or equal to 1"))
    if high < 1:
        errors.append(field.invalid("spec.maxReplicas", high, "must be greater than 0"))
    if high < low:
        errors.append(field.invalid("spec.maxReplicas", high, "must be greater than or equal to `minReplicas`"))
    return errors + _AUTOSCALER(spec, "spec")


# ---- disruption budgets ----------------------------------------------------------------------------------

_BUDGET = shape(
    {
        "minAvailable": EvenEmpty(both(int_or_percent, at_most_100_percent)),
        "maxUnavailable": EvenEmpty(both(int_or_percent, at_most_100_percent)),
        "selector": label_selector,
        "unhealthyPodEvictionPolicy": one_of("AlwaysAllow", "IfHealthyBudget"),
    }
)


def validate_budget(value: Object) -> Errors:
    """A PodDisruptionBudget."""
    spec = value.get("spec", {})
    errors: Errors = []
    if "minAvailable" in spec and "maxUnavailable" in spec:
        detail = "minAvailable and maxUnavailable cannot be both set"
        errors.append(field.invalid("spec", field.go_missing(), detail))
    return errors + _BUDGET(spec, "spec")


# ---- quotas and limits -----------------------------------------------------------------------------------

_SCOPES = ("Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity")
#: counted in whole pieces
_PIECES = (
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
)


#: of Pods that run, and therefore with a class of service or a deadline
_COMPUTE = ("cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory")
_STORAGE = ("requests.storage", "ephemeral-storage", "requests.ephemeral-storage", "limits.ephemeral-storage")
_STANDARD = frozenset((*_PIECES, *_COMPUTE, *_STORAGE))


def _standard(name: str) -> bool:
    return name in _STANDARD or name.startswith(("hugepages-", "requests.hugepages-"))


def _resource_name(name: str) -> str:
    if wrong := formats.qualified_name(name):
        return wrong
    return "" if "/" in name or _standard(name) else "must be a standard resource for quota"


def _misfits(scope: str, hard: Iterable[str]) -> bool:
    """Whether a scope says nothing about some of the resources."""
    meant = ("pods",) if scope == "BestEffort" else ("pods", *_COMPUTE)
    return scope in _SCOPES and any(_standard(name) and name not in meant for name in hard)


def _scopes_fit(spec: Object, path: str) -> Errors:
    detail, hard = "unsupported scope applied to resource", spec.get("hard") or {}
    scopes, selector = spec.get("scopes") or (), spec.get("scopeSelector") or {}
    errors = []
    if any(_misfits(scope, hard) for scope in scopes):
        shown = field.go_list("core.ResourceQuotaScope", scopes)
        errors.append(field.invalid(f"{path}.scopes", shown, detail))
    if any(_misfits(row.get("scopeName", ""), hard) for row in selector.get("matchExpressions") or ()):
        errors.append(field.invalid(f"{path}.scopeSelector.matchExpressions", field.go_missing(), detail))
    return errors


def _amounts(rows: dict[str, str], path: str) -> Errors:
    errors: Errors = []
    for name, amount in rows.items():
        here = f"{path}[{name}]"
        if wrong := _resource_name(name):
            errors.append(field.invalid(here, name, wrong))
        errors += quantity_not_negative(amount, here)
        if name in _PIECES and parse_quantity(amount) % 1:
            errors.append(field.invalid(here, amount, "must be an integer"))
    return errors


def _scope(row: Object, path: str) -> Errors:
    errors: Errors = []
    name, operator, values = row.get("scopeName", ""), row.get("operator", ""), row.get("values", [])
    if name not in _SCOPES:
        errors.append(field.invalid(f"{path}.scopeName", name, "unsupported scope"))
    if name != "PriorityClass" and operator != "Exists":
        detail = "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating,"
        detail += " ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or"
        detail += " ResourceQuotaScopeCrossNamespacePodAffinity"
        errors.append(field.invalid(f"{path}.operator", operator, detail))
    if operator in ("In", "NotIn") and not values:
        detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
        errors.append(field.required(f"{path}.values", detail))
    elif operator in ("Exists", "DoesNotExist") and values:
        detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
        errors.append(field.invalid(f"{path}.values", values, detail))
    elif operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
        errors.append(field.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    return errors


def _scopes(scopes: list[str], path: str) -> Errors:
    errors: Errors = [field.invalid(path, scope, "unsupported scope") for scope in scopes if scope not in _SCOPES]
    for pair in (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")):
        if set(pair) <= set(scopes):
            errors.append(field.invalid(path, scopes, "conflicting scopes"))
    return errors


_QUOTA = shape(
    {"hard": _amounts, "scopes": _scopes, "scopeSelector": shape({"matchExpressions": each(_scope)})}, _scopes_fit
)


def validate_quota(value: Object) -> Errors:
    """A ResourceQuota."""
    return _QUOTA(value.get("spec", {}), "spec")


def _sorted_scopes(value: Object | None) -> list[str]:
    return sorted((value or {}).get("spec", {}).get("scopes", ()))


def validate_quota_update(value: Object, old: Object) -> Errors:
    """The scopes of a quota never change."""
    if _sorted_scopes(value) == _sorted_scopes(old):
        return []
    return [field.immutable("spec.scopes", value.get("spec", {}).get("scopes", []))]


_BOUNDS = ("min", "default", "defaultRequest", "max")


def _limit(row: Object, path: str) -> Errors:
    """min ≤ defaultRequest ≤ default ≤ max, for every resource."""
    kind = row.get("type", "")
    errors = form(formats.qualified_name)(kind, f"{path}.type") if kind else [field.required(f"{path}.type")]
    if kind == "Pod":
        for key in ("default", "defaultRequest"):
            if row.get(key):
                errors.append(field.forbidden(f"{path}.{key}", "may not be specified when `type` is 'Pod'"))
    if kind == "PersistentVolumeClaim" and "storage" not in {**row.get("min", {}), **row.get("max", {})}:
        detail = "either minimum or maximum storage value is required, but neither was provided"
        errors.append(field.required(f"{path}.limits", detail))
    names = {name for key in (*_BOUNDS, "maxLimitRequestRatio") for name in row.get(key, {})}
    for name in sorted(names):
        found = {key: row[key][name] for key in _BOUNDS if name in row.get(key, {})}
        for low, high, text in _ORDER:
            if low in found and high in found and parse_quantity(found[low]) > parse_quantity(found[high]):
                place, shown = (low, found[low]) if low != "min" else ("min", found[low])
                detail = f"{text[0]} value {found[low]} is greater than {text[1]} value {found[high]}"
                errors.append(field.invalid(f"{path}.{place}[{name}]", shown, detail))
        ratio = row.get("maxLimitRequestRatio", {}).get(name)
        if ratio is not None and parse_quantity(ratio) < 1:
            detail = f"ratio {ratio} is less than 1"
            errors.append(field.invalid(f"{path}.maxLimitRequestRatio[{name}]", ratio, detail))
    return errors


_ORDER = (
    ("min", "max", ("min", "max")),
    ("min", "defaultRequest", ("min", "default request")),
    ("defaultRequest", "max", ("default request", "max")),
    ("defaultRequest", "default", ("default request", "default limit")),
    ("min", "default", ("min", "default")),
    ("default", "max", ("default", "max")),
)


def validate_limit_range(value: Object) -> Errors:
    """A LimitRange: one row per type."""
    errors: Errors = []
    seen: set[str] = set()
    for row, here in numbered(value.get("spec", {}).get("limits", ()), "spec.limits"):
        if row.get("type", "") in seen:
            errors.append(field.duplicate(f"{here}.type", row.get("type", "")))
        seen.add(row.get("type", ""))
        errors += _limit(row, here)
    return errors


# ---- priorities ------------------------------------------------------------------------------------------


def validate_priority_class(value: Object) -> Errors:
    """A PriorityClass: names and numbers of the system are the system's."""
    name, number = value["metadata"].get("name", ""), value.get("value", 0)
    if name.startswith("system-"):
        if SYSTEM_PRIORITIES.get(name) == number:
            return []
        detail = (
            f"priority class names with 'system-' prefix are reserved for system use only. error: {name} is not a known"
            " system priority class"
        )
        return [field.forbidden("metadata.name", detail)]
    errors: Errors = []
    if number > HIGHEST_USER_PRIORITY:
        detail = f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"
        errors.append(field.forbidden("value", detail))
    return errors + one_of("Never", "PreemptLowerPriority")(value.get("preemptionPolicy", ""), "preemptionPolicy")


def validate_priority_class_update(value: Object, old: Object) -> Errors:
    """Value and preemption of a class never change."""
    errors: Errors = []
    if value.get("value", 0) != old.get("value", 0):
        errors.append(field.forbidden("value", "may not be changed in an update."))
    return errors + _POLICY_FIXED(value, old)


_POLICY_FIXED = updates(fixed("preemptionPolicy"))
