"""resourceVersion, resourceVersionMatch, limit and continue: which state a read shows, and what is refused how.

https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions has the table; the sentences are
upstream's.
"""

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from apiserver_harness import JSON, MERGE, Api, Server, running

PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"
FUTURE = 10**15
MATCH = "resourceVersionMatch"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("apiserver")) as found:
        yield found


def token(value: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")


def of(version: str, revision: Any, start: Any) -> str:
    return token({"v": version, "rv": revision, "start": start})


FORBIDDEN = f"{MATCH}: Forbidden: {MATCH} is forbidden"
UNSUPPORTED = f'{MATCH}: Unsupported value: "Perhaps": supported values:'
NOT_A_NUMBER = 'resourceVersion: Invalid value: "x": strconv.ParseUint: parsing "x": invalid syntax'
BOTH = '"metadata.name", "metadata.namespace"'
BAD_LABEL = "unable to parse requirement:"
KEY = "invalid continue token: continue key is not valid"


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        # ---- lists
        (f"{MATCH}=Exact", 422, f"{FORBIDDEN} unless resourceVersion is provided"),
        (f"{MATCH}=NotOlderThan", 422, f"{FORBIDDEN} unless resourceVersion is provided"),
        (
            f"{MATCH}=Exact&resourceVersion=0",
            422,
            f'{MATCH}: Forbidden: {MATCH} "exact" is forbidden for resourceVersion "0"',
        ),
        (f"{MATCH}=Perhaps&resourceVersion=1", 422, f'{UNSUPPORTED} "Exact", "NotOlderThan", ""'),
        (f"{MATCH}=Exact&resourceVersion=1&continue=a", 422, f"{FORBIDDEN} when continue is provided"),
        (
            f"{MATCH}=Perhaps",
            422,
            f'[{FORBIDDEN} unless resourceVersion is provided, {UNSUPPORTED} "Exact", "NotOlderThan", ""]',
        ),
        ("sendInitialEvents=false", 422, "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"),
        ("resourceVersion=x", 400, f"invalid resource version: {NOT_A_NUMBER}"),
        ("resourceVersion=-1", 400, f"invalid resource version: {NOT_A_NUMBER}".replace('"x"', '"-1"')),
        ("limit=x", 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
        ("limit=", 400, 'strconv.ParseInt: parsing "": invalid syntax'),
        ("limit=1_0", 400, 'strconv.ParseInt: parsing "1_0": invalid syntax'),
        ("limit=9223372036854775808", 400, 'strconv.ParseInt: parsing "9223372036854775808": value out of range'),
        ("continue=a%2Bb", 400, f"{KEY}: illegal base64 data at input byte 1"),
        (f"continue={of('v0', 3, 'a')}", 400, f"{KEY}: server does not recognize this encoded version v0"),
        (
            f"continue={of('meta.k8s.io/v1', 0, 'a')}",
            400,
            f"{KEY}: incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
        ),
        (f"continue={of('meta.k8s.io/v1', 3, '')}", 400, f"{KEY}: encoded start key empty (version meta.k8s.io/v1)"),
        (f"continue={of('meta.k8s.io/v1', 3, '../secrets/a')}", 400, f"{KEY}: ../secrets/a"),
        (
            f"continue={of('meta.k8s.io/v1', 3, 'a')}&resourceVersion=3",
            400,
            "specifying resource version is not allowed when using continue",
        ),
        # ---- watches
        (
            f"watch=1&{MATCH}=NotOlderThan&resourceVersion=1",
            422,
            f"{FORBIDDEN} for watch unless sendInitialEvents is provided",
        ),
        (
            "watch=1&sendInitialEvents=true",
            422,
            f"{MATCH}: Forbidden: sendInitialEvents requires setting {MATCH} to NotOlderThan",
        ),
        (
            f"watch=1&sendInitialEvents=true&{MATCH}=Exact&resourceVersion=1",
            422,
            f"[{MATCH}: Forbidden: sendInitialEvents requires setting {MATCH} to NotOlderThan,"
            f' {MATCH}: Unsupported value: "Exact": supported values: "NotOlderThan"]',
        ),
        (
            f"watch=1&sendInitialEvents=true&{MATCH}=NotOlderThan&continue=a",
            422,
            f"{FORBIDDEN} when continue is provided",
        ),
        ("watch=1&timeoutSeconds=soon", 400, 'strconv.ParseInt: parsing "soon": invalid syntax'),
        # ---- selectors
        ("labelSelector=a+b", 400, "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        (
            "labelSelector=-a",
            400,
            f'{BAD_LABEL} <nil>: Invalid value: "-a": name part must consist of alphanumeric characters,',
        ),
        (
            "labelSelector=a%3Db/c",
            400,
            f'{BAD_LABEL} values[0][a]: Invalid value: "b/c": a valid label must be an empty string or',
        ),
        (
            "labelSelector=a%3Eb",
            400,
            f"{BAD_LABEL} values[0]: Invalid value: \"b\": for 'Gt', 'Lt' operators, the value must be an integer",
        ),
        ("fieldSelector=a", 400, "invalid selector: 'a'; can't understand 'a'"),
        ("fieldSelector=metadata.name%3Da%3Db", 400, "invalid field selector: unescaped character in value: 61"),
        ("fieldSelector=metadata.name%3Da%5Cb", 400, "invalid field selector: invalid escape sequence: \\b"),
        ("fieldSelector=metadata.name%3Da%5C", 400, "invalid field selector: invalid escape sequence: \\"),
        ("fieldSelector=spec.image%3Da", 400, "field label not supported: spec.image"),
    ],
)
def test_refusals_in_upstreams_words(server: Server, query: str, code: int, message: str) -> None:
    async def test(api: Api) -> None:
        answer = await api("GET", f"{PODS}?{query}")
        prefix = 'ListOptions.meta.k8s.io "" is invalid: ' if code == 422 else ""
        assert (answer.code, answer.body["reason"]) == (code, "Invalid" if code == 422 else "BadRequest")
        assert answer.message.startswith(prefix + message)

    server.run(test)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/apis/apps/v1/deployments", f'"spec.replicas" is not a known field selector: only {BOTH}'),
        ("/apis/batch/v1/jobs", 'field label "spec.replicas" not supported for Job'),
        ("/api/v1/nodes", "field label not supported: spec.replicas"),
    ],
)
def test_field_labels_that_a_kind_does_not_have(server: Server, path: str, message: str) -> None:
    async def test(api: Api) -> None:
        assert (await api("GET", f"{path}?fieldSelector=spec.replicas=1")).message == message

    server.run(test)


