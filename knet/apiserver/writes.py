"""create, update and patch: from a body to a record, the same way for every kind.

Order, as upstream: decode and check types → defaults → what the operation may not touch is put back (status, or all
but status; metadata that belongs to the server) → admission → validation → compare-and-swap.  An update that changes
nothing writes nothing and keeps its resourceVersion.
"""

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from aiohttp import web

from knet.api import patch as patches
from knet.api.schema import SchemaError, Type, conform
from knet.apiserver import admission, deleting, field, representation
from knet.apiserver.body import object_of, parsed_body, read_body
from knet.apiserver.call import Call
from knet.apiserver.context import NAME_ALPHABET, Context, now
from knet.apiserver.kind import Kind
from knet.apiserver.options import WriteOptions, write_options
from knet.apiserver.reads import find
from knet.apiserver.routes import Target
from knet.apiserver.status import (
    MODIFIED,
    StatusError,
    already_exists,
    bad_request,
    conflict,
    invalid,
    unprocessable,
    unsupported_media_type,
)
from knet.apiserver.validation import metadata as metadata_validation
from knet.store import Attributes, Conflict, Object, Record

#: attempts at a name, or at an update that somebody else keeps overtaking
ATTEMPTS = 8

#: metadata that only the server writes
_SERVER_METADATA = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
)

Part = Literal["", "status"]


@dataclass(frozen=True, slots=True)
class Decoded:
    """A body that has the right types, and the warnings that its reader deserves."""

    value: Object
    warnings: list[str]


def decode(kind: Kind, value: Any, validation: str) -> Decoded:
    """Check the types of a body; unknown fields are dropped, reported or refused (StatusError 400)."""
    value = object_of(value)
    resource = kind.resource
    given = value.setdefault("apiVersion", resource.api_version), value.setdefault("kind", resource.kind)
    if given != (resource.api_version, resource.kind):
        if given[1] == resource.kind:
            raise bad_request(
                f"the API version in the data ({given[0]}) does not match the expected API version"
                f" ({resource.api_version})"
            )
        raise bad_request(
            f'{given[1]} in version "{resource.version}" cannot be handled as a {resource.kind}: no kind "{given[1]}"'
            f' is registered for version "{given[0]}"'
        )
    try:
        unknown = conform(kind.type, value)
    except SchemaError as error:
        raise bad_request(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {error}'
        ) from None
    if unknown and validation == "Strict":
        fields = ", ".join(f'unknown field "{name}"' for name in unknown)
        raise StatusError(400, "BadRequest", f"strict decoding error: {fields}")
    return Decoded(value, [f'unknown field "{name}"' for name in unknown] if validation == "Warn" else [])


def _normalise(kind: Kind, value: Object) -> None:
    """Give an object the order in which the API prints it, and its defaults."""
    metadata = value.get("metadata") or {}
    metadata.pop("managedFields", None)
    body = {key: item for key, item in value.items() if key not in ("kind", "apiVersion", "metadata")}
    value.clear()
    value["kind"] = kind.resource.kind
    value["apiVersion"] = kind.resource.api_version
    value["metadata"] = metadata
    value.update(body)
    kind.strategy.default(value)


# ---- create ----------------------------------------------------------------------------------------------


async def create(call: Call) -> web.Response:
    """POST to a collection."""
    options = write_options(call.query, "Create")
    kind = call.target.kind
    decoded = decode(kind, await parsed_body(call.request, kind.type), options.validation)
    record = await create_object(call.context, call.target, decoded.value, options)
    return _answer(call, record, 201, decoded.warnings)


def _answer(call: Call, record: Record, status: int, warnings: list[str]) -> web.Response:
    data = representation.object_bytes(call.target.kind, record, call.form)
    return representation.answer(data, call.form, status, warnings)


async def create_object(context: Context, target: Target, value: Object, options: WriteOptions) -> Record:
    """Complete, check and store a new object whose types are right; StatusError 400, 403, 404, 409, 422."""
    kind = target.kind
    _normalise(kind, value)
    metadata = value["metadata"]
    _place(target, metadata)
    generate = metadata.get("generateName", "") if not metadata.get("name") else ""
    for attempt in range(ATTEMPTS):
        if generate:
            metadata["name"] = generate[:58] + "".join(random.choices(NAME_ALPHABET, k=5))
        try:
            return await _create_once(context, target, value, options)
        except StatusError as error:
            if not generate or error.reason != "AlreadyExists" or attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _place(target: Target, metadata: Object) -> None:
    """The namespace of an object is the one in the path."""
    if not target.kind.resource.namespaced:
        metadata.pop("namespace", None)
    elif metadata.setdefault("namespace", target.namespace) != target.namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")


