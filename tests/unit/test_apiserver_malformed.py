"""Whatever arrives, the answer is a Status with a 4xx code, and stored data stay as they are."""

import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import orjson
import pytest
from apiserver_harness import JSON_PATCH, MERGE, STRATEGIC, TABLE, Api, Server, deployment, pod, running
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from knet.api.resources import RESOURCES, Resource
from knet.api.schema import Either, ListOf, MapOf, Scalar, Struct, Type, schema_of
from knet.apiserver.kinds import schema_kinds

SCHEMA = schema_of(schema_kinds())

PATHS = {
    "Pod": "/api/v1/namespaces/default/pods",
    "Deployment": "/apis/apps/v1/namespaces/default/deployments",
    "Service": "/api/v1/namespaces/default/services",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
    "Node": "/api/v1/nodes",
    "Secret": "/api/v1/namespaces/default/secrets",
    "Event": "/api/v1/namespaces/default/events",
    "Lease": "/apis/coordination.k8s.io/v1/namespaces/default/leases",
    "Endpoints": "/api/v1/namespaces/default/endpoints",
    "ControllerRevision": "/apis/apps/v1/namespaces/default/controllerrevisions",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("apiserver")) as found:
        yield found


_WORDS = """metadata spec status name labels annotations generateName finalizers ownerReferences resourceVersion uid
    containers image ports containerPort protocol env value valueFrom resources requests limits cpu volumes emptyDir
    volumeMounts mountPath readinessProbe httpGet port path exec command replicas selector matchLabels matchExpressions
    key operator values template strategy type rollingUpdate maxSurge maxUnavailable clusterIP clusterIPs nodePort
    targetPort sessionAffinity externalName addressType endpoints addresses conditions taints effect podCIDR podCIDRs
    data stringData immutable involvedObject namespace leaseDurationSeconds subsets ip tolerations affinity revision
    nodeAffinity requiredDuringSchedulingIgnoredDuringExecution nodeSelectorTerms hostPort initContainers"""
_KEYS = st.sampled_from(_WORDS.split())
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.sampled_from(
        ["", "a", "10.96.0.9", "None", "25%", "x%", "1Gi", "0", "-1", "In", "NodePort", "ExternalName", "é\x00"]
    )
)
_VALUES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=5), max_leaves=30
)


def _encodable(value: Any) -> bytes | None:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return None


_EXAMPLES = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))


@_EXAMPLES
@given(values=st.lists(st.dictionaries(_KEYS, _VALUES, max_size=5), min_size=20, max_size=20))
def test_no_body_makes_the_server_fail(server: Server, values: list[Any]) -> None:
    bodies = [text for value in values if (text := _encodable({"metadata": {"name": "fuzz"}, **value}))]

    async def test(api: Api) -> None:
        for body in bodies:
            for path in PATHS.values():
                answer = await api("POST", path + "?dryRun=All", body)
                assert answer.code < 500, (path, body, answer.body)

    server.run(test)


_TEXTS = (
    "",
    "a",
    "A b",
    "10.96.0.9",
    "10.0.0.1",
    "None",
    "x" * 300,
    "é",
    "NodePort",
    "ExternalName",
    "Always",
    "-",
    "1",
)
_QUANTITIES = ("0", "1", "100m", "-1", "1Gi", "1e3", "0.1n", "12E")


def of_type(type_: Type, random: Random, depth: int = 0) -> Any:
    """A value whose types are right and whose content is odd: it passes decoding and meets defaults and validation."""
    if isinstance(type_, Struct):
        share = 0.8 if depth < 2 else 0.25
        names = [name for name in type_.fields if random.random() < share and depth < 9]
        return {name: of_type(type_.fields[name], random, depth + 1) for name in names}
    if isinstance(type_, Either):
        return of_type(random.choice((type_.struct, type_.others)), random, depth + 1)
    if isinstance(type_, ListOf):
        return [of_type(type_.item, random, depth + 1) for _ in range(random.choice((0, 1, 1, 2)))]
    if isinstance(type_, MapOf):
        return {random.choice(("a", "cpu", "", "a b")): of_type(type_.value, random, depth + 1)}
    assert isinstance(type_, Scalar)
    choices: dict[str, tuple[Any, ...]] = {
        "string": _TEXTS,
        "bool": (True, False),
        "int32": (0, 1, -1, 80, 70000, 2**31 - 1),
        "int64": (0, 1, -1, 2**63 - 1),
        "float64": (0, 1.5),
        "[]uint8": ("", "YQ=="),
        "v1.Time": ("2024-01-01T00:00:00Z",),
        "resource.Quantity": _QUANTITIES,
        "intstr.IntOrString": (0, 1, -1, "25%", "200%", "http", "", "x"),
        "interface {}": ({}, {"a": 1}),
    }
    return random.choice(choices[type_.go_type])


