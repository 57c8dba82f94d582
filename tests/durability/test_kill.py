"""An acknowledged write survives kill -9 of the API server, and of etcd, at any moment.

A round: the server starts on what its predecessor left; what it holds is compared with what its clients know; they
write until it is killed, now and then before it serves.  Every object lives through create, update, patch and delete
over and over, and carries the number of its latest write, so that a client knows what must be there: the last write
that was acknowledged, or the one that was under way, whole.  A watcher follows all of it across the kills and checks
that no number is missing, none comes twice, and none that it has seen is taken back.
"""

import asyncio
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from knet.cluster.zygote import Zygote
from tests.durability.server_process import ServerProcess, zygote
from tests.unit.apiserver_harness import JSON, MERGE, Api
from tests.unit.etcd_harness import STORES, EtcdProcess, etcd

MAPS = "/api/v1/namespaces/default/configmaps"
#: scripts/soak asks for more
KILLS = int(os.environ.get("KNET_KILLS", "100"))
#: seconds after which an answer that has not come is taken for one that never will
PATIENCE = 30
WRITERS, OBJECTS_EACH = 8, 3
#: of so many rounds, one kills etcd, too, and one kills the server while it starts
ETCD_EVERY, START_EVERY = 8, 6


@pytest.fixture(scope="module")
def parent() -> Iterator[Zygote]:
    with zygote() as found:
        yield found


@dataclass
class Thing:
    """What its only writer knows of one object."""

    name: str
    #: as the server has acknowledged or shown it; None where it does not exist
    state: JSON | None = None
    #: of the latest write that happened; create, update, patch and delete take turns
    number: int = -1
    #: the next write may have happened
    uncertain: bool = False

    @property
    def path(self) -> str:
        return f"{MAPS}/{self.name}"

    async def write(self, api: Api) -> None:
        """The next write; ClientError leaves it uncertain, and any other refusal is a defect."""
        number = self.number + 1
        self.uncertain = True
        match number % 4:
            case 0:
                answer = await api("POST", MAPS, {"metadata": {"name": self.name}, "data": data_of(number)})
            case 1:
                assert self.state is not None
                answer = await api("PUT", self.path, {**self.state, "data": data_of(number)})
            case 2:
                answer = await api("PATCH", self.path, {"data": data_of(number)}, MERGE)
            case _:
                answer = await api("DELETE", self.path)
        assert answer.code in (200, 201), answer
        before = revision_of(self.state) if self.state else 0
        self.number, self.uncertain = number, False
        self.state = answer.body if number % 4 < 3 else None
        assert not self.state or (revision_of(self.state) > before and self.state["data"] == data_of(number))

    def compare(self, found: JSON | None) -> None:
        """What a server that has just started holds must be what was acknowledged, or what was under way."""
        if found == self.state:
            self.uncertain = False
            return
        assert self.uncertain, f"{self.name}: {found} instead of the acknowledged {self.state}"
        self.number += 1
        if found is None:
            assert self.number % 4 == 3, f"{self.name} is gone"
        else:
            assert found["data"] == data_of(self.number)
            assert self.state is None or revision_of(found) > revision_of(self.state)
        self.state, self.uncertain = found, False


def data_of(number: int) -> dict[str, str]:
    """What an object holds after a write: recognisable as whole."""
    return {"number": str(number), "again": f"{number} " * 200}


def revision_of(value: JSON) -> int:
    return int(value["metadata"]["resourceVersion"])


class Follower:
    """An informer's view: list, watch from there, go on from the last event that was seen."""

    def __init__(self) -> None:
        self.revision = 0
        self.relists = 0
        #: name → number of the latest write that was seen; after a list, absent objects are not known to have one
        self.numbers: dict[str, int] = {}
        self.existing: set[str] = set()

    async def follow(self, api: Api, until: int = 1 << 62) -> None:
        """Watch up to a revision, or until the connection breaks."""
        while self.revision < until:
            if not self.revision:
                await self._list(api)
                continue
            path = f"{MAPS}?watch=1&timeoutSeconds=600&resourceVersion={self.revision}"
            async with api.session.get(api.url + path) as response:
                async for line in response.content:
                    event = orjson.loads(line)
                    if event["type"] == "ERROR":
                        assert event["object"]["code"] == 410, event
                        self.revision = 0
                        self.relists += 1
                        break
                    self._take(event["type"], event["object"])
                    if self.revision >= until:
                        break

    async def _list(self, api: Api) -> None:
        answer = await api("GET", MAPS)
        items = [item for item in answer.body["items"] if "number" in item.get("data", {})]
        self.revision = int(answer.body["metadata"]["resourceVersion"])
        self.numbers = {item["metadata"]["name"]: int(item["data"]["number"]) for item in items}
        self.existing = set(self.numbers)

    def _take(self, type_: str, value: JSON) -> None:
        revision, name = revision_of(value), value["metadata"]["name"]
        assert revision > self.revision, f"{type_} {name} at {revision} came after {self.revision}"
        self.revision = revision
        number = int(value["data"]["number"])
        assert (type_ == "ADDED") == (name not in self.existing)
        if type_ == "DELETED":  # shows the state before
            self.existing.remove(name)
            number += 1
        else:
            self.existing.add(name)
        expected = self.numbers.get(name, -1 if self.relists == 0 else number - 1) + 1
        assert number == expected, f"{type_} of write {number} to {name}, but {expected} is the next"
        self.numbers[name] = number


