"""Watches: where they begin, what selectors and forms make of their events, and how they end."""

import asyncio
from collections.abc import Iterator

import aiohttp
import orjson
import pytest
from apiserver_harness import JSON, MERGE, TABLE, Api, Server, running

MAPS = "/api/v1/namespaces/default/configmaps"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
NOT_OLDER = "resourceVersionMatch=NotOlderThan"
BOOKMARKS = "allowWatchBookmarks=true"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("apiserver")) as found:
        yield found


async def now(api: Api) -> str:
    return str((await api("GET", MAPS)).body["metadata"]["resourceVersion"])


async def event_of(response: aiohttp.ClientResponse) -> JSON:
    value: JSON = orjson.loads(await response.content.readline())
    return value


def told(event: JSON) -> str:
    metadata = event["object"]["metadata"]
    if metadata.get("annotations") == {"k8s.io/initial-events-end": "true"}:
        return f"{event['type']} of the initial events"
    return f"{event['type']} {metadata['name']}"


BOTH, END = ["ADDED a", "ADDED b"], "BOOKMARK of the initial events"


@pytest.mark.parametrize(
    ("query", "before"),
    [
        # without a version, or with 0: what is there
        ("", BOTH),
        ("resourceVersion=0", BOTH),
        (BOOKMARKS, [*BOTH, END]),
        (f"resourceVersion=0&{BOOKMARKS}", [*BOTH, END]),
        # with a version: what happened since
        ("resourceVersion={first}", ["ADDED b"]),
        (f"resourceVersion={{first}}&{BOOKMARKS}", ["ADDED b"]),
        ("resourceVersion={latest}", []),
        # a list that streams, or expressly none
        (f"sendInitialEvents=true&{NOT_OLDER}", BOTH),
        (f"sendInitialEvents=true&{NOT_OLDER}&{BOOKMARKS}", [*BOTH, END]),
        (f"sendInitialEvents=true&{NOT_OLDER}&{BOOKMARKS}&resourceVersion={{first}}", [*BOTH, END]),
        (f"sendInitialEvents=false&{NOT_OLDER}&{BOOKMARKS}", []),
        (f"sendInitialEvents=false&{NOT_OLDER}&resourceVersion=0", []),
        (f"sendInitialEvents=false&{NOT_OLDER}&resourceVersion={{first}}", ["ADDED b"]),
        # selectors
        ("labelSelector=app=b", ["ADDED b"]),
        (f"fieldSelector=metadata.name=a&{BOOKMARKS}", ["ADDED a", END]),
    ],
)
def test_where_a_watch_begins(server: Server, query: str, before: list[str]) -> None:
    async def test(api: Api) -> None:
        place = f"begin-{abs(hash(query))}"
        maps = f"/api/v1/namespaces/{place}/configmaps"
        await api("POST", "/api/v1/namespaces", {"metadata": {"name": place}})
        made = [await api("POST", maps, {"metadata": {"name": name, "labels": {"app": name}}}) for name in ("a", "b")]
        first, latest = (answer.body["metadata"]["resourceVersion"] for answer in made)
        async with api.session.get(f"{api.url}{maps}?watch=1&{query.format(first=first, latest=latest)}") as response:
            events = [await event_of(response) for _ in before]
            assert [told(event) for event in events] == before
            if END in before:
                assert int(events[-1]["object"]["metadata"]["resourceVersion"]) >= int(latest)
            changed = before[-1].split()[-1] if "Selector" in query else "b"
            name = "a" if "metadata.name" in query else "b" if changed == "b" else "a"
            await api("PATCH", f"{maps}/{name}", {"data": {"a": "b"}}, MERGE)
            assert told(await event_of(response)) == f"MODIFIED {name}"

    server.run(test)


def test_a_watch_may_begin_in_the_future(server: Server) -> None:
    async def test(api: Api) -> None:
        start = int(await now(api)) + 2
        async with api.session.get(f"{api.url}{MAPS}?watch=1&resourceVersion={start}") as response:
            for name in ("early", "at", "late"):
                await api("POST", MAPS, {"metadata": {"name": name}})
            assert told(await event_of(response)) == "ADDED late"

    server.run(test)


def test_what_stops_matching_is_deleted_as_it_was(server: Server) -> None:
    """https://kubernetes.io/docs/reference/using-api/api-concepts/: at the version of the change that did it."""

    async def test(api: Api) -> None:
        start = await now(api)
        path, query = f"{MAPS}/turning", f"labelSelector=on=yes&resourceVersion={start}"
        await api("POST", MAPS, {"metadata": {"name": "turning"}, "data": {"n": "0"}})
        versions = []
        for number, value in enumerate(("yes", "yes", "no", "never", "yes")):
            change = {"metadata": {"labels": {"on": value}}, "data": {"n": str(number)}}
            versions.append((await api("PATCH", path, change, MERGE)).body["metadata"]["resourceVersion"])
        await api("DELETE", path)
        events = await api.lines(f"{MAPS}?watch=1&{query}", 5)
        assert [(event["type"], event["object"]["data"]["n"]) for event in events] == [
            ("ADDED", "0"),
            ("MODIFIED", "1"),
            ("DELETED", "1"),
            ("ADDED", "4"),
            ("DELETED", "4"),
        ]
        shown = [event["object"]["metadata"]["resourceVersion"] for event in events]
        assert shown[:4] == [versions[0], versions[1], versions[2], versions[4]]
        assert int(shown[4]) > int(versions[4])

    server.run(test)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/v1/watch/namespaces/default/configmaps/old", ["ADDED old"]),
        ("/api/v1/watch/namespaces/default/configmaps?labelSelector=age=old", ["ADDED old"]),
        ("/api/v1/watch/configmaps?fieldSelector=metadata.name=old", ["ADDED old"]),
        ("/api/v1/watch/namespaces/default", ["ADDED default"]),
        ("/apis/scheduling.k8s.io/v1/watch/priorityclasses/system-node-critical", ["ADDED system-node-critical"]),
        ("/api/v1/namespaces/default/configmaps?watch=true&fieldSelector=metadata.name=old", ["ADDED old"]),
    ],
)
def test_paths_that_watch(server: Server, path: str, expected: list[str]) -> None:
    async def test(api: Api) -> None:
        await api("POST", MAPS, {"metadata": {"name": "old", "labels": {"age": "old"}}})
        assert [told(event) for event in await api.lines(path, len(expected))] == expected

    server.run(test)


