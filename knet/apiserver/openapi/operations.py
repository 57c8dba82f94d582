"""What can be done with a resource, in OpenAPI v3's notation: paths, operations, their ids and answers.

Ids, tags and actions are those of upstream's documents (``listCoreV1NamespacedPod``), because clients are generated
from them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from knet.api.resources import Resource
from knet.apiserver.discovery import SUBRESOURCES
from knet.apiserver.openapi.parameters import CONNECT, DELETE, LIST, PRETTY, READ, WRITE, parameter
from knet.apiserver.openapi.schemas import DELETE_OPTIONS, PATCH, STATUS, Names
from knet.apiserver.patching import patch_types
from knet.store import Object

#: where references point to
SCHEMAS = "#/components/schemas/"
#: representations of every answer
MEDIA = ("application/json", "application/yaml")


@dataclass(frozen=True, slots=True)
class _Verb:
    """How a verb appears: ``id`` begins its operationId, ``does`` its description."""

    method: str
    action: str
    id: str
    does: str
    codes: Mapping[str, str]
    parameters: Sequence[Object] = ()


_OK = {"200": "OK"}
_CHANGED = {"200": "OK", "201": "Created"}
_COLLECTION = {
    "list": _Verb("get", "list", "list", "list or watch objects of kind {}", _OK, LIST),
    "create": _Verb("post", "post", "create", "create a {}", {**_CHANGED, "202": "Accepted"}, WRITE),
    "deletecollection": _Verb("delete", "deletecollection", "delete", "delete collection of {}", _OK, [*LIST, *DELETE]),
}
_OBJECT = {
    "get": _Verb("get", "get", "read", "read the specified {}", _OK),
    "update": _Verb("put", "put", "replace", "replace the specified {}", _CHANGED, WRITE),
    "patch": _Verb("patch", "patch", "patch", "partially update the specified {}", _CHANGED, WRITE),
    "delete": _Verb("delete", "delete", "delete", "delete a {}", {"200": "OK", "202": "Accepted"}, DELETE),
}
#: method → verb, of connections
_METHODS = {"delete": "delete", "get": "get", "patch": "patch", "post": "create", "put": "update"}
_SUBRESOURCE = {
    **_OBJECT,
    "get": _Verb("get", "get", "read", "read {} of the specified {}", _OK),
    "create": _Verb("post", "post", "create", "create {} of a {}", {**_CHANGED, "202": "Accepted"}, WRITE),
    "update": _Verb("put", "put", "replace", "replace {} of the specified {}", _CHANGED, WRITE),
    "patch": _Verb("patch", "patch", "patch", "partially update {} of the specified {}", _CHANGED, WRITE),
}


@dataclass(frozen=True, slots=True)
class _Subject:
    """What the operations of one path are about: the kind that they name, and how ids name it."""

    row: Resource
    gvk: tuple[str, str, str]
    #: the definition's name, and that of a list of it
    kind: str
    many: str
    #: ``NamespacedPodStatus``
    name: str
    #: what descriptions call it
    words: tuple[str, ...]


def paths(row: Resource, names: Names) -> dict[str, Object]:
    """Path → its operations, of a resource and its subresources."""
    gvk = (row.group, row.version, row.kind)
    scope = "Namespaced" if row.namespaced else ""
    many = names.get((row.group, row.version, row.list_kind), "")
    subject = _Subject(row, gvk, names[gvk], many, scope + row.kind, (row.kind,))
    collection = row.path("{namespace}" if row.namespaced else "")
    namespace = parameter("namespace", "object name and auth scope, such as for teams and projects", where="path")
    common = [*([namespace] if row.namespaced else ()), PRETTY]
    named = [parameter("name", f"name of the {row.kind}", where="path"), *common]
    found = {
        collection: _item(subject, _COLLECTION, row.verbs, common),
        f"{collection}/{{name}}": _item(subject, _OBJECT, row.verbs, named),
    }
    if scope and "list" in row.verbs:
        everywhere = _Subject(row, gvk, subject.kind, many, f"{row.kind}ForAllNamespaces", (row.kind,))
        found[row.path()] = _item(everywhere, _COLLECTION, ("list",), [PRETTY])
    for name in row.subresources:
        sub = SUBRESOURCES[name]
        about = (sub.group, sub.version, sub.kind) if sub.version else (row.group, row.version, sub.kind_of(row))
        below = _Subject(row, about, names.get(about, STATUS), "", subject.name + name.title(), (name, row.kind))
        path = f"{collection}/{{name}}/{name}"
        if name in CONNECT:
            found[path] = {**_connections(below, sub.verbs), "parameters": [*named, *CONNECT[name]]}
            if name == "proxy":
                deeper = replace(below, name=below.name + "WithPath")
                rest = parameter("path", "path to the resource", where="path")
                found[path + "/{path}"] = {**_connections(deeper, sub.verbs), "parameters": [*named, rest]}
        else:
            found[path] = _item(below, _SUBRESOURCE, sub.verbs, [*named, *READ.get(name, ())])
    return {path: item for path, item in found.items() if set(item) != {"parameters"}}


def _item(
    subject: _Subject, verbs: Mapping[str, _Verb], allowed: Sequence[str], parameters: Sequence[Object]
) -> Object:
    item: Object = {verb.method: _operation(subject, verb) for name, verb in verbs.items() if name in allowed}
    return {**item, "parameters": list(parameters)}


def _operation(subject: _Subject, verb: _Verb) -> Object:
    collection = "Collection" if verb.action == "deletecollection" else ""
    answer = {"list": subject.many, "delete": STATUS, "deletecollection": STATUS}.get(verb.action, subject.kind)
    operation = _named(subject, verb.action, f"{verb.id}{friendly(subject.row)}{collection}{subject.name}")
    operation["description"] = verb.does.format(*subject.words)
    if verb.parameters:
        operation["parameters"] = list(verb.parameters)
    if verb.method == "delete":
        operation["requestBody"] = {"content": _content(DELETE_OPTIONS, ("*/*",))}
    elif verb.method == "patch":
        operation["requestBody"] = {"content": _content(PATCH, patch_types(subject.row.custom)), "required": True}
    elif verb.method != "get":
        operation["requestBody"] = {"content": _content(subject.kind, ("*/*",)), "required": True}
    answers: Object = {
        code: {"description": text, "content": _content(answer, MEDIA)} for code, text in verb.codes.items()
    }
    operation["responses"] = {**answers, "401": {"description": "Unauthorized"}}
    return operation


def _connections(subject: _Subject, verbs: Sequence[str]) -> Object:
    """Requests that are passed on, or become streams."""
    return {method: _connect(subject, method) for method, verb in _METHODS.items() if verb in verbs}


def _connect(subject: _Subject, method: str) -> Object:
    operation = _named(subject, "connect", f"connect{friendly(subject.row)}{method.title()}{subject.name}")
    operation["description"] = "connect {} requests to {} of {}".format(method.upper(), *subject.words)
    text = {"*/*": {"schema": {"type": "string"}}}
    operation["responses"] = {"200": {"description": "OK", "content": text}, "401": {"description": "Unauthorized"}}
    return operation


def _named(subject: _Subject, action: str, id_: str) -> Object:
    group, version, kind = subject.gvk
    return {
        "tags": [tag(subject.row)],
        "operationId": id_,
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
    }


def _content(name: str, media: Sequence[str]) -> Object:
    return {kind: {"schema": {"$ref": SCHEMAS + name}} for kind in media}


def _words(row: Resource) -> list[str]:
    """``rbac.authorization.k8s.io`` → rbac, authorization; a custom resource's group is read from its end."""
    if row.custom:
        return list(reversed(row.group.split(".")))
    return row.group.removesuffix(".k8s.io").split(".") if row.group else ["core"]


def friendly(row: Resource) -> str:
    """A group and version in an operationId: ``RbacAuthorizationV1``."""
    return "".join(word.replace("-", " ").title().replace(" ", "") for word in [*_words(row), row.version])


def tag(row: Resource) -> str:
    """A group and version as documents sort operations: ``rbacAuthorization_v1``."""
    first, *others = _words(row) if not row.custom else row.group.split(".")
    return f"{first}{''.join(word.title() for word in others)}_{row.version}"
