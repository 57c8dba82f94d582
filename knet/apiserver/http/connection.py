"""One client's connection: bytes to requests, answers to bytes, in order, and who takes too long is dropped."""

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

import httptools

from knet.apiserver.http.compression import THRESHOLD, compress
from knet.apiserver.http.flow import NEVER, Flow
from knet.apiserver.http.request import Body, BodyBroken, Headers, Peer, Request
from knet.apiserver.http.response import Answer, Response, Streamed, Upgraded, fields, opening

if TYPE_CHECKING:
    from knet.apiserver.http.server import HttpServer

log = logging.getLogger(__name__)

#: requests that a client may send ahead of their answers before no more are read
PIPELINED = 16
#: bytes of a large answer that are handed to TLS together
PIECE = 512 * 1024
#: answers without a body
_BODILESS = (204, 304)
#: what the parser says → status and detail, where Go has others than 400
_VERSION = ("505 HTTP Version Not Supported", ": unsupported protocol version")
_REFUSALS = {"Invalid HTTP version": _VERSION, "Pause on PRI/Upgrade": _VERSION}
_MINORS = {"1.0": 0, "1.1": 1}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(Flow):
    """The protocol that asyncio calls; httptools' parser calls back the ``on_…`` methods."""

    def __init__(self, server: "HttpServer", loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._server = server
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._peer: Peer
        # ---- what is being read: the head of a request, then its body
        self._in_head = False
        self._head_size = 0
        self._target = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._body: Body | None = None
        #: by when what is being read has to be complete
        self._read_by = NEVER
        #: nothing more is parsed: what came last is no HTTP, or asks for another protocol
        self._stopped = False
        self._rest = b""
        # ---- what is being answered
        self._waiting: deque[Request] = deque()
        self._current: Request | None = None
        self._task: asyncio.Task[None] | None = None
        self._continued = False
        #: an answer that goes on for as long as its source does; the task may be cancelled
        self._stream: Streamed | Upgraded | None = None
        #: said when all answers before it are out, because what arrived is no HTTP
        self._refusal = b""
        self._last = False
        # ---- how a slow reader gets on
        self._unsent = 0
        self._stalled_since = NEVER

    # ---- the transport's side --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        address = transport.get_extra_info("peername")
        user = None
        if shown := transport.get_extra_info("peercert"):
            certificate = transport.get_extra_info("ssl_object").getpeercert(True)
            user = self._server.identify(shown["subject"], certificate)
        self._peer = Peer(address[0] if address else "", user)
        self._server.connections.add(self)
        self._read_by = self._server.now + self._server.limits.head_seconds

    def data_received(self, data: bytes) -> None:
        if self._stopped:
            if isinstance(self._stream, Upgraded) and self._body is not None:
                self._body.feed(data)
            elif not self._refusal:
                self._rest += data
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._stopped = True
            self._rest = data[upgrade.args[0] :]
            self._throttle()
        except httptools.HttpParserCallbackError:
            raise  # our own mistake
        except httptools.HttpParserError as error:
            if self._in_head or self._body is None or self._body.ended:
                self._refuse(*_REFUSALS.get(str(error), ("400 Bad Request",)))
            else:
                self._break(BodyBroken(str(error)))
        if self._in_head:
            self._head_size += len(data)
            if self._head_size > self._server.limits.head:
                self._refuse("431 Request Header Fields Too Large")

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        gone = ConnectionResetError("the client has hung up")
        if self._body is not None:
            self._body.fail(gone)
        self._waiting.clear()
        if self._task is not None and (self._stream is not None or (self._current and self._current.abandonable)):
            self._task.cancel()
        self._server.dropped(self)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled_since = self._server.now
        self._unsent = self._transport.get_write_buffer_size()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stalled_since = NEVER

    # ---- the parser's side -----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_size = 0
        self._target = b""
        self._fields = []
        self._read_by = self._server.now + self._server.limits.head_seconds

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # else a trailer, which nobody reads
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        self._in_head = False
        self._read_by = NEVER
        self._body = Body(self._throttle, self._body_awaited)
        target = self._target
        if target[:1] != b"/":
            target = _origin_form(target)
        path, _, query = target.decode("latin-1").partition("?")
        request = Request(
            parser.get_method().decode(),
            path,
            query,
            Headers(self._fields),
            self._body,
            self._peer,
            minor=_MINORS.get(parser.get_http_version(), -1),
            keep_alive=parser.should_keep_alive(),
            upgrade=parser.should_upgrade(),
        )
        self._waiting.append(request)
        if self._task is None:
            self._task = self._loop.create_task(self._serve())
        elif len(self._waiting) > PIPELINED:
            self._throttle()

    def on_body(self, data: bytes) -> None:
        assert self._body is not None
        self._body.feed(data)

    def on_message_complete(self) -> None:
        assert self._body is not None
        self._body.end()
        self._read_by = NEVER
        if self._task is None:
            self._at_rest()

    def _refuse(self, status: str, detail: str = "") -> None:
        """What arrived is no HTTP: say so, as Go does, when the answers before it are out."""
        self._stopped = True
        self._in_head = False
        text = f"{status}{detail}"
        self._refusal = (
            f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n{text}"
        ).encode()
        if self._task is None:
            self._at_rest()

    def _break(self, error: Exception) -> None:
        """The body of a request cannot be read to its end: whoever reads it is told, and nothing can follow."""
        assert self._body is not None
        self._stopped = True
        self._body.fail(error)
        if self._task is None:
            self.close()

    def _throttle(self) -> None:
        """Read from the socket, or let it wait."""
        full = self._body is not None and self._body.full
        held = self._stopped and not isinstance(self._stream, Upgraded)
        self._pause_reading(full or held or len(self._waiting) > PIPELINED)

    # ---- answers ---------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        """Answer what has arrived, one after the other."""
        try:
            while self._waiting and not self._last:
                request = self._current = self._waiting.popleft()
                self._continued = False
                if len(self._waiting) == PIPELINED:
                    self._throttle()
                if request.minor < 0:
                    self._refuse(*_VERSION)
                    break
                if request.minor and not request.headers.get("host"):
                    self._refuse("400 Bad Request", ": missing required Host header")
                    break
                await self._answer(request, await self._server.handle(request))
        except ConnectionError:
            self._transport.abort()
        except Exception:
            log.exception("connection of %s", self._peer.address)
            self._transport.abort()
        finally:
            self._task = self._current = self._stream = None
            if not self.lost:
                self._at_rest()

    async def _answer(self, request: Request, answer: Answer) -> None:
        self._last = self._last or not request.keep_alive or request.body.broken or self._server.closing
        if self.lost:
            if isinstance(answer, Streamed):
                await answer.source.aclose()
        elif isinstance(answer, Response):
            unasked = not request.body.ended and not self._continued and _expects(request)
            if request.upgrade or unasked:
                self._last = True  # what follows may be a body, or another protocol
            await self._send(request, answer)
            if not unasked:
                self._discard(request.body)
        elif isinstance(answer, Streamed):
            await self._copy(request, answer)
            self._discard(request.body)
        else:
            await self._carry(request, answer)

    def _discard(self, body: Body) -> None:
        """Nobody has read the request's body to its end: the next request comes after it."""
        if body.broken:
            return
        if not body.ended or body.full:
            body.discard()
        if not body.ended:
            self._read_by = self._server.now + self._server.limits.linger_seconds

    async def _send(self, request: Request, answer: Response) -> None:
        if len(answer.body) > THRESHOLD:
            await compress(request, answer)
            if self.lost:
                return
        length = b"" if answer.status in _BODILESS else b"Content-Length: %d\r\n" % len(answer.body)
        head = self._head(request, answer, length)
        if request.method == "HEAD":
            self._transport.write(head)
        elif len(answer.body) <= PIECE:
            self._transport.write(head + answer.body)
        else:
            await self._send_pieces(head, memoryview(answer.body))
        if self._full:
            await self._drain()

    async def _send_pieces(self, head: bytes, body: memoryview) -> None:
        """A large answer: while the client takes one piece the next is encrypted, and a slow client holds only one."""
        self._transport.write(head)
        for begin in range(0, len(body), PIECE):
            self._transport.write(body[begin : begin + PIECE])
            if self._full:
                await self._drain()

    def _head(self, request: Request, answer: Response | Streamed, framing: bytes) -> bytes:
        connection = b""
        if self._last:
            connection = b"Connection: close\r\n"
        elif not request.minor:
            connection = b"Connection: keep-alive\r\n"
        return b"".join(
            (
                opening(answer.status, answer.content_type, answer.cache),
                self._server.date,
                b"Audit-Id: %b\r\n" % request.audit_id.encode(),
                fields(answer.headers) if answer.headers else b"",
                connection,
                framing,
                b"\r\n",
            )
        )

    async def _copy(self, request: Request, answer: Streamed) -> None:
        """A streamed answer, until it or its client ends."""
        self._stream = answer
        framing, chunked = b"", False
        if answer.length is not None:
            framing = b"Content-Length: %d\r\n" % answer.length
        elif request.minor and answer.status not in _BODILESS:
            framing, chunked = b"Transfer-Encoding: chunked\r\n", True
        else:
            self._last = True  # to HTTP/1.0, an answer of unknown length ends with the connection
        self._transport.write(self._head(request, answer, framing))
        sent = 0
        try:
            if request.method != "HEAD":
                async for data in answer.source:
                    if data:
                        sent += len(data)
                        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
                    if self._full:
                        await self._drain()
        except asyncio.CancelledError:
            if self.lost or not self._server.closing:
                raise
            self._last = True  # the server's end is an orderly end of the stream
        finally:
            await answer.source.aclose()
        if request.method != "HEAD":
            if chunked:
                self._transport.write(b"0\r\n\r\n")
            elif answer.length not in (None, sent):
                raise ConnectionAbortedError("the answer broke off")
        self._stream = None

    async def _carry(self, request: Request, answer: Upgraded) -> None:
        """Another protocol: bytes, read and written by ``answer.carry`` until it returns."""
        self._stream = answer
        self._last = True
        raw = b"HTTP/1.1 101 Switching Protocols\r\n%b\r\n" % fields(answer.headers)
        self._transport.write(raw)
        self._body = Body(self._throttle, self._body_awaited)
        self._body.feed(self._rest)
        self._rest = b""
        if self.lost:
            self._body.fail(ConnectionResetError("the client has hung up"))
        self._throttle()
        await answer.carry(_Pipe(self, self._body))

    def _body_awaited(self, seconds: float) -> None:
        """A handler waits for the body of its request, for so long."""
        self._read_by = self._server.now + seconds
        if self._current is not None and not self._continued and _expects(self._current):
            self._transport.write(_CONTINUE)
        self._continued = True

    def _at_rest(self) -> None:
        """Nothing is being answered: hang up, if that was all, else wait for the next request."""
        if self._refusal:
            self._transport.write(self._refusal)
            self.close()
        elif self._body is not None and not self._body.ended and self._body.discarded:
            return  # a rest of a body is on its way; `check` ends this
        elif self._last:
            self.close()
        elif not self._in_head:
            self._read_by = self._server.now + self._server.limits.idle_seconds

    # ---- the server's side -----------------------------------------------------------------------------------

    def check(self, now: float) -> None:
        """Called every second: has somebody taken too long?"""
        if now > self._read_by:
            self._read_by = NEVER
            if self._current is not None and self._current.body is self._body and not self._in_head:
                self._current.body.fail(TimeoutError("the body did not arrive"))
            else:
                self.close()
        if self._stalled_since < NEVER:
            unsent = self._transport.get_write_buffer_size()
            if isinstance(self._stream, Streamed):
                if self._stream.lapsed():
                    self.abort()
            elif unsent < self._unsent:
                self._unsent, self._stalled_since = unsent, now
            elif self._stream is None and now > self._stalled_since + self._server.limits.idle_seconds:
                self.abort()

    def finish(self) -> None:
        """The server ends: so do streams, and whatever is under way is the last."""
        self._last = True
        if self._task is None:
            self.close()
        elif self._stream is not None:
            self._task.cancel()


class _Pipe:
    """An upgraded connection, for `knet.apiserver.http.response.Upgraded`."""

    def __init__(self, connection: Connection, body: Body) -> None:
        self.read = body.some
        self.write = connection.write
        self.close = connection.close


def _expects(request: Request) -> bool:
    return request.headers.get("expect").lower() == "100-continue"


def _origin_form(target: bytes) -> bytes:
    """``http://host/path?query`` as a proxy gets it → ``/path?query``; of anything else (``*``, ``host:port``) "/"."""
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        return b"*"
    return (url.path or b"/") + (b"?" + url.query if url.query else b"")
