"""What a schema demands of the values of a custom resource, in the words of upstream's validator.

kube-openapi's pkg/validation/errors has the sentences, apiextensions-apiserver's pkg/apiserver/validation how they
become causes of a Status.  A schema is compiled once, when its definition is served; each keyword is one closure.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import re2

from knet.api.structural import JSONSchema
from knet.apiserver import field
from knet.apiserver.custom.formats import FORMATS
from knet.apiserver.custom.walking import ABSENT, Check, Counterparts, frozen, part, unless_unchanged
from knet.apiserver.field import Errors, FieldError, Go

#: reasons after which the rules (CEL) are not asked: upstream's hasBlockingErr
BLOCKING = frozenset(
    ("FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid")
)


#: the path of errors about alternatives: upstream prints a nil path
NOWHERE = "<nil>"


def json_type(value: Any) -> str:
    """``integer``, ``string``, ``object``, … as schemas name it; a whole number is an integer however it is written."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "integer" if value.is_integer() else "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"


def shown(value: Any) -> Any:
    """A value as messages quote it."""
    return Go(json.dumps(value, separators=(",", ":"))) if isinstance(value, dict | list) else value


def too_many(path: str, count: int, limit: int) -> FieldError:
    """``Too many: 3: must have at most 2 items``."""
    noun = "item" if limit == 1 else "items"
    return FieldError(path, "FieldValueTooMany", f"Too many: {count}: must have at most {limit} {noun}")


def compile_values(schema: JSONSchema) -> Check:
    """The check of a schema and of all below it; it forgives what has not changed."""
    checks = [make(schema[key], schema) for key, make in _KEYWORDS.items() if schema.get(key) not in (None, [], {})]
    types = _types(schema)
    typed = _type_check(types, str(schema.get("format") or "")) if types else None
    nullable = bool(schema.get("nullable"))

    def check(value: Any, old: Any, path: str, errors: Errors) -> None:
        if value is None and nullable:
            return
        if typed is not None and not typed(value, path, errors):
            return
        for one in checks:
            one(value, old, path, errors)

    return unless_unchanged(check)


def _types(schema: JSONSchema) -> tuple[str, ...]:
    if schema.get("x-kubernetes-int-or-string"):
        return ("integer", "string")
    return (schema["type"],) if schema.get("type") else ()


def _type_check(types: tuple[str, ...], format_: str) -> Callable[[Any, str, Errors], bool]:
    text_format = FORMATS.get(format_) if types == ("string",) else None
    bits = {"int32": 31, "int64": 63}.get(format_) if "integer" in types else None

    def holds(value: Any, path: str, errors: Errors) -> bool:
        kind = json_type(value)
        if kind not in types and not (kind == "integer" and "number" in types):
            _mistyped(path, ",".join(types), kind, errors)
            return False
        if text_format is not None and not text_format(value):
            _mistyped(path, format_, value, errors, "FieldValueInvalid")
        elif bits and kind == "integer" and not -(1 << bits) <= value < 1 << bits:
            message = f"Checked value must be of type integer with format {format_} in {path}"
            errors.append(field.invalid(path, value, message))
        return True

    return holds


def _mistyped(path: str, wanted: str, have: str, errors: Errors, reason: str = "FieldValueTypeInvalid") -> None:
    message = f"{_in_body(path)} must be of type {wanted}: {json.dumps(have, ensure_ascii=False)}"
    errors.append(FieldError(path, reason, field.invalid(path, have, message).body))


def _in_body(path: str) -> str:
    return f"{path} in body"


def _simple(kinds: type | tuple[type, ...], wrong: Callable[[Any, Any, JSONSchema], str]) -> "_Maker":
    """A keyword whose error is a sentence about the value: ``wrong`` says it, or "" where there is none."""

    def make(limit: Any, schema: JSONSchema) -> Check:
        def check(value: Any, old: Any, path: str, errors: Errors) -> None:
            if not isinstance(value, kinds) or isinstance(value, bool):
                return
            if sentence := wrong(value, limit, schema):
                errors.append(field.invalid(path, shown(value), f"{_in_body(path)} {sentence}"))

        return check

    return make


