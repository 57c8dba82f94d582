"""The components' flight recorders as events: what they did, and since when that can be known."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from knet.inspect.timeline.event import Event, ref
from knet.kernel.recorder import Entry, Head, Wanted

#: Kubernetes Events of what an entry of another kind or a write tells better
TOLD_BETTER = frozenset(
    ("Created", "Started", "Scheduled", "Killing", "Pulling", "SuccessfulCreate", "SuccessfulDelete")
)
#: nanoseconds: components of a cluster that comes up begin so soon after one another
_SOON = 3_000_000_000
_head = msgspec.json.Decoder(Head)
_entry = msgspec.json.Decoder(Entry)


class Door(NamedTuple):
    """Where a component can be asked; ``ask`` connects to its recorder on its machine, or raises OSError, KnetError."""

    component: str
    machine: str
    #: its machine is worth telling: there are others with the same component
    one_of_many: bool
    ask: Callable[[str, Wanted], socket.socket]

    @property
    def title(self) -> str:
        return f"{self.component}@{self.machine}"


class Recording(NamedTuple):
    """A recorder that answers: its head, and its entries as they come."""

    door: Door
    head: Head
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def lines(self) -> AsyncIterator[bytes]:
        """To the end of the answer, which does not come where it is followed; then the connection is closed."""
        try:
            while line := await self.reader.readline():
                yield line
        finally:
            self.writer.close()


class Entries:
    """Makes events of a recorder's lines; what is missing among these becomes a gap."""

    def __init__(self, door: Door, gaps: list[str]) -> None:
        self._door = door
        self._gaps = gaps
        self._next = 0

    def event(self, line: bytes) -> Event | None:
        """What a line tells; None where others tell it better."""
        entry = _entry.decode(line)
        if missing := entry.number - self._next if self._next else 0:
            self._gaps.append(
                f"{self._door.title} did so much that {missing} things were forgotten before they were told"
            )
        self._next = entry.number + 1
        return _event(entry, self._door)


async def opened(door: Door, since: int, follow: bool = False) -> Recording:
    """Ask a recorder; OSError or KnetError where nobody answers."""
    connection = door.ask(door.component, Wanted(since=since, follow=follow))
    reader, writer = await asyncio.open_unix_connection(sock=connection, limit=1 << 20)
    line = await reader.readline()
    if not line:
        writer.close()
        raise ConnectionError(f"{door.title} ended while it was asked")
    return Recording(door, _head.decode(line), reader, writer)


def began(recording: Recording) -> Event:
    """That a component's process began."""
    return _life(recording, recording.head.began, "began (pid %d)")


def ended(recording: Recording, at: int) -> Event:
    """That it ended, about then."""
    return _life(recording, at, "ended (pid %d)")


def _life(recording: Recording, at: int, text: str) -> Event:
    door, pid = recording.door, recording.head.pid
    where = (ref("node", "", door.machine),)
    return Event(at=at, actor=door.title, kind="component", objects=where, text=text % pid, args=(pid,))


def gaps(recordings: Sequence[Recording], since: int, now: int) -> list[str]:
    """What of the time from ``since`` on nobody can tell any more, a sentence each."""
    fresh = sorted((row for row in recordings if row.head.began > since), key=lambda row: row.head.began)
    found = []
    for rows in _together(fresh):
        titles = ", ".join(row.door.title for row in rows) if len(rows) < max(len(recordings), 2) else "all components"
        ago = _ago(now - rows[-1].head.began)
        found.append(f"{titles} began {ago} ago; what happened there earlier is not known")
    for row in recordings:
        if row not in fresh and row.head.kept_from > 1 and row.head.kept_since > since:
            span = _ago(now - row.head.kept_since)
            found.append(f"{row.door.title} has done so much that it remembers the last {span} only")
    return found


def _together(recordings: Sequence[Recording]) -> Iterator[list[Recording]]:
    """Those that began one soon after the other."""
    rows: list[Recording] = []
    for row in recordings:
        if rows and row.head.began - rows[-1].head.began > _SOON:
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


def _ago(nanoseconds: int) -> str:
    seconds = nanoseconds / 1e9
    return f"{seconds:.3g} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _event(entry: Entry, door: Door) -> Event | None:
    if entry.kind == "decision" and entry.args and entry.args[0] in TOLD_BETTER:
        return None
    return Event(
        at=entry.at,
        actor=f"{entry.actor}@{door.machine}" if door.one_of_many else entry.actor,
        kind=entry.kind,
        objects=tuple(ref(*row) for row in entry.about),
        text=entry.text,
        duration=round(entry.took * 1e9),
        args=entry.args,
    )
