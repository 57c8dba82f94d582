"""watch: the history of a collection as a stream of JSON lines.

https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes

Whatever has gathered while the client was slow goes out in one write.  A selector turns changes into appearances and
disappearances: an object that starts to match is ADDED, one that stops is DELETED with its last matching state, at the
revision of the change.  What goes wrong once the request is understood is told by an ERROR event, as upstream does.
"""

import random
import time
from collections.abc import AsyncGenerator, Iterable, Iterator

import orjson

from knet.apiserver import representation, tables
from knet.apiserver.call import Call
from knet.apiserver.http import Streamed
from knet.apiserver.list_options import ListOptions
from knet.apiserver.negotiation import STREAMED, Form
from knet.apiserver.reads import narrowed, reach
from knet.apiserver.routes import Target
from knet.apiserver.selection import Selection
from knet.apiserver.status import StatusError, gone, not_acceptable
from knet.store import Event, Gone, Object, Record, Watch

#: seconds; upstream ends a watch without timeoutSeconds after 30 to 60 minutes (--min-request-timeout)
MINIMUM_TIMEOUT = 1800
#: seconds between bookmarks; upstream sends one about every minute
BOOKMARK_PERIOD = 60
#: bytes of lines that are sent together
GATHERED = 64 * 1024


def visible(event: Event, selection: Selection, prefix: str) -> tuple[str, Record] | None:
    """What a watcher of the selection below the prefix gets to see of an event; None if nothing."""
    record = event.record
    if not record.key.startswith(prefix):
        return None
    if selection.everything:
        return event.type, record
    before = event.previous is not None and selection.matches(event.previous)
    after = event.type != "DELETED" and selection.matches(record)
    if after:
        return ("MODIFIED" if before else "ADDED"), record
    if not before:
        return None
    return "DELETED", record if event.type == "DELETED" else _as_it_was(event)


def _as_it_was(event: Event) -> Record:
    """An object before it stopped matching, with the revision at which it did."""
    assert event.previous is not None
    value = event.previous.decode()
    value["metadata"]["resourceVersion"] = str(event.record.revision)
    return Record(event.record.key, event.record.revision, orjson.dumps(value), event.previous.attributes)


class Encoder:
    """Events as lines, in the shape that the client asked for."""

    def __init__(self, target: Target, form: Form, include_object: str) -> None:
        self._kind = target.kind
        self._form = form
        self._include_object = include_object
        self._columns_sent = False

    def line(self, type_: str, record: Record) -> bytes:
        """One event."""
        if self._form.shape == "Table":
            value = record.decode()
            data = orjson.dumps(self._table([value], value["metadata"]["resourceVersion"]))
        else:
            data = representation.object_bytes(self._kind, record, self._form)
        return b'{"type":"%b","object":%b}\n' % (type_.encode(), data)

    def bookmark(self, revision: int, initial_end: bool) -> bytes:
        """A bookmark: everything up to the revision has been sent."""
        resource = self._kind.resource
        metadata: Object = {"resourceVersion": str(revision)}
        if initial_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        if self._form.shape == "Table":
            value = self._table([{"metadata": metadata}], str(revision))
        elif self._form.shape:
            value = representation.partial({"metadata": metadata}, self._form.version)
        else:
            value = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        return orjson.dumps({"type": "BOOKMARK", "object": value}) + b"\n"

    def _table(self, values: list[Object], revision: str) -> Object:
        """Column definitions travel with the first table only, as upstream."""
        metadata = {"resourceVersion": revision}
        value = tables.table(self._kind, values, metadata, self._form.version, self._include_object)
        if self._columns_sent:
            del value["columnDefinitions"]
        self._columns_sent = True
        return value


def error_line(error: StatusError) -> bytes:
    """The last line of a watch that cannot go on."""
    return orjson.dumps({"type": "ERROR", "object": error.body()}) + b"\n"


async def watch(call: Call, options: ListOptions) -> Streamed:
    """Stream events until the timeout or until the client goes away; StatusError 400, 406."""
    if call.form.yaml:
        raise not_acceptable(STREAMED)
    store, target = call.context.store, call.target
    encoder = Encoder(target, call.form, call.include_object)
    start = options.revision or 0
    initial: Iterable[Record] = ()
    try:
        if options.send_initial:
            await reach(call.context, start)
            listing = store.list(narrowed(target, options.selection))
            initial = list(options.selection.among(listing.records))
            start = listing.revision
        cursor = store.watch(target.kind.collection, start or store.revision)
    except Gone as error:
        return Streamed(_lines([error_line(gone(str(error)))]))
    except StatusError as error:
        return Streamed(_lines([error_line(error)]))
    marked = start if options.send_initial and options.bookmarks else 0
    source = _events(cursor, target, encoder, options, _initial(encoder, initial, marked))
    return Streamed(source, lapsed=lambda: cursor.lapsed)


def _initial(encoder: Encoder, records: Iterable[Record], marked: int) -> Iterator[bytes]:
    """What is there, and a bookmark that says so if there is a revision to be ``marked``."""
    for record in records:
        yield encoder.line("ADDED", record)
    if marked:
        yield encoder.bookmark(marked, initial_end=True)


async def _lines(lines: Iterable[bytes]) -> AsyncGenerator[bytes, None]:
    """Lines, gathered to what is worth a write."""
    gathered: list[bytes] = []
    size = 0
    for line in lines:
        gathered.append(line)
        size += len(line)
        if size > GATHERED:
            yield b"".join(gathered)
            gathered, size = [], 0
    yield b"".join(gathered)


async def _events(
    cursor: Watch, target: Target, encoder: Encoder, options: ListOptions, initial: Iterable[bytes]
) -> AsyncGenerator[bytes, None]:
    """What a watch consists of: the initial state, then changes and bookmarks."""
    async for data in _lines(initial):
        yield data
    prefix = target.kind.prefix(target.namespace)
    end = time.monotonic() + (options.timeout or MINIMUM_TIMEOUT * (1 + random.random()))
    bookmark_at = time.monotonic() + BOOKMARK_PERIOD
    try:
        while (left := end - time.monotonic()) > 0:
            due = max(bookmark_at - time.monotonic(), 0) if options.bookmarks else left
            events = await cursor.next(min(left, due))
            if not events and target.kind.life.over:
                break
            seen = (visible(event, options.selection, prefix) for event in events)
            async for data in _lines(encoder.line(*pair) for pair in seen if pair):
                yield data
            if options.bookmarks and time.monotonic() >= min(bookmark_at, end):
                yield encoder.bookmark(cursor.revision, initial_end=False)
                bookmark_at = time.monotonic() + BOOKMARK_PERIOD
    except Gone as error:
        yield error_line(gone(str(error)))
