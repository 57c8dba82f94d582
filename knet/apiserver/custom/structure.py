"""What a schema in a CustomResourceDefinition has to look like: structural, and free of what is not supported.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
with the sentences of apiextensions-apiserver (pkg/apiserver/schema/validation.go, pkg/apis/apiextensions/validation).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from knet.api.schema import OPAQUE, SchemaError
from knet.api.structural import JSONSchema, compile_object, copy_json, walk
from knet.apiserver import field
from knet.apiserver.custom.rules import compile_expression, uses_old
from knet.apiserver.custom.values import compile_pattern, compile_values, shown
from knet.apiserver.custom.walking import ABSENT
from knet.apiserver.field import Errors

_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_EMBEDDED = "x-kubernetes-embedded-resource"
_INT_OR_STRING = "x-kubernetes-int-or-string"
_LIST_TYPE, _MAP_TYPE = "x-kubernetes-list-type", "x-kubernetes-map-type"
_KEYS, _RULES = "x-kubernetes-list-map-keys", "x-kubernetes-validations"

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_UNSUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_JUNCTORS = ("allOf", "anyOf", "oneOf")
#: keyword → what to say where it stands below a junctor
_NOT_NESTED: Mapping[str, str] = {
    "type": "must be empty to be structural",
    "additionalProperties": "must be undefined to be structural",
    "default": "must be undefined to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "nullable": "must be false to be structural",
    _PRESERVE: "must be false to be structural",
    _EMBEDDED: "must be false to be structural",
    _INT_OR_STRING: "must be false to be structural",
    _KEYS: "must be empty to be structural",
    _LIST_TYPE: "must be undefined to be structural",
    _MAP_TYPE: "must be undefined to be structural",
    _RULES: "must be empty to be structural",
}
_INT_OR_STRING_ALTERNATIVES = [{"type": "integer"}, {"type": "string"}]
_ROOT_WITH_STATUS = (
    "Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern"
    " MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields"
    " XValidations"
)
_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")


def validate_schema(schema: JSONSchema, path: str, status: bool) -> Errors:
    """All that is wrong with one version's openAPIV3Schema; ``status``: the version has that subresource."""
    errors: Errors = []
    if status:
        _root_with_status(schema, path, errors)
    if schema.get("nullable"):
        errors.append(field.forbidden(f"{path}.nullable", "nullable cannot be true at the root"))
    structural: Errors = []
    _structure(schema, path, "root", structural)
    errors += sorted(structural, key=str)
    if not structural:
        errors += _defaults(schema, path)
    for where, node in walk(schema, path):
        _keywords(node, where, errors)
        _extensions(node, where, errors)
    _top_level_defaults(schema, path, errors)
    if not errors:
        _rules(schema, path, "", errors)
    return errors


def _root_with_status(schema: JSONSchema, path: str, errors: Errors) -> None:
    if schema.get("type") != "object":
        sentence = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
        errors.append(field.invalid(f"{path}.type", schema.get("type", ""), sentence))
    known = {name[:1].lower() + name[1:] for name in _ROOT_WITH_STATUS.split()} | {_PRESERVE, _RULES}
    if any(key not in known for key, value in schema.items() if value):
        sentence = (
            f"only [{_ROOT_WITH_STATUS}] fields are allowed at the root of the schema if the status"
            " subresource is enabled"
        )
        errors.append(field.invalid(path, shown(schema), sentence))


def _structure(schema: JSONSchema, path: str, level: str, errors: Errors) -> None:
    """The invariants of a structural schema, from one node down; ``level`` is root, item or field."""
    kind = schema.get("type") or ""
    if kind == "array" and "items" not in schema:
        errors.append(field.required(f"{path}.items", "must be specified"))
    if isinstance(schema.get("items"), dict):
        _structure(schema["items"], f"{path}.items", "item", errors)
    properties = schema.get("properties") or {}
    for key, item in properties.items():
        if not (level == "root" and key == "metadata"):
            _structure(item, f"{path}.properties[{key}]", "field", errors)
    additional = schema.get("additionalProperties")
    if additional is not None:
        if level == "root":
            errors.append(field.forbidden(f"{path}.additionalProperties", "must not be used at the root"))
        if isinstance(additional, dict):
            _structure(additional, f"{path}.additionalProperties", "field", errors)
    _typed(schema, path, level, errors)
    _values(schema, path, errors)
    if level == "root" or schema.get(_EMBEDDED):
        _metadata(properties, path, level == "root", errors)
    _complete(schema, schema, path, errors)


