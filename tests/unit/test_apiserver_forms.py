"""In which form an answer comes: what Accept asks for, Tables, metadata alone, YAML, pretty, gzip; what is refused."""

import gzip
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import yaml
from apiserver_harness import TABLE, Api, Server, running

from knet.apiserver.negotiation import Form, form_of
from knet.apiserver.status import StatusError

MAPS = "/api/v1/namespaces/default/configmaps"
ONE = f"{MAPS}/shown"
JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
META = "g=meta.k8s.io;v=v1"
PARTIAL, PARTIALS = (f"{JSON};as=PartialObjectMetadata{suffix};{META}" for suffix in ("", "List"))
REFUSED = "only the following media types are accepted: application/json, application/yaml"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    async def fill(api: Api) -> None:
        await api("POST", MAPS, {"metadata": {"name": "shown"}, "data": {"a": "1"}})

    with running(tmp_path_factory.mktemp("apiserver")) as found:
        found.run(fill)
        yield found


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", Form()),
        ("*/*", Form()),
        ("*", Form()),
        ("application/*", Form()),
        (JSON, Form()),
        (f"{JSON};charset=utf-8", Form()),
        (f"{JSON};stream=watch", Form()),
        (f"{JSON};pretty=1", Form(pretty=True)),
        (YAML, Form(yaml=True)),
        (f"text/html,{YAML}", Form(yaml=True)),
        (f"{PROTOBUF},{JSON}", Form()),
        (f"{PROTOBUF}, */*", Form()),
        # the best wins, and among equals what is said exactly, and first
        (f"{JSON};q=0.5,{YAML}", Form(yaml=True)),
        (f"{JSON};q=0.5,{YAML};q=0.4", Form()),
        (f"*/*,{YAML}", Form(yaml=True)),
        (f"{YAML},{JSON}", Form(yaml=True)),
        (f"{JSON};q=nonsense,{YAML}", Form()),
        # shapes
        (TABLE, Form("Table")),
        (f"{JSON};as=Table;g=meta.k8s.io;v=v1beta1", Form("Table", version="v1beta1")),
        (f"{YAML};as=Table;{META}", Form("Table", yaml=True)),
        (PARTIAL, Form("PartialObjectMetadata")),
        (f"{JSON};as=Table;g=meta.k8s.io;v=v2,{PARTIALS}", Form("PartialObjectMetadataList")),
        (f"{JSON};as=Picture;{META},{JSON}", Form()),
    ],
)
def test_what_an_accept_header_gets(accept: str, form: Form) -> None:
    assert form_of(accept) == form


@pytest.mark.parametrize(
    "accept",
    [PROTOBUF, "text/html", f"{JSON};as=Picture;{META}", f"{JSON};as=Table", f"{JSON};stream=other", "nonsense", ";;,"],
)
def test_what_cannot_be_had_is_refused(accept: str) -> None:
    with pytest.raises(StatusError) as refusal:
        form_of(accept)
    assert (refusal.value.code, refusal.value.reason, refusal.value.message) == (406, "NotAcceptable", REFUSED)


@pytest.mark.parametrize(
    ("path", "accept", "message"),
    [
        (MAPS, PROTOBUF, REFUSED),
        (MAPS, PARTIAL,
         "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)"),
        (ONE, PARTIALS,
         "you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)"),
        ("/apis/rbac.authorization.k8s.io/v1/roles", PARTIAL,
         "you requested PartialObjectMetadata, but the requested object is a list (*rbac.RoleList)"),
    ],
)  # fmt: skip
def test_shapes_that_do_not_fit(server: Server, path: str, accept: str, message: str) -> None:
    async def test(api: Api) -> None:
        answer = await api("GET", path, Accept=accept)
        assert (answer.code, answer.body["reason"], answer.message) == (406, "NotAcceptable", message)

    server.run(test)


@pytest.mark.parametrize(
    ("include", "kind"),
    [("", "PartialObjectMetadata"), ("Metadata", "PartialObjectMetadata"), ("Object", "ConfigMap"), ("None", None)],
)
def test_how_much_of_its_object_a_row_has(server: Server, include: str, kind: str | None) -> None:
    async def test(api: Api) -> None:
        for path in (ONE, MAPS):
            table = (await api("GET", f"{path}?includeObject={include}", Accept=TABLE)).body
            assert table["metadata"]["resourceVersion"]
            row = next(row for row in table["rows"] if row["cells"][0] == "shown")
            assert (row["object"] or {}).get("kind") == kind
            wrong = await api("GET", f"{path}?includeObject=All", Accept=TABLE)
            assert (wrong.code, wrong.message) == (
                400,
                "Unable to convert to Table as requested: includeObject: Invalid value: "
                "\"All\": must be 'Metadata', 'Object', 'None', or empty",
            )
            assert (await api("GET", f"{path}?includeObject=All")).code == 200

    server.run(test)


