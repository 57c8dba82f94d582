"""A flight recorder: what this process has done lately, kept in memory, told to who asks.

Recording is always on, so it has to cost next to nothing (half a microsecond): an entry is a tuple, and no text is made
of it before somebody reads.  The oldest of `KEPT` entries go.  What a process knew is gone with it, on purpose: nothing
is written anywhere, and a reader sees from the head (`Head`) since when it can be known.

It is read over a socket in the abstract Unix namespace of the machine's network, which pods with one of their own do
not reach: a line of JSON that asks (`Wanted`), then the head and the entries (`Entry`), a line each.
"""

import asyncio
import contextlib
import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from itertools import islice
from typing import cast

import msgspec

log = logging.getLogger(__name__)

#: entries that are kept; they take about a quarter of a kilobyte each
KEPT = 4096
#: seconds for which entries gather before followers are sent them
PAUSE = 0.1
#: seconds for a question to come
_PATIENCE = 10

#: kind, namespace ("" where it is in none) and name of what an entry is about
Ref = tuple[str, str, str]
Argument = str | int | float | None


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """As it is read. ``at`` is CLOCK_MONOTONIC in nanoseconds, ``took`` seconds; ``text`` is complete."""

    number: int
    at: int
    actor: str
    kind: str
    about: tuple[Ref, ...]
    text: str
    args: tuple[Argument, ...] = ()
    took: float = 0.0


class Head(msgspec.Struct, frozen=True):
    """``began``: CLOCK_MONOTONIC, nanoseconds, when the process did.

    ``kept_from`` and ``kept_since``: number and stamp of the oldest entry; without one, those of the next.
    """

    name: str
    pid: int
    began: int
    kept_from: int = 1
    kept_since: int = 0


class Wanted(msgspec.Struct, frozen=True, omit_defaults=True):
    """Entries from a stamp on; with ``follow`` those to come, too."""

    since: int = 0
    follow: bool = False


_Kept = tuple[int, int, str, str, tuple[Ref, ...], str, tuple[object, ...], float]


class Recorder:
    """The entries of one process; any thread may record."""

    def __init__(self, kept: int = KEPT) -> None:
        self.began = time.monotonic_ns()
        self._entries: deque[_Kept] = deque(maxlen=kept)
        self._number = 0
        self._lock = threading.Lock()
        self._followers: set[Callable[[], None]] = set()

    def record(
        self, actor: str, kind: str, about: tuple[Ref, ...], text: str, *args: object, took: float = 0.0
    ) -> None:
        """Something was done: ``text % args``, where args that are neither str nor numbers are told by str()."""
        with self._lock:
            self._number += 1
            self._entries.append((self._number, time.monotonic_ns(), actor, kind, about, text, args, took))
        for wake in tuple(self._followers):
            wake()

    @property
    def followed(self) -> bool:
        """Somebody is told of each entry as it comes."""
        return bool(self._followers)

    def entries(self, since: int = 0, after: int = 0) -> list[Entry]:
        """Those from a stamp on and after a number, in order."""
        with self._lock:  # numbers have no gaps, so a follower's question costs what is new, not what is kept
            kept = list(islice(reversed(self._entries), max(self._number - after, 0)))
        return [_told(row) for row in reversed(kept) if row[1] >= since]

    def head(self, name: str) -> Head:
        """What a reader has to know first."""
        with self._lock:
            number, at = self._entries[0][:2] if self._entries else (self._number + 1, time.monotonic_ns())
        return Head(name, os.getpid(), self.began, number, at)

    async def tell(self, name: str, wanted: Wanted, writer: asyncio.StreamWriter) -> None:
        """Write an answer, and go on with it for ever where that is wanted; ConnectionError."""
        fresh, loop, last = asyncio.Event(), asyncio.get_running_loop(), 0

        def wake() -> None:
            if not fresh.is_set():  # else it is about to look, or waits for more to look at
                loop.call_soon_threadsafe(fresh.set)

        if wanted.follow:
            self._followers.add(wake)
        try:
            writer.write(msgspec.json.encode(self.head(name)) + b"\n")
            while True:
                fresh.clear()
                found = self.entries(wanted.since, last)
                last = found[-1].number if found else last
                writer.write(b"".join(msgspec.json.encode(entry) + b"\n" for entry in found))
                await writer.drain()
                if not wanted.follow:
                    return
                await fresh.wait()
                await asyncio.sleep(PAUSE)
        finally:
            self._followers.discard(wake)


#: this process's
RECORDER = Recorder()
record = RECORDER.record


def address(name: str) -> str:
    """Where a component of that name is read, in its machine's network."""
    return f"\0knet-recorder-{name}"


@contextlib.asynccontextmanager
async def served(name: str, recorder: Recorder = RECORDER) -> AsyncIterator[None]:
    """Let the recorder be read for as long as the block lasts; an address that is taken is a line in the log."""
    recorder.began = time.monotonic_ns()
    conversations: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_PATIENCE):
            wanted = msgspec.json.decode(await reader.readline(), type=Wanted)
        telling = asyncio.create_task(recorder.tell(name, wanted, writer))
        leaving = asyncio.create_task(reader.read(1))
        try:
            await asyncio.wait((telling, leaving), return_when=asyncio.FIRST_COMPLETED)
            if telling.done():
                telling.result()
        finally:
            telling.cancel()
            leaving.cancel()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversations.add(task := cast("asyncio.Task[None]", asyncio.current_task()))
        try:
            await converse(reader, writer)
        except (OSError, ValueError, msgspec.DecodeError):
            pass  # none of ours, or nobody there any more
        finally:
            writer.close()
            conversations.discard(task)

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        try:
            listener.bind(address(name))
        except OSError as error:
            log.error("what %s does cannot be read: %s", name, error)
            yield
            return
        server = await asyncio.start_unix_server(answer, sock=listener)
        try:
            yield
        finally:
            server.close()
            for task in conversations:
                task.cancel()


def ask(name: str, wanted: Wanted) -> socket.socket:
    """A connection on which a component answers, on the machine whose network the calling thread is in; OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(address(name))
        connection.sendall(msgspec.json.encode(wanted) + b"\n")
    except OSError:
        connection.close()
        raise
    return connection


def _told(row: _Kept) -> Entry:
    number, at, actor, kind, about, text, args, took = row
    plain = tuple(arg if isinstance(arg, str | int | float | None) else str(arg) for arg in args)
    return Entry(number, at, actor, kind, about, text % plain if plain else text, plain, took)