class Trial:
    """All rounds against one server."""

    def __init__(self, process: ServerProcess, store: EtcdProcess | None) -> None:
        self.process = process
        self.etcd = store
        self.things = [Thing(f"{lane}-{turn}") for lane in range(WRITERS) for turn in range(OBJECTS_EACH)]
        self.follower = Follower()
        self.newest = 0
        self.sent = 0
        self.kills = 0
        self._step = asyncio.Event()

    async def run(self, seed: int, kills: int) -> None:
        """Kill after kill, then one server that stays."""
        chance = random.Random(seed)
        self.process.start()
        for number in range(kills):
            if number % START_EVERY == START_EVERY - 1:
                await asyncio.sleep(chance.uniform(0, 0.05))  # whatever it does at that moment
                self._kill()
            else:
                await self._session(chance, kills_etcd=self.etcd is not None and number % ETCD_EVERY == ETCD_EVERY - 1)
        async with self._client() as api:
            await self._compare(api)
            last = Thing("last")
            await last.write(api)
            assert last.state is not None
            await self.follower.follow(api, until=revision_of(last.state))
        self.things.append(last)
        assert self.follower.existing == {thing.name for thing in self.things if thing.state}

    def _client(self) -> Any:
        connector = aiohttp.TCPConnector(ssl=self.process.server.tls(), limit=0)
        session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=PATIENCE))
        session._retry_connection = False  # aiohttp would send a PUT or DELETE again, and hide what became of the first
        return _Client(session, self.process.server.url)

    async def _session(self, chance: random.Random, kills_etcd: bool) -> None:
        """What a server has to bear, and its end."""
        async with self._client() as api:
            await self._compare(api)
            following = asyncio.ensure_future(self._until_broken(self.follower.follow(api)))
            writing = []
            for lane in range(WRITERS):
                own = self.things[lane * OBJECTS_EACH : (lane + 1) * OBJECTS_EACH]
                writing.append(asyncio.ensure_future(self._until_broken(self._write(api, own))))
            await self._written(chance.randrange(40))
            if kills_etcd and self.etcd:
                self.etcd.kill()
                self.etcd.start()
                await self._written(chance.randrange(WRITERS))
            await asyncio.sleep(chance.uniform(0, 0.002))  # any moment between two writes, too
            self._kill()
            await asyncio.gather(*writing)
            following.cancel()
            await asyncio.wait([following])
            if not following.cancelled():
                following.result()

    def _kill(self) -> None:
        """And start its successor: it serves those whom the killed one has not accepted."""
        self.process.kill()
        self.kills += 1
        self.process.start()

    async def _written(self, more: int) -> None:
        """Wait until so many more requests have been sent."""
        enough = self.sent + more
        while self.sent < enough:
            self._step.clear()
            await self._step.wait()

    async def _write(self, api: Api, own: list[Thing]) -> None:
        kills = self.kills
        for thing in cycle(own):
            if self.kills != kills:
                return
            self.sent += 1
            self._step.set()
            await thing.write(api)
            if thing.state:
                self.newest = max(self.newest, revision_of(thing.state))

    async def _until_broken(self, work: Any) -> None:
        try:
            await work
        except aiohttp.ClientError:
            return

    async def _compare(self, api: Api) -> None:
        """What the server holds, against what its clients know."""
        answer = await api("GET", MAPS)
        listed = int(answer.body["metadata"]["resourceVersion"])
        assert listed >= max(self.newest, self.follower.revision)
        self.newest = listed
        found = {item["metadata"]["name"]: item for item in answer.body["items"] if "number" in item.get("data", {})}
        for thing in self.things:
            thing.compare(found.get(thing.name))
            seen = self.follower.numbers.get(thing.name, -1)
            assert seen <= thing.number, f"write {seen} to {thing.name} was seen and is not there"


class _Client:
    """An `Api` for the length of a block."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def __aenter__(self) -> Api:
        return Api(self._session, self._url)

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()


@pytest.mark.parametrize("store", STORES)
def test_acknowledged_writes_survive_kills_at_any_moment(store: str, tmp_path: Path, parent: Zygote) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # what pytest shows of a failure
    if store == "sqlite":
        trial(tmp_path, parent, None, seed)
    else:
        with etcd(tmp_path) as process:
            trial(tmp_path, parent, process, seed)


def trial(directory: Path, parent: Zygote, store: EtcdProcess | None, seed: int, kills: int = KILLS) -> None:
    """So many kills, on SQLite without a ``store``."""
    process = ServerProcess(directory, store.url if store else "", parent)
    try:
        made = Trial(process, store)
        asyncio.run(made.run(seed, kills))
    finally:
        process.close()
    print(f"{kills} kills, {made.sent} writes, {made.follower.relists} relists")
    if store is not None:
        assert made.follower.relists == 0
