"""Remote commands over real connections, in every dialect: a program that echoes, and clients of all kinds."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession, WSMsgType, web
from apiserver_harness import free_port
from test_kubelet_spdy import Peer

from knet.kubelet.server import spdy
from knet.kubelet.server.remote_command import accept
from knet.kubelet.server.session import STDERR, STDIN, STDOUT, Wanted, exit_status

QUERY = "input=1&output=1&error=1"
FAILED = "command terminated with non-zero exit code: exit status 7"


async def _echo(request: web.Request) -> web.StreamResponse:
    """What comes in on stdin goes out on stdout; its end ends the program, with code 7 for the word "fail"."""
    session = await accept(request, Wanted.of(request))
    await session.ready()
    word = b""
    async for channel, data in session.received():
        if channel == STDIN and (not data or data == b"end"):
            break
        word = data
        await session.send(STDOUT, data)
    await session.send(STDERR, b"over")
    await session.finish(exit_status(7 if word == b"fail" else 0))
    return session.response


@asynccontextmanager
async def served() -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_route("*", "/", _echo)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield port
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("dialect", "end", "outcome"),
    [
        ("v5.channel.k8s.io", b"\xff\0", exit_status(7)),
        ("v4.channel.k8s.io", b"\0end", exit_status(7)),
        ("channel.k8s.io", b"\0end", FAILED),
        ("", b"\0end", FAILED),
    ],
)
def test_a_websocket_has_channels(dialect: str, end: bytes, outcome: object) -> None:
    async def test() -> None:
        async with (
            served() as port,
            ClientSession() as http,
            http.ws_connect(f"http://127.0.0.1:{port}/?{QUERY}", protocols=[dialect] if dialect else []) as socket,
        ):
            await socket.send_bytes(b"\0fail")
            await socket.send_bytes(end)
            messages = [message.data async for message in socket]
            assert messages[:3] == [b"\1", b"\1fail", b"\2over"]
            told = messages[3][1:].decode()
            assert messages[3][0] == 3 and (told if isinstance(outcome, str) else json.loads(told)) == outcome

    asyncio.run(test())


def test_nothing_is_said_to_a_client_that_does_not_read_yet() -> None:
    """client-go drops what comes before it has made its channels; it has made them when it answers a ping."""

    async def test() -> None:
        async with (
            served() as port,
            ClientSession() as http,
            http.ws_connect(f"http://127.0.0.1:{port}/?{QUERY}", autoping=False) as socket,
        ):
            await socket.send_bytes(b"\0end")
            ping = await socket.receive()
            assert ping.type is WSMsgType.PING
            await socket.ping(b"mine")
            assert (await socket.receive()).data == b"mine", "not a word before the answer to the ping"
            await socket.pong(ping.data)
            assert [message.data async for message in socket][:2] == [b"\1", b"\2over"]

    asyncio.run(test())


@pytest.mark.parametrize(("dialect", "outcome"), [("v4.base64.channel.k8s.io", True), ("base64.channel.k8s.io", False)])
def test_a_websocket_may_speak_in_texts(dialect: str, outcome: bool) -> None:
    async def test() -> None:
        async with (
            served() as port,
            ClientSession() as http,
            http.ws_connect(f"http://127.0.0.1:{port}/?{QUERY}", protocols=[dialect]) as socket,
        ):
            await socket.send_str("0" + base64.b64encode(b"word").decode())
            await socket.send_str("0!")
            await socket.send_str("0" + base64.b64encode(b"end").decode())
            messages = [message async for message in socket]
            assert {message.type for message in messages} == {WSMsgType.TEXT}
            decoded = [(message.data[0], base64.b64decode(message.data[1:])) for message in messages]
            assert decoded[:3] == [("1", b""), ("1", b"word"), ("2", b"over")]
            # older dialects say nothing where nothing went wrong
            assert [json.loads(data)["status"] for channel, data in decoded if channel == "3"] == ["Success"] * outcome

    asyncio.run(test())


def _upgrade(*dialects: str) -> bytes:
    rows = [f"POST /?{QUERY} HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: SPDY/3.1", "Content-Length: 0"]
    rows += [f"X-Stream-Protocol-Version: {dialect}" for dialect in dialects]
    return ("\r\n".join(rows) + "\r\n\r\n").encode()


async def _spdy(port: int, *dialects: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_upgrade(*dialects))
    return reader, writer, (await reader.readuntil(b"\r\n\r\n")).decode()


@pytest.mark.parametrize(
    ("dialects", "spoken", "outcome"),
    [
        (("v5.channel.k8s.io", "v4.channel.k8s.io"), "v5.channel.k8s.io", exit_status(7)),
        (("other", "v4.channel.k8s.io"), "v4.channel.k8s.io", exit_status(7)),
        (("v3.channel.k8s.io",), "v3.channel.k8s.io", FAILED),
    ],
)
def test_spdy_has_streams(dialects: tuple[str, ...], spoken: str, outcome: object) -> None:
    async def test() -> None:
        async with served() as port:
            reader, writer, head = await _spdy(port, *dialects)
            assert head.startswith("HTTP/1.1 101 ") and f"X-Stream-Protocol-Version: {spoken}\r\n" in head
            peer, streams = Peer(), {"error": 1, "stdin": 3, "stdout": 5}
            for name, stream in streams.items():
                writer.write(peer.syn_stream(stream, {"streamType": name}))
            # what comes before all streams are open is not lost
            writer.write(spdy.Connection.data(3, b"fail"))
            writer.write(peer.syn_stream(9, {"streamType": "nonsense"}) + peer.syn_stream(7, {"streamType": "stderr"}))
            writer.write(spdy.Connection.data(3, b"", last=True))
            got: dict[int, bytes] = {}
            ended: set[int] = set()
            refused: list[int] = []
            connection = spdy.Connection()
            while ended != {1, 3, 5, 7}:
                for event in connection.receive(await reader.read(1000)):
                    if isinstance(event, spdy.Data):
                        got[event.stream] = got.get(event.stream, b"") + event.data
                        ended |= {event.stream} if event.last else set()
                    elif isinstance(event, spdy.Reset):
                        refused.append(event.stream)
            writer.close()
            assert (got[5], got[7], refused) == (b"fail", b"over", [9])
            assert (got[1].decode() if isinstance(outcome, str) else json.loads(got[1])) == outcome

    asyncio.run(test())


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        (_upgrade("other"), 403, "unable to negotiate protocol: client supports [other], server accepts [v5.channel"),
        (_upgrade(), 403, "client supports [], server accepts [v5"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "unable to upgrade: missing upgrade headers"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 400, "missing upgrade headers"),
    ],
)
def test_what_we_do_not_speak_is_refused(request_: bytes, code: int, text: str) -> None:
    async def test() -> None:
        async with served() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request_)
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            assert head.split()[1] == str(code)
            assert text in (await reader.read(300)).decode()
            writer.close()

    asyncio.run(test())


@pytest.mark.parametrize("nonsense", [b"\x80\x02" + b"\0" * 6, b"\x80\x03\0\x03\0\0\0\0", b"\xff" * 4 + b"\0" * 4])
def test_one_who_talks_nonsense_is_hung_up_on(nonsense: bytes) -> None:
    async def test() -> None:
        async with served() as port:
            reader, writer, _ = await _spdy(port, "v4.channel.k8s.io")
            writer.write(nonsense)
            assert await reader.read() == b""
            writer.close()

    asyncio.run(test())
