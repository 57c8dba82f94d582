"""get and list."""

from knet.apiserver import representation
from knet.apiserver.call import Call
from knet.apiserver.context import Context
from knet.apiserver.http import Response
from knet.apiserver.options import Continue, ListOptions
from knet.apiserver.routes import Target
from knet.apiserver.status import future_version, gone, not_found
from knet.store import Gone, Listing, Object, Record

_EXPIRED_TOKEN = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without"
    " the continue parameter."
)


def find(context: Context, target: Target) -> Record:
    """The record a path names; StatusError 404."""
    record = context.store.get(target.kind.key(target.namespace, target.name))
    if record is None:
        raise not_found(target.kind.stored.resource, target.name)
    return record


async def get(call: Call) -> Response:
    """GET of one object."""
    record = find(call.context, call.target)
    data = representation.object_bytes(call.target.kind, record, call.form, call.query.get("includeObject", ""))
    return representation.answer(data, call.form)


def list_(call: Call, options: ListOptions) -> Response:
    """GET of a collection.  Pages of one list show one revision, whatever happens between them."""
    records, metadata = select(call.context, call.target, options)
    include_object = call.query.get("includeObject", "")
    data = representation.list_bytes(call.target.kind, records, metadata, call.form, include_object)
    return representation.answer(data, call.form)


def select(context: Context, target: Target, options: ListOptions) -> tuple[list[Record], Object]:
    """The records of a list or of one page of it, and the list's metadata; StatusError 410, 504."""
    listing = _snapshot(context, target, options)
    records = listing.records
    start = options.continues.key if options.continues else ""
    if start:
        records = [record for record in records if record.key > start]
    if not options.selection.everything:
        records = [record for record in records if options.selection.matches(record)]
    metadata: Object = {"resourceVersion": str(listing.revision)}
    if options.limit and len(records) > options.limit:
        remaining = len(records) - options.limit
        records = records[: options.limit]
        metadata["continue"] = Continue(listing.revision, records[-1].key).encode()
        if options.selection.everything:
            metadata["remainingItemCount"] = remaining
    return records, metadata


def _snapshot(context: Context, target: Target, options: ListOptions) -> Listing:
    store = context.store
    if options.revision is not None and options.revision > store.revision:
        raise future_version(options.revision, store.revision)
    at = 0
    if options.continues:
        at = options.continues.revision
    elif options.revision and (options.match == "Exact" or (options.limit and not options.match)):
        at = options.revision
    try:
        return store.list(target.kind.prefix(target.namespace), at)
    except Gone as error:
        raise gone(_EXPIRED_TOKEN if options.continues else str(error)) from None
