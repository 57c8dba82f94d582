"""Asking everybody: the API server's history and all flight recorders, once or for as long as somebody looks."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

import orjson

from knet.api import resources
from knet.api.resources import Resource
from knet.client import ApiError, Client, Unavailable
from knet.errors import KnetError
from knet.inspect.timeline import recorded
from knet.inspect.timeline.event import Event, ordered
from knet.inspect.timeline.history import History, lines
from knet.inspect.timeline.recorded import Door, Entries, Recording
from knet.inspect.timeline.relations import Relations

#: kinds that own others, or are in Services: what belongs together is known even where nobody has written it lately
_RELATED = (
    resources.NAMESPACES,
    resources.NODES,
    resources.DEPLOYMENTS,
    resources.STATEFULSETS,
    resources.DAEMONSETS,
    resources.CRONJOBS,
    resources.JOBS,
    resources.REPLICASETS,
    resources.PODS,
    resources.SERVICES,
    resources.ENDPOINTSLICES,
)
#: seconds for which what is followed waits for what happened before it and is told later: those who tell gather for 0.1
PATIENCE = 0.3
#: seconds after which what was put off is read although more comes; and without news after which nothing more comes for
#: now: those who tell gather for 0.1
BURST, PAUSE = 2.0, 0.15

#: makes an event of a line, or None where it is no news
Reader = Callable[[bytes], Event | None]


class Gathered:
    """What was found: events in order, what belongs to what, and what nobody can tell.

    What is followed is kept as it came (`put`) and read when there is time for it, or somebody wants it (`read`).
    """

    def __init__(self, since: int) -> None:
        self.since = since
        self.relations = Relations()
        self.events: list[Event] = []
        self.gaps: list[str] = []
        self.lost: list[str] = []
        """likewise, of the time since it was begun to gather"""
        self.came = 0
        """how many lines so far"""
        self.unread: list[tuple[Reader, bytes]] = []
        self._taken = 0
        self._held: list[Event] = []
        self._ripe = 0

    def put(self, reader: Reader, line: bytes) -> None:
        """A line, and who makes an event of it."""
        self.unread.append((reader, line))
        self.came += 1

    def read(self) -> None:
        """Make events of all that has come."""
        lines, self.unread = self.unread, []
        self.events += (event for reader, line in lines if (event := reader(line)))

    def ready(self) -> list[Event]:
        """Read, and take the next events in order: those whose elders have come by now."""
        self._ripe = time.monotonic_ns() - round(PATIENCE * 1e9)
        held = self.rest()
        found = [row for row in held if row.at <= self._ripe]
        self._held = held[len(found) :]
        return found

    def rest(self) -> list[Event]:
        """Read, and take all events, whatever may come."""
        self.read()
        held, self._held, self._taken = ordered(self._held, self.events[self._taken :]), [], len(self.events)
        return held

    @property
    def idle(self) -> bool:
        """Nothing is left to be taken."""
        return not (self.unread or self._held or self._taken < len(self.events))

    @property
    def known(self) -> int:
        """All events before this stamp have been taken; what others tell of that time has its place among them."""
        return time.monotonic_ns() - round(PATIENCE * 1e9) if self.idle else self._ripe


async def gather(client: Client, doors: Sequence[Door], found: Gathered) -> None:
    """Everything from ``found.since`` on until now.  Who does not answer is a gap."""
    since, now = found.since, time.monotonic_ns()
    recordings = await _opened(doors, since, found.gaps)
    found.gaps += recorded.gaps(recordings, since, now)
    for row in recordings:
        await _pump(row.lines(), Entries(row.door, found.lost).event, found.put)
    try:
        await learn(client, found.relations)
        # an object's state from before is in the line of its first write
        await _pump(lines(client, since), History(found.relations).event, found.put)
    except (ApiError, Unavailable) as error:
        found.gaps.append(f"what was written to the API is not known: {error}")
    found.read()
    found.events = ordered(found.events, (recorded.began(row) for row in recordings if row.head.began >= since))


async def follow(client: Client, doors: Sequence[Door], found: Gathered) -> AsyncGenerator[list[Event], None]:
    """Events from ``found.since`` on, some at a time, each in its place: `PATIENCE` late, and while much happens up to
    `BURST` later.  For ever.

    ``found.events`` has them, out of order, after `Gathered.read`.  A component that is started anew is asked anew.
    KnetError where the API server does not answer.
    """
    news = asyncio.Event()

    def arrived(reader: Reader, line: bytes) -> None:
        found.put(reader, line)
        news.set()

    def happened(event: Event) -> None:
        found.events.append(event)
        news.set()

    try:
        await learn(client, found.relations)
        async with asyncio.TaskGroup() as group:
            writes = lines(client, found.since, follow=True)
            group.create_task(_pump(writes, History(found.relations).event, arrived))
            for door in doors:
                group.create_task(_stay(door, found, arrived, happened))
            while True:
                news.clear()
                if found.idle:
                    await news.wait()
                await _calm(found)
                if ready := found.ready():
                    yield ready
    except* (ApiError, Unavailable) as errors:
        raise KnetError(f"the API server does not answer: {errors.exceptions[0]}") from None


async def _calm(found: Gathered) -> None:
    """Until nothing comes for a moment, but not for ever: who looks on leaves the computer to those who are at work."""
    until = time.monotonic() + BURST
    before = -1
    while before != found.came and time.monotonic() < until:
        before = found.came
        await asyncio.sleep(PAUSE)


async def _stay(
    door: Door, found: Gathered, arrived: Callable[[Reader, bytes], None], happened: Callable[[Event], None]
) -> None:
    """Follow a recorder, and that of the process that comes after."""
    since = found.since
    while True:
        try:
            recording = await recorded.opened(door, since, follow=True)
        except (OSError, KnetError):  # it is being started
            await asyncio.sleep(PATIENCE)
            continue
        found.gaps += recorded.gaps([recording], since, time.monotonic_ns()) if since == found.since else ()
        if recording.head.began >= since:
            happened(recorded.began(recording))
        with contextlib.suppress(OSError):
            await _pump(recording.lines(), Entries(door, found.lost).event, arrived)
        since = time.monotonic_ns()
        happened(recorded.ended(recording, since))
        found.lost.append(f"{door.title} ended meanwhile; of its last moments something may be missing")


async def _pump(source: AsyncIterator[bytes], reader: Reader, arrived: Callable[[Reader, bytes], None]) -> None:
    async for line in source:
        arrived(reader, line)


async def learn(client: Client, relations: Relations) -> None:
    """What is there now.  Unavailable, ApiError."""

    async def one(row: Resource) -> None:
        listing = orjson.loads(await client.raw("GET", row.path()))
        for value in listing["items"]:
            relations.learn({"apiVersion": row.api_version, "kind": row.kind, **value})

    await asyncio.gather(*map(one, _RELATED))


async def _opened(doors: Sequence[Door], since: int, gaps: list[str]) -> list[Recording]:
    recordings = []
    for door in doors:
        try:
            recordings.append(await recorded.opened(door, since))
        except (OSError, KnetError) as error:
            gaps.append(f"{door.title} does not say what it did ({error})")
    return recordings