async def _create_once(context: Context, target: Target, value: Object, options: WriteOptions) -> Record:
    kind = target.kind
    metadata = value["metadata"]
    if metadata.get("resourceVersion", "") not in ("", "0"):
        raise bad_request("resourceVersion should not be set on objects to be created")
    for key in _SERVER_METADATA:
        metadata.pop(key, None)
    # unique, not secret: uuid4() would ask the kernel for 16 bytes, which costs more than the rest of this function
    metadata["uid"] = str(uuid.UUID(int=random.getrandbits(128), version=4))
    metadata["creationTimestamp"] = now()
    if kind.strategy.generation:
        metadata["generation"] = 1
    if kind.has_status and not kind.strategy.status_on_create:
        value.pop("status", None)
    kind.strategy.prepare_create(value)
    admission.admit_create(context, target, value)
    errors = metadata_validation.validate(metadata, kind) + kind.strategy.validate(value)
    if errors:
        raise invalid(kind.resource.group, kind.resource.kind, metadata.get("name", ""), errors)
    key = kind.key(metadata.get("namespace", ""), metadata["name"])
    if context.store.get(key) is not None:
        raise already_exists(kind.resource, metadata["name"])
    with context.allocations.claim(kind, value, None, keep=not options.dry_run):
        if options.dry_run:
            return dry_record(value, "")
        try:
            return await context.store.write(key, value, 0)
        except Conflict:
            raise already_exists(kind.resource, metadata["name"]) from None


def dry_record(value: Object, revision: str) -> Record:
    """What a dry run answers: the object as it would have been stored."""
    if revision:
        value["metadata"]["resourceVersion"] = revision
    else:
        value["metadata"].pop("resourceVersion", None)
    return Record("", 0, orjson.dumps(value), Attributes({}, {}))


# ---- update ----------------------------------------------------------------------------------------------


async def update(call: Call, part: Part = "") -> web.Response:
    """PUT of an object or of its status."""
    options = write_options(call.query, "Update")
    target = call.target
    decoded = decode(target.kind, await parsed_body(call.request, target.kind.type), options.validation)
    metadata = decoded.value.get("metadata", {})
    if metadata.get("name", "") != target.name:
        raise _misnamed(metadata.get("name", ""), target.name)
    if not part and target.kind.strategy.create_on_update and not _exists(call.context, target):
        metadata.pop("resourceVersion", None)
        record = await create_object(call.context, target, decoded.value, options)
        return _answer(call, record, 201, decoded.warnings)
    text = orjson.dumps(decoded.value)
    record = await modify(call.context, target, lambda _: orjson.loads(text), options, part)
    return _answer(call, record, 200, decoded.warnings)


def _misnamed(given: str, wanted: str) -> StatusError:
    if given:
        return bad_request(f"the name of the object ({given}) does not match the name on the URL ({wanted})")
    return bad_request("the name of the object (based on metadata.name) was undeterminable: name must be provided")


def _exists(context: Context, target: Target) -> bool:
    return context.store.get(target.kind.key(target.namespace, target.name)) is not None


async def modify(
    context: Context,
    target: Target,
    change: Callable[[Object], Object],
    options: WriteOptions,
    part: Part = "",
    conditional: bool | None = None,
) -> Record:
    """Replace an object by ``change(copy of it)``, again if somebody else was faster; StatusError 404, 409, 422.

    A resourceVersion in the result other than the present one is a precondition that failed: 409.  ``conditional``
    says whether the writer insists on that revision (None: if the result has one), so that there is no second try.
    """
    kind = target.kind
    for _ in range(ATTEMPTS):
        record = find(context, target)
        value = change(record.decode())
        old = record.decode()
        named = _check_preconditions(kind, target.name, value, old)
        insists = named if conditional is None else conditional
        _normalise(kind, value)
        _place(target, value["metadata"])
        _prepare_update(kind, value, old, part)
        if value == old:
            return record
        admission.admit_update(context, target, value, old)
        _validate_update(kind, value, old, part)
        if options.dry_run:
            return dry_record(value, old["metadata"]["resourceVersion"])
        with context.allocations.claim(kind, value, old):
            try:
                gone = deleting.goes_with_update(kind, value, old)
                return await context.store.write(record.key, value, record.revision, delete=gone)
            except Conflict:
                if insists:
                    break
    raise conflict(kind.resource, target.name, MODIFIED)


