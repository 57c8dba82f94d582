"""The store keeps etcd's contract: order, compare-and-swap, watches without gaps, durability."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from knet.store import Attributes, Conflict, Gone, SqliteStore, Unavailable
from knet.store.state import HISTORY, collection_of

PODS = "/registry/pods/"


def attributes(_: str, value: dict[str, Any]) -> Attributes:
    return Attributes(value["metadata"].get("labels", {}), {})


def obj(**spec: Any) -> dict[str, Any]:
    return {"metadata": {}, "spec": spec}


def with_store(tmp_path: Path, test: Callable[[SqliteStore], Awaitable[None]]) -> None:
    async def body() -> None:
        store = SqliteStore(tmp_path / "store.db", attributes)
        try:
            await asyncio.wait_for(test(store), 20)
        finally:
            await store.close()

    asyncio.run(body())


@pytest.mark.parametrize(
    ("key", "collection"),
    [
        ("/registry/pods/default/web", "/registry/pods/"),
        ("/registry/nodes/n1", "/registry/nodes/"),
        ("/registry/example.com/widgets/default/a", "/registry/example.com/widgets/"),
    ],
)
def test_a_collection_is_the_resource_part_of_a_key(key: str, collection: str) -> None:
    assert collection_of(key) == collection


def test_every_write_gets_the_next_revision_and_is_stamped_with_it(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        first = await store.write(PODS + "a/1", obj(), 0)
        second = await store.write(PODS + "a/2", obj(), 0)
        assert second.revision == first.revision + 1 == store.revision
        assert second.decode()["metadata"]["resourceVersion"] == str(second.revision)

    with_store(tmp_path, test)


def test_a_write_based_on_another_revision_conflicts(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        key = PODS + "a/1"
        record = await store.write(key, obj(), 0)
        for expected in (0, record.revision - 1, record.revision + 1):
            with pytest.raises(Conflict):
                await store.write(key, obj(n=1), expected)
        with pytest.raises(Conflict):
            await store.write(PODS + "a/none", obj(), 7)
        await store.write(key, obj(n=1), record.revision)

    with_store(tmp_path, test)


def test_of_writers_at_the_same_time_exactly_one_wins(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        record = await store.write(PODS + "a/1", obj(), 0)
        writes = [store.write(PODS + "a/1", obj(n=n), record.revision) for n in range(20)]
        results = await asyncio.gather(*writes, return_exceptions=True)
        assert sum(isinstance(result, Conflict) for result in results) == 19
        creations = [store.write(PODS + "a/new", obj(n=n), 0) for n in range(20)]
        results = await asyncio.gather(*creations, return_exceptions=True)
        assert sum(isinstance(result, Conflict) for result in results) == 19

    with_store(tmp_path, test)


def test_lists_are_ordered_by_key_and_limited_to_the_prefix(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        for key in ("b/1", "a/2", "a/1", "ab/1"):
            await store.write(PODS + key, obj(), 0)
        assert [record.key for record in store.list(PODS + "a/").records] == [PODS + "a/1", PODS + "a/2"]
        assert len(store.list(PODS).records) == 4

    with_store(tmp_path, test)


def test_a_list_as_of_an_earlier_revision_shows_that_revision(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
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

    with_store(tmp_path, test)


def test_a_watch_delivers_everything_after_a_revision_in_order(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
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

    with_store(tmp_path, test)


def test_a_waiting_watch_wakes_at_the_write(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        watch = store.watch(PODS, store.revision)
        waiting = asyncio.ensure_future(watch.next(10))
        await asyncio.sleep(0)
        await store.write(PODS + "a/1", obj(), 0)
        assert len(await waiting) == 1

    with_store(tmp_path, test)


def test_a_watch_of_a_quiet_collection_moves_along_with_the_store(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        watch = store.watch("/registry/nodes/", store.revision)
        await store.write(PODS + "a/1", obj(), 0)
        assert watch.revision == store.revision

    with_store(tmp_path, test)


def test_compacted_history_is_gone_for_watches_slow_readers_and_old_lists(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        start = store.revision
        slow = store.watch(PODS, start)
        await asyncio.gather(*(store.write(f"{PODS}a/{n}", obj(), 0) for n in range(2 * HISTORY + 1)))
        with pytest.raises(Gone):
            store.watch(PODS, start)
        with pytest.raises(Gone):
            await slow.next(0)
        with pytest.raises(Gone):
            store.list(PODS, start + 1)
        assert len(await store.watch(PODS, store.revision - 10).next(0)) == 10

    with_store(tmp_path, test)


def test_a_restart_finds_every_object_and_goes_on_counting(tmp_path: Path) -> None:
    last = 0

    async def fill(store: SqliteStore) -> None:
        nonlocal last
        await store.write(PODS + "a/1", {"metadata": {"labels": {"app": "web"}}}, 0)
        two = await store.write(PODS + "a/2", obj(), 0)
        last = (await store.write(PODS + "a/2", obj(), two.revision, delete=True)).revision

    async def look(store: SqliteStore) -> None:
        assert store.revision == last
        [record] = store.list(PODS).records
        assert record.attributes.labels == {"app": "web"}
        with pytest.raises(Gone):
            store.watch(PODS, last - 1)
        assert (await store.write(PODS + "a/3", obj(), 0)).revision == last + 1

    with_store(tmp_path, fill)
    with_store(tmp_path, look)


def test_a_second_process_on_the_same_file_is_refused(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        await store.write(PODS + "a/1", obj(), 0)
        with pytest.raises(Unavailable, match="locked"):
            SqliteStore(tmp_path / "store.db", attributes)

    with_store(tmp_path, test)


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

    async def look(store: SqliteStore) -> None:
        assert acknowledged <= {record.key for record in store.list(PODS).records}

    with_store(tmp_path, look)
