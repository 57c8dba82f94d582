"""delete and deletecollection; what that makes of an object is said by `knet.apiserver.marking`."""

import time
from collections.abc import Callable
from dataclasses import replace

import orjson

from knet.api.resources import JOBS
from knet.api.schema import SchemaError, conform
from knet.apiserver import representation
from knet.apiserver.admission import Request
from knet.apiserver.body import object_of, parsed, read_body
from knet.apiserver.call import Call
from knet.apiserver.context import Context
from knet.apiserver.http import Response
from knet.apiserver.kind import Kind
from knet.apiserver.list_options import list_options
from knet.apiserver.marking import is_pending, mark
from knet.apiserver.options import DeleteOptions, delete_options
from knet.apiserver.reads import find, select
from knet.apiserver.routes import Target
from knet.apiserver.status import MODIFIED, StatusError, bad_request, conflict, success
from knet.store import Conflict, Object, Record

ATTEMPTS = 8

_PODS_OF_JOBS = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set"
    " propagationPolicy=Orphan to suppress this warning"
)


async def delete(call: Call) -> Response:
    """DELETE of one object; 202 if it stays for a while and whoever deletes it has said orphanDependents=false."""
    options = await _options(call)
    record, removed = await remove(call.context, call.target, options, admitted=False)
    kind, form = call.target.kind, call.form
    status = 202 if not removed and options.orphan is False else 200
    if removed and not kind.stored.strategy.returns_deleted:
        metadata = record.decode()["metadata"]
        done = orjson.dumps(success(kind.stored.resource, metadata["name"], metadata["uid"]))
        return representation.answer(done, replace(form, shape=""), status, options.warnings)
    return representation.answer(representation.object_bytes(kind, record, form), form, status, options.warnings)


async def _options(call: Call) -> DeleteOptions:
    text = await read_body(call.request)
    body: Object | None = None
    if text:
        type_ = call.context.auxiliary["DeleteOptions"].type
        body = object_of((await parsed(text, call.request.headers.get("Content-Type"), type_)).value)
        try:
            conform(type_, body)
        except SchemaError as error:
            raise bad_request(str(error)) from None
        if (kind := body.get("kind", "DeleteOptions")) != "DeleteOptions":
            version = body.get("apiVersion", "")
            raise bad_request(f'no kind "{kind}" is registered for version "{version}" in scheme "{_SCHEME}"')
    options = delete_options(call.query, body, call.writer)
    if call.target.kind.resource is JOBS and not options.propagation:
        options.warnings.append(_PODS_OF_JOBS)
    return options


_SCHEME = "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:33"


async def delete_collection(call: Call) -> Response:
    """DELETE of a collection: one by one; what has gone in the meantime is no error.  Answers what it has found."""
    context, target = call.context, call.target
    options = await _options(call)
    records, metadata = await select(context, target, list_options(call.query, target.kind))
    for record in records:
        names = record.decode()["metadata"]
        try:
            one = Target(target.kind, names.get("namespace", ""), names["name"])
            await remove(context, one, options, admitted=False)
        except StatusError as error:
            if error.code != 404:
                raise
    data = representation.list_bytes(target.kind, records, metadata, call.form)
    return representation.answer(data, call.form, warnings=options.warnings)


async def remove(
    context: Context,
    target: Target,
    options: DeleteOptions,
    change: Callable[[Object], None] | None = None,
    admitted: bool = True,
) -> tuple[Record, bool]:
    """Delete or mark an object; its last record and whether it is gone.  StatusError 404, 409, admission's.

    ``change`` is what else becomes of it on that occasion.
    """
    asked, target = target, target.stored
    kind = target.kind
    for _ in range(ATTEMPTS):
        record = find(context, target)
        value = record.decode()
        _check_preconditions(kind, target.name, value, options)
        if is_pending(kind, value, options):
            return record, False
        if not admitted:
            form = asked.kind if asked is not target else None
            old = kind.from_stored(record.decode())
            await context.admission.admit(Request(context, target, "DELETE", None, old, options, form=form))
        if change is not None:
            change(value)
        gone = mark(kind, value, options, int(time.time()))
        if options.dry_run:
            return representation.dry_record(value, value["metadata"]["resourceVersion"]), gone
        if not gone and orjson.dumps(value) == record.data:
            return record, False
        try:
            written = await context.store.write(record.key, value, record.revision, delete=gone, by=options.writer)
        except Conflict:
            if options.revision is not None:
                break
            continue
        if gone:
            context.allocations.release(kind, value)
        return written, gone
    raise conflict(kind.resource, target.name, MODIFIED)


def _check_preconditions(kind: Kind, name: str, value: Object, options: DeleteOptions) -> None:
    metadata = value["metadata"]
    named = replace(kind.resource, plural=kind.resource.kind)
    for what, given, have, hint in (
        ("UID", options.uid, metadata["uid"], "deleted and then recreated"),
        ("ResourceVersion", options.revision, metadata["resourceVersion"], "modified"),
    ):
        if given is not None and given != have:
            why = f"the {what} in the precondition ({given}) does not match the {what} in record ({have})."
            raise conflict(named, name, f"{why} The object might have been {hint}")