def test_pages_of_tables_and_of_metadata_have_tokens(server: Server) -> None:
    async def test(api: Api) -> None:
        for accept, rows in ((TABLE, "rows"), (PARTIALS, "items")):
            page = (await api("GET", "/api/v1/namespaces?limit=1", Accept=accept)).body
            assert len(page[rows]) == 1
            metadata = page["metadata"]
            assert metadata["remainingItemCount"] >= 3
            again = (
                await api("GET", f"/api/v1/namespaces?limit=1&continue={metadata['continue']}", Accept=accept)
            ).body
            assert again["metadata"]["resourceVersion"] == metadata["resourceVersion"]

    server.run(test)


async def raw(api: Api, path: str, method: str = "GET", **headers: str) -> tuple[int, str, bytes, Any]:
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    async with api.session.request(method, api.url + path, headers=sent, auto_decompress=False) as response:
        return response.status, response.content_type, await response.read(), response.headers


def test_yaml_says_the_same_also_of_errors(server: Server) -> None:
    async def test(api: Api) -> None:
        for path in (ONE, MAPS, f"{MAPS}/nobody", "/api/v1/nothings", "/apis", "/api/v1"):
            plain = await api("GET", path)
            code, media, body, _ = await raw(api, path, Accept=YAML)
            assert (code, media, yaml.safe_load(body)) == (plain.code, YAML, yaml.safe_load(yaml.safe_dump(plain.body)))

    server.run(test)


def test_what_people_look_at_is_indented(server: Server) -> None:
    async def test(api: Api) -> None:
        for path in (ONE, MAPS, f"{MAPS}/nobody", "/apis"):
            body = orjson.loads((await raw(api, path))[2])
            indented = orjson.dumps(body, option=orjson.OPT_INDENT_2)
            for query, headers, pretty in (
                ("", {}, False),
                ("?pretty=true", {}, True),
                ("?pretty=1", {}, True),
                ("?pretty=false", {"User_Agent": "curl/8.5.0"}, False),
                ("", {"User_Agent": "curl/8.5.0"}, True),
                ("", {"User_Agent": "Wget/1.21"}, True),
                ("", {"User_Agent": "Mozilla/5.0 (X11)"}, True),
                ("", {"User_Agent": "kubectl/v1.32.0"}, False),
                ("", {"Accept": f"{JSON};pretty=1"}, True),
            ):
                _, media, found, _ = await raw(api, path + query, **headers)
                assert media == JSON
                assert (found == indented) is pretty, (path, query, headers)
                assert orjson.loads(found) == body

    server.run(test)


def test_large_answers_are_compressed_for_those_who_take_it(server: Server) -> None:
    async def test(api: Api) -> None:
        await api("POST", MAPS, {"metadata": {"name": "large"}, "data": {"a": "x" * 200_000}})
        for path in (MAPS, f"{MAPS}/large"):
            _, _, plain, headers = await raw(api, path, Accept_Encoding="identity")
            assert "Content-Encoding" not in headers
            _, _, packed, headers = await raw(api, path, Accept_Encoding="gzip")
            assert headers["Content-Encoding"] == "gzip"
            assert gzip.decompress(packed) == plain
        assert "Content-Encoding" not in (await raw(api, ONE, Accept_Encoding="gzip"))[3]

    server.run(test)


@pytest.mark.parametrize(
    ("method", "path", "code", "text"),
    [
        # nothing is served there: Go's multiplexer; below a group version: a Status
        ("GET", "/nothing", 404, "404 page not found\n"),
        ("GET", "/apis/no.group/v1/things", 404, "404 page not found\n"),
        ("GET", "/api/v2/pods", 404, "404 page not found\n"),
        ("GET", "/api/v1/nothings", 404, "the server could not find the requested resource"),
        ("GET", f"{ONE}/nothing", 404, "the server could not find the requested resource"),
        ("POST", "/apis/apps/v1/nothings", 404, "the server could not find the requested resource"),
        ("GET", f"{MAPS}/nobody", 404, 'configmaps "nobody" not found'),
        ("GET", "/apis/apps/v1/namespaces/default/deployments/nobody", 404, 'deployments.apps "nobody" not found'),
        # methods
        *(
            (method, path, 405, "the server does not allow this method on the requested resource")
            for method, path in (
                ("HEAD", MAPS), ("HEAD", ONE), ("OPTIONS", MAPS), ("TRACE", ONE), ("PROPFIND", ONE), ("PUT", MAPS),
                ("PATCH", MAPS), ("POST", ONE), ("POST", "/api/v1/configmaps"), ("DELETE", "/api/v1/configmaps"),
                ("POST", "/api/v1"), ("DELETE", "/apis"), ("PUT", "/version"),
            )
        ),
    ],
)  # fmt: skip
def test_paths_and_methods_that_there_are_not(server: Server, method: str, path: str, code: int, text: str) -> None:
    async def test(api: Api) -> None:
        status, media, body, _ = await raw(api, path, method)
        if method == "HEAD":
            assert (status, body) == (code, b"")
        elif media == "text/plain":
            assert (status, body.decode()) == (code, text)
        else:
            value = orjson.loads(body)
            assert (status, value["code"], value["message"]) == (code, code, text)
            assert value["reason"] == {404: "NotFound", 405: "MethodNotAllowed"}[code]

    server.run(test)
