"""ValidatingAdmissionPolicies and their bindings (pkg/apis/admissionregistration/validation)."""

import re

from knet.apiserver import field, formats
from knet.apiserver.expressions import RESERVED, variables_of, without_authorizer
from knet.apiserver.field import Errors
from knet.apiserver.validation.rules import Required, Rule, both, each, form, one_of, shape, unique
from knet.apiserver.validation.selectors import label_selector
from knet.apiserver.validation.webhooks import (
    FAILURE_POLICY,
    MATCH_POLICY,
    RULE,
    expression,
    match_conditions,
)
from knet.store import Object

_MOST_ANNOTATIONS = 20
#: bytes of a valueExpression
_LONGEST_EXPRESSION = 5 * 1024
_ACTIONS = ("Audit", "Deny", "Warn")
_is_identifier = re.compile("[_a-zA-Z][_a-zA-Z0-9]*").fullmatch

_NAMED_RULE = both(
    shape({"resourceNames": both(each(form(formats.path_segment)), unique(lambda name: name))}),
    RULE,
)
_MATCH = {
    "matchPolicy": MATCH_POLICY,
    "namespaceSelector": label_selector,
    "objectSelector": label_selector,
    "resourceRules": each(_NAMED_RULE),
    "excludeResourceRules": each(_NAMED_RULE),
}
_CONSTRAINTS = shape({**_MATCH, "resourceRules": Required(each(_NAMED_RULE))})


def _text(rule: Rule, missing: str) -> Rule:
    """An expression that is not blank."""
    return lambda value, path: rule(value, path) if value.strip() else [field.required(path, missing)]


# ---- policies --------------------------------------------------------------------------------------------


def _api_version(value: str, path: str) -> Errors:
    if value.count("/") > 1:
        return [field.invalid(path, value, f"unexpected GroupVersion string: {value}")]
    group, _, version = value.rpartition("/")
    errors: Errors = []
    if group and (wrong := formats.dns_subdomain(group)):
        errors.append(field.invalid(path, group, wrong))
    if not version:
        errors.append(field.invalid(path, value, "version must be specified"))
    elif wrong := formats.dns_1035_label(version):
        errors.append(field.invalid(path, version, wrong))
    return errors


def _kind(value: str, path: str) -> Errors:
    wrong = formats.dns_1035_label(value.lower())
    return [field.invalid(path, value, f"may have mixed case, but should otherwise match: {wrong}")] if wrong else []


_PARAM_KIND = shape({"apiVersion": Required(_api_version), "kind": Required(_kind)})


def _identifier(value: str, path: str) -> Errors:
    if not value.strip():
        return [field.required(path, "name is not specified")]
    if _is_identifier(value) and value not in RESERVED:
        return []
    return [field.invalid(path, value, "name is not a valid CEL identifier")]


def _message(value: str, path: str) -> Errors:
    if not value.strip():
        return [field.invalid(path, value, "message must be non-empty if specified")]
    if "\n" in value.strip() or "\r" in value.strip():
        return [field.invalid(path, value, "message must not contain line breaks")]
    return []


def _message_expression(rule: Rule) -> Rule:
    return lambda value, path: (
        rule(value, path) if value.strip() else [field.invalid(path, value, "must be non-empty if specified")]
    )


def _annotation(policy: str, rule: Rule) -> Rule:
    """One auditAnnotation; its key stands in the log after the policy's name."""

    def key(value: str, path: str) -> Errors:
        if not policy:
            return [field.invalid(path, value, "requires metadata.name be non-empty")]
        wrong = formats.qualified_name(f"{policy}/{value}")
        return [field.invalid(path, f"{policy}/{value}", wrong)] if wrong else []

    def short(value: str, path: str) -> Errors:
        if len(value.strip().encode()) > _LONGEST_EXPRESSION:
            return [field.required(path, f"must not exceed {_LONGEST_EXPRESSION} bytes in length")]
        return rule(value, path)

    missing = "valueExpression is not specified"
    return shape({"key": Required(key), "valueExpression": Required(_text(short, missing), missing)})