@pytest.mark.parametrize("seed", range(8))
def test_no_content_of_the_right_types_makes_the_server_fail(server: Server, seed: int) -> None:
    random = Random(seed)

    async def test(api: Api) -> None:
        for row in RESOURCES:
            for _ in range(6):
                value = of_type(SCHEMA.type_of(row.group, row.version, row.kind), random)
                value.pop("apiVersion", None)
                value.pop("kind", None)
                name = f"n{random.randrange(10**9)}"
                value["metadata"] = {"name": name, "labels": {"a": "b"}}
                answer = await api("POST", row.path("default"), value)
                assert answer.code < 500, (row.kind, value, answer.body)
                if answer.code == 201 and "get" in row.verbs:
                    await changed_and_read(api, row, name)

    server.run(test)


async def changed_and_read(api: Api, row: Resource, name: str) -> None:
    """What could be created can be printed, given an odd status, and deleted."""
    path = row.path("default", name)
    status = of_type(SCHEMA.type_of(row.group, row.version, row.kind), Random(name)).get("status", {})
    if "status" in row.subresources:
        answer = await api("PATCH", path + "/status", {"status": status}, MERGE)
        assert answer.code < 500, (row.kind, status, answer.body)
    for accept in (TABLE, "application/yaml", "application/json"):
        answer = await api("GET", path, Accept=accept)
        assert answer.code == 200, (row.kind, answer.body)
    assert (await api("DELETE", path, {"gracePeriodSeconds": 0})).code == 200


@_EXAMPLES
@given(values=st.lists(_VALUES, min_size=20, max_size=20))
def test_no_patch_makes_the_server_fail(server: Server, values: list[Any]) -> None:
    patches = [text for value in values if (text := _encodable(value))]

    async def test(api: Api) -> None:
        await api("POST", PATHS["Pod"], pod("target"))
        await api("POST", PATHS["Deployment"], deployment("target"))
        before = [(await api("GET", PATHS[kind] + "/target")).body for kind in ("Pod", "Deployment")]
        for body in patches:
            for kind in ("Pod", "Deployment"):
                for media in (MERGE, STRATEGIC, JSON_PATCH):
                    for part in ("", "/status"):
                        answer = await api("PATCH", f"{PATHS[kind]}/target{part}?dryRun=All", body, media)
                        assert answer.code < 500, (kind, media, body, answer.body)
        assert [(await api("GET", PATHS[kind] + "/target")).body for kind in ("Pod", "Deployment")] == before

    server.run(test)


@pytest.mark.parametrize(
    "query",
    [
        "labelSelector=%2C%2C", "labelSelector=a+in", "labelSelector=%00", "fieldSelector=a", "fieldSelector=%3D%3D",
        "limit=-1", "limit=1e9", "continue=AAAA", "continue=eyJ2IjoxfQ", "resourceVersion=-1", "resourceVersion=0x1",
        "timeoutSeconds=soon&watch=1", "resourceVersionMatch=Perhaps",
        "sendInitialEvents=true", "%ff=%fe", "includeObject=Everything",
    ],
)  # fmt: skip
def test_no_query_makes_the_server_fail(server: Server, query: str) -> None:
    async def test(api: Api) -> None:
        answer = await api("GET", f"{PATHS['Pod']}?{query}")
        assert answer.code < 500 or answer.body["reason"] == "Timeout", answer

    server.run(test)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", 400),
        (b"null", 400),
        (b"\xff\xfe", 400),
        (b'{"metadata":' + b"[" * 900 + b"]" * 900 + b"}", 400),
        (b'{"metadata":{"annotations":' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}}", 400),
        (b"[" * 5000, 400),
        (b'{"data":{"a":"' + b"x" * (3 << 20) + b'"}}', 413),
        (b'{"metadata":{"name":"big"},"data":{"a":"' + b"x" * (2 << 20) + b'"}}', 422),
    ],
)
def test_extreme_bodies_are_refused(server: Server, body: bytes, code: int) -> None:
    async def test(api: Api) -> None:
        assert (await api("POST", "/api/v1/namespaces/default/configmaps", body)).code == code
        assert (await api("GET", "/readyz")).code == 200

    server.run(test)


