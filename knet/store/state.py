"""What a store keeps in memory: the latest records of each collection and its recent history.

A watch is a cursor into the history of its collection, not a queue: ten thousand watchers hold no event more than
one does, a slow reader finds several events at its next look and sends them together, and one that falls behind
the history is told so (Gone), as etcd does after a compaction.
"""

import asyncio
import heapq
import re
import time
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable

from knet.store.interface import Event, Gone, Listing, Past, Record

ROOT = "/registry/"
#: events kept per collection however old they are, and however young; upstream's watch cache grows from 100 to 102,400
HISTORY, HISTORY_LIMIT = 2048, 102_400
#: seconds for which more than `HISTORY` are kept: a client has so long for what follows its list (upstream's
#: eventFreshDuration)
FRESH = 75.0
#: bytes of the events' objects beyond which even fresh ones go
HISTORY_BYTES = 128 << 20
#: events that one reader takes at a time
BATCH = 256


#: the form of an object's key: resource (of which a group or "services" is the first half), namespace, name
_OBJECT = re.compile(r"/registry/((services|[^/]*\.[^/]*)/)?[^/]+(/[^/]+){1,2}")


def is_object(key: str) -> bool:
    """Whether a key can be an object's; etcd holds others, too."""
    return _OBJECT.fullmatch(key) is not None


def collection_of(key: str) -> str:
    """``/registry/pods/default/web`` → ``/registry/pods/``; a dotted group and ``services`` have one segment more."""
    end = key.index("/", len(ROOT)) + 1
    first = key[len(ROOT) : end - 1]
    if "." in first or first == "services":
        end = key.index("/", end) + 1
    return key[:end]


class Collection:
    """The records of one resource, ordered by key, and what happened to them lately."""

    def __init__(self, floor: int) -> None:
        self.records: dict[str, Record] = {}
        self.keys: list[str] = []
        self.events: list[Event] = []
        #: when each of them was applied; monotonic seconds
        self.times: list[float] = []
        self.bytes = 0
        #: how many events have been dropped from the front of `events`
        self.dropped = 0
        #: the newest revision whose event is no longer (or never was) in the history
        self.floor = floor
        self.waiters: set[asyncio.Future[None]] = set()
        #: number of events at which to look again whether some can go
        self._trim_at = 2 * HISTORY

    def load(self, record: Record) -> None:
        """Take in a record that was there before this process; keys arrive in order."""
        self.records[record.key] = record
        self.keys.append(record.key)

    def reset(self, floor: int) -> None:
        """Forget everything; whoever follows this collection is Gone."""
        self.records.clear()
        self.keys.clear()
        self._drop(len(self.events), floor)
        self.dropped += 1
        self.wake()

    def apply(self, event: Event) -> None:
        """Make a durable write visible, and wake whoever waits for it."""
        key = event.record.key
        if event.type == "DELETED":
            del self.records[key]
            del self.keys[bisect_left(self.keys, key)]
        else:
            if event.previous is None:
                insort(self.keys, key)
            self.records[key] = event.record
        self.events.append(event)
        self.times.append(time.monotonic())
        self.bytes += len(event.record.data)
        if len(self.events) > self._trim_at or self.bytes > HISTORY_BYTES:
            self._trim()
        self.wake()

    def compact(self, revision: int) -> None:
        """Forget the history up to the revision."""
        if revision > self.floor:
            self._drop(bisect_right(self.events, revision, key=_revision), revision)

    def _trim(self) -> None:
        """Drop what is neither among the latest nor fresh; at the limits, half of what there is."""
        excess = len(self.events) - HISTORY
        if self.bytes > HISTORY_BYTES or len(self.events) > HISTORY_LIMIT:
            count = len(self.events) // 2
        else:
            count = min(excess, bisect_left(self.times, time.monotonic() - FRESH))
        if count > 0:
            self._drop(count, self.events[count - 1].record.revision)
        self._trim_at = len(self.events) + HISTORY

    def _drop(self, count: int, floor: int) -> None:
        self.bytes -= sum(len(event.record.data) for event in self.events[:count])
        del self.events[:count]
        del self.times[:count]
        self.dropped += count
        self.floor = floor

    def wake(self) -> None:
        """Let whoever waits for events look again."""
        waiters, self.waiters = self.waiters, set()
        for waiter in waiters:
            _finish(waiter)

    def page(self, prefix: str, revision: int, after: str, limit: int) -> tuple[list[Record], int]:
        """Records below a prefix and after a key, now (0) or as of a revision; how many more the limit (0: none) cuts.

        The past is the present with the later events undone.
        """
        first = max(prefix, after + "\0") if after else prefix
        start = bisect_left(self.keys, first)
        end = bisect_left(self.keys, prefix + "\U0010ffff", start)
        undone: dict[str, Record | None] = {}
        if revision:
            for event in reversed(self.events[self.position(revision) - self.dropped :]):
                if event.record.key.startswith(prefix) and event.record.key >= first:
                    undone[event.record.key] = event.previous
        if not undone:
            stop = min(end, start + limit) if limit else end
            return [self.records[key] for key in self.keys[start:stop]], end - stop
        keys = self.keys[start:end]
        for key, record in undone.items():
            at = bisect_left(keys, key)
            present = at < len(keys) and keys[at] == key
            if record is None and present:
                del keys[at]
            elif record is not None and not present:
                keys.insert(at, key)
        shown = keys[:limit] if limit else keys
        return [undone.get(key) or self.records[key] for key in shown], len(keys) - len(shown)

    def past(self, since: float, revision: int) -> list[Past]:
        """What is known of the writes from a time on and after a revision."""
        start = max(bisect_left(self.times, since), bisect_right(self.events, revision, key=_revision))
        return list(map(Past, self.times[start:], self.events[start:]))

    def position(self, revision: int) -> int:
        """The absolute position of the first event after the revision; Gone where it may have been dropped."""
        if revision < self.floor:
            raise Gone(revision, self.floor)
        return self.dropped + bisect_right(self.events, revision, key=_revision)


