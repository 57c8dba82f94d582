"""get and list: of the latest state, of one at least as new as the client's, or of exactly one revision.

https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list
"""

import asyncio
from itertools import islice

from knet.apiserver import representation
from knet.apiserver.call import Call
from knet.apiserver.context import Context
from knet.apiserver.http import Response
from knet.apiserver.list_options import LATEST, Continue, ListOptions, revision
from knet.apiserver.routes import Target
from knet.apiserver.selection import Selection
from knet.apiserver.status import future_version, gone, not_found
from knet.store import Gone, Listing, Object, Record

#: seconds that a read waits for a revision that the client has seen and this server has not (upstream's blockTimeout)
BLOCK = 3.0

_EXPIRED = "The resourceVersion for the provided list is too old."
_EXPIRED_TOKEN = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without"
    " the continue parameter, or use the continue token in this response to retrieve the remainder of the results."
    " Continuing with the provided token results in an inconsistent list - objects that were created, modified, or"
    " deleted between the time the first chunk was returned and now may show up in the list."
)


def find(context: Context, target: Target) -> Record:
    """The record a path names; StatusError 404."""
    record = context.store.get(target.kind.key(target.namespace, target.name))
    if record is None:
        raise not_found(target.kind.stored.resource, target.name)
    return record


async def reach(context: Context, wanted: int) -> None:
    """Wait until the store is at least at a revision; StatusError 504 where that does not come."""
    if wanted <= context.store.revision:
        return
    try:
        async with asyncio.timeout(BLOCK):
            await context.store.reach(wanted)
    except TimeoutError:
        raise future_version(wanted, context.store.revision) from None


async def get(call: Call) -> Response:
    """GET of one object."""
    if call.query:
        await reach(call.context, revision(call.query.get("resourceVersion", "")) or 0)
    record = find(call.context, call.target)
    data = representation.object_bytes(call.target.kind, record, call.form, call.include_object)
    return representation.answer(data, call.form)


async def list_(call: Call, options: ListOptions) -> Response:
    """GET of a collection.  Pages of one list show one revision, whatever happens between them."""
    records, metadata = await select(call.context, call.target, options)
    data = representation.list_bytes(call.target.kind, records, metadata, call.form, call.include_object)
    return representation.answer(data, call.form)


async def select(context: Context, target: Target, options: ListOptions) -> tuple[list[Record], Object]:
    """The records of a list or of one page of it, and the list's metadata; StatusError 410, 504."""
    await reach(context, options.revision or 0)
    selection, limit = options.selection, options.limit
    listing = _listing(context, target, options, limit if selection.everything else 0)
    records = listing.records
    if not selection.everything:
        selected = selection.among(records)
        records = list(islice(selected, limit + 1) if limit else selected)
    metadata: Object = {"resourceVersion": str(listing.revision)}
    if listing.remaining or (limit and len(records) > limit):
        del records[limit:]
        prefix = target.kind.prefix(target.namespace)
        metadata["continue"] = Continue(listing.revision, records[-1].key.removeprefix(prefix) + "\0").encode()
        if selection.everything:
            metadata["remainingItemCount"] = listing.remaining
    return records, metadata


def _listing(context: Context, target: Target, options: ListOptions, limit: int) -> Listing:
    prefix = target.kind.prefix(target.namespace)
    token = options.continues
    after = prefix + token.start.removesuffix("\0") if token else ""
    try:
        return context.store.list(narrowed(target, options.selection), options.exact, after, limit)
    except Gone:
        if token is None:
            raise gone(_EXPIRED) from None
        raise gone(_EXPIRED_TOKEN, Continue(LATEST, token.start).encode()) from None


def narrowed(target: Target, selection: Selection) -> str:
    """The prefix of the keys of all that can be selected: a collection, a namespace of it, or one object."""
    kind, namespace = target.kind, target.namespace
    if not selection.fields.requirements:
        return kind.prefix(namespace)
    if kind.resource.namespaced:
        namespace = namespace or selection.fixed("metadata.namespace")
    name = selection.fixed("metadata.name")
    return kind.key(namespace, name) if name and (namespace or not kind.resource.namespaced) else kind.prefix(namespace)
