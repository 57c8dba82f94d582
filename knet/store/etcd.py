"""etcd as the store: it decides and orders the writes, its watch feeds the memory from which everything is read.

Keys and values are laid out as upstream's (``/registry/pods/default/web``, JSON without resourceVersion, which is the
key's mod_revision), so what a textbook does with etcdctl works, and a change made with it appears like any other.

One watch of all keys brings every revision, in order; only what it has brought is visible, and a write is acknowledged
once it is visible.  At the start the objects are read as of the oldest revision that etcd still has, and the watch
brings the rest: so clients of a restarted API server go on where they were.  While etcd is away reads go on, and
writes wait for it for `PATIENCE` seconds: a compare-and-swap can be sent again, because what became of the first one
can be read from the history.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing

import orjson

from knet.store.etcd_api import Changes, Compacted, Etcd, Failed, KeyValue
from knet.store.interface import AttributesOf, Conflict, Event, Object, Record, Unavailable, encoded
from knet.store.state import ROOT, State, collection_of, is_object

log = logging.getLogger(__name__)

#: seconds that a write waits for an etcd that is not there: longer than the supervisor takes to restart it
PATIENCE = 5.0
#: seconds of history that etcd keeps at least (upstream's --etcd-compaction-interval)
COMPACTION_INTERVAL = 300.0
#: seconds between looks whether somebody else has compacted
COMPACTION_LOOK = 1.0
#: revisions of history read at the start at most
HISTORY_AT_START = 10_000
#: keys read in one answer
PAGE = 1000
#: etcd's way to say "all keys", as begin and end of a range
_ALL = "\0"
_END = ROOT[:-1] + chr(ord("/") + 1)


class EtcdStore(State):
    """`knet.store.interface.Store` on an etcd; `connect` makes one."""

    def __init__(self, etcd: Etcd, attributes_of: AttributesOf) -> None:
        super().__init__()
        self._etcd = etcd
        self._attributes_of = attributes_of
        self._background = asyncio.ensure_future(self._keep_in_step())
        self._trouble = ""
        #: up to where etcd was compacted, as far as known
        self._compaction = 1

    @classmethod
    async def connect(cls, target: str, attributes_of: AttributesOf) -> "EtcdStore":
        """A store on the etcd at host:port, once that answers and everything has been read."""
        store = cls(Etcd(target), attributes_of)
        loaded = asyncio.ensure_future(store._caught_up())
        await asyncio.wait([loaded, store._background], return_when=asyncio.FIRST_COMPLETED)
        if not loaded.done():
            loaded.cancel()
            await store.run()
        return store

    async def _caught_up(self) -> None:
        """Wait until everything up to now is visible."""
        while True:
            try:
                await self._etcd.connected()
                newest = await self._etcd.range(_ALL, _ALL, limit=1, count_only=True)
            except Failed as error:
                self._report(error)
            else:
                return await self.reach(newest.revision)

    async def run(self) -> None:
        """What follows etcd never ends; if it does, by a mistake of ours, this raises what it was."""
        await asyncio.shield(self._background)

    async def _keep_in_step(self) -> None:
        async with asyncio.TaskGroup() as group:
            for task in (self._follow(), self._compact_by_time(), self._notice_compactions()):
                group.create_task(task)

    @property
    def trouble(self) -> str:
        """Why etcd does not answer; "" while it does."""
        return self._trouble

    async def write(self, key: str, value: Object, expected: int, *, delete: bool = False, by: object = None) -> Record:
        """Store or delete one object and wait until etcd's watch has brought it back; Conflict, Unavailable."""
        previous = self.get(key)
        if (previous.revision if previous else 0) != expected:
            raise Conflict(key)
        value["metadata"].pop("resourceVersion", None)
        # A client that hangs up does not take its write back.
        revision = await asyncio.shield(self._swap(key, None if delete else orjson.dumps(value), expected))
        if event := self.successor(key, expected):
            event.by = by
        record = self.get(key)
        return record if record and record.revision == revision else self._record(key, revision, value)

    async def close(self) -> None:
        """Stop following; what etcd has acknowledged is in etcd."""
        self._background.cancel()
        await asyncio.wait([self._background])
        await self._etcd.close()

    # ---- writing ---------------------------------------------------------------------------------------------

    async def _swap(self, key: str, data: bytes | None, expected: int) -> int:
        """The revision at which the key went from the expected state to ``data`` (None: gone)."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        sent = False
        while True:
            try:
                written = await self._etcd.swap(key, expected, data, max(deadline - loop.time(), 0.1))
            except Failed as error:
                self._report(error)
                if not error.retry or loop.time() >= deadline:
                    raise Unavailable(str(error)) from None
                sent = True
                try:
                    await asyncio.wait_for(self._etcd.connected(), deadline - loop.time())
                except TimeoutError:
                    raise Unavailable(str(error)) from None
                continue
            await self.reach(written.revision)
            if written.happened:
                return written.revision
            if sent and (earlier := self._outcome(key, data, expected)):
                return earlier
            raise Conflict(key)

    def _outcome(self, key: str, data: bytes | None, expected: int) -> int:
        """The revision of a swap whose answer was lost, 0 if somebody else's came first."""
        event = self.successor(key, expected)
        if event is None or (event.type == "DELETED") != (data is None):
            return 0
        if data is not None and event.record.data != self._record(key, event.record.revision, orjson.loads(data)).data:
            return 0
        return event.record.revision

    # ---- following -------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Keep the state in step with etcd, whatever happens to the connection."""
        loaded = False
        while True:
            try:
                await self._etcd.connected()
                if not loaded:
                    await self._load()
                    loaded = True
                async with aclosing(self._etcd.watch(_ALL, _ALL, self.revision + 1)) as watch:
                    async for changes in watch:
                        self._trouble = ""
                        if changes.compacted or changes.revision < self.revision:
                            # what happened meanwhile is lost, or etcd was put back to an earlier state
                            loaded = False
                            break
                        self._apply(changes)
            except Failed as error:
                self._report(error)

    async def _load(self) -> None:
        """Read everything as of the oldest revision of which all later changes are known."""
        newest = (await self._etcd.range(_ALL, _ALL, limit=1, count_only=True)).revision
        while True:
            base = max(await self._compacted(1), newest - HISTORY_AT_START)
            try:
                records = [record async for record in self._read(base)]
                break
            except Compacted:
                continue
        self.reset(base, records)

    async def _read(self, revision: int) -> AsyncIterator[Record]:
        start = ROOT
        while True:
            page = await self._etcd.range(start, _END, revision, PAGE)
            for row in page.kvs:
                if is_object(row.key) and (record := self._decoded(row)):
                    yield record
            if not page.more:
                return
            start = page.kvs[-1].key + "\0"

    def _apply(self, changes: Changes) -> None:
        for is_deletion, row in changes.events:
            event = self._event(is_deletion, row)
            if event:
                self.apply(event)
            else:
                self.pass_by(row.revision)

    def _event(self, is_deletion: bool, row: KeyValue) -> Event | None:
        """What a change of a key means; None if it concerns no object."""
        if not is_object(row.key):
            return None
        previous = self.get(row.key)
        record = None if is_deletion else self._decoded(row)
        if record is not None:
            return Event("MODIFIED" if previous else "ADDED", record, previous)
        if previous is not None:
            return Event("DELETED", self._record(row.key, row.revision, previous.decode()), previous)
        return None

    def _decoded(self, row: KeyValue) -> Record | None:
        """The record of a key; None for what is no object of ours (etcd is open to everybody with etcdctl)."""
        try:
            return self._record(row.key, row.revision, orjson.loads(row.value))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("%s at revision %d is no object and is left out: %r", row.key, row.revision, error)
            return None

    def _record(self, key: str, revision: int, value: Object) -> Record:
        value["metadata"]["resourceVersion"] = str(revision)
        return Record(key, revision, encoded(value), self._attributes_of(collection_of(key), value))

    def _report(self, error: Failed) -> None:
        if self._trouble != str(error):
            log.warning("etcd: %s", error)
        self._trouble = str(error)

    # ---- compaction ------------------------------------------------------------------------------------------

    async def _compact_by_time(self) -> None:
        """Let etcd forget what is older than the interval, as upstream's API server does."""
        while True:
            revision = self.revision
            await asyncio.sleep(COMPACTION_INTERVAL)
            try:
                if revision > 0:
                    await self._etcd.compact(revision)
            except Compacted:
                continue
            except Failed as error:
                self._report(error)

    async def _notice_compactions(self) -> None:
        while True:
            await asyncio.sleep(COMPACTION_LOOK)
            try:
                await self.look_for_compaction()
            except Failed as error:
                self._report(error)

    async def look_for_compaction(self) -> None:
        """Forget what etcd has forgotten, whoever told it to: old revisions are then Gone here, too."""
        found = await self._compacted(self._compaction)
        if found > self._compaction:
            self._compaction = found
            self.compact(found)

    async def _compacted(self, known: int) -> int:
        """The revision up to which etcd was compacted, given the last one known."""
        try:
            await self._etcd.range(_ALL, _ALL, known, limit=1, count_only=True)
        except Compacted:
            async with aclosing(self._etcd.watch(_ALL, _ALL, 1)) as watch:  # only a watch says how far
                async for changes in watch:
                    if changes.compacted:
                        return changes.compacted
        return known
