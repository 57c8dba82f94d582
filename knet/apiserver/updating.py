"""update: from a changed object to its next record.

Order, as upstream: preconditions → defaults → mutating admission → what the operation may not touch is put back
(status, or all but status; metadata that belong to the server) → validation → validating admission → compare-and-swap.
An update that changes nothing writes nothing and keeps its resourceVersion.
"""

from collections.abc import Callable
from dataclasses import dataclass

import orjson

from knet.api.resources import Resource
from knet.apiserver import creating, field, ownership, representation
from knet.apiserver.admission import Request
from knet.apiserver.body import parsed_body
from knet.apiserver.call import Call
from knet.apiserver.context import Context
from knet.apiserver.decoding import decode, dedup_owners, normalise, place
from knet.apiserver.http import Response
from knet.apiserver.kind import Kind
from knet.apiserver.marking import goes_with_update
from knet.apiserver.options import WriteOptions, write_options
from knet.apiserver.reads import find
from knet.apiserver.routes import Target
from knet.apiserver.status import MODIFIED, StatusError, bad_request, conflict, invalid
from knet.apiserver.user import SERVER, Writer
from knet.apiserver.validation import metadata as metadata_validation
from knet.store import Conflict, Object, Record

#: attempts at an update that somebody else keeps overtaking
ATTEMPTS = 8

#: metadata that a status can be written with, unless the kind says otherwise
_STATUS_METADATA = frozenset(("annotations", "finalizers", "labels", "managedFields", "ownerReferences"))

#: metadata that the kind's own parts can be written with
_NO_METADATA = frozenset(("managedFields",))

#: metadata that an update cannot change, whatever it says
_RESTORED = ("resourceVersion", "creationTimestamp", "generation", "selfLink")
#: and those it may leave out; to say something else is an error
_KEPT = ("namespace", "uid", "deletionGracePeriodSeconds")


async def update(call: Call, part: str = "") -> Response:
    """PUT of an object, or of a part of it.

    ``part`` is "" for all but the status, "status" for that and some metadata, or one of the kind's own parts.
    """
    options = write_options(call.query, "Update", call.writer)
    target = call.target
    value = decode(target.kind, await parsed_body(call.request, target.kind.type), options)
    metadata = check_place(value, target)
    dedup_owners(metadata, options)
    if not part and target.kind.stored.strategy.create_on_update and not _exists(call.context, target):
        if metadata.get("uid"):
            raise other_uid(target.stored, metadata["uid"], "")
        creating.authorize_create(call)
        metadata.pop("resourceVersion", None)
        record = await creating.create_object(call.context, target, value, options)
        return representation.written(call, record, 201, options.warnings)
    text = orjson.dumps(value)
    record = await modify(call.context, target, lambda _: orjson.loads(text), options, part, uid=metadata.get("uid"))
    return representation.written(call, record, 200, options.warnings)


def check_place(value: Object, target: Target) -> Object:
    """An object's metadata, whose name has to be the one in the URL, and the namespace, if any; StatusError 400."""
    metadata: Object = value.setdefault("metadata", {})
    place(target, metadata)
    given, wanted = metadata.get("name", ""), target.name
    if not given:
        raise bad_request(f"the name of the object ({wanted} based on URL) was undeterminable: name must be provided")
    if given != wanted:
        raise bad_request(f"the name of the object ({given}) does not match the name on the URL ({wanted})")
    return metadata


@dataclass(frozen=True, slots=True)
class View:
    """What a subresource shows of an object, as an object of another kind, and how that is written back."""

    body: Resource
    show: Callable[[Object], Object]
    #: (object, shown)
    take: Callable[[Object, Object], None]


def _exists(context: Context, target: Target) -> bool:
    return context.store.get(target.kind.key(target.namespace, target.name)) is not None


async def modify(
    context: Context,
    target: Target,
    change: Callable[[Object], Object],
    options: WriteOptions,
    part: str = "",
    conditional: bool | None = None,
    tracked: bool = False,
    uid: str | None = None,
    view: View | None = None,
) -> Record:
    """Replace an object by ``change(copy of it)``, again if somebody else was faster; StatusError 404, 409, 422.

    A resourceVersion in the result other than the present one is a precondition that failed: 409.  ``conditional``
    says whether the writer insists on that revision (None: if the result has one), so that there is no second try.
    Another ``uid`` than the present one is 409, too; ``tracked``: ``change`` has taken care of managedFields.
    ``view``: what admission is shown, if not the object.
    """
    asked, target = target, target.stored
    kind = target.kind
    for _ in range(ATTEMPTS):
        record = find(context, target)
        old = kind.from_stored(record.decode())
        if uid and uid != old["metadata"]["uid"]:
            raise other_uid(target, uid, old["metadata"]["uid"])
        value = change(asked.kind.from_stored(record.decode()))
        named = _insists(kind, target.name, value, old)
        insists = named if conditional is None else conditional
        normalise(asked.kind, value)
        if not tracked:
            before = asked.kind.from_stored(record.decode()) if asked is not target else old
            ownership.track_change(asked.kind, asked.subresource, part, value, before, options)
        if asked is not target:
            value = asked.kind.to_stored(value)
            normalise(kind, value)
        form = asked.kind if asked is not target else None
        if view is None:
            request = Request(context, target, "UPDATE", value, old, options, form=form)
        else:
            request = Request(context, target, "UPDATE", view.show(value), view.show(old), options, view.body)
        await context.admission.mutate(request)
        if view is not None:
            view.take(value, request.new)
        dedup_owners(value["metadata"], options, admitted=True)
        _prepare_update(kind, value, old, part)
        ownership.keep_times(value["metadata"], old["metadata"])
        changed = value != old
        if changed:
            _validate_update(kind, value, old, part)
        try:
            await context.admission.validate(request)
            if not changed:
                return record
            gone = goes_with_update(kind, value, old)
            with context.allocations.claim(kind, value, old, keep=not options.dry_run):
                if options.dry_run:
                    return representation.dry_record(value, old["metadata"]["resourceVersion"])
                written = await context.store.write(record.key, value, record.revision, delete=gone, by=options.writer)
        except Conflict:
            if insists:
                break
            continue
        finally:
            if request.settling:
                await request.settle()
        if gone:
            context.allocations.release(kind, value)
        return written
    raise conflict(kind.resource, target.name, MODIFIED)


