"""Deployments, ReplicaSets, ControllerRevisions (pkg/apis/apps/validation) and label selectors."""

import json
import re
from typing import Any

from knet.api import selectors
from knet.api.selectors import Requirement, Selector
from knet.apiserver import field, formats
from knet.apiserver.field import AT_LEAST_0, Errors
from knet.apiserver.validation.pod import pod_template
from knet.store import Object

_PERCENT = re.compile("[0-9]+%")
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


def validate_deployment(value: Object) -> Errors:
    """A Deployment."""
    spec = value["spec"]
    errors = _replicas_and_selector(spec, "deployment")
    errors += _strategy(spec.get("strategy", {}))
    errors += _not_negative(spec, ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"))
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and 0 <= deadline <= spec.get("minReadySeconds", 0):
        errors.append(field.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    return errors


def validate_replica_set(value: Object) -> Errors:
    """A ReplicaSet."""
    return _replicas_and_selector(value["spec"], "replica set") + _not_negative(value["spec"], ("minReadySeconds",))


def validate_selector_update(value: Object, old: Object) -> Errors:
    """Of both: the selector never changes."""
    selector = value["spec"].get("selector", {})
    if selector == old["spec"].get("selector"):
        return []
    return [field.immutable("spec.selector", go_selector(selector))]


def validate_controller_revision(value: Object) -> Errors:
    """A ControllerRevision."""
    errors: Errors = []
    if "data" not in value:
        errors.append(field.required("data", "data is mandatory"))
    if value.get("revision", 0) < 0:
        errors.append(field.invalid("revision", value["revision"], AT_LEAST_0))
    return errors


def validate_controller_revision_update(value: Object, old: Object) -> Errors:
    """Its data never changes."""
    if value.get("data") == old.get("data"):
        return []
    return [field.immutable("data", json.dumps(value.get("data")))]


def _not_negative(spec: Object, keys: tuple[str, ...]) -> Errors:
    return [field.invalid(f"spec.{key}", spec[key], AT_LEAST_0) for key in keys if spec.get(key, 0) < 0]


def _replicas_and_selector(spec: Object, kind: str) -> Errors:
    errors = _not_negative(spec, ("replicas",))
    selector = spec.get("selector")
    template = spec.get("template")
    if selector is None:
        errors.append(field.required("spec.selector"))
    elif not selector.get("matchLabels") and not selector.get("matchExpressions"):
        errors.append(field.invalid("spec.selector", go_selector(selector), f"empty selector is invalid for {kind}"))
    else:
        errors += label_selector(selector, "spec.selector")
    if template is None:
        return [*errors, field.required("spec.template")]
    labels = template.get("metadata", {}).get("labels", {})
    if selector and not errors and not selector_of(selector).matches(labels):
        errors.append(
            field.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
        )
    errors += pod_template(template, "spec.template")
    policy = template.get("spec", {}).get("restartPolicy", "Always")
    if policy != "Always":
        errors.append(field.not_supported("spec.template.spec.restartPolicy", policy, ("Always",)))
    if template.get("spec", {}).get("activeDeadlineSeconds") is not None:
        errors.append(
            field.forbidden(
                "spec.template.spec.activeDeadlineSeconds", "activeDeadlineSeconds in ReplicaSet is not Supported"
            )
        )
    return errors


def selector_of(selector: Object) -> Selector:
    """A LabelSelector in JSON as something that matches."""
    rows = [Requirement(key, "In", (item,)) for key, item in selector.get("matchLabels", {}).items()]
    for row in selector.get("matchExpressions", ()):
        rows.append(Requirement(row.get("key", ""), row.get("operator", ""), tuple(row.get("values", ()))))
    return selectors.Selector(tuple(rows))


def label_selector(selector: Object, path: str) -> Errors:
    """A LabelSelector's own form."""
    errors: Errors = []
    for key, item in selector.get("matchLabels", {}).items():
        if wrong := formats.qualified_name(key):
            errors.append(field.invalid(f"{path}.matchLabels", key, wrong))
        if wrong := formats.label_value(item):
            errors.append(field.invalid(f"{path}.matchLabels", item, wrong))
    for index, row in enumerate(selector.get("matchExpressions", ())):
        here = f"{path}.matchExpressions[{index}]"
        operator, values = row.get("operator", ""), row.get("values", [])
        if operator not in _OPERATORS:
            errors.append(field.invalid(f"{here}.operator", operator, "not a valid selector operator"))
        elif operator in ("In", "NotIn") and not values:
            errors.append(field.required(f"{here}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        elif operator in ("Exists", "DoesNotExist") and values:
            errors.append(
                field.forbidden(f"{here}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
            )
        if wrong := formats.qualified_name(row.get("key", "")):
            errors.append(field.invalid(f"{here}.key", row.get("key", ""), wrong))
    return errors


def go_selector(selector: Object) -> field.Go:
    """A LabelSelector as upstream's messages print it."""
    labels = selector.get("matchLabels")
    expressions = ", ".join(
        f"v1.LabelSelectorRequirement{{Key:{json.dumps(row.get('key', ''))},"
        f" Operator:{json.dumps(row.get('operator', ''))}, Values:{_go_strings(row.get('values'))}}}"
        for row in selector.get("matchExpressions", ())
    )
    pairs = ", ".join(f"{json.dumps(key)}:{json.dumps(item)}" for key, item in sorted((labels or {}).items()))
    spelled = f"map[string]string{{{pairs}}}" if labels else "map[string]string(nil)"
    rows = f"{{{expressions}}}" if expressions else "(nil)"
    return field.Go(f"v1.LabelSelector{{MatchLabels:{spelled}, MatchExpressions:[]v1.LabelSelectorRequirement{rows}}}")


def _go_strings(values: list[str] | None) -> str:
    return f"[]string{{{', '.join(map(json.dumps, values))}}}" if values else "[]string(nil)"


# ---- rollout ---------------------------------------------------------------------------------------------


def _strategy(strategy: Object) -> Errors:
    path = "spec.strategy"
    kind = strategy.get("type", "")
    rolling = strategy.get("rollingUpdate")
    if kind == "Recreate":
        if rolling is None:
            return []
        return [field.forbidden(f"{path}.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")]
    if kind != "RollingUpdate":
        return [field.not_supported(f"{path}.type", kind, ("Recreate", "RollingUpdate"))]
    if rolling is None:
        return [field.required(f"{path}.rollingUpdate", "this should be defaulted and never be nil")]
    errors: Errors = []
    for key in ("maxUnavailable", "maxSurge"):
        errors += _int_or_percent(rolling.get(key, 0), f"{path}.rollingUpdate.{key}")
    if not errors and _is_zero(rolling.get("maxUnavailable")) and _is_zero(rolling.get("maxSurge")):
        errors.append(
            field.invalid(
                f"{path}.rollingUpdate.maxUnavailable",
                _go_int_or_string(rolling.get("maxUnavailable")),
                "may not be 0 when `maxSurge` is 0",
            )
        )
    if not errors and isinstance(rolling.get("maxUnavailable"), str) and int(rolling["maxUnavailable"][:-1]) > 100:
        errors.append(
            field.invalid(
                f"{path}.rollingUpdate.maxUnavailable",
                _go_int_or_string(rolling["maxUnavailable"]),
                "must not be greater than 100%",
            )
        )
    return errors


def _int_or_percent(value: Any, path: str) -> Errors:
    if isinstance(value, str):
        if _PERCENT.fullmatch(value):
            return []
        detail = (
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex"
            " used for validation is '[0-9]+%')"
        )
        return [field.invalid(path, _go_int_or_string(value), detail)]
    return [field.invalid(path, _go_int_or_string(value), AT_LEAST_0)] if value < 0 else []


def _is_zero(value: Any) -> bool:
    return value in (None, 0) or (isinstance(value, str) and int(value[:-1]) == 0)


def _go_int_or_string(value: Any) -> field.Go:
    if isinstance(value, str):
        return field.Go(f"intstr.IntOrString{{Type:1, IntVal:0, StrVal:{json.dumps(value)}}}")
    return field.Go(f'intstr.IntOrString{{Type:0, IntVal:{value or 0}, StrVal:""}}')
