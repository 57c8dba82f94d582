"""Configurations of webhooks and admission policies, as tables: what goes in, what upstream says."""

# upstream's sentences are long, and a table has one row per line
# ruff: noqa: E501

from typing import Any

import pytest

from knet.apiserver.defaults.policy import default_admission_policy, default_policy_binding
from knet.apiserver.validation.admission_policies import validate_binding, validate_policy
from knet.apiserver.validation.webhooks import validate_mutating, validate_validating

JSON = dict[str, Any]

RULE: JSON = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}


def hook(**more: Any) -> JSON:
    """A sound webhook, but for ``more``; None leaves a field out."""
    row = {
        "name": "a.example.com",
        "clientConfig": {"url": "https://example.com/validate"},
        "rules": [RULE],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        **more,
    }
    return {key: value for key, value in row.items() if value is not None}


def service(**more: Any) -> JSON:
    return {"clientConfig": {"service": {"name": "web", "namespace": "default", "port": 443, **more}}}


def condition(expression: str, name: str = "c") -> JSON:
    return {"matchConditions": [{"name": name, "expression": expression}]}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*", "*/*"][1:]}]},
        {"rules": [RULE | {"resources": ["pods", "pods/*", "*/scale"], "scope": "Namespaced"}]},
        service(),
        service(path="/a/b.c/"),
        condition("object.metadata.name == 'x' && request.operation != 'DELETE'"),
    ],
)
def test_sound_webhooks(more: JSON) -> None:
    assert validate_validating({"webhooks": [hook(**more)]}) == []
    assert validate_mutating({"webhooks": [hook(**more, reinvocationPolicy="IfNeeded")]}) == []


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"name": None}, "name: Required value"),
        (
            {"name": "a.example"},
            'name: Invalid value: "a.example": should be a domain with at least three segments separated by dots',
        ),
        ({"sideEffects": None}, "sideEffects: Required value: must specify one of None, NoneOnDryRun"),
        ({"sideEffects": "Some"}, 'sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"'),
        ({"failurePolicy": "Maybe"}, 'failurePolicy: Unsupported value: "Maybe": supported values: "Fail", "Ignore"'),
        ({"matchPolicy": "Maybe"}, 'matchPolicy: Unsupported value: "Maybe": supported values: "Equivalent", "Exact"'),
        (
            {"timeoutSeconds": 31},
            "timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
        ),
        ({"admissionReviewVersions": None}, "admissionReviewVersions: Required value: must specify one of v1, v1beta1"),
        (
            {"admissionReviewVersions": ["v7"]},
            'admissionReviewVersions: Invalid value: []string{"v7"}: must include at least one of v1, v1beta1',
        ),
        (
            {"admissionReviewVersions": ["v1", "v1"]},
            'admissionReviewVersions[1]: Invalid value: "v1": duplicate version',
        ),
        (
            {"objectSelector": {"matchExpressions": [{"key": "a", "operator": "Is"}]}},
            'objectSelector.matchExpressions[0].operator: Invalid value: "Is": not a valid selector operator',
        ),
        ({"rules": [RULE | {"operations": []}]}, "rules[0].operations: Required value"),
        (
            {"rules": [RULE | {"operations": ["*", "CREATE"]}]},
            'rules[0].operations: Invalid value: []admissionregistration.OperationType{"*", "CREATE"}: if \'*\' is present, must not specify other operations',
        ),
        (
            {"rules": [RULE | {"operations": ["GET"]}]},
            'rules[0].operations[0]: Unsupported value: "GET": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE"',
        ),
        ({"rules": [RULE | {"apiGroups": []}]}, "rules[0].apiGroups: Required value"),
        (
            {"rules": [RULE | {"apiGroups": ["*", "apps"]}]},
            'rules[0].apiGroups: Invalid value: []string{"*", "apps"}: if \'*\' is present, must not specify other API groups',
        ),
        ({"rules": [RULE | {"apiVersions": [""]}]}, "rules[0].apiVersions[0]: Required value"),
        (
            {"rules": [RULE | {"resources": ["pods/*", "pods/status"]}]},
            "rules[0].resources[1]: Invalid value: \"pods/status\": if 'pods/*' is present, must not specify pods/status",
        ),
        (
            {"rules": [RULE | {"resources": ["*/*", "a"]}]},
            'rules[0].resources: Invalid value: []string{"*/*", "a"}: if \'*/*\' is present, must not specify other resources',
        ),
        (
            {"rules": [RULE | {"resources": ["*", "a"]}]},
            'rules[0].resources: Invalid value: []string{"*", "a"}: if \'*\' is present, must not specify other resources without subresources',
        ),
        (
            {"rules": [RULE | {"scope": "Wide"}]},
            'rules[0].scope: Unsupported value: "Wide": supported values: "*", "Cluster", "Namespaced"',
        ),
        ({"clientConfig": {}}, "clientConfig: Required value: exactly one of url or service is required"),
        (
            {"clientConfig": {"url": "http://a.b/c"}},
            "clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
        ),
        (
            {"clientConfig": {"url": "https:///c"}},
            'clientConfig.url: Invalid value: "": host must be specified; desired format: https://host[/path]',
        ),
        (
            {"clientConfig": {"url": "https://me@a.b/"}},
            'clientConfig.url: Invalid value: "me": user information is not permitted in the URL',
        ),
        (
            {"clientConfig": {"url": "https://a.b/?x=y"}},
            'clientConfig.url: Invalid value: "x=y": query parameters are not permitted in the URL',
        ),
        (service(name=""), "clientConfig.service.name: Required value"),
        (
            service(port=0),
            "clientConfig.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive",
        ),
        (service(path="a"), "clientConfig.service.path: Invalid value: \"a\": must start with a '/'"),
        (service(path="/a//b"), 'clientConfig.service.path: Invalid value: "/a//b": segment[1] may not be empty'),
        (condition(""), "matchConditions[0].expression: Required value"),
        (
            condition("'text'"),
            "matchConditions[0].expression: Invalid value: \"'text'\": must evaluate to bool but got string",
        ),
        (condition("true", ""), "matchConditions[0].name: Required value"),
        (
            {"matchConditions": [{"name": "c", "expression": "true"}] * 2},
            'matchConditions[1].name: Duplicate value: "c"',
        ),
    ],
)
def test_wrong_webhooks(more: JSON, error: str) -> None:
    assert f"webhooks[0].{error}" in [str(found) for found in validate_validating({"webhooks": [hook(**more)]})]