def _typed(schema: JSONSchema, path: str, level: str, errors: Errors) -> None:
    kind = schema.get("type") or ""
    if schema.get(_INT_OR_STRING):
        for key in (_PRESERVE, _EMBEDDED):
            if schema.get(key):
                errors.append(field.invalid(f"{path}.{key}", True, f"must be false if {_INT_OR_STRING} is true"))
    if schema.get(_EMBEDDED):
        if kind != "object":
            must = f"must be object if {_EMBEDDED} is true"
            wrong = field.invalid(f"{path}.type", kind, must) if kind else field.required(f"{path}.type", must)
            errors.append(wrong)
        if schema.get("additionalProperties") is not None:
            must = f"must not be used if {_EMBEDDED} is set"
            errors.append(field.forbidden(f"{path}.additionalProperties", must))
        if not schema.get(_PRESERVE) and not schema.get("properties"):
            must = f"must not be empty if {_EMBEDDED} is true without {_PRESERVE}"
            errors.append(field.required(f"{path}.properties", must))
    elif not kind and not schema.get(_INT_OR_STRING) and not schema.get(_PRESERVE):
        where = {"root": "at the root", "item": "for specified array items", "field": "for specified object fields"}
        errors.append(field.required(f"{path}.type", f"must not be empty {where[level]}"))
    if level == "root" and kind not in ("", "object"):
        errors.append(field.invalid(f"{path}.type", kind, "must be object at the root"))


def _metadata(properties: Mapping[str, JSONSchema], path: str, root: bool, errors: Errors) -> None:
    for key in ("kind", "apiVersion"):
        if key in properties and properties[key].get("type") != "string":
            kind = properties[key].get("type", "")
            errors.append(field.invalid(f"{path}.properties[{key}].type", kind, "must be string"))
    metadata = properties.get("metadata")
    if metadata is None:
        return
    where = f"{path}.properties[metadata]"
    if metadata.get("type") != "object":
        errors.append(field.invalid(f"{where}.type", metadata.get("type", ""), "must be object"))
    more = {key for key, value in metadata.items() if value and key not in ("type", "properties", "description")}
    if root and (more or set(metadata.get("properties") or {}) - {"name", "generateName"}):
        sentence = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        errors.append(field.forbidden(where, sentence))


def _values(schema: JSONSchema, path: str, errors: Errors) -> None:
    """Junctors may hold validations of values only, but for the two ways to say integer or string."""
    for key in _JUNCTORS:
        for index, item in enumerate(schema.get(key) or ()):
            first = key == "allOf" and index == 0
            if key == "anyOf" and schema[key] == _INT_OR_STRING_ALTERNATIVES:
                continue
            _nested(item, f"{path}.{key}[{index}]", errors, first)
    if isinstance(schema.get("not"), dict):
        _nested(schema["not"], f"{path}.not", errors)
    if text := schema.get("pattern"):
        try:
            compile_pattern(text)
        except ValueError as error:
            must = f"must be a valid regular expression, but isn't: {error}"
            errors.append(field.invalid(f"{path}.pattern", text, must))


def _nested(schema: JSONSchema, path: str, errors: Errors, may_have_alternatives: bool = False) -> None:
    if not (may_have_alternatives and schema.get("anyOf") == _INT_OR_STRING_ALTERNATIVES):
        _values(schema, path, errors)
    for key, sentence in _NOT_NESTED.items():
        if schema.get(key) not in (None, "", False, []):
            errors.append(field.forbidden(f"{path}.{key}", sentence))
    if isinstance(schema.get("items"), dict):
        _nested(schema["items"], f"{path}.items", errors)
    for key, item in (schema.get("properties") or {}).items():
        _nested(item, f"{path}.properties[{key}]", errors)
        if key == "metadata":
            errors.append(field.forbidden(f"{path}.properties[{key}]", "must not be specified in a nested context"))


def _complete(schema: JSONSchema, structure: JSONSchema | None, path: str, errors: Errors) -> None:
    """Whatever a junctor names has to be in the structure beside it, too."""
    nested = [(f"{path}.{key}[{n}]", item) for key in _JUNCTORS for n, item in enumerate(schema.get(key) or ())]
    if isinstance(schema.get("not"), dict):
        nested.append((f"{path}.not", schema["not"]))
    for where, item in nested:
        _covered(item, structure, where, path, errors)


