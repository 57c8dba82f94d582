"""The OpenAPI definitions of a Kubernetes release, as the package kubernetes-validate ships them.

``_definitions.json`` has descriptions, merge keys and list types of every kind; `knet.api.schema` compiles them, the
API server's OpenAPI documents show them.
"""

import importlib.util
import re
from pathlib import Path
from typing import Any

import orjson

from knet.api import metrics

#: the release whose definitions are preferred; any later one that is installed will do
RELEASE = (1, 32)


def definitions_file() -> Path:
    """Where the definitions of the preferred release, or the nearest later one, are; FileNotFoundError if nowhere."""
    spec = importlib.util.find_spec("kubernetes_validate")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the Python package kubernetes-validate is not installed")
    found: dict[tuple[int, ...], Path] = {}
    for path in Path(spec.submodule_search_locations[0]).glob("kubernetes-json-schema/v*-local/_definitions.json"):
        if match := re.fullmatch(r"v(\d+)\.(\d+)\.\d+-local", path.parent.name):
            found[tuple(map(int, match.groups()))] = path
    suitable = [release for release in found if release >= RELEASE]
    if not suitable:
        raise FileNotFoundError(f"kubernetes-validate has no schemas of release {RELEASE[0]}.{RELEASE[1]} or later")
    return found[min(suitable)]


def load_definitions() -> dict[str, dict[str, Any]]:
    """All definitions as the file has them, by their long names; about 8 MB, so nobody should keep them."""
    definitions: dict[str, dict[str, Any]] = orjson.loads(definitions_file().read_bytes())["$defs"]
    return definitions | metrics.DEFINITIONS


def first_type(property_: dict[str, Any]) -> str:
    """The JSON type of a property; the file spells ``["string", "null"]`` for what Kubernetes calls a string."""
    kind = property_.get("type", "")
    return str(next((item for item in kind if item != "null"), "")) if isinstance(kind, list) else str(kind)


def definition_of_ref(property_: dict[str, Any]) -> str:
    """The long name that a property's ``$ref`` points to, or ""."""
    return str(property_.get("$ref", "")).removeprefix("#/$defs/")
