"""Whatever arrives: the parts of requests that no document describes, made up by hypothesis or known to be hostile.

Every refusal is a Status with a 4xx code, comes at once, and leaves the store at the revision where it was.
``KNET_FUZZ`` multiplies what is made up; scripts/soak sets it.
"""

import os
import string
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import orjson
import pytest
import yaml
from apiserver_harness import JSON_PATCH, MERGE, STRATEGIC, Answer, Api, Server, deployment, pod, running
from custom_harness import cron_tab, define, definition, path
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

JSON = "application/json"
YAML = "application/yaml"
APPLY = "application/apply-patch+yaml"
MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
TARGETS = (f"{PODS}/target", f"{DEPLOYMENTS}/target", f"{MAPS}/target", path("crontabs", "target"))

_AMOUNT = int(os.environ.get("KNET_FUZZ", "1"))
_MANY = settings(
    max_examples=8 * _AMOUNT, deadline=None, derandomize=_AMOUNT == 1, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    async def prepare(api: Api) -> None:
        await define(api, definition("crontabs", "CronTab"))
        made = [
            await api("POST", PODS, pod("target")),
            await api("POST", DEPLOYMENTS, deployment("target")),
            await api("POST", MAPS, {"metadata": {"name": "target"}, "data": {"a": "b"}}),
            await api("POST", path("crontabs"), cron_tab("CronTab", "target")),
        ]
        assert [answer.code for answer in made] == [201] * 4

    with running(tmp_path_factory.mktemp("requests")) as found:
        found.run(prepare)
        yield found


async def revision(api: Api) -> str:
    """The store's revision; "" for those who may not ask."""
    listing = (await api("GET", f"{MAPS}?limit=1")).body
    return str(listing["metadata"].get("resourceVersion", ""))


async def sent(api: Api, method: str, where: str, body: Any = None, kind: str = JSON, **headers: str) -> Answer:
    """The answer, which is no failure of the server's, and has changed nothing if it is a refusal or of a dry run."""
    before = await revision(api)
    answer = await api(method, where, body, kind, **headers)
    told = (method, where, kind, body, headers, answer)
    assert answer.code < 500, told
    if answer.code >= 400:
        assert answer.body["kind"] == "Status" and answer.body["status"] == "Failure", told
        assert (answer.body["code"], bool(answer.body["reason"])) == (answer.code, True), told
    if answer.code >= 400 or "dryRun=All" in where:
        assert await revision(api) == before, told
    return answer


# ---- known to be hostile ---------------------------------------------------------------------------------------

_LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
_NUMBER = b'{"metadata":{"name":"x","generation":%b}}'
_CPU = b'{"metadata":{"name":"x"},"spec":{"containers":[{"name":"a","image":"b","resources":{"limits":{"cpu":%b}}}]}}'
#: what it is → where to, media type, body, code, a part of the message
HOSTILE: dict[str, tuple[str, str, bytes, int, str]] = {
    "a billion laughs": (MAPS, YAML, _LAUGHS.encode(), 400, "yaml: document contains excessive aliasing"),
    "an alias of itself": (MAPS, YAML, b"a: &a {b: *a}", 400, "error converting YAML to JSON"),
    "deep flow YAML": (MAPS, YAML, b"[" * 5000, 400, "error converting YAML to JSON"),
    "deep block YAML": (MAPS, YAML, b"".join(b" " * n + b"a:\n" for n in range(1500)), 400, "YAML"),
    "a foreign tag": (MAPS, YAML, b"a: !!python/object:os.system x", 400, "error converting YAML to JSON"),
    "two documents": (MAPS, YAML, b"a: 1\n---\nb: 2\n", 400, "error converting YAML to JSON"),
    "YAML with NaN": (MAPS, YAML, b"metadata: {name: x, generation: .nan}", 400, "json: unsupported value: NaN"),
    "a tab in YAML": (MAPS, YAML, b"metadata:\n\tname: x", 400, "error converting YAML to JSON"),
    "deep JSON": (MAPS, JSON, b'{"data":' + b"[" * 100_000, 400, "the object provided is unrecognized"),
    "NaN": (MAPS, JSON, _NUMBER % b"NaN", 400, "the object provided is unrecognized"),
    "infinity": (MAPS, JSON, _NUMBER % b"1e400", 400, "the object provided is unrecognized"),
    "a float for an int": (MAPS, JSON, _NUMBER % b"1.5", 400, "cannot unmarshal number 1.5 into Go struct field"),
    "more than 64 bits": (
        MAPS,
        JSON,
        _NUMBER % (b"9" * 30),
        400,
        "into Go struct field ObjectMeta.metadata.generation",
    ),
    "invalid UTF-8": (MAPS, JSON, b'{"metadata":{"name":"\xff\xfe"}}', 400, "the object provided is unrecognized"),
    "half a surrogate": (MAPS, JSON, b'{"metadata":{"name":"\\ud800"}}', 400, "the object provided is unrecognized"),
    "NUL in a name": (MAPS, JSON, b'{"metadata":{"name":"a\\u0000"}}', 422, "a lowercase RFC 1123 subdomain must"),
    "two values": (MAPS, JSON, b"{} {}", 400, "the object provided is unrecognized"),
    "an array": (MAPS, JSON, b"[]", 400, "cannot unmarshal array into Go value of type struct"),
    "a number": (MAPS, JSON, b"7", 400, "cannot unmarshal number into Go value of type struct"),
    "a boolean": (MAPS, JSON, b"true", 400, "cannot unmarshal bool into Go value of type struct"),
    "3 MiB and more": (MAPS, JSON, b'{"data":{"a":"' + b"x" * (3 << 20) + b'"}}', 413, "Request entity too large"),
    "a foreign media type": (MAPS, "text/html", b"{}", 415, "the body of the request was in an unknown format"),
    "no quantity": (PODS, JSON, _CPU % b'"1 CPU"', 400, "quantities must match the regular expression"),
    "no such day": (
        "/apis/coordination.k8s.io/v1/namespaces/default/leases",
        JSON,
        b'{"metadata":{"name":"x"},"spec":{"renewTime":"2023-02-29T00:00:00.000000Z"}}',
        400,
        'parsing time "2023-02-29T00:00:00.000000Z": day out of range',
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_bodies_are_refused(server: Server, what: str) -> None:
    where, kind, body, code, words = HOSTILE[what]

    async def test(api: Api) -> None:
        answer = await sent(api, "POST", where, body, kind)
        assert answer.code == code and words in answer.message, answer

    server.run(test)


def _twice(key: str) -> str:
    return f'"{key}":1,"{key}":2'


_OWNER = {"apiVersion": "v1", "kind": "Node", "name": "n"}
#: what takes ages if it is compared each with each: a body, the code, a part of the message
LARGE: dict[str, tuple[str, int, str]] = {
    "unknown fields, all twice": (
        f'{{"metadata":{{"name":"x"}},{",".join(_twice(f"k{n}") for n in range(60_000))}}}',
        400, 'strict decoding error: duplicate field "k0", unknown field "k0", duplicate field "k1"',
    ),
    "owners": (
        orjson.dumps({"metadata": {
            "name": "a_b", "ownerReferences": [{**_OWNER, "uid": f"{n}"} for n in range(30_000)]
        }}).decode(), 422, "a lowercase RFC 1123 subdomain must",
    ),
    "finalizers": (
        orjson.dumps({"metadata": {"name": "a_b", "finalizers": [f"a/{n}" for n in range(80_000)]}}).decode(),
        422, "a lowercase RFC 1123 subdomain must",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", LARGE)
def test_large_bodies_are_refused_in_linear_time(server: Server, what: str) -> None:
    body, code, words = LARGE[what]

    async def test(api: Api) -> None:
        answer = await sent(api, "POST", f"{MAPS}?fieldValidation=Strict", body.encode())
        assert answer.code == code and words in answer.message and len(answer.message) < 10_000

    server.run(test)


@pytest.mark.parametrize("kind", [YAML, APPLY])
def test_long_yaml_is_read_beside_other_requests(server: Server, kind: str) -> None:
    lines = "".join(f"  k{number}: v\n" for number in range(5_000))
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: long}}\ndata:\n{lines}"

    async def test(api: Api) -> None:
        where = f"{MAPS}?dryRun=All" if kind == YAML else f"{MAPS}/long?fieldManager=x&dryRun=All"
        answer = await sent(api, "POST" if kind == YAML else "PATCH", where, text.encode(), kind)
        assert answer.code == 201 and len(answer.body["data"]) == 5_000
        broken = await sent(api, "POST", MAPS, text.encode() + b"[", YAML)
        assert broken.code == 400 and "error converting YAML to JSON" in broken.message

    server.run(test)


@pytest.mark.parametrize("text", ["1e999999999", "-1e999999999", "1e-999999999", "9" * 100_000, "9" * 400 + "Ei"])
def test_quantities_of_any_size_are_read(server: Server, text: str) -> None:
    async def test(api: Api) -> None:
        answer = await sent(api, "POST", f"{PODS}?dryRun=All", _CPU % orjson.dumps(text))
        if answer.code == 201:
            limit = answer.body["spec"]["containers"][0]["resources"]["limits"]["cpu"]
            assert limit in ("9223372036854775807", text)

    server.run(test)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=1_0", 'strconv.ParseInt: parsing "1_0": invalid syntax'),
        ("limit=%D9%A3", 'strconv.ParseInt: parsing "٣": invalid syntax'),
        ("limit=9223372036854775808", "value out of range"),
        (f"timeoutSeconds={'9' * 5000}", "value out of range"),
        (f"resourceVersion={'9' * 5000}", "value out of range"),
        ("labelSelector=" + "a," * 100_000, "identifier after"),
        ("labelSelector=" + "a(" * 100_000, "unable to parse requirement"),
        ("labelSelector=a" + "+" * 100_000 + "b", "unable to parse requirement"),
        ("fieldSelector=" + "a," * 100_000, "invalid selector"),
    ],
)
def test_queries_are_read_as_go_reads_them_and_at_once(server: Server, query: str, message: str) -> None:
    async def test(api: Api) -> None:
        answer = await sent(api, "GET", f"{PODS}?{query}")
        assert answer.code == 400 and message in answer.message, answer.message[:200]

    server.run(test)


@pytest.mark.parametrize(
    "where",
    [
        f"portforward?ports={'9' * 30}", f"portforward?ports={'9' * 5000}", "portforward?ports=http",
        f"log?tailLines={'9' * 30}", f"log?limitBytes={'9' * 5000}", "log?sinceSeconds=%D9%A3",
    ],
)  # fmt: skip
def test_numbers_of_subresources_are_read_as_go_reads_them(server: Server, where: str) -> None:
    async def test(api: Api) -> None:
        assert (await sent(api, "GET", f"{PODS}/target/{where}")).code == 400

    server.run(test)


# ---- made up -----------------------------------------------------------------------------------------------------

_TEXT = st.text(string.printable + "é\x00\u202e😀", max_size=12)
_SELECTOR = st.lists(
    st.sampled_from(("a", "a.b/c", "spec.nodeName", "metadata.name", "=", "==", "!=", "!", ",", " ", "in", "notin"))
    | st.sampled_from(("(", ")", "(x,y)", "\\", "<", ">", "1"))
    | _TEXT,
    max_size=8,
).map("".join)
_PARAMETERS = """limit continue resourceVersion resourceVersionMatch timeoutSeconds dryRun fieldValidation fieldManager
    force propagationPolicy gracePeriodSeconds includeObject pretty orphanDependents"""
_VALUE = st.sampled_from(("", "0", "1", "-1", "true", "All", "Exact", "NotOlderThan", "Orphan")) | _TEXT
_QUERY = st.dictionaries(st.sampled_from(_PARAMETERS.split()), _VALUE, max_size=4).map(
    lambda found: "&".join(f"{key}={quote(value)}" for key, value in found.items())
)
_LEAF = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | _TEXT
_KEY = (
    st.sampled_from(("metadata", "spec", "status", "data", "containers", "template", "labels", "name", "finalizers"))
    | st.sampled_from(("$patch", "$retainKeys", "$setElementOrder/containers", "$deleteFromPrimitiveList/finalizers"))
    | st.sampled_from(("op", "path", "value", "from", "managedFields", "ownerReferences", "cronSpec", "replicas"))
    | _TEXT
)
_TREE = st.recursive(
    _LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEY, inner, max_size=4), max_leaves=12
)
_STEP = st.fixed_dictionaries(
    {"op": st.sampled_from(("add", "remove", "replace", "move", "copy", "test", "none"))},
    optional={
        "path": st.sampled_from(
            ("", "/", "/spec", "/metadata/labels", "/spec/containers/0", "/spec/containers/-", "/~")
        )
        | _TEXT,
        "from": st.sampled_from(("", "/metadata", "/spec/template")) | _TEXT,
        "value": _TREE,
    },
)
_BODY = _TREE.map(orjson.dumps) | st.binary(max_size=40) | _TEXT.map(str.encode)