def _covered(item: JSONSchema, structure: JSONSchema | None, where: str, path: str, errors: Errors) -> None:
    if structure is None:
        errors.append(field.required(path, f"because it is defined in {where}"))
        return
    _complete_below(item, structure, where, path, errors)
    for key, inner in (item.get("properties") or {}).items():
        known = (structure.get("properties") or {}).get(key)
        if known is None and isinstance(structure.get("additionalProperties"), dict):
            known = structure["additionalProperties"]
        _covered(inner, known, f"{where}.properties[{key}]", f"{path}.properties[{key}]", errors)
    if isinstance(item.get("items"), dict):
        _covered(item["items"], structure.get("items"), f"{where}.items", f"{path}.items", errors)


def _complete_below(item: JSONSchema, structure: JSONSchema, where: str, path: str, errors: Errors) -> None:
    for key in _JUNCTORS:
        for index, inner in enumerate(item.get(key) or ()):
            _covered(inner, structure, f"{where}.{key}[{index}]", path, errors)
    if isinstance(item.get("not"), dict):
        _covered(item["not"], structure, f"{where}.not", path, errors)


def _defaults(schema: JSONSchema, path: str) -> Errors:
    """A default has to be a valid value that nothing is pruned from."""
    errors: Errors = []
    for where, node in walk(schema, path):
        if node.get("default") is None:
            continue
        wrapped = {"type": "object", "properties": {"default": {**node, "default": None}}}
        value = {"default": copy_json(node["default"])}
        try:
            unknown: list[str] = []
            compile_object(wrapped, OPAQUE).conform(value, where, "", unknown)
        except SchemaError as error:
            errors.append(field.invalid(f"{where}.default", shown(node["default"]), str(error)))
            continue
        if unknown:
            errors.append(field.invalid(f"{where}.default", shown(node["default"]), "must not have unknown fields"))
        compile_values({key: item for key, item in node.items() if key != "default"})(
            value.get("default"), ABSENT, f"{where}.default", errors
        )
    return errors


def _top_level_defaults(schema: JSONSchema, path: str, errors: Errors) -> None:
    for key in ("metadata", "kind", "apiVersion"):
        below = (schema.get("properties") or {}).get(key)
        for where, node in walk(below, f"{path}.properties[{key}]") if below else ():
            if node.get("default") is not None:
                errors.append(field.forbidden(f"{where}.default", f"must not be set in top-level {key}"))


def _keywords(node: JSONSchema, path: str, errors: Errors) -> None:
    """What is not supported, at one node."""
    kind = node.get("type") or ""
    if kind and kind not in _TYPES:
        errors.append(field.not_supported(f"{path}.type", kind, _TYPES))
    errors.extend(field.forbidden(f"{path}.{key}", f"{key} is not supported") for key in _UNSUPPORTED if node.get(key))
    if kind == "null":
        sentence = "type cannot be set to null, use nullable as an alternative"
        errors.append(field.forbidden(f"{path}.type", sentence))
    if isinstance(node.get("items"), list):
        errors.append(field.forbidden(f"{path}.items", "items must be a schema object and not an array"))
    if node.get("uniqueItems"):
        sentence = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        errors.append(field.forbidden(f"{path}.uniqueItems", sentence))
    if node.get("properties") and node.get("additionalProperties"):
        sentence = "additionalProperties and properties are mutual exclusive"
        errors.append(field.forbidden(f"{path}.additionalProperties", sentence))
    if node.get(_PRESERVE) is False:
        errors.append(field.invalid(f"{path}.{_PRESERVE}", False, "must be true or undefined"))


def _extensions(node: JSONSchema, path: str, errors: Errors) -> None:
    """x-kubernetes-map-type and x-kubernetes-list-type, at one node."""
    for key, wanted, known in (
        (_MAP_TYPE, "object", ("atomic", "granular")),
        (_LIST_TYPE, "array", ("atomic", "set", "map")),
    ):
        if node.get(key) is None:
            continue
        kind = node.get("type") or ""
        if kind != wanted:
            must = f"must be {wanted} if {key} is specified"
            errors.append(field.invalid(f"{path}.type", kind, must) if kind else field.required(f"{path}.type", must))
        if node[key] not in known:
            errors.append(field.not_supported(f"{path}.{key}", node[key], known))
    if node.get(_LIST_TYPE) in ("set", "map") or node.get(_KEYS):
        _list_map(node, path, errors)


