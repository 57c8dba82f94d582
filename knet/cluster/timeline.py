"""Timelines of a running cluster (`knet.inspect.timeline`): what has happened, what happens while somebody looks on."""

import asyncio
import contextlib
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator
from functools import partial
from queue import SimpleQueue
from typing import Any

from knet.api.objects import JSON
from knet.client import Client
from knet.cluster.handles import Machine
from knet.cluster.state import StateDir
from knet.errors import KnetError
from knet.inspect.timeline.blame import blame, leaving
from knet.inspect.timeline.event import Event, ordered
from knet.inspect.timeline.gather import PATIENCE, Gathered, follow, gather, learn
from knet.inspect.timeline.listening import Listening
from knet.inspect.timeline.recorded import Door
from knet.inspect.timeline.relations import meant, selected
from knet.inspect.timeline.sightings import Sightings
from knet.inspect.timeline.timeline import Timeline
from knet.kernel import recorder
from knet.kernel.recorder import Wanted
from knet.underlay import impairment
from knet.underlay.state import OFF

#: components that record nothing: they are no part of knet, or on no machine
_SILENT = ("etcd", "bootstrap", "faults")
#: seconds without an event after which what somebody set going is over, and most that is waited for that
QUIET, LONGEST = 1.0, 60.0
#: nanoseconds after which what happened is known to all who tell of it: events, and the packets that followed
SETTLED = 400_000_000
#: of these, since events are
_LATER = SETTLED - round(PATIENCE * 1e9)


class Observatory:
    """One cluster, and the object that timelines are about ("" for all).  KnetError for an object that is not there."""

    def __init__(self, client: Client, state: StateDir, status: JSON, target: str = "", namespace: str = "") -> None:
        """``status`` is the supervisor's."""
        self._client = client
        self._doors = _doors(state, status)
        self._machines = [Machine(state, row["name"]) for row in status["machines"] if row["state"] != OFF]
        rows = [row for row in status["components"] if row["delay"]]
        self._delays = {f"{row['name']}@{row['machine']}": impairment.seconds("delay", row["delay"]) for row in rows}
        self._name = meant(target, namespace or "default") if target else ""

    async def past(self, seconds: float) -> Timeline:
        """What happened in the last seconds."""
        found = _since(seconds)
        await gather(self._client, self._doors, found)
        self._check(found)
        return self._timeline(found)

    def _check(self, found: Gathered) -> None:
        if self._name:
            found.relations.check(self._name)

    def _mine(self, found: Gathered, events: list[Event]) -> list[Event]:
        return selected(events, self._name, found.relations) if self._name else events

    def _names(self, found: Gathered) -> Collection[str]:
        """The objects that it is about."""
        return found.relations.family(self._name) if self._name else found.relations.names

    def _timeline(self, found: Gathered, listening: Listening | None = None) -> Timeline:
        """With packets, where somebody listens; and the report on what was dropped."""
        facts, names, now = found.relations.facts, self._names(found), time.monotonic_ns()
        attempts = listening.attempts if listening else None
        events = self._mine(found, ordered(found.events))
        events = ordered(events, Sightings(facts).look(attempts or (), events, names, now))
        gaps = dict.fromkeys([*found.gaps, *found.lost, *(listening.gaps if listening else ())])
        report = blame(events, facts, names, attempts, self._delays, now)
        return Timeline(tuple(events), tuple(gaps), blame=report)

    @contextlib.asynccontextmanager
    async def recording(
        self, call: Callable[[Coroutine[Any, Any, None]], None], seconds: float = 0.0
    ) -> AsyncIterator["Recording"]:
        """What happens in a with block, and some seconds before, without the packets of that time.

        ``call`` runs a coroutine on this loop for a thread that waits for it.
        """
        found, batches = _since(seconds), Batches()
        await learn(self._client, found.relations)
        self._check(found)
        listening = await asyncio.to_thread(self._listen, found.relations.facts.udp_ports(self._names(found)))
        following = asyncio.create_task(self._follow(found, listening, batches))
        following.add_done_callback(lambda _: batches.put(None))
        try:
            yield Recording(self, found, listening, following, batches, call)
        finally:
            following.cancel()
            await asyncio.wait((following,))
            found.read()
            await asyncio.to_thread(listening.close)

    def _listen(self, ports: Collection[int]) -> Listening:
        with contextlib.ExitStack() as stack:
            spaces = {row.name: row.namespaces() for row in self._machines}
            for space in spaces.values():
                stack.callback(space.close)
            try:
                return Listening({name: space.fds["net"] for name, space in spaces.items()}, ports)
            except OSError as error:
                raise KnetError(f"packets cannot be heard: {error.strerror}") from None

    async def _follow(self, found: Gathered, listening: Listening, batches: "Batches") -> None:
        """Events and packets, as they settle, in one order."""
        packets, heard = Sightings(found.relations.facts), 0
        held: list[Event] = []
        async with contextlib.aclosing(follow(self._client, self._doors, found)) as source:
            coming = asyncio.ensure_future(anext(source))
            try:
                while True:
                    if (await asyncio.wait((coming,), timeout=SETTLED / 2e9))[0]:
                        held += coming.result()
                        coming = asyncio.ensure_future(anext(source))
                    until = found.known - _LATER
                    attempts, heard = listening.after(heard)
                    if heard:
                        held += packets.look(attempts, found.events, self._names(found), until)
                    held = ordered(held)
                    ripe = [row for row in held if row.at <= until]
                    held = held[len(ripe) :]
                    if mine := self._mine(found, ripe):
                        batches.put(mine)
            finally:
                coming.cancel()
                await asyncio.wait((coming,))
                held = ordered(held, found.rest())
                held = ordered(
                    held, packets.look(listening.after(heard)[0], found.events, self._names(found), time.monotonic_ns())
                )
                if mine := self._mine(found, held):
                    batches.put(mine)


