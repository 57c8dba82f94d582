"""Kubernetes' own schemas, compiled to what a server has to do with an object: check types, prune, find merge keys.

Of the definitions (`knet.api.definitions`) only structure remains, one `Struct` per definition, shared wherever it is
referred to; descriptions are read again when somebody asks for an OpenAPI document.

Most objects that arrive are well-formed, so every type has two readings: `fits` answers yes or no at about 0.1 µs a
field; only after a no does `conform` walk the object again, keep track of where it is, prune unknown fields, drop
nulls (absent and null are the same to the API), bring quantities into canonical form and word errors like upstream's
Go decoder does.
"""

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal, Protocol

from knet.api.definitions import definition_of_ref, first_type, load_definitions
from knet.api.quantity import MOST, parse_quantity, render

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")


class SchemaError(ValueError):
    """A value has the wrong type; the message is the Go decoder's.

    ``converting`` is what upstream says of it where objects are not decoded from text: after a strategic merge.
    """

    def __init__(self, message: str, converting: str = "") -> None:
        super().__init__(message)
        self.converting = converting or message


class Type(Protocol):
    """How one value has to look.  Implemented by `Scalar`, `Struct`, `ListOf` and `MapOf`."""

    fits: Callable[[Any], bool]

    def conform(self, value: Any, path: str, owner: str, unknown: list[str]) -> Any:
        """The value as it is to be stored; unknown fields are removed in place and named in ``unknown``.

        ``path`` is where we are (``spec.containers[0].name``), ``owner`` the name of the enclosing struct.
        Raises SchemaError.
        """
        ...


