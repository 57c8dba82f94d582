"""Structural schemas of custom resources, compiled to the same types as Kubernetes' own (`knet.api.schema`).

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema

A difference: a wrong type of a built-in kind is an error of decoding, one of a custom resource an error of
validation, worded by the schema (`knet.apiserver.custom.values`).  So the types here let wrong values pass; they
prune unknown fields and nulls, and tell patches and apply how lists and maps merge.  Only what every object has,
``apiVersion``, ``kind`` and ``metadata``, is checked as strictly as anywhere, in embedded resources too.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from knet.api.schema import OPAQUE, STRING, ListOf, MapOf, Scalar, Struct, Type

JSONSchema = Mapping[str, Any]

#: leaves: apply names their types, everybody else leaves them to validation
_LEAVES = {
    "boolean": Scalar("bool", lambda _: True),
    "integer": Scalar("int64", lambda _: True),
    "number": Scalar("float64", lambda _: True),
    "string": Scalar("string", lambda _: True),
}
#: a number or text, of any size: custom resources have no 32-bit limit
INT_OR_STRING = Scalar("intstr.IntOrString", lambda _: True)


class CustomStruct(Struct):
    """An object with known fields, of which ``nullable`` may be null."""

    __slots__ = ("nullable",)

    def __init__(
        self, name: str, fields: Mapping[str, Type], nullable: frozenset[str], *, rest: Type | None, atomic: bool
    ) -> None:
        super().__init__(name, rest=rest, atomic=atomic)
        self.fields.update(fields)
        self.nullable = nullable

        def fits(value: Any) -> bool:
            if type(value) is not dict:
                return True
            for key, item in value.items():
                known = fields.get(key, rest)
                if known is None or ((key in fields and key not in nullable) if item is None else not known.fits(item)):
                    return False
            return True

        self.fits = fits

    def conform(self, value: Any, path: str, owner: str, unknown: list[str]) -> Any:
        """See `knet.api.schema.Type.conform`."""
        if type(value) is not dict:
            return value
        for key in list(value):
            known = self.fields.get(key, self.rest)
            here = f"{path}.{key}" if path else key
            if known is None:
                unknown.append(here)
                del value[key]
            elif value[key] is not None:
                value[key] = known.conform(value[key], here, self.name, unknown)
            elif key in self.fields and key not in self.nullable:
                del value[key]
        return value


class CustomMap(MapOf):
    """A map with free keys."""

    __slots__ = ("nullable",)

    def __init__(self, value: Type, nullable: bool, atomic: bool) -> None:
        super().__init__(value, atomic=atomic)
        self.nullable = nullable
        item_fits = value.fits

        def fits(value: Any) -> bool:
            if type(value) is not dict:
                return True
            return all(nullable if item is None else item_fits(item) for item in value.values())

        self.fits = fits

    def conform(self, value: Any, path: str, owner: str, unknown: list[str]) -> Any:
        """See `knet.api.schema.Type.conform`."""
        if type(value) is not dict:
            return value
        for key in list(value):
            if value[key] is not None:
                value[key] = self.value.conform(value[key], f"{path}.{key}", owner, unknown)
            elif not self.nullable:
                del value[key]
        return value


class CustomList(ListOf):
    """A list; nulls in it stay, for validation to find."""

    __slots__ = ()

    def __init__(self, item: Type, schema: JSONSchema) -> None:
        keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
        properties = schema["items"].get("properties") or {}
        super().__init__(
            item,
            list_type=schema.get("x-kubernetes-list-type") or "atomic",
            keys=keys,
            key_defaults={key: properties[key]["default"] for key in keys if "default" in properties.get(key, {})},
        )
        item_fits = item.fits

        def fits(value: Any) -> bool:
            return type(value) is not list or all(item is None or item_fits(item) for item in value)

        self.fits = fits

    def conform(self, value: Any, path: str, owner: str, unknown: list[str]) -> Any:
        """See `knet.api.schema.Type.conform`."""
        if type(value) is not list:
            return value
        return [
            item if item is None else self.item.conform(item, f"{path}[{index}]", owner, unknown)
            for index, item in enumerate(value)
        ]


def compile_object(schema: JSONSchema, metadata: Type) -> Struct:
    """The type of a whole custom resource; ``metadata`` is ObjectMeta's."""
    return _struct(schema, "", metadata, root=True)


