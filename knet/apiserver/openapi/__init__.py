"""OpenAPI documents: v3 per group and version, v2 as a whole, from the installed definitions.

kubectl reads them to explain fields, to find out whether the server validates fields itself (the parameter
fieldValidation of PATCH) and, before 1.27, to validate manifests on the client.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from knet.api.definitions import load_definitions
from knet.api.resources import Resource
from knet.apiserver.openapi import protobuf, v2, v3
from knet.apiserver.openapi.schemas import kind_names

__all__ = ["documents", "index"]


def documents(resources: Sequence[Resource], more: Mapping[str, Any]) -> dict[str, bytes]:
    """Path → encoded document: /openapi/v2 (and v2.pb: in protobuf), one below /openapi/v3 per group and version.

    ``more`` are definitions that are not installed: those of custom resources.
    """
    definitions = {**load_definitions(), **more}
    names = kind_names(definitions)
    by_root: dict[str, list[Resource]] = {}
    for row in resources:
        by_root.setdefault(row.root, []).append(row)
    found = {
        f"/openapi/v3{root}": orjson.dumps(v3.document(definitions, names, rows)) for root, rows in by_root.items()
    }
    second = v2.document(definitions, names, resources)
    found["/openapi/v2"] = orjson.dumps(second)
    found["/openapi/v2.pb"] = protobuf.document(second)
    return found


def index(hashes: Mapping[str, str]) -> bytes:
    """/openapi/v3: where each document is, with its hash, so that clients can keep it for good."""
    urls = {path.removeprefix("/openapi/v3/"): f"{path}?hash={hash_}" for path, hash_ in hashes.items()}
    return orjson.dumps({"paths": {key: {"serverRelativeURL": url} for key, url in urls.items()}})
