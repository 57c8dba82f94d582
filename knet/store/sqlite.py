"""The embedded store: SQLite in WAL mode behind one writer thread, everything else in memory.

A write is decided on the event loop (is the key at the expected revision?) and gets its revision and its bytes there.
All that gather in one turn of the loop, or while a transaction is under way, go to the writer thread together and are
committed as one.  Only after the commit are the writes made visible, in the order of their revisions, and acknowledged:
nobody ever reads what a crash of this process could take back.

synchronous=NORMAL: the commit returns when the write-ahead log has been handed to the kernel, so an acknowledged write
survives ``kill -9``; the log is synced to the disk at checkpoints.  A power cut can take the writes since the last
checkpoint, but never leaves the file torn.  FULL would cost every lone write an fsync (1 ms on the disks measured,
with everything else at 0.2 ms) for a case in which the whole cluster, a process tree on that machine, is gone anyway.

The database is opened exclusively: a second API server on the same directory is refused, not tolerated.
"""

import asyncio
import sqlite3
import threading
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from queue import SimpleQueue

import orjson

from knet.store.interface import AttributesOf, Conflict, Event, Object, Record, Unavailable, encoded
from knet.store.state import State, collection_of

#: rows that one statement writes, as many as there are, else one by one: between statements Python's interpreter lock
#: changes hands
_ROWS = (64, 16, 4, 1)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS counter (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL);
INSERT OR IGNORE INTO counter VALUES (1, 1);
"""
_INSERT = {
    rows: f"INSERT INTO objects VALUES {', '.join(['(?, ?, ?)'] * rows)} ON CONFLICT (key) DO UPDATE"
    " SET revision = excluded.revision, value = excluded.value"
    for rows in _ROWS
}


@dataclass(slots=True)
class _Write:
    """A write on its way to the disk."""

    event: Event
    #: cancelled where nobody waits any longer
    done: asyncio.Future[None]
    #: other writes to the key that wait for this one
    rivals: list[asyncio.Future[None]] = field(default_factory=list)

    def settle(self, error: Exception | None = None) -> None:
        """It is visible, or has failed."""
        _resolve(self.done, error)
        for rival in self.rivals:
            _resolve(rival, None)


_Group = list[_Write]


class SqliteStore(State):
    """`knet.store.interface.Store` on one SQLite file."""

    def __init__(self, path: Path, attributes_of: AttributesOf) -> None:
        """Open or create the file and read everything.

        Raises Unavailable where another process has it open or it is no database.
        """
        self._attributes_of = attributes_of
        try:
            self._database = _connect(path)
            (revision,) = self._database.execute("SELECT revision FROM counter").fetchone()
            super().__init__(revision)
            for key, at, value in self._database.execute("SELECT key, revision, value FROM objects ORDER BY key"):
                attributes = attributes_of(collection_of(key), orjson.loads(value))
                self.collection(key).load(Record(key, at, value, attributes))
        except sqlite3.Error as error:
            raise Unavailable(f"{path}: {error}") from error
        #: the revision given to the latest write, visible or not
        self._assigned = revision
        #: writes that are not yet visible, one per key at most: the next one to a key waits for it
        self._pending: dict[str, _Write] = {}
        #: those of them that the writer thread has not been given
        self._gathered: _Group = []
        #: the thread has been given some, or will be at the end of this turn
        self._busy = False
        self._queue: SimpleQueue[_Group | None] = SimpleQueue()
        self._trouble = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._write_forever, name="store", daemon=True)

    @property
    def trouble(self) -> str:
        """Why the latest transaction failed; "" if it did not."""
        return self._trouble

    async def write(self, key: str, value: Object, expected: int, *, delete: bool = False, by: object = None) -> Record:
        """Store or delete one object and wait until that is durable; Conflict, Unavailable."""
        loop = self._running_loop()
        while rival := self._pending.get(key):
            rival.rivals.append(turn := loop.create_future())
            await turn
        previous = self.get(key)
        if (previous.revision if previous else 0) != expected:
            raise Conflict(key)
        self._assigned += 1
        value["metadata"]["resourceVersion"] = str(self._assigned)
        record = Record(key, self._assigned, encoded(value), self._attributes_of(collection_of(key), value))
        event = Event("DELETED" if delete else "MODIFIED" if previous else "ADDED", record, previous, by)
        write = self._pending[key] = _Write(event, loop.create_future())
        self._gathered.append(write)
        if not self._busy:
            self._busy = True
            loop.call_soon(self._hand_over)
        # A client that hangs up does not take its write back: it is already in the queue, in order.
        await write.done
        return record

    async def close(self) -> None:
        """Finish the writes under way and release the file."""
        if self._thread.is_alive():
            self._hand_over()
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)
        self._loop = None
        self._database.close()

    def _hand_over(self) -> None:
        """Give the thread what has gathered."""
        self._busy = bool(self._gathered)
        if self._gathered:
            group, self._gathered = self._gathered, []
            self._queue.put(group)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._thread.start()
        return self._loop

    def _write_forever(self) -> None:
        """The writer thread: commit, report."""
        loop = self._loop
        assert loop is not None
        while group := self._queue.get():
            try:
                _commit(self._database, [write.event for write in group])
            except sqlite3.Error as error:
                loop.call_soon_threadsafe(self._failed, group, str(error))
            else:
                loop.call_soon_threadsafe(self._committed, group)

    def _committed(self, group: _Group) -> None:
        self._trouble = ""
        for write in group:
            self.apply(write.event)
            del self._pending[write.event.record.key]
            write.settle()
        self._hand_over()

    def _failed(self, group: _Group, reason: str) -> None:
        """A transaction failed: its writes never happened.  The revisions they were given stay unused."""
        self._trouble = reason
        for write in group:
            del self._pending[write.event.record.key]
            write.settle(Unavailable(reason))
        self._hand_over()


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=2, isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA locking_mode = EXCLUSIVE")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.executescript(_SCHEMA)
    return database


def _commit(database: sqlite3.Connection, events: list[Event]) -> None:
    """Write one group in one transaction, runs of equal statements together."""
    database.execute("BEGIN IMMEDIATE")
    try:
        for deletes, run in groupby(events, lambda event: event.type == "DELETED"):
            if deletes:
                database.executemany("DELETE FROM objects WHERE key = ?", [(event.record.key,) for event in run])
            else:
                _insert(database, [event.record for event in run])
        database.execute("UPDATE counter SET revision = ?", (events[-1].record.revision,))
        database.execute("COMMIT")
    except sqlite3.Error:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _insert(database: sqlite3.Connection, records: list[Record]) -> None:
    done = 0
    for rows in _ROWS:
        while len(records) - done >= rows:
            part = records[done : done + rows]
            values = [value for record in part for value in (record.key, record.revision, record.data)]
            database.execute(_INSERT[rows], values)
            done += rows


def _resolve(future: "asyncio.Future[None]", error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
