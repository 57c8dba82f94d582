"""patch: an update whose new state is computed from the present one.

What is wrong with the patched document is upstream's 422 about a field named ``patch``, with the document or the patch
in it; what is wrong with the patch itself a 400.
"""

from dataclasses import dataclass
from typing import Any

import orjson

from knet.api import patch as patches
from knet.api.go_text import spelled, syntax_error
from knet.api.schema import SchemaError, Type
from knet.api.strategic import strategic_merge_patch
from knet.apiserver import applying, field, representation, strict
from knet.apiserver.body import Parsed, object_of, read_body
from knet.apiserver.call import Call
from knet.apiserver.decoding import complaints_about, conformed
from knet.apiserver.http import Request, Response
from knet.apiserver.kind import Kind
from knet.apiserver.options import WriteOptions, write_options
from knet.apiserver.routes import Target
from knet.apiserver.status import (
    StatusError,
    bad_request,
    invalid,
    too_large,
    unprocessable,
    unsupported_media_type,
)
from knet.apiserver.updating import check_place, modify
from knet.store import Object

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


def patch_types(custom: bool) -> list[str]:
    """The media types of the patches that a kind takes."""
    return [JSON_PATCH, MERGE_PATCH, *[STRATEGIC_PATCH] * (not custom), APPLY_PATCH]


async def patch(call: Call, part: str = "") -> Response:
    """PATCH of an object or of a part of it, by content type."""
    if media_of(call.request) == APPLY_PATCH:
        return await applying.apply(call, part)
    options = write_options(call.query, "Patch", call.writer)
    kind = call.target.kind
    patcher = await read_patch(call.request, kind.type, kind.resource.custom)

    def change(old: Object) -> Object:
        return patcher.decoded(kind, old, options, call.target)

    record = await modify(call.context, call.target, change, options, part, patcher.conditional)
    return representation.written(call, record, 200, options.warnings)


@dataclass(frozen=True, slots=True)
class Patcher:
    """A patch that has been read, to be applied as often as it takes."""

    text: bytes
    media: str
    type: Type
    #: it names the revision it is meant for
    conditional: bool
    #: about its own text
    complaints: list[str]

    def decoded(self, kind: Kind, document: Object, options: WriteOptions, target: Target) -> Object:
        """The patched document with the types of its kind (see `knet.apiserver.decoding.decode`), in its place.

        StatusError 400, 413, 422.
        """
        before = orjson.dumps(document)
        value = self(document)
        if self.media == STRATEGIC_PATCH:  # which patches structs, and those know what they are
            value["apiVersion"], value["kind"] = kind.resource.api_version, kind.resource.kind
        try:
            unknown = conformed(kind, value)
        except SchemaError as error:
            why = error.converting if self.media == STRATEGIC_PATCH else str(error)
            raise self._unfit(before, why) from None
        check_place(value, target)
        if options.validation == "Ignore" or not (unknown or self.complaints):
            return value
        if self.media == STRATEGIC_PATCH:
            unknown.sort()
        complaints = self.complaints + [f'unknown field "{path}"' for path in unknown]
        if options.validation == "Strict":
            raise self._unfit(before, f"strict decoding error: {', '.join(complaints)}")
        options.warnings.extend(complaints)
        return value

    def _unfit(self, before: bytes, why: str) -> StatusError:
        """The patched document is no good; what upstream quotes is the document, of a strategic merge the patch."""
        if self.media == STRATEGIC_PATCH:
            quoted = spelled(orjson.loads(self.text))
        else:
            quoted = orjson.dumps(self(orjson.loads(before))).decode()
        return invalid("", "", "", [field.invalid("patch", quoted, why)])

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
        why = syntax_error(text, str(error))
        raise bad_request(why if media == STRATEGIC_PATCH else f"error decoding patch: {why}") from None
    if media != JSON_PATCH:
        object_of(body)
    return Patcher(text, media, type_, _names_revision(body), _complaints(media, text, body))


_OPERATION_FIELDS = ("from", "op", "path", "value")


def _complaints(media: str, text: bytes, body: Any) -> list[str]:
    """Fields that are there twice, and those that no operation of a JSON patch has."""
    unknown = []
    if media == JSON_PATCH and isinstance(body, list):
        rows = [(place, row) for place, row in enumerate(body) if isinstance(row, dict)]
        unknown = [f"[{place}].{key}" for place, row in rows for key in row if key not in _OPERATION_FIELDS]
    found = complaints_about(Parsed(body, strict.repeated(text, body)), unknown)
    return [f"json patch {complaint}" for complaint in found] if media == JSON_PATCH else found


def _names_revision(body: Any) -> bool:
    if isinstance(body, list):
        return any(isinstance(row, dict) and row.get("path") == "/metadata/resourceVersion" for row in body)
    metadata = body.get("metadata") if isinstance(body, dict) else None
    return isinstance(metadata, dict) and bool(metadata.get("resourceVersion"))


def _patch_failed(error: patches.PatchError) -> StatusError:
    if error.reason == "Invalid":
        return unprocessable()
    if error.reason == "TooLarge":
        return too_large(str(error))
    return bad_request(str(error))
