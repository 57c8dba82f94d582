"""What schemas demand of values, what they forgive, and what rules say: pure tables."""

from typing import Any

import pytest

from knet.apiserver.custom.kinds import Validation
from knet.apiserver.custom.walking import ABSENT
from knet.apiserver.formats import dns_1035_label

JSON = dict[str, Any]


def wrong(schema: JSON, value: Any, old: Any = ABSENT) -> list[str]:
    """What is wrong with ``spec`` of an object, whose schema this is."""
    validation = Validation({"type": "object", "properties": {"spec": schema}}, None)
    was = old if old is ABSENT else {"spec": old}
    return [str(error) for error in validation.validate({"spec": value}, was)]


STRING, INTEGER = {"type": "string"}, {"type": "integer"}


@pytest.mark.parametrize(
    ("schema", "value", "errors"),
    [
        (STRING, "text", []),
        (STRING, None, ['spec: Invalid value: "null": spec in body must be of type string: "null"']),
        ({**STRING, "nullable": True}, None, []),
        (INTEGER, 1.0, []),
        (INTEGER, 1.5, ['spec: Invalid value: "number": spec in body must be of type integer: "number"']),
        (INTEGER, True, ['spec: Invalid value: "boolean": spec in body must be of type integer: "boolean"']),
        ({"type": "number"}, 1, []),
        ({"x-kubernetes-int-or-string": True}, "x", []),
        (
            {"x-kubernetes-int-or-string": True},
            [],
            ['spec: Invalid value: "array": spec in body must be of type integer,string: "array"'],
        ),
        ({**STRING, "enum": ["a", "b"]}, "c", ['spec: Unsupported value: "c": supported values: "a", "b"']),
        ({**STRING, "pattern": "^a+$"}, "b", ["spec: Invalid value: \"b\": spec in body should match '^a+$'"]),
        ({**STRING, "maxLength": 2}, "äöü", ["spec: Too long: may not be more than 2 bytes"]),
        (
            {**STRING, "minLength": 2},
            "a",
            ['spec: Invalid value: "a": spec in body should be at least 2 chars long'],
        ),
        (
            {**STRING, "format": "ipv4"},
            "1.2.3",
            ['spec: Invalid value: "1.2.3": spec in body must be of type ipv4: "1.2.3"'],
        ),
        ({**STRING, "format": "of my own"}, "anything", []),
        (
            {**INTEGER, "minimum": 3, "exclusiveMinimum": True},
            3,
            ["spec: Invalid value: 3: spec in body should be greater than 3"],
        ),
        (
            {**INTEGER, "maximum": 3},
            4,
            ["spec: Invalid value: 4: spec in body should be less than or equal to 3"],
        ),
        ({**INTEGER, "multipleOf": 3}, 4, ["spec: Invalid value: 4: spec in body should be a multiple of 3"]),
        (
            {"type": "array", "items": STRING, "maxItems": 1},
            ["a", "b"],
            ["spec: Too many: 2: must have at most 1 item"],
        ),
        (
            {"type": "array", "items": STRING, "minItems": 1},
            [],
            ["spec: Invalid value: []: spec in body should have at least 1 items"],
        ),
        (
            {"type": "array", "items": STRING},
            ["a", 1],
            ['spec[1]: Invalid value: "integer": spec[1] in body must be of type string: "integer"'],
        ),
        (
            {"type": "array", "items": STRING, "x-kubernetes-list-type": "set"},
            ["a", "b", "a", "a"],
            ['spec[2]: Duplicate value: "a"'],
        ),
        ({"type": "object", "required": ["a"]}, {}, ["spec.a: Required value"]),
        (
            {"type": "object", "additionalProperties": INTEGER, "maxProperties": 1},
            {"a": 1, "b": "x"},
            [
                "spec: Too many: 2: must have at most 1 item",
                'spec.b: Invalid value: "string": spec.b in body must be of type integer: "string"',
            ],
        ),
        (
            {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
            {"a": 1, "b": 2},
            [
                '<nil>: Invalid value: "": "spec" must validate one and only one schema (oneOf).'
                " Found 2 valid alternatives"
            ],
        ),
        (
            {"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
            {},
            ['<nil>: Invalid value: "": "spec" must validate at least one schema (anyOf)', "spec.a: Required value"],
        ),
        (
            {"type": "object", "not": {"required": ["a"]}},
            {"a": 1},
            ['<nil>: Invalid value: "": "spec" must not validate the schema (not)'],
        ),
    ],
)
def test_values(schema: JSON, value: Any, errors: list[str]) -> None:
    assert wrong(schema, value) == errors


KEYED = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
    "items": {"type": "object", "properties": {"name": STRING, "size": {**INTEGER, "maximum": 9}}},
}


@pytest.mark.parametrize(
    ("schema", "old", "new", "count"),
    [
        pytest.param({**INTEGER, "maximum": 9}, 10, 10, 0, id="unchanged"),
        pytest.param({**INTEGER, "maximum": 9}, 10, 11, 1, id="changed"),
        pytest.param({"type": "object", "properties": {"a": STRING}, "required": ["b"]}, {"a": "x"}, {"a": "x"}, 0),
        pytest.param(
            {"type": "object", "properties": {"a": STRING}, "required": ["b"]}, {"a": "x"}, {"a": "y"}, 1, id="beside"
        ),
        pytest.param(KEYED, [{"name": "a", "size": 10}], [{"name": "b"}, {"name": "a", "size": 10}], 0, id="moved"),
        pytest.param(
            {**KEYED, "x-kubernetes-list-type": "atomic", "x-kubernetes-list-map-keys": None},
            [{"name": "a", "size": 10}],
            [{"name": "b"}, {"name": "a", "size": 10}],
            1,
            id="nobody can tell",
        ),
        pytest.param(
            KEYED, [{"name": "a"}, {"name": "a"}], [{"name": "a"}, {"name": "a"}, {"name": "b"}], 0, id="twice"
        ),
        pytest.param(KEYED, [{"name": "a"}], [{"name": "a"}, {"name": "a"}], 1, id="twice now"),
    ],
)
def test_an_update_need_not_mend_what_it_does_not_touch(schema: JSON, old: Any, new: Any, count: int) -> None:
    assert len(wrong(schema, new, old)) == count


def ruled(rule: str, schema: JSON | None = None, **more: Any) -> JSON:
    given = schema or {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {**given, "x-kubernetes-validations": [{"rule": rule, **more}]}


@pytest.mark.parametrize(
    ("schema", "value", "errors"),
    [
        (ruled("self.a <= self.b"), {"a": 1, "b": 2}, []),
        (ruled("self.a <= self.b"), {"a": 3, "b": 2}, ['spec: Invalid value: "object": failed rule: self.a <= self.b']),
        (ruled("self.a < 0", message="a is too large"), {"a": 3}, ['spec: Invalid value: "object": a is too large']),
        (
            ruled(
                "self.a < 0", messageExpression="'a is ' + string(self.a)", reason="FieldValueForbidden", fieldPath=".a"
            ),
            {"a": 3},
            ["spec.a: Forbidden: a is 3"],
        ),
        (
            ruled("self.a > 0"),
            {},
            ['spec: Invalid value: "object": no such key: a evaluating rule: self.a > 0'],
        ),
        (ruled("has(self.x__dash__y)"), {"x-y": 1}, []),
        (ruled("self.all(x, x.startsWith('a'))", {"type": "array", "items": STRING}), ["a", "ab"], []),
        (
            ruled("self.matches('^[a-z]+$')", STRING),
            "A",
            ["spec: Invalid value: \"string\": failed rule: self.matches('^[a-z]+$')"],
        ),
        (ruled("self in ['a', 'b']", STRING), "b", []),
        (ruled("isIP(self) && ip(self).family() == 4", STRING), "10.0.0.1", []),
        (ruled("cidr(self).containsIP('10.1.2.3')", STRING), "10.1.0.0/16", []),
        (ruled("quantity(self).isLessThan(quantity('1Gi'))", STRING), "512Mi", []),
        (ruled("url(self).getHost() == 'a.b:80'", STRING), "http://a.b:80/c", []),
        (ruled("self.find('[0-9]+') == '12'", STRING), "a12b3", []),
        (ruled("self.isSorted() && self.sum() == 6", {"type": "array", "items": INTEGER}), [1, 2, 3], []),
        (ruled("self.?a.orValue('x') == 'x'"), {}, []),
        (
            ruled("self.all(a, self.all(b, self.all(c, a + b + c >= 0)))", {"type": "array", "items": INTEGER}),
            list(range(100)),
            [
                'spec: Invalid value: "array": validation failed due to running out of cost budget, no further'
                " validation rules will be run"
            ],
        ),
        (
            {"type": "object", "properties": {"a": ruled("self < 3", INTEGER)}, "additionalProperties": None},
            {"a": "x"},
            [
                'spec.a: Invalid value: "string": spec.a in body must be of type integer: "string"',
                '<nil>: Invalid value: "null": some validation rules were not checked because the object was invalid;'
                " correct the existing errors to complete validation",
            ],
        ),
    ],
)
def test_rules(schema: JSON, value: Any, errors: list[str]) -> None:
    assert wrong(schema, value) == errors


@pytest.mark.parametrize(
    ("schema", "old", "new", "count"),
    [
        pytest.param(ruled("self == oldSelf", STRING), ABSENT, "a", 0, id="new"),
        pytest.param(ruled("self == oldSelf", STRING), "a", "a", 0, id="kept"),
        pytest.param(ruled("self == oldSelf", STRING), "a", "b", 1, id="immutable"),
        pytest.param(ruled("!oldSelf.hasValue()", STRING, optionalOldSelf=True), ABSENT, "a", 0, id="optional, new"),
        pytest.param(ruled("!oldSelf.hasValue()", STRING, optionalOldSelf=True), "a", "a", 1, id="optional, old"),
        pytest.param(ruled("self < 3", INTEGER), 4, 4, 0, id="unchanged"),
        pytest.param(ruled("oldSelf < 3", INTEGER), 4, 4, 1, id="a transition without change"),
    ],
)
def test_rules_about_transitions(schema: JSON, old: Any, new: Any, count: int) -> None:
    assert len(wrong(schema, new, old)) == count


@pytest.mark.parametrize(
    ("value", "errors"),
    [
        ({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"a": "b"}}}, []),
        ({}, ["spec.apiVersion: Required value", "spec.kind: Required value"]),
        (
            {"apiVersion": "a/b/c", "kind": "not a kind"},
            [
                'spec.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c',
                'spec.kind: Invalid value: "not a kind": may have mixed case, but should otherwise match: '
                + dns_1035_label("not a kind"),
            ],
        ),
        (
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a/b"}},
            ["spec.metadata.name: Invalid value: \"a/b\": may not contain '/'"],
        ),
    ],
)
def test_embedded_objects(value: JSON, errors: list[str]) -> None:
    assert wrong({"type": "object", "x-kubernetes-embedded-resource": True}, value) == errors