def json_kind(value: Any) -> str:
    """A value's type as Go's decoder calls it."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if value is None or isinstance(value, str):
        return "string" if value is not None else "null"
    return "array" if isinstance(value, list) else "object"


def _mismatch(value: Any, path: str, owner: str, go_type: str) -> SchemaError:
    """``json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32``."""
    field = re.sub(r"\[[^]]*\]", "", path)
    kind = json_kind(value)
    if kind == "number" and go_type in ("int32", "int64"):
        kind = f"number {value}"
    return SchemaError(
        f"json: cannot unmarshal {kind} into Go struct field {owner}.{field} of type {go_type}"
        if field
        else f"json: cannot unmarshal {kind} into Go value of type {go_type}",
        _inconvertible(value, go_type),
    )


_GO_KINDS: dict[type, str] = {bool: "bool", int: "int64", float: "float64", str: "string", list: "slice", dict: "map"}


def _inconvertible(value: Any, go_type: str) -> str:
    """What runtime.UnstructuredConverter says of a value where that type is wanted."""
    kind = _GO_KINDS.get(type(value), "invalid")
    if go_type.startswith("[]"):
        return f"cannot restore slice from {kind}"
    if go_type.startswith("map["):
        return f"cannot restore map from {kind}"
    if go_type.startswith("v1."):
        return f"cannot restore struct from: {kind}"
    numbers = ("int32", "int64", "float64")
    if (kind in numbers and go_type in numbers) or (kind == "int64" and go_type == "string"):
        return f"cannot convert {kind} to {go_type}"
    return f"unrecognized type: {go_type}"


class Scalar:
    """A leaf.  ``normal`` returns the value to store, or raises TypeError (wrong type) or ValueError (bad text)."""

    __slots__ = ("fits", "go_type", "normal")

    def __init__(self, go_type: str, fits: Callable[[Any], bool], normal: Callable[[Any], Any] | None = None) -> None:
        self.go_type = go_type
        self.fits = fits
        self.normal = normal

    def conform(self, value: Any, path: str, owner: str, unknown: list[str]) -> Any:
        """See `Type.conform`."""
        if self.fits(value):
            return value
        if self.normal is not None:
            try:
                return self.normal(value)
            except TypeError:
                pass
            except ValueError as error:
                raise SchemaError(str(error)) from None
        raise _mismatch(value, path, owner, self.go_type)


class Struct:
    """An object with known fields.

    ``rest`` is the type of all other fields; None: there are none, they are pruned.  ``atomic``: it has one owner as a
    whole (x-kubernetes-map-type).  ``always`` names the fields that upstream's Go structs hold even when nothing is
    in them: they are there before anybody sets them, so nobody owns the fact that they are.
    """

    __slots__ = ("always", "atomic", "fields", "fits", "name", "package", "replaced", "rest", "retained")

    def __init__(self, name: str, package: str = "", *, rest: Type | None = None, atomic: bool = False) -> None:
        """``package`` tells structs of one name apart: core's and discovery's EndpointPort."""
        self.name = name
        self.package = package
        self.rest = rest
        self.atomic = atomic
        self.always: frozenset[str] = frozenset()
        #: structs that a strategic merge patch replaces instead of merging them
        self.replaced: frozenset[str] = frozenset()
        #: unions, and lists of them, of whose members ``kubectl apply`` leaves only those that a manifest names
        self.retained: frozenset[str] = frozenset()
        self.fits: Callable[[Any], bool]
        self.fields: dict[str, Type] = {}
        fields = self.fields

        def fits(value: Any) -> bool:
            if type(value) is not dict:
                return False
            for key, item in value.items():
                known = fields.get(key, rest)
                if known is None or not known.fits(item):
                    return False
            return True

        self.fits = fits

    def conform(self, value: Any, path: str, owner: str, unknown: list[str]) -> Any:
        """See `Type.conform`."""
        if type(value) is not dict:
            raise _mismatch(value, path, owner, f"v1.{self.name}")
        for key in list(value):
            known = self.fields.get(key, self.rest)
            if known is None:
                unknown.append(f"{path}.{key}" if path else key)
                del value[key]
            elif value[key] is None:
                del value[key]
            else:
                value[key] = known.conform(value[key], f"{path}.{key}" if path else key, self.name, unknown)
        return value


class MapOf:
    """A map with free keys; ``atomic``: it has one owner as a whole (x-kubernetes-map-type)."""

    __slots__ = ("atomic", "fits", "value")

    def __init__(self, value: Type, *, atomic: bool = False) -> None:
        self.value = value
        self.atomic = atomic
        self.fits: Callable[[Any], bool]
        item_fits = value.fits

        def fits(value: Any) -> bool:
            return type(value) is dict and all(map(item_fits, value.values()))

        self.fits = fits

    def conform(self, value: Any, path: str, owner: str, unknown: list[str]) -> Any:
        """See `Type.conform`.  A null is the zero value in Go: the empty string, or nothing."""
        if type(value) is not dict:
            raise _mismatch(value, path, owner, f"map[string]{getattr(self.value, 'go_type', 'v1.Value')}")
        for key in list(value):
            if value[key] is None:
                if getattr(self.value, "go_type", "") == "string":
                    value[key] = ""
                else:
                    del value[key]
            else:
                value[key] = self.value.conform(value[key], f"{path}.{key}", owner, unknown)
        return value


class ListOf:
    """A list.

    ``merge_key`` and ``merges`` say how a strategic merge patch treats it, ``list_type`` (x-kubernetes-list-type) how
    server-side apply does: an element of a ``map`` is known by the values of its ``keys``, of which ``key_defaults``
    has those that may be left out.
    """

    __slots__ = ("fits", "item", "key_defaults", "keys", "list_type", "merge_key", "merges")

    def __init__(
        self,
        item: Type,
        merge_key: str = "",
        merges: bool = False,
        *,
        list_type: Literal["atomic", "set", "map"] = "atomic",
        keys: tuple[str, ...] = (),
        key_defaults: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.item = item
        self.merge_key = merge_key
        self.merges = merges
        self.list_type = list_type
        #: sorted, as they appear in managedFields
        self.keys = tuple(sorted(keys))
        self.key_defaults = key_defaults
        self.fits: Callable[[Any], bool]
        item_fits = item.fits

        def fits(value: Any) -> bool:
            return type(value) is list and all(map(item_fits, value))

        self.fits = fits

    def conform(self, value: Any, path: str, owner: str, unknown: list[str]) -> Any:
        """See `Type.conform`."""
        if type(value) is not list:
            name = getattr(self.item, "go_type", "") or f"v1.{getattr(self.item, 'name', 'Value')}"
            raise _mismatch(value, path, owner, f"[]{name}")
        return [
            self.item.conform({} if item is None else item, f"{path}[{index}]", owner, unknown)
            for index, item in enumerate(value)
        ]


class Either:
    """A struct where an object stands, else anything that ``others`` allows (JSONSchemaPropsOrBool)."""

    __slots__ = ("fits", "others", "struct")

    def __init__(self, struct: Type, others: Type) -> None:
        self.struct = struct
        self.others = others
        self.fits: Callable[[Any], bool] = lambda value: (struct if type(value) is dict else others).fits(value)

    def conform(self, value: Any, path: str, owner: str, unknown: list[str]) -> Any:
        """See `Type.conform`."""
        return (self.struct if type(value) is dict else self.others).conform(value, path, owner, unknown)


def canonical_quantity(value: Any) -> str:
    """``0.5`` → ``500m``, ``1000m`` → ``1``, ``1024Mi`` → ``1Gi``, ``1.5Gi`` → ``1536Mi``: as upstream stores it.

    Raises TypeError for what is neither text nor number, ValueError for text that is no quantity.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError
    text = str(value)
    amount = parse_quantity(text)
    if re.search(r"[eE][+-]?\d", text) and abs(amount) < MOST:
        return text
    return render(amount, text.endswith("i"))


