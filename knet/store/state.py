"""What a store keeps in memory: the latest records of each collection and its recent history.

A watch is a cursor into the history of its collection, not a queue: ten thousand watchers hold no event more than
one does, a slow reader finds several events at its next look and sends them together, and one that falls behind
the history is told so (Gone), as etcd does after a compaction.
"""

import asyncio
from bisect import bisect_left, bisect_right, insort

from knet.store.interface import Event, Gone, Listing, Record

#: events kept per collection; between one and two times this number are there at any moment.  Upstream's watch
#: cache starts at 100 and grows to 102,400; this holds a minute of the busiest lab in some 10 MB of Pods.
HISTORY = 2048
#: events that one reader takes at a time
BATCH = 256


def collection_of(key: str) -> str:
    """``/registry/pods/default/web`` → ``/registry/pods/``; a dotted group adds one segment (custom resources)."""
    end = key.index("/", len("/registry/")) + 1
    if "." in key[len("/registry/") : end]:
        end = key.index("/", end) + 1
    return key[:end]


class Collection:
    """The records of one resource, ordered by key, and what happened to them lately."""

    def __init__(self, floor: int) -> None:
        self.records: dict[str, Record] = {}
        self.keys: list[str] = []
        self.events: list[Event] = []
        #: how many events have been dropped from the front of `events`
        self.dropped = 0
        #: the newest revision whose event is no longer (or never was) in the history
        self.floor = floor
        self.waiters: list[asyncio.Future[None]] = []

    def load(self, record: Record) -> None:
        """Take in a record that was there before this process; keys arrive in order."""
        self.records[record.key] = record
        self.keys.append(record.key)

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
        if len(self.events) > 2 * HISTORY:
            self.floor = self.events[HISTORY - 1].record.revision
            del self.events[:HISTORY]
            self.dropped += HISTORY
        self.wake()

    def wake(self) -> None:
        """Let whoever waits for events look again."""
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            _finish(waiter)

    def below(self, prefix: str) -> list[Record]:
        """The present records whose key starts with the prefix, in order."""
        start = bisect_left(self.keys, prefix)
        end = bisect_left(self.keys, prefix + "\U0010ffff", start)
        return [self.records[key] for key in self.keys[start:end]]

    def below_at(self, prefix: str, revision: int) -> list[Record]:
        """The same as of an earlier revision: the present, with the later events undone, latest first."""
        records = {record.key: record for record in self.below(prefix)}
        for event in reversed(self.events[self.position(revision) - self.dropped :]):
            if not event.record.key.startswith(prefix):
                continue
            if event.previous is None:
                records.pop(event.record.key, None)
            else:
                records[event.record.key] = event.previous
        return [records[key] for key in sorted(records)]

    def position(self, revision: int) -> int:
        """The absolute position of the first event after the revision; Gone where it may have been dropped."""
        if revision < self.floor:
            raise Gone(revision, self.floor)
        return self.dropped + bisect_right(self.events, revision, key=_revision)


def _revision(event: Event) -> int:
    return event.record.revision


class State:
    """All collections, and the revision of the latest visible write."""

    def __init__(self, revision: int) -> None:
        self.revision = revision
        self.collections: dict[str, Collection] = {}
        #: where histories begin: a collection that appears later has had no event before it either
        self._floor = revision

    def collection(self, key: str) -> Collection:
        """The collection that a key belongs to, made at its first use."""
        name = collection_of(key)
        found = self.collections.get(name)
        if found is None:
            found = self.collections[name] = Collection(self._floor)
        return found

    def get(self, key: str) -> Record | None:
        """The latest record of a key."""
        return self.collection(key).records.get(key)

    def changed(self, collection: str) -> int:
        """See `knet.store.interface.Store.changed`."""
        found = self.collection(collection)
        return found.events[-1].record.revision if found.events else found.floor

    def list(self, prefix: str, revision: int = 0) -> Listing:
        """Records below a prefix, now (0) or as of a revision; raises Gone."""
        collection = self.collection(prefix)
        if not revision or revision >= self.revision:
            return Listing(self.revision, collection.below(prefix))
        return Listing(revision, collection.below_at(prefix, revision))

    def apply(self, event: Event) -> None:
        """Make one durable write visible."""
        self.revision = event.record.revision
        self.collection(event.record.key).apply(event)

    def wake(self, name: str) -> None:
        """End the waits of those who follow a collection."""
        self.collection(name).wake()

    def watch(self, name: str, revision: int) -> "Cursor":
        """A cursor right after the revision; raises Gone."""
        collection = self.collection(name)
        return Cursor(self, collection, collection.position(revision), revision)


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
        self._collection.waiters.append(waiter)
        timer = loop.call_later(timeout, _finish, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            if waiter in self._collection.waiters:
                self._collection.waiters.remove(waiter)
        return self._take()

    def _take(self) -> list[Event]:
        collection = self._collection
        start = self._position - collection.dropped
        if start < 0:
            raise Gone(self._revision, collection.floor)
        events = collection.events[start : start + BATCH]
        if events:
            self._position += len(events)
            self._revision = events[-1].record.revision
        return events


def _finish(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
