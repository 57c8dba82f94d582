"""What makes a CustomResourceDefinition invalid, in upstream's words; and what may not change any more."""

from collections.abc import Callable
from typing import Any

import pytest
from custom_harness import CRON_TAB_VERSION, GROUP, JSON, definition, version

from knet.apiserver.custom import definition as definitions
from knet.apiserver.custom.status import accept

OBJECT: JSON = {"type": "object"}


def errors_of(value: JSON) -> list[str]:
    """A new definition's errors."""
    definitions.default(value)
    definitions.prepare_create(value)
    return [str(error) for error in definitions.validate(value)]


def with_schema(schema: JSON, **more: Any) -> list[str]:
    """The errors of a definition whose ``spec`` has this schema, without the path to it."""
    root = {"type": "object", "properties": {"spec": schema}}
    found = errors_of(definition("tabs", "Tab", version(schema=root, **more)))
    prefix = "spec.versions[0].schema.openAPIV3Schema.properties[spec]"
    return [error.removeprefix(prefix) for error in found]


def test_the_examples_are_valid() -> None:
    assert errors_of(definition("crontabs", "CronTab", version(**CRON_TAB_VERSION))) == []


def put(path: str, item: Any) -> Callable[[JSON], None]:
    """Sets a field below ``spec``."""

    def change(value: JSON) -> None:
        here: Any = value["spec"]
        *parents, last = path.split(".")
        for key in parents:
            here = here[int(key)] if key.isdigit() else here.setdefault(key, {})
        here[last] = item

    return change


@pytest.mark.parametrize(
    ("change", "errors"),
    [
        (
            put("names.plural", "others"),
            ['metadata.name: Invalid value: "tabs.stable.example.com": must be spec.names.plural+"."+spec.group'],
        ),
        (
            put("scope", "Galaxy"),
            ['spec.scope: Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced"'],
        ),
        (put("scope", ""), ["spec.scope: Required value"]),
        (
            put("versions.0.storage", False),
            ["must have exactly one version marked as storage version", "must have at least one stored version"],
        ),
        (put("versions.0.schema", None), ["spec.versions[0].schema.openAPIV3Schema: Required value"]),
        (
            put("versions.0.deprecationWarning", "old"),
            ['spec.versions[0].deprecationWarning: Invalid value: "old": can only be set for deprecated versions'],
        ),
        (
            put("names.listKind", "Tab"),
            ['spec.names.listKind: Invalid value: "Tab": kind and listKind may not be the same'],
        ),
        (put("names.shortNames", ["A"]), ['spec.names.shortNames[0]: Invalid value: "A": a DNS-1035 label']),
        (
            put("conversion.strategy", "Magic"),
            ['spec.conversion.strategy: Unsupported value: "Magic": supported values: "None", "Webhook"'],
        ),
        (put("conversion.strategy", "Webhook"), ["spec.conversion.strategy: Forbidden: knet converts"]),
        (
            put("preserveUnknownFields", True),
            ["spec.preserveUnknownFields: Invalid value: true: cannot set to true"],
        ),
        (
            put("versions.0.additionalPrinterColumns", [{"name": "a", "type": "time", "jsonPath": "a"}]),
            [
                'Columns[0].type: Invalid value: "time": must be one of boolean,date,integer,number,string',
                'additionalPrinterColumns[0].JSONPath: Invalid value: "a": must be a simple json path starting with .',
            ],
        ),
        (
            put("versions.0.subresources", {"scale": {"specReplicasPath": ".status.a"}}),
            [
                'scale.specReplicasPath: Invalid value: ".status.a": should be a json path under .spec',
                "scale.statusReplicasPath: Required value",
            ],
        ),
        (
            put("versions.0.selectableFields", [{"jsonPath": ".spec.nothing"}]),
            ['selectableFields[0].jsonPath: Invalid value: ".spec.nothing": is an invalid path'],
        ),
    ],
)
def test_definitions(change: Callable[[JSON], None], errors: list[str]) -> None:
    value = definition("tabs", "Tab", version())
    change(value)
    found = errors_of(value)
    assert len(found) == len(errors), found
    for error, part in zip(found, errors, strict=True):
        assert part in error


