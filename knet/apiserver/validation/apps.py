"""Deployments, ReplicaSets, StatefulSets, DaemonSets, ReplicationControllers (pkg/apis/apps/validation, core)."""

import json
from typing import Any

from knet.apiserver import field
from knet.apiserver.field import Errors
from knet.apiserver.validation import metadata as metadata_validation
from knet.apiserver.validation.claim import claim_spec
from knet.apiserver.validation.pod import pod_template
from knet.apiserver.validation.rules import (
    EvenEmpty,
    Required,
    both,
    each,
    fixed,
    go_int_or_string,
    int_or_percent,
    not_negative,
    one_of,
    shape,
)
from knet.apiserver.validation.rules import at_most_100_percent as at_most_all
from knet.apiserver.validation.selectors import go_selector, is_empty, label_selector, selector_of
from knet.store import Object

#: of Deployments, ReplicaSets and their like
_COUNTS = shape(
    {
        "replicas": not_negative,
        "minReadySeconds": not_negative,
        "revisionHistoryLimit": not_negative,
        "progressDeadlineSeconds": not_negative,
    }
)


def validate_deployment(value: Object) -> Errors:
    """A Deployment."""
    spec = value.get("spec", {})
    errors = _counts_selector_template(spec, "deployment") + _strategy(spec.get("strategy", {}))
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and 0 <= deadline <= spec.get("minReadySeconds", 0):
        errors.append(field.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    return errors


def validate_replica_set(value: Object) -> Errors:
    """A ReplicaSet."""
    return _counts_selector_template(value.get("spec", {}), "replica set")


def _counts_selector_template(spec: Object, kind: str) -> Errors:
    errors = _COUNTS(spec, "spec")
    selector, template = spec.get("selector"), spec.get("template")
    matching = False
    if selector is None:
        errors.append(field.required("spec.selector"))
    elif is_empty(selector):
        errors.append(field.invalid("spec.selector", go_selector(selector), f"empty selector is invalid for {kind}"))
    else:
        wrong = label_selector(selector, "spec.selector")
        errors += wrong
        matching = not wrong
    if template is None:
        return [*errors, field.required("spec.template")]
    labels = template.get("metadata", {}).get("labels", {})
    if matching and not selector_of(selector or {}).matches(labels):
        errors.append(_unmatched(labels))
    return errors + pod_template(template, "spec.template") + _always(template, "ReplicaSet")


def _unmatched(labels: dict[str, str]) -> field.FieldError:
    detail = "`selector` does not match template `labels`"
    return field.invalid("spec.template.metadata.labels", labels, detail)


def _always(template: Object, kind: str) -> Errors:
    """Pods that are to run for good."""
    errors: Errors = []
    spec = template.get("spec", {})
    policy = spec.get("restartPolicy", "Always")
    if policy != "Always":
        errors.append(field.not_supported("spec.template.spec.restartPolicy", policy, ("Always",)))
    if spec.get("activeDeadlineSeconds") is not None:
        detail = f"activeDeadlineSeconds in {kind} is not Supported"
        errors.append(field.forbidden("spec.template.spec.activeDeadlineSeconds", detail))
    return errors


def _shown_selector(selector: Any) -> field.Go:
    return go_selector(selector or {})


#: of all of them: the selector never changes
validate_selector_update = fixed("spec.selector", shown=_shown_selector)


def validate_controller_revision(value: Object) -> Errors:
    """A ControllerRevision."""
    errors = [] if "data" in value else [field.required("data", "data is mandatory")]
    return errors + not_negative(value.get("revision", 0), "revision")


#: its data never change
validate_controller_revision_update = fixed("data", shown=lambda data: field.Go(json.dumps(data)))


# ---- StatefulSets and DaemonSets -------------------------------------------------------------------------


def _own_template(spec: Object, kind: str) -> Errors:
    """Selector and template of a StatefulSet or DaemonSet."""
    selector, template = spec.get("selector"), spec.get("template")
    errors: Errors = []
    if selector is None:
        errors.append(field.required("spec.selector"))
    else:
        errors += label_selector(selector, "spec.selector")
        if is_empty(selector):
            detail = f"empty selector is invalid for {kind}"
            errors.append(field.invalid("spec.selector", go_selector(selector), detail))
    if template is None:
        return [*errors, field.required("spec.template")]
    labels = template.get("metadata", {}).get("labels", {})
    if not errors and not selector_of(selector or {}).matches(labels):
        errors.append(_unmatched(labels))
    return errors


_STATEFUL_SET = shape(
    {
        "podManagementPolicy": Required(one_of("OrderedReady", "Parallel")),
        "updateStrategy": shape(
            {
                "type": Required(one_of("RollingUpdate", "OnDelete")),
                "rollingUpdate": shape(
                    {"partition": not_negative, "maxUnavailable": EvenEmpty(both(int_or_percent, at_most_all))}
                ),
            }
        ),
        "persistentVolumeClaimRetentionPolicy": shape(
            {"whenDeleted": one_of("Retain", "Delete"), "whenScaled": one_of("Retain", "Delete")}
        ),
        "replicas": not_negative,
        "minReadySeconds": not_negative,
        "ordinals": shape({"start": not_negative}),
        "volumeClaimTemplates": each(shape({"metadata": metadata_validation.common, "spec": claim_spec})),
    }
)


def validate_stateful_set(value: Object) -> Errors:
    """A StatefulSet."""
    spec = value.get("spec", {})
    errors = _STATEFUL_SET(spec, "spec") + _own_template(spec, "statefulset")
    strategy = spec.get("updateStrategy", {})
    if strategy.get("type") == "OnDelete" and strategy.get("rollingUpdate") is not None:
        detail = "only allowed for updateStrategy 'RollingUpdate'"
        errors.append(field.invalid("spec.updateStrategy.rollingUpdate", field.go_missing(), detail))
    template = spec.get("template")
    if template is not None:
        claims = {row.get("metadata", {}).get("name", "") for row in spec.get("volumeClaimTemplates", ())}
        errors += pod_template(template, "spec.template", claims) + _always(template, "StatefulSet")
    return errors


_LOOSE = (
    "minReadySeconds",
    "ordinals",
    "persistentVolumeClaimRetentionPolicy",
    "replicas",
    "revisionHistoryLimit",
    "template",
    "updateStrategy",
)


def validate_stateful_set_update(value: Object, old: Object) -> Errors:
    """What a StatefulSet's pods are by, their names and claims, never changes."""
    kept = [{key: item for key, item in one.get("spec", {}).items() if key not in _LOOSE} for one in (value, old)]
    if kept[0] == kept[1]:
        return []
    detail = (
        "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy',"
        " 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
    )
    return [field.forbidden("spec", detail)]


def validate_daemon_set(value: Object) -> Errors:
    """A DaemonSet."""
    spec = value.get("spec", {})
    errors = _own_template(spec, "daemonset") + _COUNTS(spec, "spec")
    if template := spec.get("template"):
        errors += pod_template(template, "spec.template") + _always(template, "DaemonSet")
    path, strategy = "spec.updateStrategy", spec.get("updateStrategy", {})
    kind, rolling = strategy.get("type", ""), strategy.get("rollingUpdate")
    if kind not in ("RollingUpdate", "OnDelete"):
        errors.append(field.not_supported(f"{path}.type", kind, ("RollingUpdate", "OnDelete")))
    elif kind == "RollingUpdate" and rolling is None:
        errors.append(field.required(f"{path}.rollingUpdate"))
    elif kind == "RollingUpdate" and rolling is not None:
        errors += _daemon_rolling(rolling, f"{path}.rollingUpdate")
    return errors


def _daemon_rolling(rolling: Object, path: str) -> Errors:
    errors = _ROLLING(rolling, path)
    if errors:
        return errors
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    if _is_zero(unavailable) == _is_zero(surge):
        key, other = ("maxUnavailable", "maxSurge") if _is_zero(surge) else ("maxSurge", "maxUnavailable")
        detail = (
            "cannot be 0 when maxSurge is 0" if key == "maxUnavailable" else f"may not be set when {other} is non-zero"
        )
        return [field.invalid(f"{path}.{key}", go_int_or_string(rolling.get(key, 0)), detail)]
    return []


# ---- ReplicationControllers ------------------------------------------------------------------------------


def validate_replication_controller(value: Object) -> Errors:
    """A ReplicationController: its selector is a plain map, and none is none."""
    spec = value.get("spec", {})
    errors = _REPLICATION_CONTROLLER(spec, "spec")
    template, selector = spec.get("template"), spec.get("selector", {})
    if template is None:
        return [*errors, field.required("spec.template")]
    labels = template.get("metadata", {}).get("labels", {})
    if selector and any(labels.get(key) != item for key, item in selector.items()):
        errors.append(_unmatched(labels))
    return errors + pod_template(template, "spec.template") + _always(template, "ReplicationController")


_REPLICATION_CONTROLLER = shape(
    {
        "minReadySeconds": not_negative,
        "selector": Required(metadata_validation.labels),
        "replicas": not_negative,
    }
)


def validate_pod_template(value: Object) -> Errors:
    """A PodTemplate."""
    return pod_template(value.get("template", {}), "template")


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
    errors = _ROLLING(rolling, f"{path}.rollingUpdate")
    if not errors and _is_zero(rolling.get("maxUnavailable")) and _is_zero(rolling.get("maxSurge")):
        shown = go_int_or_string(rolling.get("maxUnavailable"))
        errors.append(field.invalid(f"{path}.rollingUpdate.maxUnavailable", shown, "may not be 0 when `maxSurge` is 0"))
    return errors


_ROLLING = shape(
    {"maxUnavailable": EvenEmpty(both(int_or_percent, at_most_all)), "maxSurge": EvenEmpty(int_or_percent)}
)


def _is_zero(value: Any) -> bool:
    return value in (None, 0) or (isinstance(value, str) and int(value[:-1]) == 0)
