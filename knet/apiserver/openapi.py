"""OpenAPI documents: v3 per group and version, v2 as a whole, from the installed definitions.

kubectl reads them to explain fields, to find out whether the server validates fields itself (the parameter
fieldValidation of PATCH) and, before 1.27, to validate manifests on the client.

The definitions are in the dialect of JSON schema (``["string", "null"]``); documents get Kubernetes' own.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from knet.api.names import KUBERNETES_VERSION
from knet.api.resources import Resource
from knet.api.schema import definition_of_ref, first_type, load_definitions
from knet.apiserver import openapi_v2
from knet.apiserver.discovery import SUBRESOURCES
from knet.store import Object

Definitions = Mapping[str, Mapping[str, Any]]

_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_STATUS = "io.k8s.apimachinery.pkg.apis.meta.v1.Status"
_DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
_PATCH = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch"
#: of other groups, but part of every document that has subresources with them
_ROOTS = (_STATUS, _DELETE_OPTIONS, _PATCH)
_PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)


def documents(resources: Sequence[Resource]) -> dict[str, bytes]:
    """Path → encoded document: /openapi/v2 (and v2.pb: in protobuf), one below /openapi/v3 per group and version."""
    definitions = load_definitions()
    names = kind_names(definitions)
    by_root: dict[str, list[Resource]] = {}
    for row in resources:
        by_root.setdefault(row.root, []).append(row)
    found = {
        f"/openapi/v3{root}": orjson.dumps(document_v3(definitions, names, rows)) for root, rows in by_root.items()
    }
    second = document_v2(definitions, names, resources)
    found["/openapi/v2"] = orjson.dumps(second)
    found["/openapi/v2.pb"] = openapi_v2.document(second)
    return found


def index(documents_: Mapping[str, bytes]) -> bytes:
    """/openapi/v3: where each document is, with a hash of it, so that clients can keep it for good."""
    paths = {}
    for path, data in documents_.items():
        if path.startswith("/openapi/v3/"):
            key = path.removeprefix("/openapi/v3/")
            paths[key] = {"serverRelativeURL": f"{path}?hash={hashlib.sha256(data).hexdigest().upper()}"}
    return orjson.dumps({"paths": paths})


def kind_names(definitions: Definitions) -> dict[tuple[str, str, str], str]:
    """(group, version, kind) → the definition's long name."""
    return {
        (gvk["group"], gvk["version"], gvk["kind"]): name
        for name, definition in definitions.items()
        for gvk in definition.get("x-kubernetes-group-version-kind", ())
    }


def _reachable(definitions: Definitions, roots: Sequence[str]) -> list[str]:
    """The definitions that the roots are made of."""
    found: dict[str, None] = {}
    queue = [name for name in roots if name in definitions]
    while queue:
        name = queue.pop()
        if name in found:
            continue
        found[name] = None
        queue += _references(definitions[name])
    return sorted(found)


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        name = definition_of_ref(node)
        return ([name] if name else []) + [ref for item in node.values() for ref in _references(item)]
    if isinstance(node, list):
        return [ref for item in node for ref in _references(item)]
    return []


# ---- schemas ---------------------------------------------------------------------------------------------


def schema(name: str, definition: Mapping[str, Any], prefix: str) -> Object:
    """A definition in Kubernetes' dialect; ``prefix`` is where references point to.

    v3 (prefix "#/components/schemas/") wraps a described reference in allOf, as OpenAPI 3.0 demands.
    """
    if name == _INT_OR_STRING:
        kind: Object = {"type": "string", "format": "int-or-string"}
        return {**kind, "description": definition.get("description", "")} if "description" in definition else kind
    if name == _QUANTITY:
        return {"type": "string", "description": "Quantity is a fixed-point representation of a number."}
    converted = _convert(definition, prefix)
    if "x-kubernetes-group-version-kind" in definition:
        converted["x-kubernetes-group-version-kind"] = definition["x-kubernetes-group-version-kind"]
    return converted


def _convert(node: Mapping[str, Any], prefix: str) -> Object:
    out: Object = {key: item for key, item in node.items() if key.startswith("x-kubernetes-") or key == "description"}
    out.pop("x-kubernetes-group-version-kind", None)
    if name := definition_of_ref(dict(node)):
        if prefix.startswith("#/components"):
            return {**out, "allOf": [{"$ref": prefix + name}], "default": {}} if out else {"$ref": prefix + name}
        return {**out, "$ref": prefix + name}
    if kind := first_type(dict(node)):
        out["type"] = kind
    for key in ("format", "required"):
        if key in node:
            out[key] = node[key]
    if "items" in node:
        out["items"] = _convert(node["items"], prefix)
    if isinstance(node.get("additionalProperties"), dict):
        out["additionalProperties"] = _convert(node["additionalProperties"], prefix)
    if "properties" in node:
        out["properties"] = {key: _convert(item, prefix) for key, item in node["properties"].items()}
    return out