def _compile(schema: JSONSchema, name: str, metadata: Type) -> Type:
    if schema.get("x-kubernetes-int-or-string"):
        return INT_OR_STRING
    kind = schema.get("type")
    if kind == "array" and "items" in schema:
        return CustomList(_compile(schema["items"], name, metadata), schema)
    if kind == "object":
        additional = schema.get("additionalProperties")
        if additional and not schema.get("properties"):
            item: JSONSchema = additional if isinstance(additional, dict) else {"nullable": True}
            return CustomMap(_compile(item, name, metadata), bool(item.get("nullable")), _atomic(schema))
        return _struct(schema, name, metadata)
    return _LEAVES.get(str(kind), OPAQUE)


def _atomic(schema: JSONSchema) -> bool:
    return schema.get("x-kubernetes-map-type") == "atomic"


def _struct(schema: JSONSchema, name: str, metadata: Type, root: bool = False) -> CustomStruct:
    properties = schema.get("properties") or {}
    fields = {key: _compile(item, key, metadata) for key, item in properties.items()}
    if root or schema.get("x-kubernetes-embedded-resource"):
        fields |= {"apiVersion": STRING, "kind": STRING, "metadata": metadata}
    nullable = frozenset(key for key, item in properties.items() if item.get("nullable"))
    rest = OPAQUE if schema.get("x-kubernetes-preserve-unknown-fields") else None
    return CustomStruct(name, fields, nullable, rest=rest, atomic=_atomic(schema))


#: fills the defaults into a value, in place
Filler = Callable[[Any], None]


def defaulter(schema: JSONSchema) -> Filler | None:
    """What fills in the schema's defaults; None where there is none below."""
    kind = schema.get("type")
    if kind == "array" and "items" in schema:
        return _list_defaulter(schema["items"])
    if kind != "object":
        return None
    additional = schema.get("additionalProperties")
    if isinstance(additional, dict):
        return _map_defaulter(additional)
    defaults = {key: item["default"] for key, item in (schema.get("properties") or {}).items() if "default" in item}
    below = {key: fill for key, item in (schema.get("properties") or {}).items() if (fill := defaulter(item))}
    nullable = {key for key, item in (schema.get("properties") or {}).items() if item.get("nullable")}
    if not defaults and not below:
        return None

    def fill_object(value: Any) -> None:
        if type(value) is not dict:
            return
        for key, default in defaults.items():
            if key not in value or (value[key] is None and key not in nullable):
                value[key] = copy_json(default)
        for key, inner in below.items():
            if key in value:
                inner(value[key])

    return fill_object


def _list_defaulter(item: JSONSchema) -> Filler | None:
    inner, replaces = defaulter(item), "default" in item and not item.get("nullable")
    if inner is None and not replaces:
        return None

    def fill(value: Any) -> None:
        if type(value) is not list:
            return
        for index, element in enumerate(value):
            if element is None and replaces:
                value[index] = copy_json(item["default"])
            if inner is not None:
                inner(value[index])

    return fill


def _map_defaulter(item: JSONSchema) -> Filler | None:
    inner = defaulter(item)
    if inner is None:
        return None

    def fill(value: Any) -> None:
        if type(value) is dict:
            for element in value.values():
                inner(element)

    return fill


def copy_json(value: Any) -> Any:
    """A copy of JSON data that shares nothing changeable with it."""
    if isinstance(value, dict):
        return {key: copy_json(item) for key, item in value.items()}
    return [copy_json(item) for item in value] if isinstance(value, list) else value


def walk(schema: JSONSchema, path: str) -> Iterator[tuple[str, JSONSchema]]:
    """All schemas in a schema, each with its path: ``…openAPIV3Schema.properties[spec].items``."""
    yield path, schema
    for key in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(key), dict):
            yield from walk(schema[key], f"{path}.{key}")
    for key, item in (schema.get("properties") or {}).items():
        yield from walk(item, f"{path}.properties[{key}]")
    for key in ("allOf", "anyOf", "oneOf"):
        for index, item in enumerate(schema.get(key) or ()):
            yield from walk(item, f"{path}.{key}[{index}]")
