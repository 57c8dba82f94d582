"""/openapi/v2: everything in one document, which is what clients before 1.27 and generators of clients read."""

from collections.abc import Sequence

from knet.api.names import KUBERNETES_VERSION
from knet.api.resources import Resource
from knet.apiserver.openapi.operations import MEDIA, SCHEMAS, paths
from knet.apiserver.openapi.schemas import V2, Definitions, Names, reachable, schema
from knet.apiserver.openapi.v3 import roots
from knet.store import Object


def document(definitions: Definitions, names: Names, rows: Sequence[Resource]) -> Object:
    """All operations on all kinds, in the notation of version 2."""
    items = {path: item for row in rows for path, item in paths(row, names).items()}
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": KUBERNETES_VERSION},
        "paths": {path: _item(item) for path, item in items.items()},
        "definitions": {name: schema(name, definitions[name], V2) for name in reachable(definitions, roots(items))},
    }


def _item(item: Object) -> Object:
    parameters = [_parameter(row) for row in item["parameters"]]
    operations = {method: _operation(operation) for method, operation in item.items() if method != "parameters"}
    return {**operations, "parameters": parameters}


def _operation(operation: Object) -> Object:
    """Media types belong to the operation, and a body is one of its parameters."""
    converted = {key: value for key, value in operation.items() if key not in ("requestBody", "responses")}
    parameters = [_parameter(row) for row in operation.get("parameters", ())]
    body = operation.get("requestBody")
    if body:
        (content,) = {media["schema"]["$ref"] for media in body["content"].values()}
        parameters.insert(0, {"name": "body", "in": "body", "schema": _reference(content)})
        if body.get("required"):
            parameters[0]["required"] = True
    responses = {}
    for code, answer in operation["responses"].items():
        responses[code] = {"description": answer["description"]}
        for media in list(answer.get("content", {}).values())[:1]:
            found = media["schema"]
            responses[code]["schema"] = _reference(found["$ref"]) if "$ref" in found else found
    return {
        **converted,
        "consumes": list(body["content"]) if body else ["*/*"],
        "produces": list(MEDIA),
        "parameters": parameters,
        "responses": responses,
    }


def _parameter(row: Object) -> Object:
    return {**{key: value for key, value in row.items() if key != "schema"}, **row["schema"]}


def _reference(ref: str) -> Object:
    return {"$ref": V2 + ref.removeprefix(SCHEMAS)}
