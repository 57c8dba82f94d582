"""Request bodies: read within upstream's limit, and parsed as JSON, YAML or protobuf by their Content-Type."""

import asyncio
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import orjson
import yaml

from knet.api.go_text import syntax_error
from knet.api.schema import Type, json_kind
from knet.apiserver import protobuf, strict
from knet.apiserver.http import BodyBroken, BodyTooLarge, Request
from knet.apiserver.negotiation import ACCEPTED, JSON, YAML
from knet.apiserver.status import StatusError, bad_request, timeout, too_large, unsupported_media_type
from knet.store import Object

#: upstream's limit on request bodies
MAX_BODY = 3 * 1024 * 1024
#: bytes of YAML that are read by a thread, so that others are answered meanwhile: a megabyte takes up to 3 s
_LONG = 32 * 1024


async def read_body(request: Request) -> bytes:
    """The body; StatusError 413 beyond upstream's limit."""
    length = request.headers.get("Content-Length")
    if length.isdecimal() and int(length) > MAX_BODY:
        raise too_large(f"limit is {MAX_BODY}")
    try:
        return await request.body.read(MAX_BODY)
    except BodyTooLarge:
        raise too_large(f"limit is {MAX_BODY}") from None
    except BodyBroken as error:
        raise bad_request(str(error)) from None
    except TimeoutError:
        raise timeout("Timeout: request did not complete within the allotted timeout") from None


@dataclass(frozen=True, slots=True)
class Parsed:
    """A body as JSON data, and what its text has twice."""

    value: Any
    written: strict.Written | None = None
    #: of YAML: ``line 3: key "a" already set in map``
    lines: list[str] = field(default_factory=list)


async def parsed_body(request: Request, type_: Type) -> Parsed:
    """The body, supposed to be an object of the type; StatusError 400, 413, 415."""
    return await parsed(await read_body(request), request.headers.get("Content-Type"), type_)


async def parsed(body: bytes, content_type: str, type_: Type) -> Parsed:
    """See `parse`: at once, or in a thread."""
    if len(body) > _LONG and _is_yaml(_media(content_type)):
        return await asyncio.to_thread(parse, body, content_type, type_)
    return parse(body, content_type, type_)


async def parsed_apply(request: Request) -> Parsed:
    """The body, an apply configuration; StatusError 400, 413."""
    body = await read_body(request)
    return await asyncio.to_thread(parse_apply, body) if len(body) > _LONG else parse_apply(body)


class _Loader(yaml.CSafeLoader):
    """Timestamps stay text: they are JSON strings to Kubernetes."""

    def __init__(self, stream: bytes) -> None:
        super().__init__(stream)
        self.repeated: list[tuple[int, str]] = []

    def construct_number(self, node: yaml.ScalarNode) -> float:
        """JSON has neither infinities nor what is no number."""
        number = self.construct_yaml_float(node)
        if not isfinite(number):
            shown = "NaN" if number != number else "+Inf" if number > 0 else "-Inf"
            raise yaml.YAMLError(f"json: unsupported value: {shown}")
        return number

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As upstream's decoder, the last of two values counts; that there were two is remembered."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    line = key.start_mark.line + 1
                    self.repeated.append((line, f'line {line}: key "{key.value}" already set in map'))
                seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_number)

_YAML_ERRORS = (yaml.YAMLError, TypeError, ValueError, RecursionError)


#: nodes that aliases may make of a document, where they make most of it (goyaml's guard against a billion laughs)
_MOST_NODES = 400_000


def _from_yaml(body: bytes) -> Parsed:
    """Through JSON, because YAML knows keys and values that JSON does not."""
    loader = _Loader(body)
    try:
        node = loader.get_single_node()
        if node is None:
            return Parsed(None)
        known: dict[int, int] = {}
        if (size := _size(node, known)) > _MOST_NODES and size > 10 * len(known):
            raise yaml.YAMLError("yaml: document contains excessive aliasing")
        value = orjson.loads(orjson.dumps(loader.construct_document(node), option=orjson.OPT_NON_STR_KEYS))
        return Parsed(value, lines=[text for _, text in sorted(loader.repeated)])
    finally:
        loader.dispose()


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """The number of nodes with aliases written out."""
    size = known.get(id(node))
    if size is None:
        known[id(node)] = size = 1 << 40  # what contains itself
        if isinstance(node, yaml.SequenceNode):
            size = 1 + sum(_size(item, known) for item in node.value)
        elif isinstance(node, yaml.MappingNode):
            size = 1 + sum(_size(key, known) + _size(item, known) for key, item in node.value)
        else:
            size = 1
        known[id(node)] = size
    return size


def _media(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _is_yaml(media: str) -> bool:
    return media in (YAML, "text/yaml", "application/x-yaml") or media.endswith("+yaml")


def parse(body: bytes, content_type: str, type_: Type) -> Parsed:
    """A request body; StatusError 400 where it is broken, 415 for media types that are not spoken.

    ``type_`` is needed to read protobuf, which does not describe itself; otherwise types are checked later.
    """
    media = _media(content_type)
    if media in ("", JSON) or media.endswith("+json"):
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            why = f"couldn't get version/kind; json parse error: {syntax_error(body, str(error))}"
            raise _unrecognized(body, type_, why) from None
        if not isinstance(value, dict):
            raise _unrecognized(body, type_, _no_object(value))
        return Parsed(value, strict.repeated(body, value))
    if _is_yaml(media):
        try:
            return _from_yaml(body)
        except _YAML_ERRORS as error:
            raise _unrecognized(body, type_, f"error converting YAML to JSON: {error}") from None
    if media == protobuf.MEDIA_TYPE:
        try:
            return Parsed(protobuf.decode(body, type_))
        except protobuf.ProtobufError as error:
            raise bad_request(str(error)) from None
    raise unsupported_media_type(
        "the body of the request was in an unknown format - accepted media types include:"
        f" {ACCEPTED}, {protobuf.MEDIA_TYPE}"
    )


def _unrecognized(body: bytes, type_: Type, why: str) -> StatusError:
    """400, which quotes the beginning of the body: as text if it looks like JSON, else in hexadecimal digits."""
    start = body[:30].decode(errors="replace") if body[:1] == b"{" else body[:30].hex()
    quoted = start + " ..." * (len(body) > 30) if body else "<empty>"
    name = getattr(type_, "name", "object")
    return bad_request(f"the object provided is unrecognized (must be of type {name}): {why} ({quoted})")


def parse_apply(body: bytes) -> Parsed:
    """An apply configuration, which is YAML and therefore may be JSON; StatusError 400."""
    if body.lstrip()[:1] == b"{":
        try:
            value = orjson.loads(body)
            if strict.repeated(body, value) is None:
                return Parsed(value)
        except orjson.JSONDecodeError:
            pass  # a flow mapping looks like that, too
    try:
        return _from_yaml(body)
    except _YAML_ERRORS as error:
        raise bad_request(f"error decoding patch: error converting YAML to JSON: {error}") from None


def object_of(value: Any) -> Object:
    """The body as an object; StatusError 400 for a list, a number or null."""
    if not isinstance(value, dict):
        raise bad_request(_no_object(value))
    return value


def _no_object(value: Any) -> str:
    return (
        f"couldn't get version/kind; json parse error: json: cannot unmarshal {json_kind(value)} into Go value of type"
        ' struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
    )