def batch(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Several in one example: a session with the server costs more than a request."""
    return st.lists(strategy, min_size=12, max_size=12)


@_MANY
@given(labels=batch(_SELECTOR), fields=batch(_SELECTOR), queries=batch(_QUERY))
def test_selectors_and_parameters(server: Server, labels: list[str], fields: list[str], queries: list[str]) -> None:
    async def test(api: Api) -> None:
        for label, field, query in zip(labels, fields, queries, strict=True):
            for where in (PODS, path("crontabs")):
                for selector in (f"labelSelector={quote(label)}", f"fieldSelector={quote(field)}"):
                    answer = await api("GET", f"{where}?{selector}")
                    assert answer.code in (200, 400), (selector, answer)
                answer = await api("GET", f"{where}?{query}")
                assert answer.code < 500 or answer.body["reason"] == "Timeout", (query, answer)
                for method in ("POST", "PATCH", "DELETE"):
                    body = b"{}" if method != "DELETE" else None
                    await sent(api, method, f"{where}{'' if method == 'POST' else '/none'}?{query}", body, MERGE)

    server.run(test)


@_MANY
@given(bodies=batch(_BODY), steps=batch(st.lists(_STEP, max_size=3).map(orjson.dumps)))
def test_patches(server: Server, bodies: list[bytes], steps: list[bytes]) -> None:
    async def test(api: Api) -> None:
        for body, operations in zip(bodies, steps, strict=True):
            for where in TARGETS:
                for kind in (MERGE, STRATEGIC, JSON_PATCH, APPLY):
                    await sent(api, "PATCH", f"{where}?dryRun=All&fieldManager=fuzz&force=true", body, kind)
                await sent(api, "PATCH", f"{where}?dryRun=All", operations, JSON_PATCH)

    server.run(test)


@_MANY
@given(bodies=batch(_BODY), trees=batch(_TREE))
def test_bodies_as_json_yaml_and_protobuf(server: Server, bodies: list[bytes], trees: list[Any]) -> None:
    async def test(api: Api) -> None:
        for body, tree in zip(bodies, trees, strict=True):
            for where in (MAPS, DEPLOYMENTS, path("crontabs")):
                await sent(api, "POST", f"{where}?dryRun=All", body)
                await sent(api, "POST", f"{where}?dryRun=All", yaml.safe_dump(tree).encode(), YAML)
                await sent(api, "POST", f"{where}?dryRun=All", b"k8s\x00" + body, "application/vnd.kubernetes.protobuf")
            await sent(api, "PUT", f"{MAPS}/target?dryRun=All", body)
            await sent(api, "DELETE", f"{MAPS}/none", body)  # a body counts alone, whatever the query says

    server.run(test)


@_MANY
@given(tokens=batch(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60)))
def test_tokens(server: Server, tokens: list[str]) -> None:
    parts = "eyJhbGciOiJSUzI1NiJ9", "eyJzdWIiOiJhIn0"

    async def test(api: Api) -> None:
        for token in tokens:
            for text in (token, ".".join((*parts, token)), f"{token}.{parts[1]}.", f"{token[:6]}.{token[:16]}"):
                answer = await api("GET", MAPS, Authorization=f"Bearer {text}")
                assert (answer.code, answer.body["reason"]) == (401, "Unauthorized"), (text, answer)

    # (a wrong token is refused, and not taken for nobody's)
    server.run(test, name="")
