"""Which representation a client wants (Accept).

JSON and YAML; objects, or on request Tables (printed columns) and PartialObjectMetadata.  Protobuf is not spoken:
clients that prefer it name JSON as their second choice.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import orjson
import yaml

from knet.apiserver.http import Request
from knet.apiserver.options import flag
from knet.apiserver.status import not_acceptable

JSON = "application/json"
YAML = "application/yaml"
ACCEPTED = f"{JSON}, {YAML}"
#: of watches: YAML has no frames
STREAMED = f"{JSON};stream=watch"
_YAMLS = (YAML, "text/yaml", "application/x-yaml")
_SHAPES = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
#: how the User-Agent of what people look at begins
_HUMAN = ("curl", "Wget", "Mozilla/5.0")


@dataclass(frozen=True, slots=True)
class Form:
    """How an answer is to look."""

    shape: Literal["", "Table", "PartialObjectMetadata", "PartialObjectMetadataList"] = ""
    yaml: bool = False
    #: of the Table or PartialObjectMetadata: v1 or v1beta1
    version: str = "v1"
    #: indented
    pretty: bool = False


PLAIN = Form()


def form_for(request: Request) -> Form:
    """The form in which a request is to be answered; StatusError 406 if there is none."""
    headers = request.headers
    form = form_of(headers.get("accept"))
    if "pretty" in request.raw_query and request.query.get("pretty"):
        return replace(form, pretty=flag(request.query, "pretty"))
    return replace(form, pretty=True) if headers.get("user-agent").startswith(_HUMAN) else form


@lru_cache(maxsize=256)
def form_of(accept: str) -> Form:
    """The representation that an Accept header likes best of those we can give; StatusError 406 if there is none."""
    if not accept:
        return PLAIN
    for media, parameters in sorted(map(_clause, accept.split(",")), key=_rank):
        is_yaml = media in _YAMLS
        if not is_yaml and media not in (JSON, "*/*", "application/*"):
            continue
        if parameters.get("stream", "watch") not in ("", "watch"):
            continue
        pretty = parameters.get("pretty") == "1"
        if not parameters.keys() & {"as", "g", "v"}:
            return Form(yaml=is_yaml, pretty=pretty)
        shape, version = parameters.get("as", ""), parameters.get("v", "")
        if shape in _SHAPES and parameters.get("g") == "meta.k8s.io" and version in ("v1", "v1beta1"):
            return Form(shape, is_yaml, version, pretty)  # type: ignore[arg-type]
    raise not_acceptable(ACCEPTED)


def _clause(text: str) -> tuple[str, dict[str, str]]:
    """``type/subtype;name=value;…``"""
    media, *rest = (part.strip() for part in text.split(";"))
    return "*/*" if media == "*" else media, dict(part.partition("=")[::2] for part in rest)


def _rank(clause: tuple[str, dict[str, str]]) -> tuple[float, int]:
    """What is wanted most comes first; among equals what is said exactly."""
    media, parameters = clause
    try:
        quality = float(parameters.get("q", "1"))
    except ValueError:
        quality = 1.0
    return -quality, media.count("*")


def encoded(data: bytes, form: Form) -> tuple[bytes, str]:
    """JSON in the notation asked for, and its media type."""
    if form.yaml:
        return to_yaml(data), YAML
    if form.pretty:
        return orjson.dumps(orjson.loads(data), option=orjson.OPT_INDENT_2), JSON
    return data, JSON


def to_yaml(data: bytes) -> bytes:
    """Encoded JSON as YAML text."""
    text: bytes = yaml.dump(
        orjson.loads(data), Dumper=yaml.CSafeDumper, default_flow_style=False, encoding="utf-8", allow_unicode=True
    )
    return text
