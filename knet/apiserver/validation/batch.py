"""Jobs and CronJobs (pkg/apis/batch/validation)."""

import re
from typing import Any

from knet.apiserver import field, formats
from knet.apiserver.field import Errors
from knet.apiserver.validation import metadata as metadata_validation
from knet.apiserver.validation.pod import pod_template
from knet.apiserver.validation.rules import (
    Required,
    both,
    each,
    fixed,
    form,
    not_negative,
    numbered,
    one_of,
    shape,
    updates,
)
from knet.apiserver.validation.schedule import wrong_schedule, wrong_time_zone
from knet.apiserver.validation.selectors import go_selector, label_selector, selector_of
from knet.store import Object

#: most indexes, workers of an Indexed Job, and rules
_MAX_INDEXES = 100000
_MAX_PARALLEL = 100000
_MAX_RULES = 20
_MAX_EXIT_CODES = 255
#: a CronJob appends 11 characters to its name
CRONJOB_NAME_LIMIT = 52
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_INTERVAL = re.compile(r"(\d+)(?:-(\d+))?")


def validate_job(value: Object) -> Errors:
    """A Job; its selector and labels have been generated unless it says manualSelector."""
    spec = value.get("spec", {})
    errors = job_spec(spec, "spec")
    selector, template = spec.get("selector"), spec.get("template", {})
    labels = template.get("metadata", {}).get("labels", {})
    if selector is None:
        errors.append(field.required("spec.selector"))
    else:
        errors += label_selector(selector, "spec.selector")
        if not errors and not selector_of(selector).matches(labels):
            detail = "`selector` does not match template `labels`"
            errors.append(field.invalid("spec.template.metadata.labels", labels, detail))
    if spec.get("completionMode") == "Indexed" and spec.get("completions"):
        last = f"{value['metadata'].get('name', '')}-{spec['completions'] - 1}"
        if wrong := formats.dns_label(last):
            detail = f'will not able to create pod with invalid DNS name: "{last}": {wrong}'
            errors.append(field.invalid("metadata.name", last, detail))
    return errors


def job_spec(spec: Object, path: str) -> Errors:
    """The spec of a Job or of a CronJob's template, but for the selector."""
    errors = _JOB(spec, path) + _indexed(spec, path) + _rules(spec, path)
    template = spec.get("template")
    if template is None:
        return [*errors, field.required(f"{path}.template")]
    policy = template.get("spec", {}).get("restartPolicy", "")
    place = f"{path}.template.spec.restartPolicy"
    if policy in ("", "Always"):
        errors.append(field.required(place, 'valid values: "OnFailure", "Never"'))
    elif policy not in ("OnFailure", "Never"):
        errors.append(field.not_supported(place, policy, ("OnFailure", "Never")))
    elif spec.get("podFailurePolicy") is not None and policy != "Never":
        errors.append(field.invalid(place, policy, 'only "Never" is supported when podFailurePolicy is specified'))
    return errors


_JOB = shape(
    {
        "parallelism": not_negative,
        "completions": not_negative,
        "activeDeadlineSeconds": not_negative,
        "backoffLimit": not_negative,
        "ttlSecondsAfterFinished": not_negative,
        "backoffLimitPerIndex": not_negative,
        "maxFailedIndexes": not_negative,
        "completionMode": one_of("Indexed", "NonIndexed"),
        "podReplacementPolicy": one_of("Failed", "TerminatingOrFailed"),
        "managedBy": both(form(formats.domain_prefixed_path)),
        "template": pod_template,
    }
)


def _indexed(spec: Object, path: str) -> Errors:
    """What only Jobs whose pods have indexes may say, and what those have to."""
    errors: Errors = []
    if spec.get("completionMode") != "Indexed":
        detail = "requires indexed completion mode"
        for key in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if spec.get(key) is not None:
                errors.append(field.invalid(f"{path}.{key}", spec[key], detail))
        if spec.get("successPolicy") is not None:
            errors.append(field.invalid(f"{path}.successPolicy", field.Go("batch.SuccessPolicy{…}"), detail))
        return errors
    completions, parallelism = spec.get("completions"), spec.get("parallelism") or 0
    if completions is None:
        return [field.required(f"{path}.completions", "when completion mode is Indexed")]
    if parallelism > _MAX_PARALLEL:
        detail = f"must be less than or equal to {_MAX_PARALLEL} when completion mode is Indexed"
        errors.append(field.invalid(f"{path}.parallelism", parallelism, detail))
    failed = spec.get("maxFailedIndexes")
    if failed is not None and failed > completions:
        detail = "must be less than or equal to completions"
        errors.append(field.invalid(f"{path}.maxFailedIndexes", failed, detail))
    if failed is not None and spec.get("backoffLimitPerIndex") is None:
        detail = "when maxFailedIndexes is specified"
        errors.append(field.required(f"{path}.backoffLimitPerIndex", detail))
    return errors + _success_policy(spec.get("successPolicy"), completions, f"{path}.successPolicy")


