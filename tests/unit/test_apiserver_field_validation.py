"""fieldValidation: what nobody knows and what is there twice, in every form of body, is dropped, told or refused."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from apiserver_harness import JSON_PATCH, MERGE, STRATEGIC, Answer, Api, Server, deployment, running

APPLY = "application/apply-patch+yaml"
JSON, YAML = "application/json", "application/yaml"
MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
PATCHED = "/apis/apps/v1/namespaces/default/deployments/web"

TWICE = (
    b'{"metadata":{"name":"twice","labels":{"a":"1","a":"2"}},"dta":{"x":1,"x":2},"data":{"k":"1"},"data":{"k":"2"}}'
)
TWICE_YAML = b"""\
metadata:
  name: twice
  labels: {a: '1', a: '2'}
data: {k: '1'}
dta: {}
data: {k: '2'}
"""
MAP = 'ConfigMap in version "v1" cannot be handled as a ConfigMap: '
WEB_PATCH = b'{"spec":{"replicas":1,"replicas":2,"extra":{}},"spam":1}'
WEB_OPERATION = b'[{"op":"add","path":"/spec/extra","value":1,"value":2,"why":""}]'
APPLIED = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"twice"},"data":{"k":"1","k":"2"}}'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("apiserver")) as found:
        found.run(_web)
        yield found


async def _web(api: Api) -> None:
    assert (await api("POST", DEPLOYMENTS, deployment("web"))).code == 201


def plain(answer: Answer) -> list[str]:
    """The texts of the warnings."""
    return [row.removeprefix('299 - "')[:-1].replace('\\"', '"') for row in answer.warnings]


#: method, path, media type, body; warnings; the refusal's code and message
BODIES: list[Any] = [
    pytest.param(
        *("POST", MAPS, JSON, TWICE),
        ['duplicate field "metadata.labels.a"', 'unknown field "dta"', 'duplicate field "data"'],
        *(400, MAP + 'strict decoding error: duplicate field "metadata.labels.a", unknown field "dta",'
          ' duplicate field "data"'),
        id="JSON",
    ),
    pytest.param(
        *("POST", MAPS, YAML, TWICE_YAML),
        ['line 3: key "a" already set in map', 'line 6: key "data" already set in map', 'unknown field "dta"'],
        *(400, MAP + 'strict decoding error: yaml: unmarshal errors:\n  line 3: key "a" already set in map\n'
          '  line 6: key "data" already set in map, unknown field "dta"'),
        id="YAML",
    ),
    pytest.param(
        *("PATCH", PATCHED, MERGE, WEB_PATCH),
        ['duplicate field "spec.replicas"', 'unknown field "spec.extra"', 'unknown field "spam"'],
        *(422, 'strict decoding error: duplicate field "spec.replicas", unknown field "spec.extra",'
          ' unknown field "spam"'),
        id="merge patch",
    ),
    pytest.param(
        *("PATCH", PATCHED, STRATEGIC, WEB_PATCH),
        ['duplicate field "spec.replicas"', 'unknown field "spam"', 'unknown field "spec.extra"'],
        *(422, ' "" is invalid: patch: Invalid value: "map[spam:1 spec:map[extra:map[] replicas:2]]": strict decoding'
          ' error: duplicate field "spec.replicas", unknown field "spam", unknown field "spec.extra"'),
        id="strategic merge patch",
    ),
    pytest.param(
        *("PATCH", PATCHED, JSON_PATCH, WEB_OPERATION),
        ['json patch duplicate field "[0].value"', 'json patch unknown field "[0].why"', 'unknown field "spec.extra"'],
        *(422, 'strict decoding error: json patch duplicate field "[0].value", json patch unknown field "[0].why",'
          ' unknown field "spec.extra"'),
        id="JSON patch",
    ),
    pytest.param(
        *("PATCH", MAPS + "/twice?fieldManager=me", APPLY, APPLIED),
        ['line 1: key "k" already set in map'],
        *(400, "error strict decoding patch: error converting YAML to JSON: yaml: unmarshal errors:\n"
          '  line 1: key "k" already set in map'),
        id="apply",
    ),
    pytest.param(
        *("PUT", PATCHED + "/scale", JSON, b'{"metadata":{"name":"web"},"spec":{"replicas":1,"replica":2}}'),
        ['unknown field "spec.replica"'],
        *(400, 'Scale in version "v1" cannot be handled as a Scale: strict decoding error: unknown field'
          ' "spec.replica"'),
        id="scale",
    ),
    pytest.param(
        *("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", JSON, b'{"spec":{"audience":[]}}'),
        ['unknown field "spec.audience"'],
        *(400, 'TokenRequest in version "v1" cannot be handled as a TokenRequest: strict decoding error: unknown field'
          ' "spec.audience"'),
        id="token",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "media", "body", "warnings", "code", "message"), BODIES)
def test_what_is_wrong_with_fields_is_dropped_told_or_refused(
    server: Server, method: str, path: str, media: str, body: bytes, warnings: list[str], code: int, message: str
) -> None:
    async def test(api: Api) -> None:
        async def send(validation: str) -> Answer:
            return await api(method, f"{path}{'&' if '?' in path else '?'}dryRun=All{validation}", body, media)

        refused = await send("&fieldValidation=Strict")
        assert (refused.code, refused.message[-len(message) :]) == (code, message)
        assert plain(refused) == []
        told = await send("")
        assert told.code in (200, 201) and plain(told) == warnings
        assert plain(await send("&fieldValidation=Warn")) == warnings
        dropped = await send("&fieldValidation=Ignore")
        assert dropped.code in (200, 201) and plain(dropped) == []

    server.run(test)


def test_a_strict_patch_is_quoted_as_the_document_or_as_the_patch(server: Server) -> None:
    async def test(api: Api) -> None:
        merged = await api("PATCH", PATCHED, {"spec": {"replicas": "x"}}, MERGE)
        assert merged.code == 422
        cause = merged.body["details"]["causes"][0]
        assert (cause["reason"], cause["field"]) == ("FieldValueInvalid", "patch")
        assert merged.message.startswith(' "" is invalid: patch: Invalid value: "{\\"kind\\":\\"Deployment\\"')
        assert merged.message.endswith(
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
        )

    server.run(test)


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"spec": {"replicas": "x"}}, "unrecognized type: int32"),
        ({"spec": {"paused": 1}}, "unrecognized type: bool"),
        ({"metadata": {"labels": {"a": 1}}}, "cannot convert int64 to string"),
        ({"metadata": {"labels": ["a"]}}, "cannot restore map from slice"),
        ({"spec": {"template": {"spec": {"containers": {}}}}}, "cannot restore slice from map"),
        ({"spec": {"template": "x"}}, "cannot restore struct from: string"),
    ],
)
def test_what_a_strategic_merge_makes_of_the_wrong_type_is_refused(server: Server, patch: Any, message: str) -> None:
    async def test(api: Api) -> None:
        before = (await api("GET", PATCHED)).body
        answer = await api("PATCH", PATCHED, patch, STRATEGIC)
        assert (answer.code, answer.body["reason"]) == (422, "Invalid")
        assert answer.message.startswith(' "" is invalid: patch: Invalid value: "map[') and message in answer.message
        assert (await api("GET", PATCHED)).body == before

    server.run(test)


def test_a_strategic_merge_leaves_the_kind_alone_and_other_patches_may_not_change_it(server: Server) -> None:
    async def test(api: Api) -> None:
        patch = {"kind": "Job", "apiVersion": "v9"}
        assert (await api("PATCH", PATCHED, patch, STRATEGIC)).body["kind"] == "Deployment"
        refused = await api("PATCH", PATCHED, patch, MERGE)
        assert refused.code == 422
        assert 'no kind "Job" is registered for version "v9" in scheme' in refused.message

    server.run(test)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({"kind": "Foo"}, 'Foo in version "v1" cannot be handled as a ConfigMap: no kind "Foo" is registered for'
         ' version "v1" in scheme "pkg/api/legacyscheme/scheme.go:30"'),
        ({"apiVersion": "apps/v1", "kind": "Deployment"}, 'Deployment in version "v1" cannot be handled as a'
         " ConfigMap: converting (v1.Deployment) to (core.ConfigMap): unknown conversion"),
        ({"kind": 1}, "couldn't get version/kind; json parse error: json: cannot unmarshal number into Go struct field"
         " .kind of type string"),
    ],
)  # fmt: skip
def test_an_object_of_another_kind_is_refused_with_upstreams_words(server: Server, head: Any, message: str) -> None:
    async def test(api: Api) -> None:
        answer = await api("POST", MAPS, {**head, "metadata": {"name": "other"}})
        assert (answer.code, answer.message) == (400, message)

    server.run(test)


def test_many_warnings_are_cut(server: Server) -> None:
    async def test(api: Api) -> None:
        body = {"metadata": {"name": "many"}, **{f"{'x' * 300}{n}": 1 for n in range(60)}}
        answer = await api("POST", MAPS + "?dryRun=All", body)
        assert answer.code == 201
        assert [len(text) for text in plain(answer)] == [256] * 16

    server.run(test)


@pytest.mark.parametrize(
    "body",
    [
        b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
            b"%c: &%c [%s]\n" % (96 + n, 96 + n, b",".join([b"*%c" % (95 + n)] * 9)) for n in range(2, 12)
        ),
        b"&a [*a]",
        b"[" * 5000,
        b"{a: " * 5000,
        b'{"a":' * 5000,
    ],
)  # fmt: skip
def test_no_yaml_laughs_a_billion_times(server: Server, body: bytes) -> None:
    async def test(api: Api) -> None:
        for path, method, media in ((MAPS, "POST", YAML), (MAPS + "/x?fieldManager=m", "PATCH", APPLY)):
            assert (await api(method, path, body, media)).code == 400
        assert (await api("POST", MAPS, orjson.dumps({"metadata": {"name": "big", "annotations": {}}}))).code == 201
        assert (await api("DELETE", MAPS + "/big")).code == 200

    server.run(test)
