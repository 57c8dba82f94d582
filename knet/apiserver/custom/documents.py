"""The OpenAPI definitions of a custom resource and of its list, in the notation of the installed ones.

kubectl finds them by x-kubernetes-group-version-kind, to explain fields and to validate manifests.
"""

from collections.abc import Iterable
from typing import Any

from knet.api.resources import Resource
from knet.api.structural import JSONSchema

_META = "#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1."
_CONVENTIONS = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
_API_VERSION = {
    "type": "string",
    "description": "APIVersion defines the versioned schema of this representation of an object. Servers should convert"
    " recognized schemas to the latest internal value, and may reject unrecognized values. More info:"
    f" {_CONVENTIONS}#resources",
}
_KIND = {
    "type": "string",
    "description": "Kind is a string value representing the REST resource this object represents. Servers may infer"
    " this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info:"
    f" {_CONVENTIONS}#types-kinds",
}
_METADATA = {
    "$ref": f"{_META}ObjectMeta",
    "description": f"Standard object's metadata. More info: {_CONVENTIONS}#metadata",
}


def definitions(row: Resource, schema: JSONSchema, selectable: Iterable[str]) -> dict[str, Any]:
    """Name → definition: ``com.example.stable.v1.CronTab`` and its list; ``selectable`` are paths of fields."""
    package = ".".join([*reversed(row.group.split(".")), row.version])
    kind = {"group": row.group, "version": row.version}
    own = _complete(schema) | {"x-kubernetes-group-version-kind": [{**kind, "kind": row.kind}]}
    own["properties"] = {**own.get("properties", {}), "apiVersion": _API_VERSION, "kind": _KIND, "metadata": _METADATA}
    if labels := [{"fieldPath": path} for path in selectable]:
        own["x-kubernetes-selectable-fields"] = labels
    items = {
        "type": "array",
        "description": f"List of {row.plural}. More info: {_CONVENTIONS}",
        "items": {"$ref": f"#/$defs/{package}.{row.kind}"},
    }
    many: dict[str, Any] = {
        "type": "object",
        "description": f"{row.list_kind} is a list of {row.kind}",
        "required": ["items"],
        "properties": {
            "apiVersion": _API_VERSION,
            "items": items,
            "kind": _KIND,
            "metadata": {"$ref": f"{_META}ListMeta"},
        },
        "x-kubernetes-group-version-kind": [{**kind, "kind": row.list_kind}],
    }
    return {f"{package}.{row.kind}": own, f"{package}.{row.list_kind}": many}


def _complete(schema: JSONSchema) -> dict[str, Any]:
    """A schema whose embedded resources have what every object has."""
    found = dict(schema)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            found[key] = _complete(schema[key])
    if schema.get("properties"):
        found["properties"] = {key: _complete(item) for key, item in schema["properties"].items()}
    if schema.get("x-kubernetes-embedded-resource"):
        given = found.get("properties", {})
        found["properties"] = {**given, "apiVersion": _API_VERSION, "kind": _KIND, "metadata": _METADATA}
        found["required"] = list(dict.fromkeys((*schema.get("required", ()), "kind", "apiVersion")))
    return found
