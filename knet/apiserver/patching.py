"""patch: an update whose new state is computed from the present one."""

from dataclasses import dataclass
from typing import Any

import orjson

from knet.api import patch as patches
from knet.api.schema import Type
from knet.api.strategic import strategic_merge_patch
from knet.apiserver import applying, representation
from knet.apiserver.body import object_of, read_body
from knet.apiserver.call import Call
from knet.apiserver.decoding import decode
from knet.apiserver.http import Request, Response
from knet.apiserver.options import write_options
from knet.apiserver.status import StatusError, bad_request, unprocessable, unsupported_media_type
from knet.apiserver.updating import Part, modify
from knet.store import Object

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


def patch_types(custom: bool) -> list[str]:
    """The media types of the patches that a kind takes."""
    return [JSON_PATCH, MERGE_PATCH, *[STRATEGIC_PATCH] * (not custom), APPLY_PATCH]


async def patch(call: Call, part: Part = "") -> Response:
    """PATCH of an object or of its status, by content type."""
    if media_of(call.request) == APPLY_PATCH:
        return await applying.apply(call, part)
    options = write_options(call.query, "Patch", call.writer)
    kind = call.target.kind
    patcher = await read_patch(call.request, kind.type, kind.resource.custom)
    warnings: list[str] = []

    def change(old: Object) -> Object:
        decoded = decode(kind, patcher(old), options.validation)
        warnings[:] = decoded.warnings
        return decoded.value

    record = await modify(call.context, call.target, change, options, part, patcher.conditional)
    return representation.written(call, record, 200, warnings + options.warnings)


@dataclass(frozen=True, slots=True)
class Patcher:
    """A patch that has been read, to be applied as often as it takes."""

    text: bytes
    media: str
    type: Type
    #: it names the revision it is meant for
    conditional: bool

    def __call__(self, document: Object) -> Object:
        """The patched document, which is used up; StatusError 400, 413, 422."""
        # decoded again each time: applying uses the patch up
        content = orjson.loads(self.text)
        try:
            if self.media == JSON_PATCH:
                return patches.json_patch(document, content)
            if self.media == MERGE_PATCH:
                return object_of(patches.merge_patch(document, content))
            return strategic_merge_patch(document, content, self.type)
        except patches.PatchError as error:
            raise _patch_failed(error) from None


def media_of(request: Request) -> str:
    """The type of a patch."""
    return request.headers.get("Content-Type").partition(";")[0].strip()


async def read_patch(request: Request, type_: Type, custom: bool = False) -> Patcher:
    """The body as a patch of documents of the type; StatusError 400, 413, 415.

    ``custom``: of a custom resource, whose type does not say how lists merge.
    """
    media = media_of(request)
    accepted = patch_types(custom)
    if media not in accepted[:-1]:
        raise unsupported_media_type(
            f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
        )
    text = await read_body(request)
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"error decoding patch: {error}") from None
    if media != JSON_PATCH:
        object_of(body)
    return Patcher(text, media, type_, _names_revision(body))


def _names_revision(body: Any) -> bool:
    if isinstance(body, list):
        return any(isinstance(row, dict) and row.get("path") == "/metadata/resourceVersion" for row in body)
    metadata = body.get("metadata") if isinstance(body, dict) else None
    return isinstance(metadata, dict) and bool(metadata.get("resourceVersion"))


def _patch_failed(error: patches.PatchError) -> StatusError:
    if error.reason == "Invalid":
        return unprocessable()
    if error.reason == "TooLarge":
        return StatusError(413, "RequestEntityTooLarge", str(error))
    return bad_request(str(error))
