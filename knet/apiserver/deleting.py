"""delete and deletecollection: at once, gracefully, or when finalizers allow it.

Upstream's rules (registry/rest/delete.go, registry/generic/registry/store.go): a Pod on a node gets its grace period
and stays until the kubelet deletes it with grace 0; an object with finalizers stays, marked, until an update removes
the last of them; propagationPolicy is carried out by the garbage collector, to which it speaks in finalizers.
"""

import time
from collections.abc import Callable

import orjson

from knet.api.names import FOREGROUND_FINALIZER, ORPHAN_FINALIZER
from knet.api.schema import SchemaError, conform
from knet.apiserver import representation
from knet.apiserver.admission import Request
from knet.apiserver.body import object_of, parsed, read_body
from knet.apiserver.call import Call
from knet.apiserver.context import Context, timestamp
from knet.apiserver.http import Response
from knet.apiserver.kind import Kind
from knet.apiserver.list_options import list_options
from knet.apiserver.negotiation import Form
from knet.apiserver.options import DeleteOptions, delete_options
from knet.apiserver.reads import find, select
from knet.apiserver.routes import Target
from knet.apiserver.status import MODIFIED, StatusError, bad_request, conflict, success
from knet.store import Conflict, Object, Record

ATTEMPTS = 8


async def delete(call: Call) -> Response:
    """DELETE of one object."""
    options = await _options(call)
    await _admit(call.context, call.target, options)
    record, removed = await remove(call.context, call.target, options)
    return _answer(call.target.kind, record, removed, call.form, options.warnings)


async def _admit(context: Context, target: Target, options: DeleteOptions) -> None:
    """Admission of one deletion; StatusError 403, 404."""
    stored = target.stored
    old = stored.kind.from_stored(find(context, target).decode())
    form = target.kind if stored is not target else None
    await context.admission.admit(Request(context, stored, "DELETE", None, old, options, form=form))


async def _options(call: Call) -> DeleteOptions:
    text = await read_body(call.request)
    if not text:
        return delete_options(call.query, {}, call.writer)
    type_ = call.context.auxiliary["DeleteOptions"].type
    body = object_of((await parsed(text, call.request.headers.get("Content-Type"), type_)).value)
    try:
        conform(type_, body)
    except SchemaError as error:
        raise bad_request(str(error)) from None
    return delete_options(call.query, body, call.writer)


def _answer(kind: Kind, record: Record, removed: bool, form: Form, warnings: list[str]) -> Response:
    if removed and not kind.stored.strategy.returns_deleted:
        metadata = record.decode()["metadata"]
        done = orjson.dumps(success(kind.stored.resource, metadata["name"], metadata["uid"]))
        return representation.answer(done, Form(yaml=form.yaml), warnings=warnings)
    return representation.answer(representation.object_bytes(kind, record, form), form, warnings=warnings)


async def delete_collection(call: Call) -> Response:
    """DELETE of a collection: one by one; what has gone in the meantime is no error."""
    context, target = call.context, call.target
    options = await _options(call)
    records, _ = await select(context, target, list_options(call.query, target.kind))
    deleted = []
    for record in records:
        metadata = record.decode()["metadata"]
        one = Target(target.kind, metadata.get("namespace", ""), metadata["name"])
        try:
            await _admit(context, one, options)
            deleted.append((await remove(context, one, options))[0])
        except StatusError as error:
            if error.code != 404:
                raise
    metadata = {"resourceVersion": str(context.store.revision)}
    data = representation.list_bytes(target.kind, deleted, metadata, call.form)
    return representation.answer(data, call.form, warnings=options.warnings)


async def remove(
    context: Context, target: Target, options: DeleteOptions, change: Callable[[Object], None] | None = None
) -> tuple[Record, bool]:
    """Delete or mark an object; its last record and whether it is gone.  StatusError 404, 409.

    ``change`` is what else becomes of it on that occasion.
    """
    target = target.stored
    kind = target.kind
    for _ in range(ATTEMPTS):
        record = find(context, target)
        value = record.decode()
        _check_preconditions(kind, target.name, value, options)
        if change is not None:
            change(value)
        gone = mark(kind, value, options)
        if options.dry_run or (not gone and orjson.dumps(value) == record.data):
            return record, gone
        try:
            written = await context.store.write(record.key, value, record.revision, delete=gone)
        except Conflict:
            if options.revision:
                break
            continue
        if gone:
            context.allocations.release(kind, value)
        return written, gone
    raise conflict(kind.resource, target.name, MODIFIED)


def _check_preconditions(kind: Kind, name: str, value: Object, options: DeleteOptions) -> None:
    metadata = value["metadata"]
    for what, given, have in (
        ("UID", options.uid, metadata["uid"]),
        ("ResourceVersion", options.revision, metadata["resourceVersion"]),
    ):
        if given and given != have:
            raise conflict(
                kind.resource,
                name,
                f"Precondition failed: {what} in precondition: {given}, {what} in object meta: {have}",
            )


def mark(kind: Kind, value: Object, options: DeleteOptions) -> bool:
    """Put a deletion into an object; True if nothing keeps it any longer.

    Pure but for the clock.  An object that is being deleted already can have its grace shortened, never extended.
    """
    metadata = value["metadata"]
    if "deletionTimestamp" not in metadata:
        kind.strategy.prepare_delete(value)
    _set_propagation(metadata, options)
    grace = 0
    if kind.strategy.grace_period is not None:
        grace = kind.strategy.grace_period(value, options.grace)
    if "deletionTimestamp" in metadata:
        grace = min(grace, metadata.get("deletionGracePeriodSeconds") or 0)
    kept = bool(metadata.get("finalizers")) or grace > 0 or bool(_namespace_finalizers(kind, value))
    if not kept:
        return True
    if "deletionTimestamp" not in metadata or grace < (metadata.get("deletionGracePeriodSeconds") or 0):
        if kind.strategy.generation and "deletionTimestamp" not in metadata:
            metadata["generation"] = metadata.get("generation", 0) + 1
        metadata["deletionTimestamp"] = _later(grace)
        if kind.resource.kind != "Namespace":
            metadata["deletionGracePeriodSeconds"] = grace
    if kind.resource.kind == "Namespace":
        value["status"] = {**value.get("status", {}), "phase": "Terminating"}
    return False


def _later(seconds: int) -> str:
    return timestamp(int(time.time()) + seconds)


def _set_propagation(metadata: Object, options: DeleteOptions) -> None:
    if not options.propagation:
        return
    finalizers = [
        name for name in metadata.get("finalizers", ()) if name not in (ORPHAN_FINALIZER, FOREGROUND_FINALIZER)
    ]
    if options.propagation == "Orphan":
        finalizers.append(ORPHAN_FINALIZER)
    elif options.propagation == "Foreground":
        finalizers.append(FOREGROUND_FINALIZER)
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)


def _namespace_finalizers(kind: Kind, value: Object) -> list[str]:
    """A namespace has finalizers in its spec, too; the namespace controller empties them by /finalize."""
    found: list[str] = value.get("spec", {}).get("finalizers", []) if kind.resource.kind == "Namespace" else []
    return found


def goes_with_update(kind: Kind, value: Object, old: Object) -> bool:
    """Whether an update takes away the last thing that kept a deleted object."""
    before = old["metadata"]
    return (
        "deletionTimestamp" in before
        and not before.get("deletionGracePeriodSeconds")
        and not value["metadata"].get("finalizers")
        and not _namespace_finalizers(kind, value)
    )
