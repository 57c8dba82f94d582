"""Every store keeps etcd's contract: order, compare-and-swap, watches without gaps, durability."""

import asyncio
import base64
import functools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from knet.store import Attributes, Conflict, Event, Gone, Record, SqliteStore, Store, Unavailable, opened, state
from knet.store.etcd import EtcdStore
from knet.store.state import State, collection_of
from tests.unit.etcd_harness import STORES, EtcdProcess, etcd, needs_etcd

PODS = "/registry/pods/"
#: one event loop for all: gRPC does not like a process to have one after the other
RUNNER = asyncio.Runner()


def attributes(_: str, value: dict[str, Any]) -> Attributes:
    return Attributes(value["metadata"].get("labels", {}), {})


def obj(**spec: Any) -> dict[str, Any]:
    return {"metadata": {}, "spec": spec}


@pytest.fixture(scope="module")
def running_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdProcess]:
    with etcd(tmp_path_factory.mktemp("etcd")) as process:
        yield process


@pytest.fixture(params=STORES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty store is."""
    if request.param == "sqlite":
        return str(tmp_path / "store.db")
    process: EtcdProcess = request.getfixturevalue("running_etcd")
    process.ctl("del", "", "--prefix")
    return process.url


def with_store(place: str, test: Callable[[Store], Awaitable[None]]) -> None:
    async def body() -> None:
        store = await opened(place, attributes)
        try:
            await asyncio.wait_for(test(store), 20)
        finally:
            await store.close()

    RUNNER.run(body())


@pytest.mark.parametrize(
    ("key", "collection"),
    [
        ("/registry/pods/default/web", "/registry/pods/"),
        ("/registry/minions/n1", "/registry/minions/"),
        ("/registry/services/specs/default/web", "/registry/services/specs/"),
        ("/registry/example.com/widgets/default/a", "/registry/example.com/widgets/"),
    ],
)
def test_a_collection_is_the_resource_part_of_a_key(key: str, collection: str) -> None:
    assert collection_of(key) == collection


def test_every_write_gets_the_next_revision_and_is_stamped_with_it(place: str) -> None:
    async def test(store: Store) -> None:
        first = await store.write(PODS + "a/1", obj(), 0)
        second = await store.write(PODS + "a/2", obj(), 0)
        assert second.revision == first.revision + 1 == store.revision
        assert second.decode()["metadata"]["resourceVersion"] == str(second.revision)

    with_store(place, test)


def test_a_write_based_on_another_revision_conflicts(place: str) -> None:
    async def test(store: Store) -> None:
        key = PODS + "a/1"
        record = await store.write(key, obj(), 0)
        for expected in (0, record.revision - 1, record.revision + 1):
            with pytest.raises(Conflict):
                await store.write(key, obj(n=1), expected)
        with pytest.raises(Conflict):
            await store.write(PODS + "a/none", obj(), 7)
        await store.write(key, obj(n=1), record.revision)

    with_store(place, test)


def test_of_writers_at_the_same_time_exactly_one_wins(place: str) -> None:
    async def test(store: Store) -> None:
        record = await store.write(PODS + "a/1", obj(), 0)
        writes = [store.write(PODS + "a/1", obj(n=n), record.revision) for n in range(20)]
        results = await asyncio.gather(*writes, return_exceptions=True)
        assert sum(isinstance(result, Conflict) for result in results) == 19
        creations = [store.write(PODS + "a/new", obj(n=n), 0) for n in range(20)]
        results = await asyncio.gather(*creations, return_exceptions=True)
        assert sum(isinstance(result, Conflict) for result in results) == 19

    with_store(place, test)


def test_lists_are_ordered_by_key_and_limited_to_the_prefix(place: str) -> None:
    async def test(store: Store) -> None:
        for key in ("b/1", "a/2", "a/1", "ab/1"):
            await store.write(PODS + key, obj(), 0)
        assert [record.key for record in store.list(PODS + "a/").records] == [PODS + "a/1", PODS + "a/2"]
        assert len(store.list(PODS).records) == 4

    with_store(place, test)


def test_a_list_as_of_an_earlier_revision_shows_that_revision(place: str) -> None:
    async def test(store: Store) -> None:
        one = await store.write(PODS + "a/1", obj(n=1), 0)
        two = await store.write(PODS + "a/2", obj(n=1), 0)
        then = store.revision
        await store.write(PODS + "a/1", obj(n=2), one.revision)
        await store.write(PODS + "a/2", obj(), two.revision, delete=True)
        await store.write(PODS + "a/3", obj(), 0)
        before = store.list(PODS, then)
        assert before.revision == then
        assert [(record.key, record.decode()["spec"]) for record in before.records] == [
            (PODS + "a/1", {"n": 1}),
            (PODS + "a/2", {"n": 1}),
        ]
        assert [record.key for record in store.list(PODS).records] == [PODS + "a/1", PODS + "a/3"]

    with_store(place, test)


def test_a_watch_delivers_everything_after_a_revision_in_order(place: str) -> None:
    async def test(store: Store) -> None:
        one = await store.write(PODS + "a/1", obj(), 0)
        watch = store.watch(PODS, one.revision)
        assert await watch.next(0) == []
        two = await store.write(PODS + "a/1", obj(n=1), one.revision)
        await store.write(PODS + "a/1", obj(n=1), two.revision, delete=True)
        await store.write("/registry/nodes/n1", obj(), 0)
        await store.write(PODS + "a/1", obj(), 0)
        events = await watch.next(1)
        assert [event.type for event in events] == ["MODIFIED", "DELETED", "ADDED"]
        assert events[0].previous is not None and events[0].previous.revision == one.revision
        assert [event.record.revision for event in events] == sorted({event.record.revision for event in events})
        assert watch.revision == store.revision

    with_store(place, test)


def test_a_waiting_watch_wakes_at_the_write(place: str) -> None:
    async def test(store: Store) -> None:
        watch = store.watch(PODS, store.revision)
        waiting = asyncio.ensure_future(watch.next(10))
        await asyncio.sleep(0)
        await store.write(PODS + "a/1", obj(), 0)
        assert len(await waiting) == 1

    with_store(place, test)


def test_a_watch_of_a_quiet_collection_moves_along_with_the_store(place: str) -> None:
    async def test(store: Store) -> None:
        watch = store.watch("/registry/nodes/", store.revision)
        await store.write(PODS + "a/1", obj(), 0)
        assert watch.revision == store.revision

    with_store(place, test)


def test_a_watch_may_begin_in_the_future(place: str) -> None:
    async def test(store: Store) -> None:
        watch = store.watch(PODS, store.revision + 1)
        await store.write(PODS + "a/1", obj(), 0)
        assert await watch.next(0) == []
        await store.write(PODS + "a/2", obj(), 0)
        assert [event.record.key for event in await watch.next(0)] == [PODS + "a/2"]

    with_store(place, test)


def test_whoever_waits_for_a_revision_goes_on_when_it_is_there(place: str) -> None:
    async def test(store: Store) -> None:
        waiting = [asyncio.ensure_future(store.reach(store.revision + ahead)) for ahead in (0, 1, 2, 3)]
        await store.write(PODS + "a/1", obj(), 0)
        await store.write(PODS + "a/2", obj(), 0)
        await asyncio.gather(*waiting[:3])
        assert not waiting[3].done()
        waiting[3].cancel()

    with_store(place, test)


def test_pages_of_one_revision_make_up_its_list(place: str) -> None:
    async def test(store: Store) -> None:
        for n in range(7):
            await store.write(f"{PODS}a/{n}", obj(n=n), 0)
        then = store.list(PODS)
        first = store.list(PODS, then.revision, limit=3)
        assert first.remaining == 4
        await store.write(PODS + "a/4", obj(), then.records[4].revision, delete=True)
        await store.write(PODS + "a/5", obj(n=50), then.records[5].revision)
        await store.write(PODS + "a/3a", obj(), 0)
        await store.write(PODS + "b/1", obj(), 0)
        pages = list(first.records)
        while (page := store.list(PODS, then.revision, pages[-1].key, 3)).records:
            assert page.remaining == len(then.records) - len(pages) - len(page.records)
            pages += page.records
        assert [record.data for record in pages] == [record.data for record in then.records]
        assert [record.key[-1] for record in store.list(PODS + "a/", after=PODS + "a/3").records] == ["a", "5", "6"]

    with_store(place, test)


def test_compacted_history_is_gone_for_watches_slow_readers_and_old_lists(place: str) -> None:
    async def test(store: Store) -> None:
        start = store.revision
        slow = store.watch(PODS, start)
        await asyncio.gather(*(store.write(f"{PODS}a/{n}", obj(), 0) for n in range(20)))
        assert isinstance(store, State)
        store.compact(store.revision - 10)
        with pytest.raises(Gone):
            store.watch(PODS, start)
        with pytest.raises(Gone):
            await slow.next(0)
        with pytest.raises(Gone):
            store.list(PODS, start + 1)
        assert len(await store.watch(PODS, store.revision - 10).next(0)) == 10

    with_store(place, test)


@pytest.mark.parametrize(
    ("limits", "least", "most"),
    [
        ({}, 100, 100),  # all are fresh
        ({"FRESH": -1.0}, 10, 20),
        ({"HISTORY_LIMIT": 60}, 30, 70),
        ({"HISTORY_BYTES": 60 * 20}, 30, 60),
    ],
)
def test_history_is_kept_while_it_is_fresh_and_small(
    limits: dict[str, float], least: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"HISTORY": 10, **limits}.items():
        monkeypatch.setattr(state, name, value)
    history = State()
    for revision in range(1, 101):
        record = Record(f"{PODS}a/{revision:03}", revision, b"x" * 20, Attributes({}, {}))
        history.apply(Event("ADDED", record, None))
    collection = history.collection(PODS)
    assert least <= len(collection.events) <= most
    assert collection.floor == 100 - len(collection.events)


def test_a_restart_finds_every_object_and_goes_on_counting(place: str) -> None:
    last = 0

    async def fill(store: Store) -> None:
        nonlocal last
        await store.write(PODS + "a/1", {"metadata": {"labels": {"app": "web"}}}, 0)
        two = await store.write(PODS + "a/2", obj(), 0)
        last = (await store.write(PODS + "a/2", obj(), two.revision, delete=True)).revision

    async def look(store: Store) -> None:
        assert store.revision == last
        [record] = store.list(PODS).records
        assert record.attributes.labels == {"app": "web"}
        assert (await store.write(PODS + "a/3", obj(), 0)).revision == last + 1

    with_store(place, fill)
    with_store(place, look)


def test_a_second_process_on_the_same_file_is_refused(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        await store.write(PODS + "a/1", obj(), 0)
        with pytest.raises(Unavailable, match="locked"):
            SqliteStore(tmp_path / "store.db", attributes)

    with_store(str(tmp_path / "store.db"), test)


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"not a database" * 100)
    with pytest.raises(Unavailable, match="not a database"):
        SqliteStore(tmp_path / "store.db", attributes)


_WRITER = """
import asyncio, sys
from pathlib import Path
from knet.store import Attributes, SqliteStore
async def main():
    store = SqliteStore(Path(sys.argv[1]), lambda collection, value: Attributes({}, {}))
    start = store.revision
    async def one(lane):
        n = 0
        while True:
            key = f"/registry/pods/{start}/{lane}-{n}"
            await store.write(key, {"metadata": {}, "spec": {"n": n}}, 0)
            print(key, flush=True)
            n += 1
    await asyncio.gather(*(one(lane) for lane in range(8)))
asyncio.run(main())
"""


def test_an_acknowledged_write_survives_kill_9(tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    for lines in (50, 333, 700):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path / "store.db")], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for _ in range(lines):
                acknowledged.add(process.stdout.readline().strip())
            process.send_signal(signal.SIGKILL)
            acknowledged.update(line.strip() for line in process.stdout if line.endswith("\n"))

    async def look(store: Store) -> None:
        assert acknowledged <= {record.key for record in store.list(PODS).records}

    with_store(str(tmp_path / "store.db"), look)


# ---- what etcd adds --------------------------------------------------------------------------------------------


@pytest.fixture
def own_etcd(tmp_path: Path) -> Iterator[EtcdProcess]:
    with etcd(tmp_path) as process:
        yield process


@needs_etcd
def test_what_etcdctl_does_appears_like_any_other_change(running_etcd: EtcdProcess) -> None:
    async def test(store: Store) -> None:
        watch = store.watch(PODS, store.revision)
        ctl = functools.partial(asyncio.to_thread, running_etcd.ctl)
        await ctl("put", PODS + "a/ctl", '{"metadata":{"labels":{"by":"hand"}}}')
        await ctl("put", PODS + "a/ctl", "no object at all")
        await ctl("put", PODS + "a/ctl", '{"metadata":{}}')
        await ctl("put", "/registry/nonsense", "{}")
        await ctl("put", "elsewhere", "x")
        await ctl("del", PODS + "a/ctl")
        events: list[Event] = []
        while len(events) < 4:
            events += await watch.next(10)
        assert [event.type for event in events] == ["ADDED", "DELETED", "ADDED", "DELETED"]
        assert events[0].record.attributes.labels == {"by": "hand"}
        assert json.loads(events[0].record.data)["metadata"]["resourceVersion"] == str(events[0].record.revision)
        assert store.get(PODS + "a/ctl") is None

    with_store(running_etcd.url, test)


@needs_etcd
def test_values_are_laid_out_as_upstream_lays_them_out(running_etcd: EtcdProcess) -> None:
    async def test(store: Store) -> None:
        record = await store.write(PODS + "a/laid", {"kind": "Pod", "metadata": {"name": "laid"}}, 0)
        printed = await asyncio.to_thread(running_etcd.ctl, "get", PODS + "a/laid", "-w", "json")
        [row] = json.loads(printed)["kvs"]
        assert base64.b64decode(row["value"]) == b'{"kind":"Pod","metadata":{"name":"laid"}}'
        assert row["mod_revision"] == record.revision

    with_store(running_etcd.url, test)


@needs_etcd
def test_after_a_restart_watches_go_on_from_before_it(running_etcd: EtcdProcess) -> None:
    start = 0

    async def fill(store: Store) -> None:
        nonlocal start
        record = await store.write(PODS + "a/resumed", obj(n=1), 0)
        start = record.revision
        await store.write(PODS + "a/resumed", obj(n=2), record.revision)

    async def look(store: Store) -> None:
        [event] = await store.watch(PODS, start).next(0)
        assert event.previous is not None and event.previous.decode()["spec"] == {"n": 1}

    with_store(running_etcd.url, fill)
    with_store(running_etcd.url, look)


@needs_etcd
def test_a_compaction_by_etcdctl_is_noticed(own_etcd: EtcdProcess) -> None:
    async def test(store: Store) -> None:
        start = store.revision
        for n in range(5):
            await store.write(f"{PODS}a/{n}", obj(), 0)
        await asyncio.to_thread(own_etcd.ctl, "compact", str(store.revision - 2))
        assert isinstance(store, EtcdStore)
        await store.look_for_compaction()
        with pytest.raises(Gone):
            store.watch(PODS, start)
        assert len(await store.watch(PODS, store.revision - 2).next(0)) == 2

    with_store(own_etcd.url, test)
    with_store(own_etcd.url, lambda store: store.reach(6))


@needs_etcd
def test_etcd_may_be_killed_at_any_moment(own_etcd: EtcdProcess) -> None:
    """Writers and a watcher that know nothing of it: all that was acknowledged is seen, once and in order."""
    rounds, lanes = 6, 8

    async def test(store: Store) -> None:
        seen: list[Event] = []
        written: dict[str, int] = {}
        watch = store.watch(PODS, store.revision)
        stop = False

        async def follow() -> None:
            while True:
                seen.extend(await watch.next(60))

        async def lane(number: int) -> None:
            count = 0
            while not stop:
                key = f"{PODS}{number}/{count}"
                record = await store.write(key, obj(n=count), 0)
                assert key not in written
                if count % 3 == 1:
                    record = await store.write(key, obj(n=-count), record.revision)
                elif count % 3 == 2:
                    record = await store.write(key, obj(n=count), record.revision, delete=True)
                written[key] = record.revision
                count += 1

        following = asyncio.ensure_future(follow())
        tasks = [asyncio.ensure_future(lane(number)) for number in range(lanes)]
        for turn in range(rounds):
            enough = len(written) + 40 + 17 * turn
            while len(written) < enough:
                await asyncio.sleep(0)
            own_etcd.kill()
            own_etcd.start()
        stop = True
        await asyncio.gather(*tasks)
        following.cancel()
        seen.extend(await watch.next(0) if watch.revision < store.revision else [])
        revisions = [event.record.revision for event in seen]
        assert revisions == sorted(set(revisions))
        latest = {event.record.key: event.record.revision for event in seen}
        assert latest == written

    with_store(own_etcd.url, test)


@needs_etcd
def test_writes_are_refused_while_etcd_stays_away_and_reads_go_on(
    own_etcd: EtcdProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("knet.store.etcd.PATIENCE", 0.2)

    async def test(store: Store) -> None:
        record = await store.write(PODS + "a/1", obj(), 0)
        own_etcd.kill()
        with pytest.raises(Unavailable):
            await store.write(PODS + "a/2", obj(), 0)
        assert store.trouble
        assert store.get(PODS + "a/1") == record
        own_etcd.start()
        while store.trouble:
            await asyncio.sleep(0.01)
        await store.write(PODS + "a/3", obj(), 0)

    with_store(own_etcd.url, test)


def test_the_history_of_all_collections_has_when_and_by_whom(place: str) -> None:
    async def test(store: Store) -> None:
        before = time.monotonic()
        first = await store.write(PODS + "a/1", obj(), 0, by="one")
        node = await store.write("/registry/minions/n1", obj(), 0)
        last = await store.write(PODS + "a/1", obj(), first.revision, delete=True, by="two")
        rows = store.history(before)
        assert [row.event.record.revision for row in rows] == [first.revision, node.revision, last.revision]
        assert [row.event.by for row in rows] == ["one", None, "two"]
        assert before <= rows[0].at <= rows[1].at <= rows[2].at <= time.monotonic()
        assert store.history(before, node.revision) == rows[2:]
        assert store.history(time.monotonic() + 1) == []

    with_store(place, test)