@pytest.mark.parametrize("query", ["", "?dryRun=bad"])  # the body is read; nobody reads it
@pytest.mark.parametrize("size", [60_000, 70_000, 200_000])
def test_a_connection_goes_on_after_a_large_body(server: Server, size: int, query: str) -> None:
    connection = http.client.HTTPSConnection(server.url.removeprefix("https://"), context=server.tls(), timeout=20)
    for _ in range(2):
        connection.request("POST", f"{PATHS['Pod']}{query}", b"x" * size)
        answer = connection.getresponse()
        assert answer.status in (400, 422) and answer.read()
        connection.request("GET", "/readyz")
        assert connection.getresponse().read() == b"ok"
    connection.close()


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


@pytest.mark.parametrize("levels", [300, 900])
def test_an_object_is_not_nested_without_end(server: Server, levels: int) -> None:
    async def test(api: Api) -> None:
        path = PATHS["ControllerRevision"]
        for query in ("", "?dryRun=All"):
            body = b'{"metadata":{"name":"deep"},"revision":1,"data":%b}' % nested(levels)
            answer = await api("POST", path + query, body)
            assert (answer.code, answer.message) == (400, "the object is nested too deeply")
        assert (await api("POST", path, {"metadata": {"name": "deep"}, "revision": 1, "data": {}})).code == 201
        for media, patch in (
            (MERGE, b'{"metadata":{"annotations":%b}}' % nested(levels)),
            (JSON_PATCH, b'[{"op":"add","path":"/metadata/annotations","value":%b}]' % nested(levels)),
            (STRATEGIC, b'{"metadata":{"annotations":%b}}' % nested(levels)),
        ):
            assert (await api("PATCH", f"{path}/deep", patch, media)).code in (400, 422)
        assert (await api("DELETE", f"{path}/deep")).code == 200

    server.run(test)


@contextmanager
def dialled(server: Server) -> Iterator[ssl.SSLSocket]:
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    with (
        socket.create_connection(address, 20) as plain,
        server.tls().wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        yield connection


_POST = b"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
_CHUNKED = _POST + b"Transfer-Encoding: chunked\r\n\r\n"
_LIMIT = "Request entity too large: limit is 3145728"


@pytest.mark.parametrize(
    ("data", "code", "reason", "message"),
    [
        (_POST + b"Content-Length: 3145729\r\n\r\n", 413, "RequestEntityTooLarge", _LIMIT),
        (_CHUNKED + b"100000\r\n%b\r\n" % (b"x" * (1 << 20)) * 4, 413, "RequestEntityTooLarge", _LIMIT),
        (_CHUNKED + b"2\r\n{}x\r\n", 400, "BadRequest", ""),
        (_CHUNKED + b"2\r\n{}\r\n0\r\n\r\n", 422, "Invalid", ""),
    ],
)
def test_badly_framed_and_endless_bodies_get_a_status(
    server: Server, data: bytes, code: int, reason: str, message: str
) -> None:
    with dialled(server) as connection:
        connection.sendall(data)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        status = orjson.loads(answer.read())
    assert (answer.status, status["kind"], status["reason"]) == (code, "Status", reason)
    assert message in status["message"]


def test_half_a_body_stores_nothing(server: Server) -> None:
    body = orjson.dumps({"metadata": {"name": "half"}})
    with dialled(server) as connection:
        connection.sendall(_POST + b"Content-Length: %d\r\n\r\n" % (len(body) + 1) + body)

    async def test(api: Api) -> None:
        assert (await api("GET", "/api/v1/namespaces/default/configmaps/half")).code == 404

    server.run(test)


@pytest.mark.parametrize(
    "body", [b"", b"k8s\x00", b"k8s\x00\xff\xff", b"k8s\x00\x0a\x02\x0a\x05", b"k8s\x00\x12\x03\x0a\x01\x05", b"{}"]
)
def test_broken_protobuf_is_a_bad_request(server: Server, body: bytes) -> None:
    async def test(api: Api) -> None:
        answer = await api("POST", PATHS["Pod"], body, "application/vnd.kubernetes.protobuf")
        assert answer.code in (400, 422)

    server.run(test)


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("TRACE", "/api/v1/pods", 405),
        ("POST", "/api/v1/namespaces/default/pods/a", 405),
        ("PATCH", "/api/v1/namespaces/default/pods", 405),
        ("POST", "/api", 405),
        ("GET", "/api/v1//pods", 404),
        ("GET", "/api/v2/pods", 404),
        ("GET", "/apis/apps/v1/namespaces/default/deployments/a/b/c", 404),
        ("GET", "/api/v1/namespaces/default/pods/a%2Fb", 404),
        ("GET", "/../etc/passwd", 404),
    ],
)
def test_odd_paths_and_methods_are_refused(server: Server, method: str, path: str, code: int) -> None:
    async def test(api: Api) -> None:
        answer = await api(method, path)
        assert answer.code == code

    server.run(test)