def test_what_does_not_compile_is_shown_with_the_compilers_words() -> None:
    (error,) = validate_mutating({"webhooks": [hook(**condition("params == 1"))]})
    assert "compilation failed: ERROR: <input>:1:1: undeclared reference to 'params'" in str(error)


def test_names_are_unique() -> None:
    assert [str(error) for error in validate_validating({"webhooks": [hook(), hook()]})] == [
        'webhooks[1].name: Duplicate value: "a.example.com"'
    ]
    (error,) = validate_mutating({"webhooks": [hook(reinvocationPolicy="Always")]})
    assert str(error) == (
        'webhooks[0].reinvocationPolicy: Unsupported value: "Always": supported values: "IfNeeded", "Never"'
    )


# ---- policies ----------------------------------------------------------------------------------------------------


def policy(**spec: Any) -> JSON:
    """A sound policy, but for ``spec``; None leaves a field out."""
    row = {"matchConstraints": {"resourceRules": [RULE]}, "validations": [{"expression": "true"}], **spec}
    value = {"metadata": {"name": "limit"}, "spec": {key: item for key, item in row.items() if item is not None}}
    default_admission_policy(value)
    return value


def binding(**spec: Any) -> JSON:
    """A sound binding, but for ``spec``."""
    value = {"metadata": {"name": "limit"}, "spec": {"policyName": "limit", "validationActions": ["Deny"], **spec}}
    default_policy_binding(value)
    return value


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}, "validations": [{"expression": "params.a == 'b'"}]},
        {"variables": [{"name": "a", "expression": "1"}], "validations": [{"expression": "variables.a == 1"}]},
        {"validations": None, "auditAnnotations": [{"key": "who", "valueExpression": "request.userInfo.username"}]},
        {
            "validations": [
                {"expression": "true", "messageExpression": "'x' + object.metadata.name", "reason": "Forbidden"}
            ]
        },
    ],
)
def test_sound_policies(spec: JSON) -> None:
    assert validate_policy(policy(**spec)) == []


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        (
            {"validations": None},
            "spec.validations: Required value: validations or auditAnnotations must contain at least one item",
        ),
        (
            {"failurePolicy": "Maybe"},
            'spec.failurePolicy: Unsupported value: "Maybe": supported values: "Fail", "Ignore"',
        ),
        ({"matchConstraints": None}, "spec.matchConstraints: Required value"),
        ({"matchConstraints": {"resourceRules": []}}, "spec.matchConstraints.resourceRules: Required value"),
        (
            {"matchConstraints": {"resourceRules": [RULE | {"resourceNames": ["a/b"]}]}},
            "spec.matchConstraints.resourceRules[0].resourceNames[0]: Invalid value: \"a/b\": may not contain '/'",
        ),
        ({"paramKind": {"kind": "X"}}, "spec.paramKind.apiVersion: Required value"),
        (
            {"paramKind": {"apiVersion": "a/b/c", "kind": "X"}},
            'spec.paramKind.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c',
        ),
        (
            {"validations": [{"expression": " "}]},
            "spec.validations[0].expression: Required value: expression is not specified",
        ),
        (
            {"validations": [{"expression": "1"}]},
            'spec.validations[0].expression: Invalid value: "1": must evaluate to bool but got int',
        ),
        (
            {"validations": [{"expression": "true", "message": "a\nb"}]},
            'spec.validations[0].message: Invalid value: "a\\nb": message must not contain line breaks',
        ),
        (
            {"validations": [{"expression": "true", "messageExpression": "1"}]},
            'spec.validations[0].messageExpression: Invalid value: "1": must evaluate to string but got int',
        ),
        (
            {"validations": [{"expression": "true", "reason": "Conflict"}]},
            'spec.validations[0].reason: Unsupported value: "Conflict": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge"',
        ),
        (
            {"variables": [{"name": "a-b", "expression": "1"}]},
            'spec.variables[0].name: Invalid value: "a-b": name is not a valid CEL identifier',
        ),
        (
            {"auditAnnotations": [{"key": "a", "valueExpression": "1"}]},
            'spec.auditAnnotations[0].valueExpression: Invalid value: "1": must evaluate to one of [string null] but got int',
        ),
        (
            {"auditAnnotations": [{"key": "a", "valueExpression": "'b'"}] * 2},
            'spec.auditAnnotations[1].key: Duplicate value: "a"',
        ),
    ],
)
def test_wrong_policies(spec: JSON, error: str) -> None:
    assert error in [str(found) for found in validate_policy(policy(**spec))]


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ({"policyName": ""}, "spec.policyName: Required value"),
        (
            {"validationActions": []},
            "spec.validationActions: Required value: at least one validation action is required",
        ),
        (
            {"validationActions": ["Stop"]},
            'spec.validationActions[0]: Unsupported value: "Stop": supported values: "Audit", "Deny", "Warn"',
        ),
        ({"validationActions": ["Deny", "Deny"]}, 'spec.validationActions[1]: Duplicate value: "Deny"'),
        (
            {"validationActions": ["Deny", "Warn"]},
            'spec.validationActions: Invalid value: []admissionregistration.ValidationAction{"Deny", "Warn"}: must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)',
        ),
        ({"paramRef": {}}, "spec.paramRef: Required value: one of name or selector must be specified"),
        ({"paramRef": {"name": "a"}}, "spec.paramRef.parameterNotFoundAction: Required value"),
        (
            {"paramRef": {"name": "a", "selector": {}}},
            "spec.paramRef.selector: Forbidden: name and selector are mutually exclusive",
        ),
    ],
)
def test_wrong_bindings(spec: JSON, error: str) -> None:
    assert validate_binding(binding()) == []
    assert error in [str(found) for found in validate_binding(binding(**spec))]
