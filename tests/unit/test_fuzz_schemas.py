"""Schemas of custom resources, made up: what is accepted can be served, and takes or refuses any value without failing.

``KNET_FUZZ`` multiplies what is made up; scripts/soak sets it.
"""

import os
from typing import Any

import orjson
from custom_harness import definition, version
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from knet.api.resources import CUSTOMRESOURCEDEFINITIONS
from knet.api.schema import OPAQUE, SchemaError, conform, schema_of
from knet.apiserver.custom import definition as rules
from knet.apiserver.custom.kinds import CustomKind, kinds_of
from knet.apiserver.custom.status import decide
from knet.apiserver.kinds import schema_kinds

_AMOUNT = int(os.environ.get("KNET_FUZZ", "1"))
_MANY = settings(
    max_examples=60 * _AMOUNT, deadline=None, derandomize=_AMOUNT == 1, suppress_health_check=list(HealthCheck)
)
_ROW = CUSTOMRESOURCEDEFINITIONS
_TYPE = schema_of(schema_kinds()).type_of(_ROW.group, _ROW.version, _ROW.kind)

_NAMES = st.sampled_from(("a", "b", "spec", "status", "metadata", "kind", "apiVersion", "x-y", "in", "a.b", "é", ""))
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(("", "a", "2024-01-01T00:00:00Z", "10.0.0.1", "1Gi", "x" * 300, "é\x00")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
_TYPES = st.sampled_from(("object", "object", "string", "integer", "number", "boolean", "array", "null", "", "odd"))
_BOUND = st.sampled_from((0, 1, -1, 3, 0.5, 1e300, 2**63 - 1))
_COUNT = st.sampled_from((0, 1, 2, -1, 2**63 - 1))
_PATTERN = st.sampled_from(("", "a+", "^[a-z]$", "(", "(?=a)", "\\d", "[[:alpha:]]", "a{1000000}", "(a*)*b"))
_FORMAT = st.sampled_from(("int32", "int64", "float", "date-time", "date", "duration", "byte", "ipv4", "cidr", "uuid"))
_RULE = st.fixed_dictionaries(
    {
        "rule": st.sampled_from(("true", "self", "self.a == 1", "has(self.a)", "self.all(x, x > 0)", "size(self) < 3"))
        | st.sampled_from(
            ("self in [1, 2]", "1 / 0 == 1", "(", "", "oldSelf == self", "quantity(self) > quantity('1')")
        )
    },
    optional={
        "message": st.sampled_from(("", "no", "a\nb")),
        "messageExpression": st.sampled_from(("", "'no'", "1", "self.a")),
        "reason": st.sampled_from(("FieldValueForbidden", "Odd")),
        "fieldPath": st.sampled_from((".a", ".b.c", "a", ".spec[0]")),
        "optionalOldSelf": st.booleans(),
    },
)


def _more(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {"type": _TYPES},
        optional={
            "properties": st.dictionaries(_NAMES, inner, max_size=3),
            "items": inner,
            "additionalProperties": inner | st.booleans(),
            "allOf": st.lists(inner, max_size=2),
            "anyOf": st.lists(inner, max_size=2),
            "not": inner,
            "required": st.lists(_NAMES, max_size=2),
            "default": _VALUES,
            "enum": st.lists(_VALUES, max_size=3),
            "nullable": st.booleans(),
            "x-kubernetes-preserve-unknown-fields": st.booleans(),
            "x-kubernetes-embedded-resource": st.booleans(),
            "x-kubernetes-int-or-string": st.booleans(),
            "x-kubernetes-list-type": st.sampled_from(("atomic", "set", "map", "odd")),
            "x-kubernetes-list-map-keys": st.lists(_NAMES, max_size=2),
            "x-kubernetes-map-type": st.sampled_from(("atomic", "granular", "odd")),
            "x-kubernetes-validations": st.lists(_RULE, max_size=2),
        },
    )


_LEAF = st.fixed_dictionaries(
    {"type": _TYPES},
    optional={
        "format": _FORMAT,
        "pattern": _PATTERN,
        "minimum": _BOUND,
        "maximum": _BOUND,
        "exclusiveMaximum": st.booleans(),
        "multipleOf": _BOUND,
        "minLength": _COUNT,
        "maxItems": _COUNT,
        "maxProperties": _COUNT,
        "uniqueItems": st.booleans(),
        "default": _VALUES,
        "enum": st.lists(_VALUES, max_size=3),
        "x-kubernetes-validations": st.lists(_RULE, max_size=2),
    },
)
_SCHEMA = st.recursive(_LEAF, _more, max_leaves=6)
_WILD = st.recursive(_LEAF, _more, max_leaves=6)


def _of(kind: str, **keywords: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({"type": st.just(kind)}, optional={**keywords, "nullable": st.booleans()})


_KEYS = st.sampled_from(("a", "b", "c-d", "in"))
_FINE_RULES = st.lists(
    st.sampled_from(("true", "self == self", "has(self.a)", "self.all(x, x > 0)", "size(self) < 3", "oldSelf == self"))
    | st.sampled_from(("1 / 0 == 1", "self in [1, 2]", "quantity(self).isGreaterThan(quantity('1'))")),
    max_size=1,
).map(lambda rows: [{"rule": row} for row in rows])
_RULED = {"x-kubernetes-validations": _FINE_RULES}
_NUMBERS = {"minimum": st.sampled_from((0, 1)), "maximum": _BOUND, "exclusiveMinimum": st.booleans()}
_SIMPLE = (
    _of("string", format=_FORMAT, pattern=st.sampled_from(("a+", "^[a-z]$")), maxLength=st.just(9), **_RULED)
    | _of("integer", multipleOf=st.sampled_from((1, 3)), default=st.integers(0, 3), **_NUMBERS, **_RULED)
    | _of("number", multipleOf=st.sampled_from((0.5, 1e300)), **_NUMBERS)
    | _of("boolean", default=st.booleans())
    | st.just({"x-kubernetes-int-or-string": True})
    | st.just({"x-kubernetes-preserve-unknown-fields": True})
    | st.just({"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True})
)


def _made_of(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.dictionaries(_KEYS, inner, max_size=3)
    return (
        _of("object", properties=some, required=st.lists(_KEYS, max_size=1), default=st.just({}), **_RULED)
        | _of("object", additionalProperties=inner, maxProperties=st.just(2))
        | _of("array", maxItems=st.just(2), **_RULED).flatmap(
            lambda array: inner.map(lambda items: {**array, "items": items})
        )
        | _of("array").map(lambda array: {**array, "items": {"type": "string"}, "x-kubernetes-list-type": "set"})
    )


_TAME = st.recursive(_SIMPLE, _made_of, max_leaves=8)


def _root(schemas: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({"spec": schemas}, optional={"status": schemas}).map(
        lambda properties: {"type": "object", "properties": properties}
    )


_PATHS = st.sampled_from((".spec", ".spec.a", ".status.b", ".metadata.name", ".spec.a[0]", ".spec[?(@.a)]", "x", "."))
_COLUMNS = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.just("C"),
            "type": st.sampled_from(("string", "integer", "number", "boolean", "date")),
            "jsonPath": st.sampled_from(
                (".spec", ".spec.a", ".status.b", ".spec.a[0]", ".spec.a[*].b", ".metadata.name")
            ),
        }
    ),
    max_size=2,
)


def served(value: Any) -> CustomKind | None:
    """The kind that a definition describes; None where it is refused."""
    try:
        conform(_TYPE, value)
    except SchemaError:
        event("not of the right types")
        return None
    rules.default(value)
    rules.prepare_create(value)
    errors = rules.validate(value)
    event("refused" if errors else "accepted")
    if errors:
        orjson.dumps([str(error) for error in errors])
        return None
    value["metadata"] |= {"uid": "1", "creationTimestamp": "2024-01-01T00:00:00Z"}
    value["status"] = decide(value, (), "2024-01-01T00:00:00Z")
    [kind] = kinds_of(value, OPAQUE, 0)
    return kind


@_MANY
@given(schema=_root(_WILD), columns=st.lists(st.builds(dict, name=_NAMES, type=_TYPES, jsonPath=_PATHS), max_size=2))
def test_what_is_wrong_is_told(schema: Any, columns: list[Any]) -> None:
    """Nothing that a schema says makes its validation fail, and what it lets through can be compiled."""
    served(definition("tabs", "Tab", version(schema=schema, additionalPrinterColumns=columns)))


@_MANY
@given(
    schema=_root(_TAME), columns=_COLUMNS, objects=st.lists(st.dictionaries(_NAMES, _VALUES), min_size=6, max_size=6)
)
def test_any_value_is_taken_or_refused(schema: Any, columns: list[Any], objects: list[Any]) -> None:
    fields = [{"jsonPath": ".spec"}] if schema["properties"]["spec"].get("type") == "string" else []
    more = {"additionalPrinterColumns": columns, "selectableFields": fields, "subresources": {"status": {}}}
    kind = served(definition("tabs", "Tab", version(schema=schema, **more)))
    if kind is None:
        return
    before: Any = None
    for found in objects:
        taken = {**found, "apiVersion": kind.resource.api_version, "kind": "Tab", "metadata": {"name": "a"}}
        try:
            conform(kind.type, taken)
        except SchemaError:
            continue
        kind.strategy.default(taken)
        errors = kind.strategy.validate(taken)
        orjson.dumps([str(error) for error in errors])
        if before is not None:
            kind.strategy.validate_update(taken, before)
        if not errors:
            before = taken
            for read in kind.strategy.fields.values():
                read(taken)
            for column in kind.columns:
                column.cell(taken)