async def rewrite(context: Context, target: Target, change: Callable[[Object], None], dry_run: bool = False) -> Record:
    """The server's own edits (binding, finalize): ``change`` may touch anything, and refuse by a StatusError."""
    for _ in range(ATTEMPTS):
        record = find(context, target)
        value, old = record.decode(), record.decode()
        change(value)
        if dry_run:
            return dry_record(value, old["metadata"]["resourceVersion"])
        try:
            gone = deleting.goes_with_update(target.kind, value, old)
            return await context.store.write(record.key, value, record.revision, delete=gone)
        except Conflict:
            continue
    raise conflict(target.kind.resource, target.name, MODIFIED)


def _check_preconditions(kind: Kind, name: str, value: Object, old: Object) -> bool:
    """Whether the writer insists on the revision it has seen; StatusError 409 if that is not the present one."""
    metadata = value.get("metadata")
    if not isinstance(metadata, dict):
        raise bad_request("metadata: an object needs metadata")
    uid = metadata.get("uid")
    if uid and uid != old["metadata"]["uid"]:
        raise conflict(
            kind.resource,
            name,
            f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old['metadata']['uid']}",
        )
    given = metadata.get("resourceVersion") or ""
    if given in ("", "0"):
        if not kind.strategy.unconditional_update:
            error = field.invalid("metadata.resourceVersion", 0, "must be specified for an update")
            raise invalid(kind.resource.group, kind.resource.kind, name, [error])
        return False
    if given != old["metadata"]["resourceVersion"]:
        raise conflict(kind.resource, name, MODIFIED)
    return True


def _prepare_update(kind: Kind, value: Object, old: Object, part: Part) -> None:
    """Put back whatever this operation does not write, and count the generation."""
    metadata, before = value["metadata"], old["metadata"]
    for key in ("name", "namespace", "generateName"):
        if key in before and not metadata.get(key):
            metadata[key] = before[key]
    for key in ("resourceVersion", *_SERVER_METADATA):
        if key in before:
            metadata[key] = before[key]
        else:
            metadata.pop(key, None)
    if part == "status":
        status = value.get("status")
        labels = {
            key: metadata[key] for key in ("labels", "annotations", "finalizers", "ownerReferences") if key in metadata
        }
        keep = {key: item for key, item in before.items() if key not in labels}
        value.clear()
        value.update({key: item for key, item in old.items() if key != "status"})
        value["metadata"] = keep | labels
        if status is not None:
            value["status"] = status
        return
    if kind.has_status:
        value.pop("status", None)
        if "status" in old:
            value["status"] = old["status"]
    kind.strategy.prepare_update(value, old)
    if kind.strategy.generation and _content(value) != _content(old):
        metadata["generation"] = before.get("generation", 0) + 1


def _content(value: Object) -> Object:
    return {key: item for key, item in value.items() if key not in ("metadata", "status")}


def _validate_update(kind: Kind, value: Object, old: Object, part: Part) -> None:
    errors = metadata_validation.validate_update(value["metadata"], old["metadata"], kind)
    if part == "status":
        errors += kind.strategy.validate_status_update(value, old)
    else:
        errors += kind.strategy.validate(value) + kind.strategy.validate_update(value, old)
    if errors:
        raise invalid(kind.resource.group, kind.resource.kind, old["metadata"]["name"], errors)


# ---- patch -----------------------------------------------------------------------------------------------

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


async def patch(call: Call, part: Part = "") -> web.Response:
    """PATCH of an object or of its status, by content type."""
    options = write_options(call.query, "Patch")
    kind = call.target.kind
    patcher = await read_patch(call.request, kind.type)
    warnings: list[str] = []

    def change(old: Object) -> Object:
        decoded = decode(kind, patcher(old), options.validation)
        warnings[:] = decoded.warnings
        return decoded.value

    record = await modify(call.context, call.target, change, options, part, patcher.conditional)
    return _answer(call, record, 200, warnings)


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
            return patches.strategic_merge_patch(document, content, self.type)
        except patches.PatchError as error:
            raise _patch_failed(error) from None


async def read_patch(request: web.BaseRequest, type_: Type) -> Patcher:
    """The body as a patch of documents of the type; StatusError 400, 413, 415."""
    media = request.headers.get("Content-Type", "").partition(";")[0].strip()
    if media == APPLY_PATCH:
        raise unsupported_media_type(
            "server-side apply is not served here: use client-side apply (kubectl apply without --server-side)"
        )
    if media not in (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH):
        raise unsupported_media_type(
            "the body of the request was in an unknown format - accepted media types include:"
            f" {JSON_PATCH}, {MERGE_PATCH}, {STRATEGIC_PATCH}"
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