def test_a_watch_of_no_version_is_invalid(server: Server) -> None:
    async def test(api: Api) -> None:
        answer = await api("GET", "/apis/apps/v1/deployments?watch=1&resourceVersion=x")
        assert (answer.code, answer.message) == (422, f'deployments.apps "" is invalid: {NOT_A_NUMBER}')

    server.run(test)


@pytest.mark.parametrize("match", ["", f"&{MATCH}=Exact", f"&{MATCH}=NotOlderThan"])
def test_a_version_that_does_not_come_times_out(server: Server, match: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("knet.apiserver.reads.BLOCK", 0.05)

    async def test(api: Api) -> None:
        for path in (f"{MAPS}?resourceVersion={FUTURE}{match}", f"{MAPS}/kube-root-ca.crt?resourceVersion={FUTURE}"):
            answer = await api("GET", path)
            assert (answer.code, answer.body["reason"]) == (504, "Timeout")
            assert answer.message.startswith(f"Timeout: Too large resource version: {FUTURE}, current: ")
            cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
            assert answer.body["details"] == {"causes": [cause], "retryAfterSeconds": 1}
        query = f"watch=1&sendInitialEvents=true&{MATCH}=NotOlderThan&resourceVersion={FUTURE}"
        [event] = await api.lines(f"{MAPS}?{query}", 1)
        assert (event["type"], event["object"]["code"]) == ("ERROR", 504)

    server.run(test)


def test_reads_wait_for_the_version_that_a_client_has_seen(server: Server) -> None:
    async def test(api: Api) -> None:
        now = int((await api("GET", MAPS)).body["metadata"]["resourceVersion"])
        waiting = [
            asyncio.ensure_future(api("GET", path + f"?resourceVersion={now + 1}")) for path in (MAPS, f"{MAPS}/waited")
        ]
        await api("GET", "/api")  # both have been sent
        made = (await api("POST", MAPS, {"metadata": {"name": "waited"}})).body
        listed, got = await asyncio.gather(*waiting)
        assert made in [{"kind": "ConfigMap", "apiVersion": "v1", **item} for item in listed.body["items"]]
        assert got.body == made

    server.run(test)


def test_which_state_a_list_shows(server: Server) -> None:
    async def test(api: Api) -> None:
        path = "/api/v1/namespaces/shown/configmaps"
        await api("POST", "/api/v1/namespaces", {"metadata": {"name": "shown"}})
        first = (await api("POST", path, {"metadata": {"name": "a"}})).body["metadata"]["resourceVersion"]
        await api("POST", path, {"metadata": {"name": "b"}})
        last = (await api("POST", path, {"metadata": {"name": "c"}})).body["metadata"]["resourceVersion"]

        async def shown(query: str) -> tuple[list[str], str, bool]:
            body = (await api("GET", f"{path}?{query}")).body
            names = [item["metadata"]["name"] for item in body["items"]]
            return names, body["metadata"]["resourceVersion"], "continue" in body["metadata"]

        everything = ["a", "b", "c"]
        for query, names, version, more in (
            ("", everything, last, False),
            ("resourceVersion=0", everything, last, False),
            ("resourceVersion=0&limit=1", everything, last, False),
            ("limit=1", ["a"], last, True),
            ("limit=2&labelSelector=!x", ["a", "b"], last, True),
            ("limit=3", everything, last, False),
            (f"resourceVersion={first}", everything, last, False),
            (f"resourceVersion={first}&limit=1", ["a"], first, False),
            (f"resourceVersion={first}&limit=1&{MATCH}=NotOlderThan", ["a"], last, True),
            (f"resourceVersion={first}&{MATCH}=NotOlderThan", everything, last, False),
            (f"resourceVersion={first}&{MATCH}=Exact", ["a"], first, False),
            (f"resourceVersion={first}&{MATCH}=Exact&limit=5", ["a"], first, False),
            ("fieldSelector=metadata.name=b", ["b"], last, False),
            (f"fieldSelector=metadata.name=b&resourceVersion={first}&{MATCH}=Exact", [], first, False),
            ("fieldSelector=metadata.name=b,metadata.namespace=default", [], last, False),
        ):
            assert await shown(query) == (names, version, more), query

    server.run(test)


def test_one_object_is_found_by_name_wherever_it_is(server: Server) -> None:
    async def test(api: Api) -> None:
        for name in ("web", "web-2", "we"):
            await api("POST", MAPS, {"metadata": {"name": name}})
        for path in (MAPS, "/api/v1/configmaps"):
            for query in (
                "fieldSelector=metadata.name=web",
                "fieldSelector=metadata.namespace=default,metadata.name=web",
            ):
                found = (await api("GET", f"{path}?{query}")).body["items"]
                assert [item["metadata"]["name"] for item in found] == ["web"]

    server.run(test)


def test_what_has_been_compacted_is_gone(tmp_path: Path) -> None:
    """A store that is opened again knows nothing of what was before."""
    seen: JSON = {}

    async def before(api: Api) -> None:
        for name in "abcd":
            await api("POST", MAPS, {"metadata": {"name": name}})
        seen.update((await api("GET", MAPS + "?limit=2")).body["metadata"])
        await api("DELETE", MAPS + "/c")
        await api("POST", MAPS, {"metadata": {"name": "e"}})

    async def after(api: Api) -> None:
        answer = await api("GET", f"{MAPS}?limit=2&continue={seen['continue']}")
        assert (answer.code, answer.body["reason"]) == (410, "Expired")
        assert answer.message.startswith("The provided continue parameter is too old to display a consistent list")
        assert "Continuing with the provided token results in an inconsistent list" in answer.message
        again = answer.body["metadata"]["continue"]
        page = (await api("GET", f"{MAPS}?limit=1&continue={again}")).body
        assert [item["metadata"]["name"] for item in page["items"]] == ["d"]
        rest = (await api("GET", f"{MAPS}?limit=9&continue={page['metadata']['continue']}")).body
        assert rest["items"][0]["metadata"]["name"] == "e"

        version = seen["resourceVersion"]
        for query in (f"&{MATCH}=Exact", "&limit=1"):
            exact = await api("GET", f"{MAPS}?resourceVersion={version}{query}")
            assert (exact.code, exact.body["reason"]) == (410, "Expired")
            assert exact.message == "The resourceVersion for the provided list is too old."
        assert (await api("GET", f"{MAPS}?resourceVersion={version}")).code == 200
        [event] = await api.lines(f"{MAPS}?watch=1&resourceVersion={version}", 1)
        assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
        assert event["object"]["message"].startswith(f"too old resource version: {version} (")

    for part in (before, after):
        with running(tmp_path) as server:
            server.run(part)


def test_pages_go_on_while_objects_come_and_go(server: Server) -> None:
    async def test(api: Api) -> None:
        path = "/api/v1/namespaces/pages/configmaps"
        await api("POST", "/api/v1/namespaces", {"metadata": {"name": "pages"}})
        for number in range(7):
            await api("POST", path, {"metadata": {"name": f"m{number}", "labels": {"odd": str(number % 2)}}})
        for query, wanted, counts in (
            ("limit=3", [f"m{number}" for number in range(7)], [4, 1, None]),
            ("limit=2&labelSelector=odd=0", ["m0", "m2", "m4", "m6"], [None, None]),
        ):
            names, found, continues = [], [], ""
            while True:
                page = (await api("GET", f"{path}?{query}&continue={continues}")).body
                names += [item["metadata"]["name"] for item in page["items"]]
                found.append(page["metadata"].get("remainingItemCount"))
                if not (continues := page["metadata"].get("continue", "")):
                    break
                await api("PATCH", f"{path}/m6", {"data": {"page": str(len(found))}}, MERGE)
            assert (names, found) == (wanted, counts)

    server.run(test)