def _list_map(node: JSONSchema, path: str, errors: Errors) -> None:
    kind, keys = node.get(_LIST_TYPE) or "", node.get(_KEYS) or []
    item = node["items"] if isinstance(node.get("items"), dict) else {}
    if keys and kind != "map":
        must = f"must be map if {_KEYS} is non-empty"
        wrong = (
            field.invalid(f"{path}.{_LIST_TYPE}", kind, must) if kind else field.required(f"{path}.{_LIST_TYPE}", must)
        )
        errors.append(wrong)
    if kind == "set" and item.get("type") == "object" and item.get(_MAP_TYPE) != "atomic":
        must = f"must be atomic as item of a list with {_LIST_TYPE}=set"
        errors.append(field.invalid(f"{path}.items.{_MAP_TYPE}", item.get(_MAP_TYPE), must))
    if item.get("nullable") and kind in ("set", "map"):
        sentence = f"cannot be nullable when {_LIST_TYPE} is {kind}"
        errors.append(field.forbidden(f"{path}.items.nullable", sentence))
    if kind != "map":
        return
    if not keys:
        errors.append(field.required(f"{path}.{_KEYS}", f"must not be empty if {_LIST_TYPE} is map"))
    if item.get("type") != "object":
        must = f"must be object if parent array's {_LIST_TYPE} is map"
        errors.append(field.invalid(f"{path}.items.type", item.get("type", ""), must))
        return
    if len(set(keys)) != len(keys):
        errors.append(field.invalid(f"{path}.{_KEYS}", shown(keys), "must not contain duplicate entries"))
    properties = item.get("properties") or {}
    for key in keys:
        _map_key(key, properties.get(key), item, keys, path, errors)


def _map_key(
    key: str, schema: JSONSchema | None, item: JSONSchema, keys: Sequence[str], path: str, errors: Errors
) -> None:
    where = f"{path}.items.properties[{key}]"
    if schema is None:
        errors.append(
            field.invalid(f"{path}.{_KEYS}", shown(list(keys)), "entries must all be names of item properties")
        )
        return
    if schema.get("type") in ("array", "object"):
        must = f"must be a scalar type if parent array's {_LIST_TYPE} is map"
        errors.append(field.invalid(f"{where}.type", item.get("type", ""), must))
    if key not in (item.get("required") or ()) and schema.get("default") is None:
        must = f"this property is in {_KEYS}, so it must have a default or be a required property"
        errors.append(field.required(f"{where}.default", must))
    if schema.get("nullable"):
        errors.append(field.forbidden(f"{where}.nullable", f"this property is in {_KEYS}, so it cannot be nullable"))


def _rules(schema: JSONSchema, path: str, uncorrelatable: str, errors: Errors) -> None:
    """Expressions compile; ``oldSelf`` stands only where old and new values belong together."""
    for index, row in enumerate(schema.get(_RULES) or ()):
        _rule(row, f"{path}.{_RULES}[{index}]", uncorrelatable, errors)
    below = uncorrelatable or (path if schema.get(_MAP_TYPE) == "atomic" else "")
    for key, item in (schema.get("properties") or {}).items():
        _rules(item, f"{path}.properties[{key}]", below, errors)
    if isinstance(schema.get("additionalProperties"), dict):
        _rules(schema["additionalProperties"], f"{path}.additionalProperties", uncorrelatable, errors)
    if isinstance(schema.get("items"), dict):
        below = uncorrelatable or (path if schema.get(_LIST_TYPE) != "map" else "")
        _rules(schema["items"], f"{path}.items", below, errors)


def _rule(row: Mapping[str, Any], path: str, uncorrelatable: str, errors: Errors) -> None:
    rule, message = row.get("rule", ""), row.get("message", "")
    if not rule.strip():
        errors.append(field.required(f"{path}.rule", "rule is not specified"))
        return
    if message and not message.strip():
        errors.append(field.invalid(f"{path}.message", message, "must be non-empty if specified"))
    elif "\n" in message.strip():
        errors.append(field.invalid(f"{path}.message", message, "must not contain line breaks"))
    elif "\n" in rule.strip() and not message:
        errors.append(field.required(f"{path}.message", "message must be specified if rule contains line breaks"))
    if row.get("reason") and row["reason"] not in _REASONS:
        errors.append(field.not_supported(f"{path}.reason", row["reason"], _REASONS))
    for key, result in (("rule", "BOOL"), ("messageExpression", "STRING")):
        if not row.get(key):
            continue
        try:
            compile_expression(row[key], result)
        except ValueError as error:
            errors.append(field.invalid(f"{path}.{key}", shown(dict(row)), str(error)))
    if uses_old(rule):
        if uncorrelatable:
            sentence = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelatable}"
            errors.append(field.invalid(f"{path}.rule", rule, sentence))
    elif row.get("optionalOldSelf") is not None:
        sentence = "may not be set if oldSelf is not used in rule"
        errors.append(field.invalid(f"{path}.optionalOldSelf", row["optionalOldSelf"], sentence))