# ---- v3 --------------------------------------------------------------------------------------------------

_V3 = "#/components/schemas/"


def document_v3(
    definitions: Definitions, names: Mapping[tuple[str, str, str], str], rows: Sequence[Resource]
) -> Object:
    """One group and version."""
    roots = [*_ROOTS]
    paths: Object = {}
    for row in rows:
        kind = names[row.group, row.version, row.kind]
        roots += [kind, f"{kind}List"]
        for path, item in _paths(row, kind, names).items():
            paths[path] = item
            roots += [name for name in _references_v3(item) if name in definitions]
    schemas = {name: schema(name, definitions[name], _V3) for name in _reachable(definitions, roots)}
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": KUBERNETES_VERSION},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _references_v3(node: Any) -> list[str]:
    if isinstance(node, dict):
        found = [str(node["$ref"]).removeprefix(_V3)] if "$ref" in node else []
        return found + [name for item in node.values() for name in _references_v3(item)]
    return [name for item in node for name in _references_v3(item)] if isinstance(node, list) else []


def _parameter(name: str, description: str, kind: str = "string", where: str = "query") -> Object:
    row: Object = {"name": name, "in": where, "description": description, "schema": {"type": kind, "uniqueItems": True}}
    if where == "path":
        row["required"] = True
    return row


_PRETTY = _parameter("pretty", "If 'true', then the output is pretty printed.")
_WRITE = [
    _parameter("dryRun", "When present, indicates that modifications should not be persisted. Valid values are: All"),
    _parameter(
        "fieldManager", "fieldManager is a name associated with the actor or entity that is making these changes."
    ),
    _parameter(
        "fieldValidation",
        "fieldValidation instructs the server on how to handle objects in the request (POST/PUT/PATCH) containing"
        " unknown or duplicate fields. Valid values are: Ignore, Warn, Strict",
    ),
]
_LIST = [
    _parameter("allowWatchBookmarks", "allowWatchBookmarks requests watch events with type BOOKMARK.", "boolean"),
    _parameter("continue", "The continue option should be set when retrieving more results from the server."),
    _parameter("fieldSelector", "A selector to restrict the list of returned objects by their fields."),
    _parameter("labelSelector", "A selector to restrict the list of returned objects by their labels."),
    _parameter("limit", "limit is a maximum number of responses to return for a list call.", "integer"),
    _parameter(
        "resourceVersion", "resourceVersion sets a constraint on what resource versions a request may be served from."
    ),
    _parameter("resourceVersionMatch", "resourceVersionMatch determines how resourceVersion is applied to list calls."),
    _parameter("sendInitialEvents", "`sendInitialEvents=true` may be set together with `watch=true`.", "boolean"),
    _parameter("timeoutSeconds", "Timeout for the list/watch call.", "integer"),
    _parameter("watch", "Watch for changes to the described resources.", "boolean"),
]
_DELETE = [
    _WRITE[0],
    _parameter("gracePeriodSeconds", "The duration in seconds before the object should be deleted.", "integer"),
    _parameter("propagationPolicy", "Whether and how garbage collection will be performed."),
]


def _content(name: str, media: Sequence[str] = ("application/json", "application/yaml")) -> Object:
    return {kind: {"schema": {"$ref": _V3 + name}} for kind in media}


def _operation(row: Resource, action: str, summary: str, kind: str, answer: str, **more: Any) -> Object:
    """One operation; ``kind`` is the definition whose group, version and kind it is about."""
    gvk = {"group": row.group, "version": row.version, "kind": row.kind}
    operation: Object = {
        "tags": [f"{row.group or 'core'}_{row.version}"],
        "description": summary,
        "operationId": f"{action}_{kind}",
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": more.pop("gvk", gvk),
        "responses": {
            "200": {"description": "OK", "content": _content(answer)},
            "401": {"description": "Unauthorized"},
        },
    }
    return {**operation, **{key: item for key, item in more.items() if item}}


def _body(name: str, media: Sequence[str] = ("*/*",), required: bool = True) -> Object:
    return {"content": _content(name, media), **({"required": True} if required else {})}


