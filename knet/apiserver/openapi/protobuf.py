"""/openapi/v2 in protobuf, the only form that kubectl reads before 1.27 (Debian 12 has 1.20).

The message is gnostic's ``openapi.v2.Document``; the numbers below are those of its OpenAPIv2.proto.  Such a kubectl
looks up definitions by x-kubernetes-group-version-kind, to validate manifests and to explain fields, and PATCH
operations with their parameters, to find out whether the server knows dryRun.
"""

from typing import Any

import orjson

from knet.api.wire import encode
from knet.store import Object


def document(value: Object) -> bytes:
    """An OpenAPI v2 document as protobuf."""
    info = encode(1, value["info"]["title"]) + encode(2, value["info"]["version"])
    paths = b"".join(encode(2, encode(1, path) + encode(2, _path(item))) for path, item in value["paths"].items())
    return encode(1, value["swagger"]) + encode(2, info) + encode(8, paths) + encode(9, _schemas(value["definitions"]))


def _schemas(schemas: Object) -> bytes:
    """Definitions or Properties: repeated NamedSchema."""
    return b"".join(encode(1, encode(1, name) + encode(2, _schema(schema))) for name, schema in schemas.items())


def _schema(schema: Object) -> bytes:
    parts = [
        encode(number, schema[key]) for key, number in (("$ref", 1), ("format", 2), ("description", 4)) if key in schema
    ]
    parts += [encode(19, name) for name in schema.get("required", ())]
    if "additionalProperties" in schema:
        parts.append(encode(21, encode(1, _schema(schema["additionalProperties"]))))
    if "type" in schema:
        parts.append(encode(22, encode(1, schema["type"])))
    if "items" in schema:
        parts.append(encode(23, encode(1, _schema(schema["items"]))))
    if "properties" in schema:
        parts.append(encode(25, _schemas(schema["properties"])))
    return b"".join(parts) + _extensions(31, schema)


def _extensions(number: int, value: Object) -> bytes:
    """Vendor extensions: NamedAny, whose value is YAML; JSON is YAML."""
    return b"".join(
        encode(number, encode(1, key) + encode(2, encode(2, orjson.dumps(item).decode())))
        for key, item in value.items()
        if key.startswith("x-")
    )


def _path(item: Object) -> bytes:
    return b"".join(encode(number, _operation(item[key])) for key, number in (("patch", 8),) if key in item)


def _operation(operation: Object) -> bytes:
    parts = [encode(5, operation["operationId"])]
    parts += [encode(8, encode(1, _parameter(row))) for row in operation["parameters"] if row["in"] == "query"]
    ok = encode(1, encode(1, encode(1, "200") + encode(2, encode(1, encode(1, "OK")))))
    return b"".join([*parts, encode(9, ok), _extensions(13, operation)])


def _parameter(row: dict[str, Any]) -> bytes:
    """A query parameter: Parameter.non_body_parameter.query."""
    query = encode(2, row["in"]) + encode(3, row["description"]) + encode(4, row["name"]) + encode(6, row["type"])
    return encode(2, encode(3, query))
