"""/openapi/v3: one document per group and version, with all paths and operations."""

from collections.abc import Sequence
from typing import Any

from knet.api.names import KUBERNETES_VERSION
from knet.api.resources import Resource
from knet.apiserver.discovery import SUBRESOURCES
from knet.apiserver.openapi.parameters import DELETE, LIST, PRETTY, WRITE, parameter
from knet.apiserver.openapi.schemas import DELETE_OPTIONS, PATCH, ROOTS, STATUS, Definitions, Names, reachable, schema
from knet.apiserver.patching import patch_types
from knet.store import Object

_V3 = "#/components/schemas/"
#: verb → x-kubernetes-action
_ACTIONS = {verb: verb for verb in ("delete", "deletecollection", "get", "list", "patch")} | {
    "create": "post",
    "update": "put",
}


def document(definitions: Definitions, names: Names, rows: Sequence[Resource]) -> Object:
    """One group and version."""
    roots = [*ROOTS]
    paths: Object = {}
    for row in rows:
        kind = names[row.group, row.version, row.kind]
        roots += [kind, *([names[row.group, row.version, row.list_kind]] if "list" in row.verbs else ())]
        for path, item in _paths(row, kind, names).items():
            paths[path] = item
            roots += [name for name in _references_v3(item) if name in definitions]
    schemas = {name: schema(name, definitions[name], _V3) for name in reachable(definitions, roots)}
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


def _paths(row: Resource, kind: str, names: Names) -> Object:
    """All paths of one resource."""
    collection = row.path("{namespace}" if row.namespaced else "")
    scope = [parameter("namespace", "object name and auth scope, such as for teams and projects", where="path")]
    common = [*(scope if row.namespaced else ()), PRETTY]
    name = parameter("name", f"name of the {row.kind}", where="path")
    tag = f"{'Core' if not row.group else row.group.partition('.')[0].title()}{row.version.upper()}"
    one = f"{tag}{'Namespaced' if row.namespaced else ''}{row.kind}"
    many = names.get((row.group, row.version, row.list_kind), "")
    listing = _operation(row, "list", f"list or watch objects of kind {row.kind}", one, many, parameters=LIST)
    paths: Object = {
        collection: {
            "get": listing,
            "post": _operation(
                row, "post", f"create a {row.kind}", one, kind, parameters=WRITE, requestBody=_body(kind)
            ),
            "delete": _operation(
                row,
                "deletecollection",
                f"delete collection of {row.kind}",
                one,
                STATUS,
                parameters=[*LIST, *DELETE],
                requestBody=_body(DELETE_OPTIONS, required=False),
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
                STATUS,
                parameters=DELETE,
                requestBody=_body(DELETE_OPTIONS, required=False),
            ),
            "parameters": [name, *common],
        },
    }
    for item in paths.values():
        for method in [key for key, operation in item.items() if key != "parameters"]:
            if item[method]["x-kubernetes-action"] not in (_ACTIONS[verb] for verb in row.verbs if verb != "watch"):
                del item[method]
    paths = {path: item for path, item in paths.items() if set(item) != {"parameters"}}
    if row.namespaced and "list" in row.verbs:
        everywhere = dict(listing, operationId=f"list_{tag}{row.kind}ForAllNamespaces")
        paths[row.path()] = {"get": everywhere, "parameters": [PRETTY]}
    for sub in row.subresources:
        described = SUBRESOURCES[sub]
        group, version = (described.group, described.version) if described.version else (row.group, row.version)
        gvk = (group, version, described.kind or row.kind)
        paths[f"{collection}/{{name}}/{sub}"] = {
            **_subresource(row, sub, f"{one}{sub.title()}", gvk, names.get(gvk, STATUS)),
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
            parameters=WRITE,
            requestBody=_body(kind),
            **extra,
        ),
        "patch": _operation(
            row,
            "patch",
            f"partially update the specified {row.kind}",
            one,
            kind,
            parameters=WRITE,
            requestBody=_body(PATCH, patch_types(row.custom)),
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
            parameters=WRITE,
            requestBody=_body(kind),
            gvk=about,
        )
    return found
