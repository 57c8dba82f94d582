"""A cache of one kind, kept true by list and watch.

Readers ask the cache, never the server; subscribers are told of each change as (old, new), where None stands for
absent, and turn it into keys.  A broken watch goes on from the last revision seen; a revision that the server no
longer has (410) leads to a new list, whose differences reach the subscribers like any other change.

Who writes an object and decides again before the watch has brought it back would decide on the past: `assume`
puts the server's answer to a write into the cache at once.

What the server says is received in order and handed on in order, at once or, while the component is made late on
purpose, when its time has come (`knet.client.late`).
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Generic

from knet.api.objects import K
from knet.client.client import ApiError, Client, Gone, Listing, Unavailable, WatchEvent
from knet.client.late import LINE

log = logging.getLogger(__name__)

Subscriber = Callable[[K | None, K | None], None]

#: seconds between attempts to reach an API server that does not answer: doubled from the first to the second
RETRY = (0.05, 2.0)


class Informer(Generic[K]):
    """``run`` keeps it true until cancelled; ``synced`` is set once the first list is in."""

    def __init__(
        self, client: Client, cls: type[K], namespace: str = "", label_selector: str = "", field_selector: str = ""
    ) -> None:
        self._client = client
        self._cls = cls
        self._selection = (namespace, label_selector, field_selector)
        self._objects: dict[tuple[str, str], K] = {}
        self._subscribers: list[Subscriber[K]] = []
        self._received = self._revision = ""
        """the last revision that the server has told, and the last one that is known here"""
        self.synced = asyncio.Event()

    def get(self, namespace: str, name: str) -> K | None:
        return self._objects.get((namespace, name))

    def list(self, namespace: str | None = None) -> Iterator[K]:
        """A snapshot, safe to iterate across awaits."""
        return iter([row for row in self._objects.values() if namespace is None or row.namespace == namespace])

    def __len__(self) -> int:
        return len(self._objects)

    def subscribe(self, subscriber: Subscriber[K]) -> None:
        """Be told of every change from now on; what is already there is told at once as (None, object)."""
        self._subscribers.append(subscriber)
        for found in list(self._objects.values()):
            subscriber(None, found)

    def assume(self, written: K) -> None:
        """Take over what the server answered to a write, unless the watch has come as far as that already.

        Safe because a revision is the store's one counter: a watch that has passed it has told all up to it, so
        nothing that was deleted meanwhile can come back by this.
        """
        revision = int(written.metadata.resourceVersion)
        if self._revision and revision > int(self._revision):
            self._store(written)

    async def run(self) -> None:
        delay = RETRY[0]
        while True:
            try:
                if not self._received:
                    await self._relist()
                    delay = RETRY[0]
                await self._watch()
                delay = RETRY[0]
            except Gone:
                self._received = ""
            except (Unavailable, ApiError) as error:
                if delay == RETRY[0]:  # one line per outage, not one per attempt
                    log.warning("watch %s: %s", self._cls.resource.plural, error)
                await asyncio.sleep(delay)
                delay = min(2 * delay, RETRY[1])

    async def _relist(self) -> None:
        listing = await self._client.list(self._cls, *self._selection)
        self._received = listing.resource_version
        if LINE.waits:
            LINE.join(partial(self._become, listing))
        else:
            self._become(listing)

    async def _watch(self) -> None:
        async for event in self._client.watch(self._cls, self._received, *self._selection):
            self._received = event.object.metadata.resourceVersion
            if LINE.waits:
                LINE.join(partial(self._learn, event))
            else:
                self._learn(event)

    def _become(self, listing: Listing[K]) -> None:
        fresh = {(row.namespace, row.name): row for row in listing.items}
        for key in [key for key in self._objects if key not in fresh]:
            self._change(key, None)
        for key, row in fresh.items():
            known = self._objects.get(key)
            if known is None or known.metadata.resourceVersion != row.metadata.resourceVersion:
                self._change(key, row)
        self._revision = listing.resource_version
        self.synced.set()

    def _learn(self, event: WatchEvent[K]) -> None:
        row = event.object
        if event.type in ("ADDED", "MODIFIED"):
            self._store(row)
        elif event.type == "DELETED":
            self._remove(row)
        self._revision = row.metadata.resourceVersion

    def _store(self, row: K) -> None:
        """Keep an object unless a later revision of it is here already (see `assume`)."""
        known = self._objects.get((row.namespace, row.name))
        if known is None or int(known.metadata.resourceVersion) < int(row.metadata.resourceVersion):
            self._change((row.namespace, row.name), row)

    def _remove(self, row: K) -> None:
        """Forget a deleted object, unless a successor of its name is here already (see `assume`)."""
        known = self._objects.get((row.namespace, row.name))
        if known is not None and int(known.metadata.resourceVersion) <= int(row.metadata.resourceVersion):
            self._change((row.namespace, row.name), None)

    def _change(self, key: tuple[str, str], new: K | None) -> None:
        old = self._objects.get(key)
        if new is None:
            self._objects.pop(key, None)
        else:
            self._objects[key] = new
        if old is not None or new is not None:
            for subscriber in self._subscribers:
                subscriber(old, new)