#: from the loop to the thread that waits; None is the end
Batches = SimpleQueue[list[Event] | None]


def _since(seconds: float) -> Gathered:
    """What is to be gathered from so many seconds ago on."""
    return Gathered(max(time.monotonic_ns() - round(seconds * 1e9), 0))


class Recording:
    """Under way; for another thread than the loop's."""

    def __init__(
        self,
        observatory: Observatory,
        found: Gathered,
        listening: Listening,
        following: "asyncio.Task[None]",
        batches: "Batches",
        call: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._observatory = observatory
        self._found = found
        self._listening = listening
        self._following = following
        self._batches = batches
        self._call = call

    def batches(self) -> Iterator[list[Event]]:
        """Events as they come, some at a time, each in its place; KnetError where the recording breaks off.

        When it has ended: what was put off until then.
        """
        while events := self._batches.get():
            yield events
        if not self._following.cancelled():
            self._following.result()

    @property
    def lost(self) -> list[str]:
        """What nobody can tell of the time since it began, in sentences; of packets when it has ended."""
        return list(dict.fromkeys([*self._found.lost, *self._listening.gaps]))

    def quiet(self, calm: float = QUIET, longest: float = LONGEST) -> None:
        """Wait until nothing has happened for some seconds and no pod is about to end.

        KnetError where the recording has broken off.
        """
        self._call(self._quiet(calm, longest))

    def wait(self, seconds: float) -> None:
        """Let some time pass; likewise."""
        self._call(self._wait(seconds))

    async def _quiet(self, calm: float, longest: float) -> None:
        deadline = time.monotonic() + longest
        while (now := time.monotonic()) < deadline:
            self._found.read()
            mine = self._observatory._mine(self._found, ordered(self._found.events))
            last = max((row.at for row in mine), default=self._found.since) / 1e9
            if now - last >= calm and not leaving(mine):
                return
            await self._wait(min(max(last, now - calm / 2) + calm, deadline) - now)

    async def _wait(self, seconds: float) -> None:
        done, _ = await asyncio.wait((self._following,), timeout=seconds)
        if done:
            self._following.result()

    async def _read(self) -> None:
        self._found.read()

    @property
    def timeline(self) -> Timeline:
        """What has been seen so far."""
        if self._found.unread:
            self._call(self._read())
        return self._observatory._timeline(self._found, self._listening)


def _doors(state: StateDir, status: JSON) -> list[Door]:
    """To the recorders of all components that run."""
    rows = [row for row in status["components"] if row["name"] not in _SILENT]
    many = Counter(row["name"] for row in rows)
    return [
        Door(row["name"], row["machine"], many[row["name"]] > 1, partial(_ask, Machine(state, row["machine"])))
        for row in rows
    ]


def _ask(machine: Machine, name: str, wanted: Wanted) -> socket.socket:
    with machine.inside():
        return recorder.ask(name, wanted)