#: most of what is canonical already: not divisible by the step to the next suffix
_CANONICAL = re.compile(r"0|-?[1-9]\d{0,17}(?<!000)[mun]?|-?[1-9]\d{0,5}(?<!000)[kMGT]|[1-9]\d{0,2}[KMGT]i")


def _base64(value: Any) -> Any:
    if not isinstance(value, str):
        raise TypeError
    try:
        base64.b64decode(value, validate=True)
    except ValueError:
        raise ValueError("illegal base64 data at input byte " + str(_first_bad_base64(value))) from None
    return value


def _first_bad_base64(text: str) -> int:
    match = re.match(r"[A-Za-z0-9+/]*", text)
    good = match.end() if match else 0
    return good if good < len(text) else max(len(text) - len(text) % 4, 0)


def _time(value: Any) -> Any:
    if not isinstance(value, str):
        raise TypeError
    if not _TIME.fullmatch(value):
        raise ValueError(f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse "{value}" as "2006"')
    parts = zip(
        ("month", "hour", "minute", "second"), (value[5:7], value[11:13], value[14:16], value[17:19]), strict=True
    )
    bounds = {"month": range(1, 13), "hour": range(24)}
    wrong = next((name for name, text in parts if int(text) not in bounds.get(name, range(60))), "day")
    raise ValueError(f'parsing time "{value}": {wrong} out of range')


def _is_time(value: Any) -> bool:
    if type(value) is not str or not _TIME.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_base64(value: Any) -> bool:
    if type(value) is not str:
        return False
    try:
        base64.b64decode(value, validate=True)
    except ValueError:
        return False
    return True


def _integer(bits: int) -> Callable[[Any], bool]:
    bound = 1 << (bits - 1)

    def fits(value: Any) -> bool:
        return type(value) is int and -bound <= value < bound

    return fits


STRING = Scalar("string", lambda value: type(value) is str)
BOOLEAN = Scalar("bool", lambda value: type(value) is bool)
INT32 = Scalar("int32", _integer(32))
INT64 = Scalar("int64", _integer(64))
NUMBER = Scalar("float64", lambda value: type(value) in (int, float))
BYTES = Scalar("[]uint8", _is_base64, _base64)
TIME = Scalar("v1.Time", _is_time, _time)
INT_OR_STRING = Scalar("intstr.IntOrString", lambda value: type(value) is str or INT32.fits(value))
QUANTITY = Scalar(
    "resource.Quantity",
    lambda value: type(value) is str and _CANONICAL.fullmatch(value) is not None,
    canonical_quantity,
)
#: anything: embedded objects, FieldsV1, JSON
OPAQUE = Scalar("interface {}", lambda value: True)

_MAP_TYPE = "x-kubernetes-map-type"
#: optional structs that are no pointers in Go, beside spec and status of kinds; the schemas do not tell
_BY_VALUE: dict[str, set[str]] = {
    "CronJobSpec": {"jobTemplate"},
    "DaemonSetSpec": {"template", "updateStrategy"},
    "DeploymentSpec": {"strategy", "template"},
    "Event": {"source"},
    "IngressStatus": {"loadBalancer"},
    "JobTemplateSpec": {"metadata", "spec"},
    "NodeDaemonEndpoints": {"kubeletEndpoint"},
    "NodeStatus": {"daemonEndpoints", "nodeInfo"},
    "PodTemplate": {"template"},
    "PodTemplateSpec": {"metadata", "spec"},
    "ReplicaSetSpec": {"template"},
    "ServiceStatus": {"loadBalancer"},
    "StatefulSetSpec": {"template", "updateStrategy"},
}

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_SPECIAL: dict[str, Type] = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": INT_OR_STRING,
    "io.k8s.apimachinery.pkg.api.resource.Quantity": QUANTITY,
    _META + "Time": TIME,
    _META + "MicroTime": TIME,
    _META + "FieldsV1": OPAQUE,
    "io.k8s.apimachinery.pkg.runtime.RawExtension": OPAQUE,
}
#: schemas in CustomResourceDefinitions, and what may stand instead of one: …OrBool, …OrArray, …OrStringArray
_SCHEMA = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
_SCALARS: dict[tuple[str, str], Type] = {
    ("string", ""): STRING,
    ("string", "byte"): BYTES,
    ("string", "date-time"): TIME,
    ("boolean", ""): BOOLEAN,
    ("integer", "int32"): INT32,
    ("integer", "int64"): INT64,
    ("integer", ""): INT64,
    ("number", ""): NUMBER,
    ("number", "double"): NUMBER,
}