def _revision(event: Event) -> int:
    return event.record.revision


class State:
    """All collections, and the revision of the latest visible write: what every store answers reads from."""

    def __init__(self, revision: int = 0) -> None:
        self.revision = revision
        self._collections: dict[str, Collection] = {}
        #: where histories begin: a collection that appears later has had no event before it either
        self._floor = revision
        #: who waits for a revision
        self._awaited: list[tuple[int, int, asyncio.Future[None]]] = []

    def collection(self, key: str) -> Collection:
        """The collection that a key belongs to, made at its first use."""
        name = collection_of(key)
        found = self._collections.get(name)
        if found is None:
            found = self._collections[name] = Collection(self._floor)
        return found

    def get(self, key: str) -> Record | None:
        """The latest record of a key."""
        return self.collection(key).records.get(key)

    def changed(self, collection: str) -> int:
        """See `knet.store.interface.Store.changed`."""
        found = self.collection(collection)
        return found.events[-1].record.revision if found.events else found.floor

    def history(self, since: float = 0.0, revision: int = 0) -> list[Past]:
        """See `knet.store.interface.Store.history`."""
        found = [row for collection in self._collections.values() for row in collection.past(since, revision)]
        return sorted(found, key=lambda row: row.event.record.revision)

    def wake(self, collection: str) -> None:
        """See `knet.store.interface.Store.wake`."""
        self.collection(collection).wake()

    def list(self, prefix: str, revision: int = 0, after: str = "", limit: int = 0) -> Listing:
        """See `knet.store.interface.Store.list`."""
        at = 0 if revision >= self.revision else revision
        records, remaining = self.collection(prefix).page(prefix, at, after, limit)
        return Listing(at or self.revision, records, remaining)

    def watch(self, name: str, revision: int) -> "Cursor":
        """A cursor right after the revision; raises Gone."""
        collection = self.collection(name)
        return Cursor(self, collection, collection.position(revision), revision)

    async def run(self) -> None:
        """See `knet.store.interface.Store.run`; nothing goes on by itself here."""
        await asyncio.get_running_loop().create_future()

    async def reach(self, revision: int) -> None:
        """Wait until the revision is visible."""
        if self.revision < revision:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            entry = (revision, id(future), future)
            heapq.heappush(self._awaited, entry)
            try:
                await future
            except asyncio.CancelledError:
                self._awaited.remove(entry)
                heapq.heapify(self._awaited)
                raise

    def successor(self, key: str, revision: int) -> Event | None:
        """The event that followed a key's state at the revision (0: its absence), the latest if there were several."""
        for event in reversed(self.collection(key).events):
            if event.record.key == key and (event.previous.revision if event.previous else 0) == revision:
                return event
        return None

    def reset(self, revision: int, records: Iterable[Record]) -> None:
        """Begin anew with these records, ordered by key; what was known before is Gone."""
        self.revision = self._floor = revision
        for collection in self._collections.values():
            collection.reset(revision)
        for record in records:
            self.collection(record.key).load(record)
        self._arrived()

    def apply(self, event: Event) -> None:
        """Make one durable write visible."""
        self.collection(event.record.key).apply(event)
        self.pass_by(event.record.revision)

    def pass_by(self, revision: int) -> None:
        """Go on to a revision that concerns no object."""
        self.revision = revision
        if self._awaited:
            self._arrived()

    def compact(self, revision: int) -> None:
        """Forget the history up to the revision."""
        self._floor = max(self._floor, revision)
        for collection in self._collections.values():
            collection.compact(revision)

    def _arrived(self) -> None:
        while self._awaited and self._awaited[0][0] <= self.revision:
            _finish(heapq.heappop(self._awaited)[2])


class Cursor:
    """`knet.store.interface.Watch` on one collection."""

    def __init__(self, state: State, collection: Collection, position: int, revision: int) -> None:
        self._state = state
        self._collection = collection
        self._position = position
        self._revision = revision

    @property
    def revision(self) -> int:
        """All up to here was delivered.  A collection at rest moves along with the whole store."""
        if self._position == self._collection.dropped + len(self._collection.events):
            return max(self._state.revision, self._revision)
        return self._revision

    @property
    def lapsed(self) -> bool:
        """See `knet.store.interface.Watch.lapsed`."""
        return self._position < self._collection.dropped

    async def next(self, timeout: float) -> list[Event]:
        """See `knet.store.interface.Watch.next`."""
        events = self._take()
        if events or timeout <= 0:
            return events
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._collection.waiters.add(waiter)
        timer = loop.call_later(timeout, _finish, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._collection.waiters.discard(waiter)
        return self._take()

    def _take(self) -> list[Event]:
        collection = self._collection
        start = self._position - collection.dropped
        if start < 0:
            raise Gone(self._revision, collection.floor)
        events = collection.events[start : start + BATCH]
        if events:
            self._position += len(events)
            if events[0].record.revision <= self._revision:  # a watch may begin in the future
                events = [event for event in events if event.record.revision > self._revision]
        if events:
            self._revision = events[-1].record.revision
        return events


def _finish(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