_Maker = Callable[[Any, JSONSchema], Check]


def _maximum(value: float, limit: float, schema: JSONSchema) -> str:
    if schema.get("exclusiveMaximum"):
        return "" if value < limit else f"should be less than {_number(limit)}"
    return "" if value <= limit else f"should be less than or equal to {_number(limit)}"


def _minimum(value: float, limit: float, schema: JSONSchema) -> str:
    if schema.get("exclusiveMinimum"):
        return "" if value > limit else f"should be greater than {_number(limit)}"
    return "" if value >= limit else f"should be greater than or equal to {_number(limit)}"


def _number(value: float) -> str:
    """Go's ``%v``: 10 and not 10.0."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _multiple(value: float, factor: float, _: JSONSchema) -> str:
    if not factor or abs(value / factor - round(value / factor)) < 1e-9:
        return ""
    return f"should be a multiple of {_number(factor)}"


def _pattern(text: str, _: JSONSchema) -> Check:
    search = compile_pattern(text)

    def check(value: Any, old: Any, path: str, errors: Errors) -> None:
        if isinstance(value, str) and not search(value):
            errors.append(field.invalid(path, value, f"{_in_body(path)} should match '{text}'"))

    return check


def compile_pattern(text: str) -> Callable[[str], object]:
    """Whether a Go regular expression is found in a text, in linear time; ValueError for what is none.

    RE2, like Go's: Python's own would understand other expressions, and could be kept busy for ever by some.
    """
    options = re2.Options()
    options.log_errors = False
    try:
        search: Callable[[str], object] = re2.compile(text, options=options).search
    except re2.error as error:
        raise ValueError(f"error parsing regexp: {error.args[0].decode() if error.args else text}") from None
    return search


def _max_length(limit: int, _: JSONSchema) -> Check:
    def check(value: Any, old: Any, path: str, errors: Errors) -> None:
        if isinstance(value, str) and len(value) > limit:
            errors.append(FieldError(path, "FieldValueTooLong", f"Too long: may not be more than {limit} bytes"))

    return check


def _at_most(kind: type) -> _Maker:
    def make(limit: int, _: JSONSchema) -> Check:
        def check(value: Any, old: Any, path: str, errors: Errors) -> None:
            if isinstance(value, kind) and len(value) > limit:  # type: ignore[arg-type]  # a list or a dict
                errors.append(too_many(path, len(value), limit))  # type: ignore[arg-type]

        return check

    return make


def _enum(values: Sequence[Any], _: JSONSchema) -> Check:
    known = [frozen(value) for value in values]
    choices = [value if isinstance(value, str) else json.dumps(value, separators=(",", ":")) for value in values]

    def check(value: Any, old: Any, path: str, errors: Errors) -> None:
        if frozen(value) not in known:
            errors.append(field.not_supported(path, shown(value), choices))

    return check


def _required(names: Sequence[str], _: JSONSchema) -> Check:
    def check(value: Any, old: Any, path: str, errors: Errors) -> None:
        if isinstance(value, dict):
            errors.extend(field.required(f"{path}.{name}" if path else name) for name in names if name not in value)

    return check


def _properties(schemas: Mapping[str, JSONSchema], _: JSONSchema) -> Check:
    checks = {key: compile_values(schema) for key, schema in schemas.items()}

    def check(value: Any, old: Any, path: str, errors: Errors) -> None:
        if isinstance(value, dict):
            for key, one in checks.items():
                if key in value:
                    one(value[key], part(old, key), f"{path}.{key}" if path else key, errors)

    return check


def _additional(schema: Any, _: JSONSchema) -> Check:
    if not isinstance(schema, dict):
        return lambda value, old, path, errors: None
    one = compile_values(schema)

    def check(value: Any, old: Any, path: str, errors: Errors) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                one(item, part(old, key), f"{path}.{key}" if path else key, errors)

    return check


def _items(schema: JSONSchema, array: JSONSchema) -> Check:
    one = compile_values(schema)

    def check(value: Any, old: Any, path: str, errors: Errors) -> None:
        if isinstance(value, list):
            olds = Counterparts(array, old)
            for index, item in enumerate(value):
                one(item, olds.of(item), f"{path}[{index}]", errors)

    return check


def _unique(value: Any, _limit: Any, _: JSONSchema) -> str:
    keys = [frozen(item) for item in value]
    return "" if len(set(keys)) == len(keys) else "shouldn't contain duplicates"


def _valid(check: Check, value: Any, path: str) -> Errors:
    found: Errors = []
    check(value, ABSENT, path, found)
    return found


def _fewest(found: Sequence[Errors]) -> Errors:
    """The errors of the alternative that comes nearest."""
    return min(found, key=lambda errors: len(errors))


def _any_of(schemas: Sequence[JSONSchema], _: JSONSchema) -> Check:
    checks = [compile_values(schema) for schema in schemas]

    def check(value: Any, old: Any, path: str, errors: Errors) -> None:
        found: list[Errors] = [_valid(one, value, path) for one in checks]
        if all(found):
            errors.append(field.invalid(NOWHERE, "", f'"{path}" must validate at least one schema (anyOf)'))
            errors.extend(_fewest(found))

    return check


def _one_of(schemas: Sequence[JSONSchema], _: JSONSchema) -> Check:
    checks = [compile_values(schema) for schema in schemas]

    def check(value: Any, old: Any, path: str, errors: Errors) -> None:
        found: list[Errors] = [_valid(one, value, path) for one in checks]
        valid = sum(not one for one in found)
        if valid == 1:
            return
        many = f"Found {valid} valid alternatives" if valid else "Found none valid"
        errors.append(field.invalid(NOWHERE, "", f'"{path}" must validate one and only one schema (oneOf). {many}'))
        if not valid:
            errors.extend(_fewest(found))

    return check


def _all_of(schemas: Sequence[JSONSchema], _: JSONSchema) -> Check:
    checks = [compile_values(schema) for schema in schemas]

    def check(value: Any, old: Any, path: str, errors: Errors) -> None:
        found: list[Errors] = [_valid(one, value, path) for one in checks]
        if any(found):
            none = ". None validated" if all(found) else ""
            errors.append(field.invalid(NOWHERE, "", f'"{path}" must validate all the schemas (allOf){none}'))
            errors.extend(error for one in found for error in one)

    return check


def _not(schema: JSONSchema, _: JSONSchema) -> Check:
    one = compile_values(schema)

    def check(value: Any, old: Any, path: str, errors: Errors) -> None:
        if not _valid(one, value, path):
            errors.append(field.invalid(NOWHERE, "", f'"{path}" must not validate the schema (not)'))

    return check


#: keyword → its check, in upstream's order
_KEYWORDS: Mapping[str, _Maker] = {
    "anyOf": _any_of,
    "oneOf": _one_of,
    "allOf": _all_of,
    "not": _not,
    "maxLength": _max_length,
    "minLength": _simple(
        str, lambda value, limit, _: "" if len(value) >= limit else f"should be at least {limit} chars long"
    ),
    "pattern": _pattern,
    "multipleOf": _simple((int, float), _multiple),
    "maximum": _simple((int, float), _maximum),
    "minimum": _simple((int, float), _minimum),
    "maxItems": _at_most(list),
    "minItems": _simple(
        list, lambda value, limit, _: "" if len(value) >= limit else f"should have at least {limit} items"
    ),
    "uniqueItems": _simple(list, _unique),
    "items": _items,
    "enum": _enum,
    "maxProperties": _at_most(dict),
    "minProperties": _simple(
        dict, lambda value, limit, _: "" if len(value) >= limit else f"should have at least {limit} properties"
    ),
    "required": _required,
    "properties": _properties,
    "additionalProperties": _additional,
}