STRING = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "errors"),
    [
        ({}, [".type: Required value: must not be empty for specified object fields"]),
        ({"type": "array"}, [".items: Required value: must be specified"]),
        ({"type": "text"}, ['.type: Unsupported value: "text": supported values:']),
        ({"type": "object", "properties": {"a": {}}}, [".properties[a].type: Required value"]),
        (
            {"type": "object", "properties": {"a": STRING}, "additionalProperties": STRING},
            [".additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"],
        ),
        (
            {"type": "array", "items": STRING, "uniqueItems": True},
            [".uniqueItems: Forbidden: uniqueItems cannot be set to true since"],
        ),
        ({**STRING, "pattern": "("}, ['.pattern: Invalid value: "(": must be a valid regular expression, but isn\'t:']),
        ({**STRING, "default": 5}, [".default: Invalid value"]),
        (
            {"type": "object", "properties": {"a": STRING}, "default": {"b": 1}},
            ['.default: Invalid value: {"b":1}: must not have unknown fields'],
        ),
        (
            {"type": "object", "allOf": [{"properties": {"a": {"minLength": 1}}}]},
            [".properties[a]: Required value: because it is defined in"],
        ),
        (
            {"type": "object", "properties": {"a": STRING}, "oneOf": [{"properties": {"a": STRING}}]},
            [".oneOf[0].properties[a].type: Forbidden: must be empty to be structural"],
        ),
        (
            {"type": "array", "items": STRING, "x-kubernetes-list-type": "map"},
            [
                ".x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
                '.items.type: Invalid value: "string": must be object if parent array\'s x-kubernetes-list-type is map',
            ],
        ),
        (
            {"type": "object", "x-kubernetes-embedded-resource": True},
            [".properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without"],
        ),
        (
            {**STRING, "x-kubernetes-validations": [{"rule": "self ++ 1"}]},
            ["x-kubernetes-validations[0].rule: Invalid value"],
        ),
        (
            {**STRING, "x-kubernetes-validations": [{"rule": "size(self)"}]},
            ["must evaluate to a bool"],
        ),
        (
            {"type": "array", "items": {**STRING, "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}},
            ["oldSelf cannot be used on the uncorrelatable portion of the schema within"],
        ),
        ({"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}, []),
        ({"x-kubernetes-preserve-unknown-fields": True}, []),
    ],
)
def test_schemas(schema: JSON, errors: list[str]) -> None:
    found = with_schema(schema)
    assert len(found) == len(errors), found
    for error, part in zip(found, errors, strict=True):
        assert part in error


def test_what_is_established_stays() -> None:
    old = definition("tabs", "Tab", version())
    old["status"] = {"conditions": [{"type": "Established", "status": "True"}]}
    new = definition("tabs", "Tub", version(), scope="Cluster")
    assert [str(error) for error in definitions.validate_update(new, old)] == [
        'spec.scope: Invalid value: "Cluster": field is immutable',
        'spec.names.kind: Invalid value: "Tub": field is immutable',
    ]


def test_storage_versions_are_remembered_and_cannot_be_dropped() -> None:
    value = definition("tabs", "Tab", version("v1"))
    definitions.default(value)
    definitions.prepare_create(value)
    changed = definition("tabs", "Tab", version("v2"))
    changed["status"] = value["status"]
    definitions.default(changed)
    definitions.prepare_update(changed, value)
    assert changed["status"]["storedVersions"] == ["v1", "v2"]
    [error] = definitions.validate(changed)
    assert str(error).startswith('status.storedVersions[0]: Invalid value: "v1": missing from spec.versions;')


@pytest.mark.parametrize(
    ("wanted", "accepted", "reason", "names"),
    [
        ({"plural": "a", "kind": "A"}, {}, "NoConflicts", {"plural": "a", "kind": "A"}),
        ({"plural": "taken", "kind": "A"}, {}, "PluralConflict", {"kind": "A"}),
        ({"plural": "a", "kind": "Taken"}, {}, "KindConflict", {"plural": "a"}),
        ({"plural": "taken"}, {"plural": "taken"}, "NoConflicts", {"plural": "taken"}),
        ({"plural": "a", "shortNames": ["x", "taken"]}, {}, "ShortNamesConflict", {"plural": "a"}),
    ],
)
def test_names(wanted: JSON, accepted: JSON, reason: str, names: JSON) -> None:
    found, row = accept(wanted, accepted, ({"taken"}, {"Taken"}))
    assert (row.reason, found) == (reason, names)


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ("", "MissingAnnotation"),
        ("https://github.com/kubernetes/enhancements/pull/1", "ApprovedAnnotation"),
        ("unapproved, request not yet submitted", "UnapprovedAnnotation"),
        ("yes", "InvalidAnnotation"),
    ],
)
def test_groups_of_the_community_need_approval(annotation: str, reason: str) -> None:
    value = definition("tabs", "Tab", version())
    value["metadata"]["annotations"] = {"api-approved.kubernetes.io": annotation} if annotation else {}
    assert definitions.approval(value)[1] == reason
    assert definitions.is_protected("apps.k8s.io") and not definitions.is_protected(GROUP)