def _few(value: list[Object], path: str) -> Errors:
    if len(value) <= _MOST_ANNOTATIONS:
        return []
    return [field.invalid(path, field.go_missing(), f"must not have more than {_MOST_ANNOTATIONS} auditAnnotations")]


def _something(value: Object, path: str) -> Errors:
    if value.get("validations") or value.get("auditAnnotations"):
        return []
    detail = "validations or auditAnnotations must contain at least one item"
    return [field.required(f"{path}.{key}", detail) for key in ("validations", "auditAnnotations")]


def _spec(policy: str, spec: Object) -> Rule:
    """A policy's spec: what its expressions may speak of depends on the rest of it."""
    parametric = bool(spec.get("paramKind"))
    names = variables_of(parametric, bool(spec.get("variables")))
    missing = "expression is not specified"
    variable = shape(
        {
            "name": Required(_identifier, "name is not specified"),
            "expression": Required(_text(expression(names), missing), missing),
        }
    )
    validation = shape(
        {
            "expression": Required(_text(expression(names, "bool"), missing), missing),
            "messageExpression": _message_expression(expression(without_authorizer(names), "string")),
            "message": _message,
            "reason": one_of("Forbidden", "Invalid", "RequestEntityTooLarge"),
        }
    )
    annotation = _annotation(policy, expression(names, "string", "null"))
    return shape(
        {
            "failurePolicy": FAILURE_POLICY,
            "paramKind": _PARAM_KIND,
            "matchConstraints": Required(_CONSTRAINTS),
            "matchConditions": match_conditions(parametric),
            "variables": each(variable),
            "validations": each(validation),
            "auditAnnotations": both(_few, each(annotation), unique(lambda row: row.get("key") or None, place=".key")),
        },
        _something,
    )


def validate_policy(value: Object) -> Errors:
    """A ValidatingAdmissionPolicy: everything in it compiles."""
    spec = value.get("spec") or {}
    return _spec(value["metadata"].get("name") or "", spec)(spec, "spec")


# ---- bindings --------------------------------------------------------------------------------------------


def _reference(value: Object, path: str) -> Errors:
    errors: Errors = []
    name, selector = value.get("name") or "", value.get("selector")
    exclusive = "name and selector are mutually exclusive"
    if name and (wrong := formats.path_segment(name)):
        errors.append(field.invalid(f"{path}.name", name, wrong))
    if name and selector is not None:
        errors.append(field.forbidden(f"{path}.name", exclusive))
    if selector is not None:
        errors += label_selector(selector, f"{path}.selector")
        if name:
            errors.append(field.forbidden(f"{path}.selector", exclusive))
    if not name and selector is None:
        errors.append(field.required(path, "one of name or selector must be specified"))
    return errors + _NOT_FOUND(value, path)


_NOT_FOUND = shape({"parameterNotFoundAction": Required(one_of("Deny", "Allow"))})


def _actions(value: list[str], path: str) -> Errors:
    errors: Errors = []
    for index, action in enumerate(value):
        if action not in _ACTIONS:
            errors.append(field.not_supported(f"{path}[{index}]", action, _ACTIONS))
        if action in value[:index]:
            errors.append(field.duplicate(f"{path}[{index}]", action))
    if {"Deny", "Warn"} <= set(value):
        shown = field.go_list("admissionregistration.ValidationAction", value)
        detail = (
            "must not contain both Deny and Warn (repeating the same validation failure information in the API response"
            " and headers serves no purpose)"
        )
        errors.append(field.invalid(path, shown, detail))
    return errors


_BINDING = shape(
    {
        "policyName": Required(form(formats.dns_subdomain)),
        "paramRef": _reference,
        "matchResources": shape(_MATCH),
        "validationActions": Required(_actions, "at least one validation action is required"),
    }
)


def validate_binding(value: Object) -> Errors:
    """A ValidatingAdmissionPolicyBinding."""
    return _BINDING(value.get("spec") or {}, "spec")
