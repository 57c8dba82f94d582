"""Keeping something true to a collection of the store, as an informer does on the other side of the network.

A watcher of the store is woken before the write that woke it is acknowledged, so who has written a binding and then
uses it finds it in force.
"""

from collections.abc import Callable

from knet.store import Gone, Record, Store

#: seconds a look at the history waits for something to happen; there is nothing to do but to look again
_PATIENCE = 3600.0


class Following:
    """Tells of every record of a collection, at once of those that are there, by `run` of every change."""

    def __init__(
        self, store: Store, collection: str, put: Callable[[Record], None], drop: Callable[[Record], None]
    ) -> None:
        self._store = store
        self._collection = collection
        self._put = put
        self._drop = drop
        self._known: dict[str, Record] = {}
        self._revision = 0
        self._list()

    def _list(self) -> None:
        listing = self._store.list(self._collection)
        present = {record.key: record for record in listing.records}
        for key in self._known.keys() - present.keys():
            self._drop(self._known[key])
        for key, record in present.items():
            known = self._known.get(key)
            if known is None or known.revision != record.revision:
                self._put(record)
        self._known, self._revision = present, listing.revision

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._watch()
            except Gone:  # overtaken by more events than are kept
                self._list()

    async def _watch(self) -> None:
        watch = self._store.watch(self._collection, self._revision)
        while True:
            for event in await watch.next(_PATIENCE):
                if event.type == "DELETED":
                    self._known.pop(event.record.key, None)
                    self._drop(event.record)
                else:
                    self._known[event.record.key] = event.record
                    self._put(event.record)
