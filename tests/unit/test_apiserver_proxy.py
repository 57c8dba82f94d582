"""The proxy subresources: names, and requests to a port of a node; pods and Services need a kubelet (tests/node)."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import WSMsgType, web
from apiserver_harness import JSON, Api, Server, free_port, pod, running

from knet.api.resources import PODS, SERVICES
from knet.apiserver.status import StatusError
from knet.apiserver.subresources.proxy import parse

NAMESPACE = "/api/v1/namespaces/default"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("api")) as server:
        yield server


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("web", ("", "web", "")),
        ("web:80", ("", "web", "80")),
        ("web:http", ("", "web", "http")),
        ("https:web:", ("https", "web", "")),
        ("https:web:443", ("https", "web", "443")),
        (":web:8080", ("", "web", "8080")),
    ],
)
def test_a_name_may_say_scheme_and_port(text: str, expected: tuple[str, str, str]) -> None:
    assert parse(SERVICES, text) == expected


@pytest.mark.parametrize("text", ["ftp:web:21", "a:b:c:d", "https::443", "Web", ":", ""])
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(StatusError) as refused:
        parse(PODS, text)
    assert (refused.value.code, refused.value.message) == (400, f'invalid pod request "{text}"')


async def _tell(request: web.Request) -> web.StreamResponse:
    """Tells what arrived; redirects from /from; talks back on /socket."""
    if request.path == "/from":
        raise web.HTTPFound(request.query["to"])
    if request.path == "/socket":
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(f"heard {message.data}")
        return socket
    told = {
        "method": request.method,
        "path": request.raw_path,
        "body": await request.text(),
        "headers": {name.lower(): value for name, value in request.headers.items()},
    }
    return web.json_response(told, status=418 if request.method == "PUT" else 200, headers={"X-Own": "yes"})


@asynccontextmanager
async def proxied(api: Api) -> AsyncIterator[str]:
    """A program on a port of the node n1, and the path by which it is reached."""
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", _tell)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    node = {"metadata": {"name": "n1"}, "status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}}
    await api("POST", "/api/v1/nodes", node)
    try:
        yield f"/api/v1/nodes/n1:{port}/proxy"
    finally:
        await api("DELETE", "/api/v1/nodes/n1")
        await runner.cleanup()


def test_requests_and_answers_pass(server: Server) -> None:
    async def test(api: Api) -> None:
        async with proxied(api) as prefix:
            for method in ("GET", "POST", "PATCH", "DELETE", "OPTIONS"):
                body = None if method in ("GET", "OPTIONS") else {"a": 1}
                answer = await api(method, prefix + "/some/path%2Fpart/?q=1&q=%20", body, Authorization="Bearer x")
                told: JSON = answer.body
                assert (answer.code, told["method"]) == (200, method)
                assert told["path"] == "/some/path%2Fpart/?q=1&q=%20"
                assert told["body"].replace(" ", "") == ('{"a":1}' if body else "")
                assert told["headers"]["x-forwarded-uri"] == prefix + "/some/path%2Fpart/"
                assert "authorization" not in told["headers"] and prefix.split(":")[1][:-6] in told["headers"]["host"]
            assert (await api("PUT", prefix + "/", {"a": 1})).code == 418
            head = await api.session.head(api.url + prefix + "/")
            assert head.status == 200 and int(head.headers["Content-Length"]) > 0 and head.headers["X-Own"] == "yes"

    server.run(test)


def test_redirects_stay_within(server: Server) -> None:
    async def test(api: Api) -> None:
        async with proxied(api) as prefix:
            host = "127.0.0.1:" + prefix.split(":")[1].partition("/")[0]

            async def location(path: str) -> str:
                answer = await api.session.get(api.url + path, allow_redirects=False)
                assert answer.status in (301, 302)
                return answer.headers["Location"]

            assert await location(prefix + "?a=b") == prefix + "/?a=b"
            for to, expected in (
                ("/there?x=1", prefix + "/there?x=1"),
                (f"http://{host}/there", prefix + "/there"),
                ("relative", "relative"),
                ("https://example.org/there", "https://example.org/there"),
                (prefix + "/there", prefix + "/there"),
            ):
                assert await location(f"{prefix}/from?to={to.replace('?', '%3F')}") == expected

    server.run(test)


def test_other_protocols_pass(server: Server) -> None:
    async def test(api: Api) -> None:
        async with proxied(api) as prefix, api.session.ws_connect(api.url + prefix + "/socket") as socket:
            await socket.send_str("hello")
            message = await socket.receive()
            assert (message.type, message.data) == (WSMsgType.TEXT, "heard hello")

    server.run(test)


def test_who_is_not_there_is_told(server: Server) -> None:
    async def test(api: Api) -> None:
        async with proxied(api):
            await api("POST", NAMESPACE + "/pods", pod("early"))
            service = {"metadata": {"name": "empty"}, "spec": {"ports": [{"port": 80}]}}
            await api("POST", NAMESPACE + "/services", service)
            closed = free_port()
            for path, code, reason, message in (
                ("/api/v1/nodes/n2/proxy/", 404, "NotFound", 'nodes "n2" not found'),
                (NAMESPACE + "/pods/none/proxy/", 404, "NotFound", 'pods "none" not found'),
                (NAMESPACE + "/pods/early/proxy/", 400, "BadRequest", "address not allowed"),
                (NAMESPACE + "/pods/a:b:c/proxy/", 400, "BadRequest", 'invalid pod request "a:b:c"'),
                (NAMESPACE + "/services/none:80/proxy/", 404, "NotFound", 'services "none" not found'),
                (NAMESPACE + "/services/none/proxy/", 404, "NotFound", 'endpoints "none" not found'),
                (NAMESPACE + "/services/empty/proxy/", 503, "", 'no endpoints available for service "empty"'),
                (NAMESPACE + "/services/empty:81/proxy/", 503, "", 'no service port 81 found for service "empty"'),
                (
                    f"/api/v1/nodes/n1:{closed}/proxy/",
                    503,
                    "",
                    f"error trying to reach service: dial .*:{closed}: .*",
                ),
            ):
                answer = await api("GET", path)
                assert (answer.code, answer.body["reason"]) == (code, reason or "ServiceUnavailable"), path
                assert re.fullmatch(message, answer.message), answer.message

    server.run(test)