def _success_policy(policy: Object | None, completions: int, path: str) -> Errors:
    if policy is None:
        return []
    rules = policy.get("rules", [])
    if not rules:
        detail = "at least one rules must be specified when the successPolicy is specified"
        return [field.required(f"{path}.rules", detail)]
    errors: Errors = []
    if len(rules) > _MAX_RULES:
        errors.append(field.too_many(f"{path}.rules", len(rules), _MAX_RULES))
    for rule, here in numbered(rules, f"{path}.rules"):
        indexes, count = rule.get("succeededIndexes"), rule.get("succeededCount")
        if indexes is None and count is None:
            detail = "at least one of succeededCount or succeededIndexes must be specified"
            errors.append(field.required(here, detail))
            continue
        total = completions
        if indexes is not None:
            total, wrong = count_indexes(indexes, completions)
            if wrong:
                errors.append(
                    field.invalid(f"{here}.succeededIndexes", indexes, f"error parsing succeededIndexes: {wrong}")
                )
        if count is not None:
            errors += not_negative(count, f"{here}.succeededCount")
            limit = "the total index of succeededIndexes" if indexes is not None else "completions"
            if count > total:
                detail = f"must be less than or equal to {total} (the number of specified {limit})"
                if indexes is not None:
                    detail = f"must be less than or equal to {total} (the number of indexes in the specified"
                    detail += " succeededIndexes field)"
                errors.append(field.invalid(f"{here}.succeededCount", count, detail))
    return errors


def count_indexes(text: str, completions: int) -> tuple[int, str]:
    """How many indexes ``0-2,5`` names, and what is wrong with it."""
    total, last = 0, -1
    if not text:
        return 0, ""
    for part in text.split(","):
        match = _INTERVAL.fullmatch(part)
        if match is None:
            return 0, f'cannot convert string to integer for index: "{part.partition("-")[0]}"'
        first, end = int(match[1]), int(match[2] or match[1])
        if match[2] and end <= first:
            return 0, f"non-increasing order, previous: {first}, current: {end}"
        if first <= last:
            return 0, f"non-increasing order, previous: {last}, current: {first}"
        if end >= completions:
            return 0, f'too large index: "{match[2] or match[1]}"'
        total, last = total + end - first + 1, end
    return total, ""


def _rules(spec: Object, path: str) -> Errors:
    """podFailurePolicy."""
    policy = spec.get("podFailurePolicy")
    if policy is None:
        return []
    errors: Errors = []
    containers = [
        row.get("name", "")
        for key in ("containers", "initContainers")
        for row in spec.get("template", {}).get("spec", {}).get(key, ())
    ]
    rules = policy.get("rules", [])
    if len(rules) > _MAX_RULES:
        errors.append(field.too_many(f"{path}.podFailurePolicy.rules", len(rules), _MAX_RULES))
    for rule, here in numbered(rules, f"{path}.podFailurePolicy.rules"):
        errors += _rule(rule, here, spec, containers)
    return errors


def _rule(rule: Object, path: str, spec: Object, containers: list[str]) -> Errors:
    errors: Errors = []
    action = rule.get("action", "")
    if not action:
        names = ", ".join(f'"{name}"' for name in _ACTIONS)
        errors.append(field.required(f"{path}.action", f"valid values: [{names}]"))
    elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
        detail = "requires the backoffLimitPerIndex to be set"
        errors.append(field.invalid(f"{path}.action", action, detail))
    elif action not in _ACTIONS:
        errors.append(field.not_supported(f"{path}.action", action, _ACTIONS))
    codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions", [])
    if codes is not None and conditions:
        detail = "specifying both OnExitCodes and OnPodConditions is not supported"
        errors.append(field.invalid(path, field.go_missing(), detail))
    elif codes is None and not conditions:
        detail = "specifying one of OnExitCodes and OnPodConditions is required"
        errors.append(field.invalid(path, field.go_missing(), detail))
    if codes is not None:
        errors += _exit_codes(codes, f"{path}.onExitCodes", containers)
    return errors + _CONDITIONS(conditions, f"{path}.onPodConditions")


_CONDITIONS = each(
    shape({"type": Required(form(formats.qualified_name)), "status": Required(one_of("False", "True", "Unknown"))})
)