class Schema:
    """Compiled types of the kinds that are asked for."""

    def __init__(self, definitions: dict[str, dict[str, Any]], kinds: Iterable[tuple[str, str, str]]) -> None:
        """``kinds`` are (group, version, kind); KeyError for one that the definitions lack."""
        names = {
            (gvk["group"], gvk["version"], gvk["kind"]): name
            for name, definition in definitions.items()
            for gvk in definition.get("x-kubernetes-group-version-kind", ())
        }
        self._compiled: dict[str, Type] = dict(_SPECIAL)
        self._kinds = {gvk: self._named(definitions, names[gvk]) for gvk in kinds}

    def type_of(self, group: str, version: str, kind: str) -> Type:
        """The type of a kind given at construction."""
        return self._kinds[group, version, kind]

    def _named(self, definitions: dict[str, dict[str, Any]], name: str) -> Type:
        found = self._compiled.get(name)
        if found is not None:
            return found
        if name.startswith(_SCHEMA + "Or"):
            props = self._named(definitions, _SCHEMA)
            others: dict[str, Type] = {"Bool": BOOLEAN, "Array": ListOf(props), "StringArray": ListOf(STRING)}
            self._compiled[name] = either = Either(props, others[name.removeprefix(_SCHEMA + "Or")])
            return either
        definition = definitions[name]
        properties = definition.get("properties")
        if properties is None:
            self._compiled[name] = compiled = self._compile(definitions, definition)
            return compiled
        struct = self._compiled[name] = Struct(
            name.rpartition(".")[2], ".".join(name.split(".")[-3:-1]), atomic=definition.get(_MAP_TYPE) == "atomic"
        )
        for key, property_ in properties.items():
            struct.fields[key] = self._compile(definitions, property_)
        struct.always = _always(struct, definition.get("required", ()))
        strategies = {key: row.get("x-kubernetes-patch-strategy", "") for key, row in properties.items()}
        struct.replaced = frozenset(key for key, strategy in strategies.items() if strategy == "replace")
        struct.retained = frozenset(key for key, strategy in strategies.items() if "retainKeys" in strategy)
        return struct

    def _compile(self, definitions: dict[str, dict[str, Any]], property_: dict[str, Any]) -> Type:
        if name := definition_of_ref(property_):
            return _with_map_type(self._named(definitions, name), property_.get(_MAP_TYPE, ""))
        kind = first_type(property_)
        if kind == "array":
            strategy = property_.get("x-kubernetes-patch-strategy", "").split(",")
            merge_key = property_.get("x-kubernetes-patch-merge-key", "")
            keys = tuple(property_.get("x-kubernetes-list-map-keys", ()))
            return ListOf(
                self._compile(definitions, property_["items"]),
                merge_key,
                "merge" in strategy,
                list_type=property_.get("x-kubernetes-list-type", "atomic"),
                keys=keys,
                # the one default of a key that upstream's types declare
                key_defaults={"protocol": "TCP"} if "protocol" in keys else {},
            )
        if kind == "object" and "additionalProperties" in property_:
            value = self._compile(definitions, property_["additionalProperties"])
            return MapOf(value, atomic=property_.get(_MAP_TYPE) == "atomic")
        return _SCALARS.get((kind, property_.get("format", "")), OPAQUE)


def _with_map_type(type_: Type, map_type: str) -> Type:
    """A property may override what its definition says: a claimRef is granular, other ObjectReferences are atomic."""
    if not map_type or not isinstance(type_, Struct) or type_.atomic == (map_type == "atomic"):
        return type_
    other = Struct(type_.name, type_.package, rest=type_.rest, atomic=not type_.atomic)
    other.fields.update(type_.fields)
    other.always, other.replaced, other.retained = type_.always, type_.replaced, type_.retained
    return other


def _always(struct: Struct, required: Iterable[str]) -> frozenset[str]:
    """Structs, lists and maps that Go writes even where they are empty: what is required, and structs by value."""
    by_value = set(required) | _BY_VALUE.get(struct.name, set())
    return frozenset(
        name
        for name, field in struct.fields.items()
        if isinstance(field, Struct | ListOf | MapOf)
        and (name in by_value or (name in ("metadata", "spec", "status") and "kind" in struct.fields))
    )


@lru_cache(maxsize=1)
def schema_of(kinds: tuple[tuple[str, str, str], ...]) -> Schema:
    """The installed schemas, compiled for these kinds (50 ms); kept, because tests and servers ask again."""
    return Schema(load_definitions(), kinds)


def conform(type_: Type, value: Any) -> list[str]:
    """Bring an object into the form in which it is stored, in place; returns the paths of the fields removed.

    Raises SchemaError at the first value of a wrong type.
    """
    if type_.fits(value):
        return []
    unknown: list[str] = []
    type_.conform(value, "", "", unknown)
    return unknown
