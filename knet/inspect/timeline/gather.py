"""Asking everybody: the API server's history and all flight recorders, once or for as long as somebody looks."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence

import orjson

from knet.api import resources
from knet.api.resources import Resource
from knet.client import ApiError, Client, Unavailable
from knet.errors import KnetError
from knet.inspect.timeline import recorded
from knet.inspect.timeline.event import Event, ordered
from knet.inspect.timeline.history import History
from knet.inspect.timeline.recorded import Door, Recording
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


class Gathered:
    """What was found: events in order, what belongs to what, and what nobody can tell."""

    def __init__(self, since: int) -> None:
        self.since = since
        self.relations = Relations()
        self.events: list[Event] = []
        self.gaps: list[str] = []


async def gather(client: Client, doors: Sequence[Door], found: Gathered) -> None:
    """Everything from ``found.since`` on until now.  Who does not answer is a gap."""
    since, now = found.since, time.monotonic_ns()
    recordings = await _opened(doors, since, found.gaps)
    found.gaps += recorded.gaps(recordings, since, now)
    sources: list[Iterable[Event]] = [await _entries(row) for row in recordings]
    history = History(found.relations)
    try:
        await learn(client, found.relations)
        # an object's state from before is in the line of its first write
        sources.append([event async for event in history.read(client, since)])
    except (ApiError, Unavailable) as error:
        found.gaps.append(f"what was written to the API is not known: {error}")
    sources.append(recorded.began(row) for row in recordings if row.head.began >= since)
    found.events = ordered(*sources)


async def follow(client: Client, doors: Sequence[Door], found: Gathered) -> AsyncGenerator[list[Event], None]:
    """Events from ``found.since`` on, some at a time, each in its place: `PATIENCE` late.  For ever.

    ``found.events`` has them as soon as they are known, out of order.  A component that is started anew is asked anew.
    KnetError where the API server does not answer.
    """
    news = asyncio.Event()

    def arrived(event: Event) -> None:
        found.events.append(event)
        news.set()

    try:
        await learn(client, found.relations)
        async with asyncio.TaskGroup() as group:
            group.create_task(_pump(History(found.relations).read(client, found.since, follow=True), arrived))
            for door in doors:
                group.create_task(_stay(door, found, arrived))
            taken = 0
            held: list[Event] = []
            while True:
                if not held:
                    news.clear()
                    if taken == len(found.events):
                        await news.wait()
                await asyncio.sleep(PATIENCE / 3)
                ripe = time.monotonic_ns() - round(PATIENCE * 1e9)
                held, taken = ordered(held, found.events[taken:]), len(found.events)
                ready = [row for row in held if row.at <= ripe]
                held = held[len(ready) :]
                if ready:
                    yield ready
    except* (ApiError, Unavailable) as errors:
        raise KnetError(f"the API server does not answer: {errors.exceptions[0]}") from None


async def _stay(door: Door, found: Gathered, arrived: Callable[[Event], None]) -> None:
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
            arrived(recorded.began(recording))
        with contextlib.suppress(OSError):
            await _pump(recording.events(), arrived)
        since = time.monotonic_ns()
        arrived(recorded.ended(recording, since))
        found.gaps.append(f"{door.title} ended meanwhile; of its last moments something may be missing")


async def _pump(source: AsyncIterator[Event], arrived: Callable[[Event], None]) -> None:
    async for event in source:
        arrived(event)


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


async def _entries(recording: Recording) -> list[Event]:
    return [event async for event in recording.events()]
