"""Request bodies: read within upstream's limit, and parsed as JSON, YAML or protobuf by their Content-Type."""

from typing import Any

import orjson
import yaml

from knet.api.schema import Type
from knet.apiserver import protobuf
from knet.apiserver.http import BodyBroken, BodyTooLarge, Request
from knet.apiserver.negotiation import ACCEPTED, JSON, YAML
from knet.apiserver.status import bad_request, timeout, too_large, unsupported_media_type
from knet.store import Object

#: upstream's limit on request bodies
MAX_BODY = 3 * 1024 * 1024


async def read_body(request: Request) -> bytes:
    """The body; StatusError 413 beyond upstream's limit."""
    length = request.headers.get("Content-Length")
    if length.isdecimal() and int(length) > MAX_BODY:
        raise too_large(MAX_BODY)
    try:
        return await request.body.read(MAX_BODY)
    except BodyTooLarge:
        raise too_large(MAX_BODY) from None
    except BodyBroken as error:
        raise bad_request(str(error)) from None
    except TimeoutError:
        raise timeout("Timeout: request did not complete within the allotted timeout") from None


async def parsed_body(request: Request, type_: Type) -> Any:
    """The body, supposed to be an object of the type, as JSON data; StatusError 400, 413, 415."""
    return parse(await read_body(request), request.headers.get("Content-Type"), type_)


class _Loader(yaml.CSafeLoader):
    """Timestamps stay text: they are JSON strings to Kubernetes."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


_YAML_ERRORS = (yaml.YAMLError, TypeError, ValueError, RecursionError)


def _from_yaml(body: bytes) -> Any:
    """Through JSON, because YAML knows keys and values that JSON does not."""
    return orjson.loads(orjson.dumps(yaml.load(body, _Loader), option=orjson.OPT_NON_STR_KEYS))


def parse(body: bytes, content_type: str, type_: Type) -> Any:
    """A request body as JSON data; StatusError 400 where it is broken, 415 for media types that are not spoken.

    ``type_`` is needed to read protobuf, which does not describe itself; otherwise types are checked later.
    """
    media = content_type.partition(";")[0].strip().lower()
    if media in ("", JSON) or media.endswith("+json"):
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise bad_request(
                f"the object provided is unrecognized (must be of type a Kubernetes object): {error}"
            ) from None
    if media in (YAML, "text/yaml", "application/x-yaml") or media.endswith("+yaml"):
        try:
            return _from_yaml(body)
        except _YAML_ERRORS as error:
            raise bad_request(f"error converting YAML to JSON: {error}") from None
    if media == protobuf.MEDIA_TYPE:
        try:
            return protobuf.decode(body, type_)
        except protobuf.ProtobufError as error:
            raise bad_request(str(error)) from None
    raise unsupported_media_type(
        "the body of the request was in an unknown format - accepted media types include:"
        f" {ACCEPTED}, {protobuf.MEDIA_TYPE}"
    )


def parse_apply(body: bytes) -> Any:
    """An apply configuration, which is YAML and therefore may be JSON; StatusError 400."""
    if body.lstrip()[:1] == b"{":
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            pass  # a flow mapping looks like that, too
    try:
        return _from_yaml(body)
    except _YAML_ERRORS as error:
        raise bad_request(f"error decoding patch: error converting YAML to JSON: {error}") from None


def object_of(value: Any) -> Object:
    """The body as an object; StatusError 400 for a list, a number or null."""
    if not isinstance(value, dict):
        raise bad_request(
            "couldn't get version/kind; json parse error: json: cannot unmarshal"
            f" {'array' if isinstance(value, list) else type(value).__name__} into Go value of type struct"
            ' { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
        )
    return value
