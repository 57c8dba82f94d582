"""/openapi/v3: one document per group and version, with all paths and operations."""

from collections.abc import Sequence
from typing import Any

from knet.api.names import KUBERNETES_VERSION
from knet.api.resources import Resource
from knet.apiserver.openapi.operations import SCHEMAS, paths
from knet.apiserver.openapi.schemas import ROOTS, Definitions, Names, reachable, schema
from knet.store import Object


def document(definitions: Definitions, names: Names, rows: Sequence[Resource]) -> Object:
    """One group and version."""
    items = {path: item for row in rows for path, item in paths(row, names).items()}
    schemas = {name: schema(name, definitions[name], SCHEMAS) for name in reachable(definitions, roots(items))}
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": KUBERNETES_VERSION},
        "paths": items,
        "components": {"schemas": schemas},
    }


def roots(items: Object) -> list[str]:
    """The definitions that operations name, and those that every document has."""
    return [*ROOTS, *_references(items)]


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        found = [str(node["$ref"]).removeprefix(SCHEMAS)] if "$ref" in node else []
        return found + [name for item in node.values() for name in _references(item)]
    return [name for item in node for name in _references(item)] if isinstance(node, list) else []