def _paths(row: Resource, kind: str, names: Mapping[tuple[str, str, str], str]) -> Object:
    """All paths of one resource."""
    collection = row.path("{namespace}" if row.namespaced else "")
    scope = [_parameter("namespace", "object name and auth scope, such as for teams and projects", where="path")]
    common = [*(scope if row.namespaced else ()), _PRETTY]
    name = _parameter("name", f"name of the {row.kind}", where="path")
    tag = f"{'Core' if not row.group else row.group.partition('.')[0].title()}{row.version.upper()}"
    one = f"{tag}{'Namespaced' if row.namespaced else ''}{row.kind}"
    listing = _operation(row, "list", f"list or watch objects of kind {row.kind}", one, f"{kind}List", parameters=_LIST)
    paths: Object = {
        collection: {
            "get": listing,
            "post": _operation(
                row, "post", f"create a {row.kind}", one, kind, parameters=_WRITE, requestBody=_body(kind)
            ),
            "delete": _operation(
                row,
                "deletecollection",
                f"delete collection of {row.kind}",
                one,
                _STATUS,
                parameters=[*_LIST, *_DELETE],
                requestBody=_body(_DELETE_OPTIONS, required=False),
            ),
            "parameters": common,
        },
        f"{collection}/{{name}}": {
            "get": _operation(row, "get", f"read the specified {row.kind}", one, kind),
            **_updates(row, one, kind),
            "delete": _operation(
                row,
                "delete",
                f"delete a {row.kind}",
                one,
                _STATUS,
                parameters=_DELETE,
                requestBody=_body(_DELETE_OPTIONS, required=False),
            ),
            "parameters": [name, *common],
        },
    }
    if row.namespaced:
        everywhere = dict(listing, operationId=f"list_{tag}{row.kind}ForAllNamespaces")
        paths[row.path()] = {"get": everywhere, "parameters": [_PRETTY]}
    for sub in row.subresources:
        described = SUBRESOURCES[sub]
        group, version = (described.group, described.version) if described.version else (row.group, row.version)
        gvk = (group, version, described.kind or row.kind)
        paths[f"{collection}/{{name}}/{sub}"] = {
            **_subresource(row, sub, f"{one}{sub.title()}", gvk, names.get(gvk, _STATUS)),
            "parameters": [name, *common],
        }
    return paths


def _updates(row: Resource, one: str, kind: str, gvk: Object | None = None) -> Object:
    extra: dict[str, Any] = {"gvk": gvk} if gvk else {}
    return {
        "put": _operation(
            row,
            "put",
            f"replace the specified {row.kind}",
            one,
            kind,
            parameters=_WRITE,
            requestBody=_body(kind),
            **extra,
        ),
        "patch": _operation(
            row,
            "patch",
            f"partially update the specified {row.kind}",
            one,
            kind,
            parameters=_WRITE,
            requestBody=_body(_PATCH, _PATCH_TYPES),
            **extra,
        ),
    }


def _subresource(row: Resource, sub: str, one: str, gvk: tuple[str, str, str], kind: str) -> Object:
    described = SUBRESOURCES[sub]
    about = dict(zip(("group", "version", "kind"), gvk, strict=True))
    found: Object = {}
    if "update" in described.verbs:
        found |= _updates(row, one, kind, about)
        if "patch" not in described.verbs:
            del found["patch"]
    if "get" in described.verbs:
        found["get"] = _operation(row, "get", f"read {sub} of the specified {row.kind}", one, kind, gvk=about)
    if "create" in described.verbs:
        found["post"] = _operation(
            row,
            "post",
            f"create {sub} of a {row.kind}",
            one,
            kind,
            parameters=_WRITE,
            requestBody=_body(kind),
            gvk=about,
        )
    return found


# ---- v2 --------------------------------------------------------------------------------------------------

_V2 = "#/definitions/"


def document_v2(
    definitions: Definitions, names: Mapping[tuple[str, str, str], str], rows: Sequence[Resource]
) -> Object:
    """Everything in one document: definitions of the served kinds, and how each is patched.

    All other operations are in v3 only.
    """
    kinds = [names[row.group, row.version, row.kind] for row in rows]
    roots = [*_ROOTS, *kinds, *(f"{kind}List" for kind in kinds)]
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": KUBERNETES_VERSION},
        "paths": {
            row.path("{namespace}" if row.namespaced else "", "{name}"): {"patch": _patch_v2(row)} for row in rows
        },
        "definitions": {name: schema(name, definitions[name], _V2) for name in _reachable(definitions, roots)},
    }


def _patch_v2(row: Resource) -> Object:
    parameters = [
        {"name": item["name"], "in": "query", "description": item["description"], "type": "string", "uniqueItems": True}
        for item in _WRITE
    ]
    return {
        "operationId": f"patch_{row.kind}",
        "consumes": list(_PATCH_TYPES),
        "parameters": parameters,
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": {"group": row.group, "version": row.version, "kind": row.kind},
    }
