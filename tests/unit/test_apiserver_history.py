"""/debug/history: the writes of all collections, who made them and when; for administrators alone."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from apiserver_harness import MERGE, Api, Server, deployment, pod, running

from knet.apiserver.history import GATHERED, pieces
from knet.store import Attributes, SqliteStore

PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("apiserver")) as found:
        yield found


async def history(api: Api, since: int) -> list[dict[str, Any]]:
    answer = await api("GET", f"/debug/history?since={since}")
    return [orjson.loads(line) for line in answer.body.splitlines()]


def test_each_write_is_a_line_with_who_and_when_and_what_it_was_before(server: Server) -> None:
    async def test(api: Api) -> None:
        before = time.monotonic_ns()
        await api("POST", MAPS, {"metadata": {"name": "told"}, "data": {"a": "1"}}, User_Agent="kubectl/v1.32.0")
        await api("PATCH", MAPS + "/told?fieldManager=editor", {"data": {"a": "2"}}, MERGE)
        await api("DELETE", MAPS + "/told")
        rows = [row for row in await history(api, before) if row["object"]["metadata"]["name"] == "told"]
        assert [(row["type"], row["user"], row["manager"]) for row in rows] == [
            ("ADDED", "kubernetes-admin", "kubectl"),
            ("MODIFIED", "kubernetes-admin", "editor"),
            ("DELETED", "kubernetes-admin", rows[2]["manager"]),
        ]
        assert [row["object"]["data"]["a"] for row in rows] == ["1", "2", "2"]
        assert before < rows[0]["at"] < rows[1]["at"] < rows[2]["at"] < time.monotonic_ns()
        assert [row["collection"] for row in rows] == ["/registry/configmaps/"] * 3
        # what an earlier line says is not said again
        assert not any("previous" in row for row in rows)
        [last] = [row for row in await history(api, rows[2]["at"]) if row["object"]["metadata"]["name"] == "told"]
        assert last["previous"]["metadata"]["resourceVersion"] == rows[1]["object"]["metadata"]["resourceVersion"]

    server.run(test)


def test_all_collections_come_in_the_order_of_their_revisions(server: Server) -> None:
    async def test(api: Api) -> None:
        before = time.monotonic_ns()
        await api("POST", PODS, pod("first"))
        await api("POST", "/apis/apps/v1/namespaces/default/deployments", deployment("second"))
        binding = {"metadata": {"name": "first"}, "target": {"kind": "Node", "name": "n1"}}
        await api("POST", PODS + "/first/binding", binding, User_Agent="kube-scheduler/v1")
        rows = await history(api, before)
        revisions = [int(row["object"]["metadata"]["resourceVersion"]) for row in rows]
        assert revisions == sorted(revisions) and len(rows) == 3
        assert rows[2]["object"]["spec"]["nodeName"] == "n1" and rows[2]["manager"] == "kube-scheduler"

    server.run(test)


def test_it_can_be_followed(server: Server) -> None:
    async def test(api: Api) -> None:
        url = f"{api.url}/debug/history?since={time.monotonic_ns()}&follow=true"
        async with api.session.get(url) as response:
            for name in ("one", "two"):
                await api("POST", MAPS, {"metadata": {"name": f"followed-{name}"}})
                line = orjson.loads(await response.content.readline())
                assert line["object"]["metadata"]["name"] == f"followed-{name}"

    server.run(test)


def test_collections_are_left_out(server: Server) -> None:
    async def test(api: Api) -> None:
        before = time.monotonic_ns()
        await api("POST", MAPS, {"metadata": {"name": "left-out"}})
        await api("POST", PODS, pod("left-in"))
        answer = await api("GET", f"/debug/history?since={before}&without=/registry/leases/,/registry/configmaps/")
        rows = [orjson.loads(line) for line in answer.body.splitlines()]
        assert "left-in" in {row["object"]["metadata"]["name"] for row in rows}
        assert "/registry/configmaps/" not in {row["collection"] for row in rows}

    server.run(test)


def test_a_follower_misses_nothing_that_is_written_while_he_is_told(tmp_path: Path) -> None:
    """Three lines that go out one by one; what comes between the first and the second is the fourth."""

    async def test() -> None:
        store = SqliteStore(tmp_path / "store.db", lambda *_: Attributes({}, {}))

        async def put(name: str) -> None:
            await store.write(f"/registry/configmaps/a/{name}", {"metadata": {"name": name}, "data": "x" * GATHERED}, 0)

        for name in ("1", "2", "3"):
            await put(name)
        told = pieces(store, 0, follow=True)
        names = []
        for number in range(4):
            names.append(orjson.loads(await anext(told))["object"]["metadata"]["name"])
            if number == 0:
                await put("4")
        await told.aclose()
        await store.close()
        assert names == ["1", "2", "3", "4"]

    asyncio.run(asyncio.wait_for(test(), 20))


def test_only_administrators_may_read_it_and_nobody_may_write_it(server: Server) -> None:
    async def refused(api: Api) -> None:
        answer = await api("GET", "/debug/history")
        assert answer.code == 403
        assert answer.message.endswith('cannot get path "/debug/history"')

    async def test(api: Api) -> None:
        assert (await api("GET", "/debug/history?since=soon")).code == 400
        assert (await api("POST", "/debug/history", {})).code == 405

    server.run(refused, "")
    server.run(refused, "node")
    server.run(test)