async def rewrite(
    context: Context, target: Target, change: Callable[[Object], None], dry_run: bool = False, writer: Writer = SERVER
) -> Record:
    """The server's own edits (binding, finalize): ``change`` may touch anything, and refuse by a StatusError."""
    for _ in range(ATTEMPTS):
        record = find(context, target)
        value, old = record.decode(), record.decode()
        change(value)
        if dry_run:
            return representation.dry_record(value, old["metadata"]["resourceVersion"])
        try:
            gone = goes_with_update(target.kind, value, old)
            return await context.store.write(record.key, value, record.revision, delete=gone, by=writer)
        except Conflict:
            continue
    raise conflict(target.kind.resource, target.name, MODIFIED)


def other_uid(target: Target, given: str, present: str) -> StatusError:
    """409, in the words of upstream's store."""
    why = f"Precondition failed: UID in precondition: {given}, UID in object meta: {present}"
    key = target.kind.key(target.namespace, target.name)
    store = f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: {why}"
    return conflict(target.kind.resource, target.name, store)


def _insists(kind: Kind, name: str, value: Object, old: Object) -> bool:
    """Whether the writer insists on the revision it has seen; StatusError 409 if that is not the present one."""
    given = value["metadata"].get("resourceVersion") or ""
    if given in ("", "0"):
        if not kind.strategy.unconditional_update:
            error = field.invalid("metadata.resourceVersion", field.Go("0x0"), "must be specified for an update")
            raise invalid(kind.resource.group, kind.resource.plural, name, [error])
        return False
    if given != old["metadata"]["resourceVersion"]:
        raise conflict(kind.resource, name, MODIFIED)
    return True


def _prepare_update(kind: Kind, value: Object, old: Object, part: str) -> None:
    """Put back whatever this operation does not write, and count the generation."""
    metadata, before = value["metadata"], old["metadata"]
    for key in _RESTORED:
        if key in before:
            metadata[key] = before[key]
        else:
            metadata.pop(key, None)
    for key in _KEPT:
        if key in before and not metadata.get(key):
            metadata[key] = before[key]
    if "deletionTimestamp" in before:
        metadata["deletionTimestamp"] = before["deletionTimestamp"]
    if part in kind.strategy.parts:
        restricted = kind.strategy.parts[part].restrict(value, old)
        restricted["metadata"] = _metadata_with(metadata, before, _NO_METADATA)
        value.clear()
        value.update(restricted)
        return
    if part == "status":
        status = value.get("status")
        value.clear()
        value.update({key: item for key, item in old.items() if key != "status"})
        theirs = _STATUS_METADATA.difference(kind.strategy.status_keeps)
        value["metadata"] = _metadata_with(metadata, before, theirs)
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


def _metadata_with(metadata: Object, before: Object, written: frozenset[str]) -> Object:
    """The metadata after a write to a part: from it is what it may write, and what is refused if it differs."""
    theirs = written.union(metadata_validation.IMMUTABLE)
    kept = {key: (metadata if key in theirs else before)[key] for key in before if key not in theirs or key in metadata}
    return kept | {key: item for key, item in metadata.items() if key in theirs}


def _content(value: Object) -> Object:
    # status counts where it is no subresource: elsewhere this operation has put the old one back
    return {key: item for key, item in value.items() if key != "metadata"}


def _validate_update(kind: Kind, value: Object, old: Object, part: str) -> None:
    errors = metadata_validation.validate_update(value["metadata"], old["metadata"], kind)
    if part == "status":
        errors += kind.strategy.validate_status_update(value, old)
    elif part:
        errors += kind.strategy.validate(value) + kind.strategy.parts[part].validate(value, old)
    else:
        if kind.strategy.update_is_new:
            errors += kind.strategy.validate(value)
        errors += kind.strategy.validate_update(value, old)
    if errors:
        raise invalid(kind.resource.group, kind.resource.kind, old["metadata"]["name"], errors)
