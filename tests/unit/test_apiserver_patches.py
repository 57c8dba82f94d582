"""Laws of changes over the wire, whatever they say: no 5xx; a refusal changes nothing; a dry run tells what will be."""

import copy
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from apiserver_harness import JSON_PATCH, MERGE, STRATEGIC, Api, Server, running
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

JSON = dict[str, Any]
APPLY = "application/apply-patch+yaml"
PATH = "/apis/apps/v1/namespaces/default/deployments/web"
HEAD = {"apiVersion": "apps/v1", "kind": "Deployment"}
WEB: JSON = {
    **HEAD,
    "metadata": {
        "name": "web",
        "namespace": "default",
        "labels": {"app": "web"},
        "annotations": {"note": "a"},
        "finalizers": ["example.com/a"],
        "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u1"}],
    },
    "spec": {
        "replicas": 3,
        "selector": {"matchLabels": {"app": "web"}},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": "25%"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "containers": [
                    {
                        "name": "main",
                        "image": "nginx:1",
                        "args": ["a", "b"],
                        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                        "ports": [{"containerPort": 80, "protocol": "TCP"}],
                        "resources": {"requests": {"cpu": "100m"}},
                    },
                    {"name": "side", "image": "busybox:1"},
                ],
                "tolerations": [{"key": "k", "operator": "Exists"}],
                "volumes": [{"name": "data", "emptyDir": {}}],
            },
        },
    },
    "status": {"replicas": 2, "conditions": [{"type": "Available", "status": "True"}]},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("apiserver")) as found:
        yield found


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to all that is in a document."""
    rows = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in rows:
        yield (*above, key)
        yield from places(item, (*above, key))


def at(place: tuple[Any, ...]) -> Any:
    here: Any = WEB
    for key in place:
        here = here[key]
    return copy.deepcopy(here)


PLACES = st.sampled_from(list(places(WEB)))
#: what is found elsewhere in the document, and what nobody expects
VALUES = st.one_of(
    PLACES.map(at),
    st.sampled_from([None, "", "x", "web", 0, 1, -1, 2**40, 1.5, True, [], {}, [None], {"": ""}, "9" * 300, "é\x00"]),
)
DIRECTIVES = st.sampled_from(["replace", "delete", "merge", "odd", 7])


def pointer(place: tuple[Any, ...]) -> str:
    return "".join(f"/{str(key).replace('~', '~0').replace('/', '~1')}" for key in place)


POINTERS = st.builds(
    lambda place, more: pointer(place) + more, PLACES, st.sampled_from(["", "", "", "", "/-", "/0", "/new", "x", "/~2"])
)
OPERATORS = ["add", "add", "remove", "replace", "replace", "move", "copy", "test", "odd"]
OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(OPERATORS), "path": POINTERS},
    optional={"value": VALUES, "from": POINTERS},
)


def nested(place: tuple[Any, ...], value: Any, directive: Any) -> JSON:
    """A patch of one place; list elements are named as they are in the document."""
    patch = value
    for depth in range(len(place) - 1, -1, -1):
        key = place[depth]
        if isinstance(key, str):
            patch = {key: patch}
        elif isinstance(patch, dict) and isinstance(element := at(place[: depth + 1]), dict):
            named = {name: element[name] for name in ("name", "containerPort", "uid", "key", "type") if name in element}
            patch = [
                named | ({"$patch": directive} if directive is not None and depth == len(place) - 1 else {}) | patch
            ]
        else:
            patch = [patch]
    return patch if isinstance(patch, dict) else {}


PATCHES = st.builds(nested, PLACES, VALUES, st.none() | DIRECTIVES)


def put(patch: JSON, place: tuple[Any, ...], value: Any) -> JSON:
    """The whole document with another value in one place."""
    whole = copy.deepcopy(WEB)
    here: Any = whole
    for key in place[:-1]:
        here = here[key]
    here[place[-1]] = value
    return {**whole, **patch}


class Change(NamedTuple):
    """A request that would change the Deployment or a part of it."""

    method: str
    part: str
    query: str
    media: str
    body: Any


_QUERIES = st.sampled_from(["fieldManager=a", "fieldManager=b", "fieldManager=a&fieldValidation=Strict"])
_PARTS = st.sampled_from(["", "", "", "/status", "/scale"])
CHANGES = st.one_of(
    st.builds(Change, st.just("PATCH"), _PARTS, _QUERIES, st.just(JSON_PATCH), st.lists(OPERATIONS, max_size=3)),
    st.builds(Change, st.just("PATCH"), _PARTS, _QUERIES, st.sampled_from([MERGE, STRATEGIC]), PATCHES),
    st.builds(
        Change,
        st.just("PATCH"),
        _PARTS,
        st.builds(lambda query, force: query + force, _QUERIES, st.sampled_from(["", "&force=true"])),
        st.just(APPLY),
        st.builds(lambda patch: {**HEAD, **patch}, PATCHES),
    ),
    st.builds(
        Change,
        st.just("PUT"),
        _PARTS,
        _QUERIES,
        st.just("application/json"),
        st.builds(put, st.sampled_from([{}, {"metadata": {"name": "web"}}]), PLACES, VALUES),
    ),
)


def lasting(value: Any) -> Any:
    """An answer without what is of the moment, as is the order of managers: that of the seconds in which they wrote."""
    metadata = dict(value.get("metadata", {}))
    metadata.pop("resourceVersion", None)
    rows = metadata.pop("managedFields", [])
    rows = [{**row, "time": ""} for row in rows]
    return {**value, "metadata": metadata}, sorted(rows, key=lambda row: (row["manager"], row["operation"], str(row)))


@settings(
    max_examples=int(os.environ.get("KNET_EXAMPLES", "15")), deadline=None, suppress_health_check=list(HealthCheck)
)
@given(changes=st.lists(CHANGES, min_size=10, max_size=10))
def test_a_change_is_made_or_refused_and_a_dry_run_tells_which(server: Server, changes: list[Change]) -> None:
    async def test(api: Api) -> None:
        await api("POST", PATH.rpartition("/")[0], WEB)
        present = (await api("GET", PATH)).body
        for method, part, query, media, body in changes:
            dry = await api(method, f"{PATH}{part}?{query}&dryRun=All", body, media)
            assert dry.code < 500, dry.body
            assert (await api("GET", PATH)).body == present
            answer = await api(method, f"{PATH}{part}?{query}", body, media)
            assert (answer.code, answer.warnings) == (dry.code, dry.warnings), (answer.body, dry.body)
            after = (await api("GET", PATH)).body
            if answer.code >= 400:
                assert answer.body == dry.body
                assert after == present
            else:
                assert lasting(answer.body) == lasting(dry.body)
                if part != "/scale":
                    assert after == answer.body
                again = await api(method, f"{PATH}{part}?{query}", body, media)
                if media in (MERGE, APPLY):
                    assert again.body == answer.body  # merging, and applying, again changes nothing
            present = (await api("GET", PATH)).body

    server.run(test)