def _exit_codes(codes: Object, path: str, containers: list[str]) -> Errors:
    errors: Errors = []
    operator, values = codes.get("operator", ""), codes.get("values", [])
    if not operator:
        errors.append(field.required(f"{path}.operator", 'valid values: ["In" "NotIn"]'))
    elif operator not in ("In", "NotIn"):
        errors.append(field.not_supported(f"{path}.operator", operator, ("In", "NotIn")))
    name = codes.get("containerName")
    if name is not None and name not in containers:
        detail = "must be one of the container or initContainer names in the pod template"
        errors.append(field.invalid(f"{path}.containerName", name, detail))
    if not values:
        errors.append(field.invalid(f"{path}.values", values, "at least one value is required"))
    elif len(values) > _MAX_EXIT_CODES:
        errors.append(field.too_many(f"{path}.values", len(values), _MAX_EXIT_CODES))
    if values != sorted(values):
        errors.append(field.invalid(f"{path}.values", values, "must be ordered"))
    seen: set[Any] = set()
    for code, here in numbered(values, f"{path}.values"):
        if code in seen:
            errors.append(field.duplicate(here, code))
        seen.add(code)
        if code == 0 and operator == "In":
            errors.append(field.invalid(here, code, "must not be 0 for the In operator"))
    return errors


def validate_job_update(value: Object, old: Object) -> Errors:
    """What a Job is to do never changes, but for its parallelism, and its template while it is suspended."""
    errors = _JOB_FIXED(value, old)
    spec, before = value.get("spec", {}), old.get("spec", {})
    if spec.get("completions") != before.get("completions") and not _elastic(spec, before):
        errors.append(field.immutable("spec.completions", spec.get("completions")))
    template, was = spec.get("template", {}), before.get("template", {})
    if template != was and not (_may_change_template(before, old) and _directives(template) == _directives(was)):
        errors.append(field.immutable("spec.template", field.Go("core.PodTemplateSpec{…}")))
    return errors


def _elastic(spec: Object, before: Object) -> bool:
    """An Indexed Job may change its completions together with its parallelism."""
    return (
        spec.get("completionMode") == "Indexed"
        and spec.get("completions") is not None
        and spec.get("completions") == spec.get("parallelism")
        and before.get("completions") is not None
    )


def _may_change_template(before: Object, old: Object) -> bool:
    """A suspended Job that has not begun takes other scheduling directives."""
    return bool(before.get("suspend")) and not old.get("status", {}).get("startTime")


def _directives(template: Object) -> Object:
    """A template without what says where its pods go."""
    loose = ("affinity", "nodeSelector", "tolerations", "schedulingGates")
    spec = {key: item for key, item in template.get("spec", {}).items() if key not in loose}
    metadata = {key: item for key, item in template.get("metadata", {}).items() if key not in ("labels", "annotations")}
    return {**template, "metadata": metadata, "spec": spec}


_JOB_FIXED = updates(
    fixed("spec.selector", shown=lambda selector: go_selector(selector or {})),
    fixed("spec.completionMode", "spec.backoffLimitPerIndex", "spec.managedBy"),
    fixed("spec.podFailurePolicy", "spec.successPolicy", shown=lambda value: field.Go("{…}" if value else "nil")),
)


def validate_cron_job(value: Object) -> Errors:
    """A CronJob."""
    errors = _CRON_JOB(value.get("spec", {}), "spec")
    if len(value["metadata"].get("name", "")) > CRONJOB_NAME_LIMIT:
        detail = "must be no more than 52 characters"
        errors.append(field.invalid("metadata.name", value["metadata"]["name"], detail))
    return errors


def _schedule(text: str, path: str) -> Errors:
    if "TZ" in text:
        detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        return [field.invalid(path, text, detail)]
    wrong = wrong_schedule(text)
    return [field.invalid(path, text, wrong)] if wrong else []


def _job_template(template: Object, path: str) -> Errors:
    spec = template.get("spec", {})
    errors = metadata_validation.common(template.get("metadata", {}), f"{path}.metadata")
    if spec.get("selector") is not None:
        shown = go_selector(spec["selector"])
        errors.append(field.invalid(f"{path}.spec.selector", shown, "`selector` will be auto-generated"))
    if spec.get("manualSelector"):
        errors.append(field.not_supported(f"{path}.spec.manualSelector", True, ("nil", "false")))
    return errors + job_spec(spec, f"{path}.spec")


_CRON_JOB = shape(
    {
        "schedule": Required(_schedule),
        "timeZone": form(wrong_time_zone),
        "startingDeadlineSeconds": not_negative,
        "concurrencyPolicy": one_of("Allow", "Forbid", "Replace"),
        "jobTemplate": Required(_job_template),
        "successfulJobsHistoryLimit": not_negative,
        "failedJobsHistoryLimit": not_negative,
    }
)
