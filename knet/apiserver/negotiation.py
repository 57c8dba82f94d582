"""Which representation a client wants (Accept).

JSON and YAML; objects, or on request Tables (printed columns) and PartialObjectMetadata.  Protobuf is not spoken:
clients that prefer it name JSON as their second choice.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import orjson
import yaml

from knet.apiserver.status import not_acceptable

JSON = "application/json"
YAML = "application/yaml"
ACCEPTED = f"{JSON}, {YAML}"


@dataclass(frozen=True, slots=True)
class Form:
    """How an answer is to look."""

    shape: Literal["", "Table", "PartialObjectMetadata", "PartialObjectMetadataList"] = ""
    yaml: bool = False
    #: of the Table or PartialObjectMetadata: v1 or v1beta1
    version: str = "v1"


PLAIN = Form()


@lru_cache(maxsize=256)
def form_of(accept: str) -> Form:
    """The first representation of an Accept header that we can give; StatusError 406 if there is none."""
    if not accept:
        return PLAIN
    for entry in accept.split(","):
        media, *rest = (part.strip() for part in entry.split(";"))
        parameters = dict(part.partition("=")[::2] for part in rest)
        shape = parameters.get("as", "")
        is_yaml = media in (YAML, "text/yaml", "application/x-yaml")
        if not is_yaml and media not in (JSON, "*/*", "application/*"):
            continue
        if not shape:
            return Form(yaml=is_yaml)
        if (
            shape in ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
            and parameters.get("g") == "meta.k8s.io"
            and parameters.get("v") in ("v1", "v1beta1")
        ):
            return Form(shape, is_yaml, parameters["v"])  # type: ignore[arg-type]
    raise not_acceptable(ACCEPTED)


def to_yaml(data: bytes) -> bytes:
    """Encoded JSON as YAML text."""
    text: bytes = yaml.dump(
        orjson.loads(data), Dumper=yaml.CSafeDumper, default_flow_style=False, encoding="utf-8", allow_unicode=True
    )
    return text