def test_watch_paths_are_for_reading(server: Server) -> None:
    async def test(api: Api) -> None:
        path = "/api/v1/watch/namespaces/default/configmaps"
        assert (await api("POST", path, {"metadata": {"name": "a"}})).code == 405
        wrong = await api("GET", f"{path}/old?fieldSelector=metadata.name=new")
        assert (wrong.code, wrong.message) == (400, "fieldSelector metadata.name doesn't match requested name")
        assert (await api("GET", "/api/v1/watch/namespaces/default/nothings")).code == 404
        # an object's own path does not watch
        await api("POST", MAPS, {"metadata": {"name": "still"}})
        assert (await api("GET", f"{MAPS}/still?watch=true")).body["kind"] == "ConfigMap"

    server.run(test)


@pytest.mark.parametrize("include", ["", "None", "Metadata", "Object"])
def test_tables_of_events(server: Server, include: str) -> None:
    async def test(api: Api) -> None:
        query = f"watch=1&fieldSelector=metadata.name=default&{BOOKMARKS}&includeObject={include}"
        added, mark = await api.lines(f"/api/v1/namespaces?{query}", 2, Accept=TABLE)
        assert [column["name"] for column in added["object"]["columnDefinitions"]] == ["Name", "Status", "Age"]
        assert "columnDefinitions" not in mark["object"]
        [row] = added["object"]["rows"]
        assert row["cells"][:2] == ["default", "Active"]
        assert added["object"]["metadata"]["resourceVersion"]
        kind = {"Object": "Namespace", "None": None}.get(include, "PartialObjectMetadata")
        assert (row["object"] or {}).get("kind") == kind
        [marked] = mark["object"]["rows"]
        assert mark["object"]["metadata"]["resourceVersion"]
        if include != "None":
            assert told({"type": mark["type"], "object": marked["object"]}) == END

    server.run(test)


def test_every_kind_has_bookmarks_in_every_form(server: Server) -> None:
    async def test(api: Api) -> None:
        for group in (await api("GET", "/apis")).body["groups"]:
            for version in group["versions"]:
                root = f"/apis/{version['groupVersion']}"
                await marked(api, root, (await api("GET", root)).body["resources"])
        await marked(api, "/api/v1", (await api("GET", "/api/v1")).body["resources"])

    async def marked(api: Api, root: str, resources: list[JSON]) -> None:
        for row in resources:
            if "watch" not in row["verbs"]:
                continue
            for accept in (TABLE, PARTIAL, "application/json"):
                query = f"watch=1&{BOOKMARKS}&fieldSelector=metadata.name=nobody"
                [event] = await api.lines(f"{root}/{row['name']}?{query}", 1, Accept=accept)
                assert event["type"] == "BOOKMARK", (row["name"], event)

    server.run(test)


def test_metadata_alone_can_be_watched(server: Server) -> None:
    async def test(api: Api) -> None:
        query = f"watch=1&fieldSelector=metadata.name=default&{BOOKMARKS}"
        events = await api.lines(f"/api/v1/namespaces?{query}", 2, Accept=PARTIAL)
        assert [told(event) for event in events] == ["ADDED default", END]
        for event in events:
            assert event["object"].keys() == {"kind", "apiVersion", "metadata"}
            assert event["object"]["kind"] == "PartialObjectMetadata"

    server.run(test)


def test_a_watch_ends_after_its_timeout_and_says_where_it_was(server: Server) -> None:
    async def test(api: Api) -> None:
        start = await now(api)
        watching = asyncio.ensure_future(
            api.lines(f"{MAPS}?watch=1&resourceVersion={start}&timeoutSeconds=1&labelSelector=none&{BOOKMARKS}", 9)
        )
        await api("POST", MAPS, {"metadata": {"name": "unseen"}})
        latest = await now(api)
        [mark] = await watching
        assert mark["type"] == "BOOKMARK"
        assert int(start) < int(latest) <= int(mark["object"]["metadata"]["resourceVersion"])

    server.run(test)


def test_yaml_has_no_frames(server: Server) -> None:
    async def test(api: Api) -> None:
        answer = await api("GET", f"{MAPS}?watch=1", Accept="application/yaml")
        assert answer.code == 406
        assert "only the following media types are accepted: application/json;stream=watch" in answer.body
        [event] = await api.lines(
            f"{MAPS}?watch=1&{BOOKMARKS}&labelSelector=x", 1, Accept="application/json;stream=watch"
        )
        assert told(event) == END

    server.run(test)
