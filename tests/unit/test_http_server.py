"""The API server's HTTP: bytes on a real TLS socket, and the bytes that come back."""

import asyncio
import gzip
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import uvloop
from apiserver_harness import make_pki

from knet.apiserver.http import Answer, BodyBroken, HttpServer, Limits, Request, Response, Streamed, Upgraded
from knet.apiserver.http.compression import THRESHOLD
from knet.apiserver.http.connection import PIECE, PIPELINED
from knet.apiserver.http.response import Pipe
from knet.apiserver.main import server_tls

Handler = Callable[[Request], Awaitable[Answer]]

#: seconds: deadlines that tests wait for, and how often the server looks
SOON = Limits(head_seconds=0.2, idle_seconds=0.2, linger_seconds=0.2, handshake_seconds=0.2, period=0.05)
PATIENT = Limits(period=0.05)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("http")
    make_pki(directory)
    return directory


class Reply(NamedTuple):
    """An answer as it was on the wire."""

    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> Reply:
        """Status line and fields."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        rows = (line.partition(": ") for line in lines[1:])
        return Reply(int(lines[0].split()[1]), {name.lower(): value for name, _, value in rows}, b"")

    async def reply(self, head_only: bool = False) -> Reply:
        """A whole answer."""
        found = await self.head()
        if head_only or found.status in (100, 101, 204, 304):
            return found
        if found.headers.get("transfer-encoding") == "chunked":
            return found._replace(body=b"".join([chunk async for chunk in self.chunks()]))
        length = found.headers.get("content-length")
        body = await (self.reader.readexactly(int(length)) if length is not None else self.reader.read())
        return found._replace(body=body)

    async def chunks(self) -> AsyncIterator[bytes]:
        while size := int(await self.reader.readline(), 16):
            yield await self.reader.readexactly(size)
            assert await self.reader.readline() == b"\r\n"
        assert await self.reader.readline() == b"\r\n"

    async def hung_up(self) -> bool:
        """The server closes, saying nothing more."""
        try:
            return await self.reader.read() == b""
        except ConnectionError:
            return True


class Place:
    """A server, and connections to it."""

    def __init__(self, server: HttpServer, pki: Path, address: tuple[str, int]) -> None:
        self.server = server
        self.address = address
        self._tls = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self._tls.load_cert_chain(pki / "admin.crt", pki / "admin.key")

    async def client(self) -> Client:
        return Client(*await asyncio.open_connection(*self.address, ssl=self._tls))

    async def ask(self, data: bytes) -> Reply:
        """One request on a connection of its own."""
        client = await self.client()
        client.send(data)
        found = await client.reply()
        client.writer.close()
        return found


@asynccontextmanager
async def serving(pki: Path, handle: Handler, limits: Limits = PATIENT) -> AsyncIterator[Place]:
    server = HttpServer(handle, lambda subject, certificate: None, limits)
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    address = listener.getsockname()
    await server.listen(listener, server_tls(pki))
    try:
        yield Place(server, pki, address)
    finally:
        await server.close(0)


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(story(), 20)

    uvloop.run(limited())


async def echo(request: Request) -> Answer:
    """What was asked, and the body that came."""
    body = await request.body.read(1 << 20)
    return Response(f"{request.method} {request.path} {len(body)}".encode())


async def deaf(request: Request) -> Answer:
    """Reads no body."""
    return Response(b"no", 403)


GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: x\r\n"


def with_body(body: bytes) -> bytes:
    return POST + b"Content-Length: %d\r\n\r\n" % len(body) + body


# ---- what arrives -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x00\x01\x02\r\n\r\n", 400),
        (b"HELLO\r\n\r\n", 400),
        (b"GET /a\r\n\r\n", 505),
        (b"GET /a HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        (b"GET /a HTTP/1.1\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nbad name: 1\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: x\r\n folded: 1\r\n\r\n", 400),
        (b"GET /a HTTP/9.9\r\nHost: x\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (POST + b"Content-Length: ten\r\n\r\n", 400),
        (POST + b"Content-Length: -1\r\n\r\n", 400),
        (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (POST + b"Content-Length: 99999999999999999999999\r\n\r\n", 400),
        (POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked, identity\r\n\r\n", 400),
        (b"GET /" + b"a" * (2 << 20) + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nA: " + b"a" * (2 << 20) + b"\r\n\r\n", 431),
        (b"GET /a HTTP/1.1\r\nHost: x\r\n" + b"A: 1\r\n" * (1 << 19) + b"\r\n", 431),
        (b"\x16\x03\x01" + b"a" * (2 << 20), 400),
    ],
)
def test_what_is_no_http_is_refused_and_ends_the_connection(pki: Path, data: bytes, status: int) -> None:
    async def story() -> None:
        async with serving(pki, echo) as place:
            client = await place.client()
            client.send(GET + data)
            assert (await client.reply()).body == b"GET /a 0"
            found = await client.reply()
            assert found.status == status
            assert found.headers["connection"] == "close"
            assert (await place.ask(GET)).status == 200

    run(story)


@pytest.mark.parametrize("data", [b"2\r\nab\r\nzz\r\n", b"2\r\nabc\r\n", b"-1\r\n", b"ffffffffffffffffffff\r\n"])
def test_a_body_that_is_badly_framed_is_broken_for_its_reader(pki: Path, data: bytes) -> None:
    async def handle(request: Request) -> Answer:
        with pytest.raises(BodyBroken):
            await request.body.read(100)
        return Response(b"broken", 400)

    async def story() -> None:
        async with serving(pki, handle) as place:
            client = await place.client()
            client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + data)
            assert (await client.reply()).body == b"broken"
            assert await client.hung_up()

    run(story)


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"GET /a HTTP/1.1\r\nhOsT: x\r\n\r\n", b"GET /a 0"),
        (b"\r\n\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /a 0"),
        (b"GET http://x:6443/a?b=c HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /a 0"),
        (with_body(b"abc"), b"POST /a 3"),
        (with_body(b""), b"POST /a 0"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\nTrailer: 1\r\n\r\n", b"POST /a 3"),
        (b"DELETE /a HTTP/1.1\r\nHost: x\r\n\r\n", b"DELETE /a 0"),
    ],
)
def test_what_is_http_is_understood(pki: Path, data: bytes, body: bytes) -> None:
    async def story() -> None:
        async with serving(pki, echo) as place:
            client = await place.client()
            for _ in range(2):
                client.send(data)
                found = await client.reply()
                assert (found.status, found.body) == (200, body)
                assert {"date", "audit-id", "content-type"} < found.headers.keys()

    run(story)


def test_requests_that_arrive_byte_by_byte_are_put_together(pki: Path) -> None:
    async def story() -> None:
        async with serving(pki, echo) as place:
            client = await place.client()
            for byte in with_body(b"abc"):
                client.send(bytes([byte]))
                await asyncio.sleep(0)
            assert (await client.reply()).body == b"POST /a 3"

    run(story)


@pytest.mark.parametrize(
    ("head", "kept", "field"),
    [
        (b"GET /a HTTP/1.1\r\nHost: x\r\n", True, None),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", False, "close"),
        (b"GET /a HTTP/1.0\r\n", False, "close"),
        (b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n", True, "keep-alive"),
    ],
)
def test_a_connection_is_kept_as_its_client_wishes(pki: Path, head: bytes, kept: bool, field: str | None) -> None:
    async def story() -> None:
        async with serving(pki, echo) as place:
            client = await place.client()
            client.send(head + b"\r\n")
            assert (await client.reply()).headers.get("connection") == field
            if kept:
                client.send(head + b"\r\n")
                assert (await client.reply()).status == 200
            else:
                assert await client.hung_up()

    run(story)


def test_requests_sent_ahead_are_answered_in_order(pki: Path) -> None:
    count = 5 * PIPELINED

    async def handle(request: Request) -> Answer:
        if request.path == "/0":
            await asyncio.sleep(0.01)
        return Response(request.path.encode())

    async def story() -> None:
        async with serving(pki, handle) as place:
            client = await place.client()
            client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(count)))
            assert [(await client.reply()).body for _ in range(count)] == [b"/%d" % number for number in range(count)]

    run(story)


# ---- bodies -------------------------------------------------------------------------------------------------------


def test_a_client_that_asks_is_told_to_go_on_when_its_body_is_wanted(pki: Path) -> None:
    async def story() -> None:
        async with serving(pki, echo) as place:
            client = await place.client()
            client.send(POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            assert (await client.reply()).status == 100
            client.send(b"abc")
            assert (await client.reply()).body == b"POST /a 3"

    run(story)


def test_a_client_that_asks_is_refused_without_sending_its_body(pki: Path) -> None:
    async def story() -> None:
        async with serving(pki, deaf) as place:
            client = await place.client()
            client.send(POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            found = await client.reply()
            assert (found.status, found.headers["connection"]) == (403, "close")
            assert await client.hung_up()

    run(story)


def test_a_body_nobody_reads_is_passed_over(pki: Path) -> None:
    async def story() -> None:
        async with serving(pki, deaf) as place:
            client = await place.client()
            for _ in range(2):
                client.send(with_body(b"x" * 300_000))
                assert (await client.reply()).status == 403

    run(story)


def test_a_body_beyond_what_its_reader_takes_stays_in_the_kernel(pki: Path) -> None:
    sizes: list[int] = []

    async def handle(request: Request) -> Answer:
        body = request.body
        while not body.full:
            await asyncio.sleep(0)
        sizes.append(body._size)
        return Response(str(len(await body.read(1 << 26))).encode())

    async def story() -> None:
        async with serving(pki, handle) as place:
            client = await place.client()
            client.send(with_body(b"x" * (16 << 20)))
            assert (await client.reply()).body == str(16 << 20).encode()
            assert sizes[0] < 1 << 20

    run(story)


def test_a_body_that_stays_away_is_given_up(pki: Path) -> None:
    async def handle(request: Request) -> Answer:
        try:
            await request.body.read(100, seconds=0.1)
        except TimeoutError:
            return Response(b"too slow", 504)
        return Response()

    async def story() -> None:
        async with serving(pki, handle, SOON) as place:
            client = await place.client()
            client.send(POST + b"Content-Length: 10\r\n\r\nabc")
            found = await client.reply()
            assert (found.status, found.body) == (504, b"too slow")
            assert await client.hung_up()

    run(story)


# ---- who takes too long -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", b"GET", b"GET /a HTTP/1.1\r\nHost: x\r\n", GET, GET + b"GET /b HT"])
def test_who_says_nothing_is_hung_up_on(pki: Path, sent: bytes) -> None:
    async def story() -> None:
        async with serving(pki, echo, SOON) as place:
            client = await place.client()
            client.send(sent)
            if sent.startswith(GET):
                assert (await client.reply()).status == 200
            assert await client.hung_up()

    run(story)


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01", b"GET / HTTP/1.0\r\n\r\n", b"\x00" * 100])
def test_who_does_not_speak_tls_is_hung_up_on(pki: Path, sent: bytes) -> None:
    async def story() -> None:
        async with serving(pki, echo, SOON) as place:
            reader, writer = await asyncio.open_connection(*place.address)
            writer.write(sent)
            client = Client(reader, writer)
            await client.hung_up()
            assert (await place.ask(GET)).status == 200

    run(story)


def test_a_client_that_vanishes_is_noticed_by_the_kernel(pki: Path) -> None:
    async def story() -> None:
        async with serving(pki, echo) as place:
            client = await place.client()
            client.send(GET)
            await client.reply()
            (connection,) = place.server.connections
            accepted = connection._transport.get_extra_info("socket")
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            idle, every, times = (
                accepted.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            )
            assert idle + every * times < 120

    run(story)


def test_many_idle_connections_keep_nobody_waiting(pki: Path) -> None:
    async def story() -> None:
        async with serving(pki, echo) as place:
            idle = [await place.client() for _ in range(200)]
            assert (await place.ask(GET)).status == 200
            for client in idle:
                client.send(GET)
            assert {(await client.reply()).status for client in idle} == {200}

    run(story)


def test_a_write_goes_on_when_its_client_hangs_up(pki: Path) -> None:
    begun, done = asyncio.Event(), asyncio.Event()

    async def handle(request: Request) -> Answer:
        begun.set()
        while places[0].server.connections:
            await asyncio.sleep(0)
        done.set()
        return Response()

    places: list[Place] = []

    async def story() -> None:
        async with serving(pki, handle) as place:
            places.append(place)
            client = await place.client()
            client.send(GET)
            await begun.wait()
            client.writer.transport.abort()
            await done.wait()

    run(story)


# ---- answers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1, 3 * PIECE + 7])
def test_answers_of_every_size_arrive_whole(pki: Path, size: int) -> None:
    body = bytes(range(256)) * (size // 256 + 1)

    async def handle(request: Request) -> Answer:
        return Response(body[:size])

    async def story() -> None:
        async with serving(pki, handle) as place:
            client = await place.client()
            for _ in range(2):
                client.send(GET)
                assert (await client.reply()).body == body[:size]
            client.send(GET.replace(b"GET", b"HEAD"))
            assert (await client.reply(head_only=True)).headers["content-length"] == str(size)
            client.send(GET)
            assert len((await client.reply()).body) == size

    run(story)


@pytest.mark.parametrize(
    ("size", "accepts", "compressed"),
    [
        (THRESHOLD + 1, b"gzip", True),
        (THRESHOLD + 1, b"deflate, gzip", True),
        (THRESHOLD + 1, b"gzip;q=1.0", False),  # as upstream, which knows the bare word only
        (THRESHOLD + 1, b"deflate", False),
        (THRESHOLD, b"gzip", False),
    ],
)
def test_large_answers_are_compressed_for_those_who_take_it(
    pki: Path, size: int, accepts: bytes, compressed: bool
) -> None:
    async def handle(request: Request) -> Answer:
        return Response(b"a" * size)

    async def story() -> None:
        async with serving(pki, handle) as place:
            found = await place.ask(GET[:-2] + b"Accept-Encoding: " + accepts + b"\r\n\r\n")
            assert ("content-encoding" in found.headers) == compressed
            body = gzip.decompress(found.body) if compressed else found.body
            assert body == b"a" * size
            if compressed:
                assert found.headers["vary"] == "Accept-Encoding"

    run(story)


def test_header_fields_cannot_be_forged_by_what_they_contain(pki: Path) -> None:
    async def handle(request: Request) -> Answer:
        return Response(b"", headers=[("Warning", "a\r\nSet-Cookie: b")])

    async def story() -> None:
        async with serving(pki, handle) as place:
            found = await place.ask(GET)
            assert found.headers["warning"] == "a  Set-Cookie: b"
            assert "set-cookie" not in found.headers

    run(story)


async def counted(upto: int) -> AsyncGenerator[bytes, None]:
    for number in range(upto):
        yield b"%d" % number


@pytest.mark.parametrize(("minor", "chunked"), [(1, True), (0, False)])
def test_a_stream_ends_as_its_client_can_tell(pki: Path, minor: int, chunked: bool) -> None:
    async def handle(request: Request) -> Answer:
        return Streamed(counted(4))

    async def story() -> None:
        async with serving(pki, handle) as place:
            found = await place.ask(b"GET / HTTP/1.%d\r\nHost: x\r\n\r\n" % minor)
            assert ("transfer-encoding" in found.headers) == chunked
            assert found.body == b"0123"

    run(story)


def test_a_stream_that_breaks_off_does_not_look_complete(pki: Path) -> None:
    async def handle(request: Request) -> Answer:
        return Streamed(counted(4), length=10)

    async def story() -> None:
        async with serving(pki, handle) as place:
            client = await place.client()
            client.send(GET)
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await client.reply()

    run(story)


class Source:
    """An endless stream that knows how much of it was taken, and when it was closed."""

    def __init__(self) -> None:
        self.taken = 0
        self.closed = asyncio.Event()

    async def lines(self) -> AsyncGenerator[bytes, None]:
        try:
            while True:
                self.taken += 1 << 16
                yield b"x" * (1 << 16)
        finally:
            self.closed.set()


def test_a_stream_nobody_reads_waits_and_is_dropped_once_it_is_worthless(pki: Path) -> None:
    async def story() -> None:
        source = Source()
        asked = 0

        def lapsed() -> bool:
            nonlocal asked
            asked += 1
            return asked == 3

        async def handle(request: Request) -> Answer:
            return Streamed(source.lines(), lapsed=lapsed)

        async with serving(pki, handle) as place:
            client = await place.client()
            client.send(GET)
            await source.closed.wait()
            assert asked == 3
            assert source.taken < 64 << 20

    run(story)


def test_a_stream_is_closed_when_its_client_goes(pki: Path) -> None:
    async def story() -> None:
        source = Source()

        async def handle(request: Request) -> Answer:
            return Streamed(source.lines())

        async with serving(pki, handle) as place:
            client = await place.client()
            client.send(GET)
            await client.head()
            client.writer.transport.abort()
            await source.closed.wait()

    run(story)


def test_another_protocol_gets_every_byte_after_the_request(pki: Path) -> None:
    async def carry(pipe: Pipe) -> None:
        while data := await pipe.read():
            await pipe.write(data.upper())
        pipe.close()

    async def handle(request: Request) -> Answer:
        return Upgraded([("Connection", "Upgrade"), ("Upgrade", "shout")], carry)

    async def story() -> None:
        async with serving(pki, handle) as place:
            client = await place.client()
            client.send(GET[:-2] + b"Connection: Upgrade\r\nUpgrade: shout\r\n\r\nearly")
            assert (await client.reply()).headers["upgrade"] == "shout"
            assert await client.reader.readexactly(5) == b"EARLY"
            client.send(b"late")
            assert await client.reader.readexactly(4) == b"LATE"

    run(story)


# ---- the end ------------------------------------------------------------------------------------------------------


def test_the_end_is_orderly(pki: Path) -> None:
    """Idle connections end, streams end as streams do, and what is under way is answered."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def handle(request: Request) -> Answer:
        if request.path == "/stream":

            async def source() -> AsyncGenerator[bytes, None]:
                yield b"first"
                await asyncio.Event().wait()

            return Streamed(source())
        if request.path == "/slow":
            begun.set()
            await go_on.wait()
        return Response(b"done")

    async def story() -> None:
        async with serving(pki, handle) as place:
            idle, stream, slow = [await place.client() for _ in range(3)]
            idle.send(GET)
            assert (await idle.reply()).body == b"done"
            stream.send(GET.replace(b"/a", b"/stream"))
            await stream.head()
            rest = stream.chunks()
            assert await anext(rest) == b"first"
            slow.send(GET.replace(b"/a", b"/slow"))
            await begun.wait()
            closing = asyncio.ensure_future(place.server.close(10))
            assert await idle.hung_up()
            assert [chunk async for chunk in rest] == []
            go_on.set()
            found = await slow.reply()
            assert (found.body, found.headers["connection"]) == (b"done", "close")
            await closing
            with pytest.raises(ConnectionError):
                await place.client()

    run(story)


def test_who_does_not_end_in_time_is_cut_off(pki: Path) -> None:
    async def handle(request: Request) -> Answer:
        await asyncio.Event().wait()
        return Response()

    async def story() -> None:
        async with serving(pki, handle, replace(PATIENT, shutdown_seconds=0.1)) as place:
            client = await place.client()
            client.send(GET)
            while not any(connection._task for connection in place.server.connections):
                await asyncio.sleep(0)
            await place.server.close(0.1)
            assert await client.hung_up()

    run(story)
