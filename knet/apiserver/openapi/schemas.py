"""Definitions as OpenAPI schemas.

The installed definitions are in the dialect of JSON schema (``["string", "null"]``); documents get Kubernetes' own,
in which custom resources are written already.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from knet.api.definitions import definition_of_ref, first_type
from knet.apiserver.openapi.enums import ENUMS
from knet.store import Object

Definitions = Mapping[str, Mapping[str, Any]]
#: (group, version, kind) → the definition's long name
Names = Mapping[tuple[str, str, str], str]

_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
#: where references point to in the document for old clients
V2 = "#/definitions/"
_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_JUNCTORS = ("allOf", "anyOf", "oneOf")
STATUS = "io.k8s.apimachinery.pkg.apis.meta.v1.Status"
DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
PATCH = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch"
#: of other groups, but part of every document
ROOTS = (STATUS, DELETE_OPTIONS, PATCH)


def kind_names(definitions: Definitions) -> dict[tuple[str, str, str], str]:
    """(group, version, kind) → the definition's long name."""
    return {
        (gvk["group"], gvk["version"], gvk["kind"]): name
        for name, definition in definitions.items()
        for gvk in definition.get("x-kubernetes-group-version-kind", ())
    }


def reachable(definitions: Definitions, roots: Sequence[str]) -> list[str]:
    """The definitions that the roots are made of."""
    found: dict[str, None] = {}
    queue = [name for name in roots if name in definitions]
    while queue:
        name = queue.pop()
        if name in found:
            continue
        found[name] = None
        queue += [ref for ref in _references(definitions[name]) if ref in definitions]
    return sorted(found)


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        # what describes schemas has properties of such names
        name = definition_of_ref(node) if isinstance(node.get("$ref"), str) else ""
        return ([name] if name else []) + [ref for item in node.values() for ref in _references(item)]
    if isinstance(node, list):
        return [ref for item in node for ref in _references(item)]
    return []


def schema(name: str, definition: Mapping[str, Any], prefix: str) -> Object:
    """A definition in Kubernetes' dialect; ``prefix`` is where references point to.

    v3 (prefix "#/components/schemas/") wraps a described reference in allOf, as OpenAPI 3.0 demands.
    """
    if name == _INT_OR_STRING:
        kind: Object = {"type": "string", "format": "int-or-string"}
        return {**kind, "description": definition.get("description", "")} if "description" in definition else kind
    if name == _QUANTITY:
        return {"type": "string", "description": "Quantity is a fixed-point representation of a number."}
    kinds = {key: definition[key] for key in ("x-kubernetes-group-version-kind",) if key in definition}
    if prefix == V2 and definition.get(_PRESERVE):
        # kubectl would take any property that is named for all that there are
        return {"type": "object", **kinds}
    converted = _convert(definition, prefix)
    for key, property_ in converted.get("properties", {}).items() if prefix != V2 else ():
        if values := ENUMS.get(f"{name}.{key}"):
            property_["enum"] = values
        elif values := ENUMS.get(f"{name}.{key}[]"):
            property_["items"]["enum"] = values
    for key in ("apiVersion", "kind") if kinds else ():
        converted.get("properties", {}).get(key, {}).pop("enum", None)
    return converted


def _convert(node: Mapping[str, Any], prefix: str) -> Object:
    if prefix == V2:
        node = _for_v2(node)
    out: Object = {key: item for key, item in node.items() if key not in ("$ref", "type")}
    if name := definition_of_ref(dict(node)):
        if prefix == V2:
            return {**out, "$ref": prefix + name}
        return {**out, "allOf": [{"$ref": prefix + name}]} if out else {"$ref": prefix + name}
    if kind := first_type(dict(node)):
        out["type"] = kind
    for key in ("items", "additionalProperties", "not"):
        if isinstance(node.get(key), dict):
            out[key] = _convert(node[key], prefix)
    for key in _JUNCTORS:
        if key in node:
            out[key] = [_convert(item, prefix) for item in node[key]]
    if "properties" in node:
        out["properties"] = {key: _convert(item, prefix) for key, item in node["properties"].items()}
    return out


def _for_v2(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema of a custom resource without what old clients cannot read (openapi/v2/conversion.go)."""
    dropped = {*_JUNCTORS, "not", "nullable"}
    if node.get("nullable") or node.get(_PRESERVE):
        dropped |= {"items", "properties"}
        if node.get("nullable") or node.get("type") in ("array", "object"):
            dropped.add("type")
    if dropped.isdisjoint(node):
        return node
    return {key: item for key, item in node.items() if key not in dropped}
