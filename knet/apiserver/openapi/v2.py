"""/openapi/v2: what clients before 1.27 read."""

from collections.abc import Sequence

from knet.api.names import KUBERNETES_VERSION
from knet.api.resources import Resource
from knet.apiserver.openapi.parameters import WRITE
from knet.apiserver.openapi.schemas import ROOTS, V2, Definitions, Names, reachable, schema
from knet.apiserver.patching import patch_types
from knet.store import Object


def document(definitions: Definitions, names: Names, rows: Sequence[Resource]) -> Object:
    """Everything in one document: definitions of the served kinds, and how each is patched.

    All other operations are in v3 only.
    """
    kinds = [names[row.group, row.version, row.kind] for row in rows]
    lists = [names[row.group, row.version, row.list_kind] for row in rows if "list" in row.verbs]
    roots = [*ROOTS, *kinds, *lists]
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": KUBERNETES_VERSION},
        "paths": {
            row.path("{namespace}" if row.namespaced else "", "{name}"): {"patch": _patch(row)}
            for row in rows
            if "patch" in row.verbs
        },
        "definitions": {name: schema(name, definitions[name], V2) for name in reachable(definitions, roots)},
    }


def _patch(row: Resource) -> Object:
    parameters = [
        {"name": item["name"], "in": "query", "description": item["description"], "type": "string", "uniqueItems": True}
        for item in WRITE
    ]
    return {
        "operationId": f"patch_{row.kind}",
        "consumes": patch_types(row.custom),
        "parameters": parameters,
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": {"group": row.group, "version": row.version, "kind": row.kind},
    }
