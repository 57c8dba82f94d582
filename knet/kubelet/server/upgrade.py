"""Connections that become another protocol: a WebSocket, or the bare bytes of SPDY/3.1.

Clients before kubectl 1.31 speak SPDY straight on the connection, and so do programs built with client-go before 0.31.
A WebSocket names the dialects that it speaks in Sec-WebSocket-Protocol, SPDY in X-Stream-Protocol-Version; we take the
first that we speak, too.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol, cast

from aiohttp import WSMessage, WSMsgType, web
from aiohttp.http_websocket import WebSocketReader

SPDY = "SPDY/3.1"
_VERSIONS = "X-Stream-Protocol-Version"
_CHUNK = 64 * 1024
#: seconds that a client has to close a connection, all of it having been said
_FAREWELL = 1.0
_CLOSED = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED)


class Link(Protocol):
    """An upgraded connection; ``spoken`` is the dialect agreed upon."""

    spoken: str

    @property
    def response(self) -> web.StreamResponse:
        """What the request's handler returns."""

    async def send(self, data: bytes) -> None:
        """ConnectionError when the client has gone."""

    def received(self) -> AsyncIterator[bytes]:
        """What the client sends, until it closes: messages of a WebSocket, else bytes as they come."""

    async def close(self) -> None:
        """Nothing more will be said; returns when the client has heard all."""


async def accept(request: web.Request, websocket: Sequence[str], spdy: Sequence[str]) -> Link:
    """Upgrade to one of the dialects; HTTP 400 for another protocol, 403 if no dialect is shared."""
    wanted = request.headers.get("Upgrade", "").lower()
    if wanted == "websocket":
        return await WebSocket.accept(request, websocket)
    if wanted == SPDY.lower():
        return await _Bytes.accept(request, spdy)
    raise web.HTTPBadRequest(text=f"unable to upgrade: missing upgrade headers in request: {wanted or 'none'}")


def _agreed(request: web.Request, header: str, ours: Sequence[str]) -> str:
    theirs = [word.strip() for row in request.headers.getall(header, [""]) for word in row.split(",")]
    for dialect in theirs:
        if dialect in ours:
            return dialect
    text = f"client supports [{' '.join(theirs)}], server accepts [{' '.join(ours)}]"
    raise web.HTTPForbidden(text=f"unable to upgrade: unable to negotiate protocol: {text}")


#: seconds in which a client that reads already opens its channels, of which it tells nobody (`Channels.begin`)
_TO_OPEN = 0.02


class WebSocket:
    """Its messages may be texts, which are received as UTF-8."""

    def __init__(self, response: web.WebSocketResponse, spoken: str) -> None:
        self.response: web.WebSocketResponse = response
        self.spoken = spoken
        self._greeting: Callable[[], Awaitable[None]] | None = None
        self._greeted = asyncio.Event()
        self._reading = asyncio.Lock()
        self._early: list[bytes] = []

    @classmethod
    async def accept(cls, request: web.Request, dialects: Sequence[str]) -> "WebSocket":
        spoken = _agreed(request, "Sec-WebSocket-Protocol", dialects)
        protocols = (spoken,) if spoken else ()
        response = web.WebSocketResponse(protocols=protocols, max_msg_size=0, compress=False, autoping=False)
        await response.prepare(request)
        return cls(response, spoken)

    async def greet(self, greeting: Callable[[], Awaitable[None]]) -> None:
        """Ping, and have ``greeting`` called when the answer is received."""
        self._greeting = greeting
        await self.response.ping()

    async def greeted(self) -> None:
        """Until then, others receiving meanwhile or nobody.  ConnectionError if the client goes."""
        while not self._greeted.is_set():
            async with self._reading:
                if self._greeted.is_set():
                    return
                if (message := await self._message()).type in _CLOSED:
                    raise ConnectionResetError("the client has gone")
                self._early += _data(message)

    async def send(self, data: bytes) -> None:
        await self.response.send_bytes(data)

    async def send_text(self, text: str) -> None:
        await self.response.send_str(text)

    async def received(self) -> AsyncIterator[bytes]:
        while True:
            async with self._reading:
                if not self._early:
                    if (message := await self._message()).type in _CLOSED:
                        return
                    self._early += _data(message)
            found, self._early = self._early, []
            for data in found:
                yield data

    async def _message(self) -> WSMessage:
        message = await self.response.receive()
        if message.type is WSMsgType.PING:
            await self.response.pong(message.data)
        elif message.type is WSMsgType.PONG and self._greeting is not None and not self._greeted.is_set():
            await asyncio.sleep(_TO_OPEN)
            self._greeted.set()
            await self._greeting()
        return message

    async def close(self) -> None:
        await self.response.close()


def _data(message: WSMessage) -> list[bytes]:
    if not message.data or message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
        return []
    return [message.data.encode() if isinstance(message.data, str) else message.data]


class _Bytes:
    """After an answer 101 aiohttp gives received bytes to a parser, which here is a reader and parses nothing."""

    def __init__(self, response: web.StreamResponse, spoken: str) -> None:
        self.response = response
        self.spoken = spoken
        self._reader = asyncio.StreamReader(_CHUNK)

    @classmethod
    async def accept(cls, request: web.Request, dialects: Sequence[str]) -> "_Bytes":
        spoken = _agreed(request, _VERSIONS, dialects)
        headers = {"Connection": "Upgrade", "Upgrade": SPDY, _VERSIONS: spoken}
        response = web.StreamResponse(status=101, headers=headers)
        response.force_close()
        link = cls(response, spoken)
        link._reader.set_transport(cast(asyncio.Transport, request.transport))
        request.protocol.set_parser(cast(WebSocketReader, link))
        await response.prepare(request)
        return link

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """For aiohttp: more is wanted, nothing is left over."""
        self._reader.feed_data(data)
        return False, b""

    def feed_eof(self) -> None:
        """For aiohttp: the client has gone."""
        self._reader.feed_eof()

    async def send(self, data: bytes) -> None:
        await self.response.write(data)

    async def received(self) -> AsyncIterator[bytes]:
        while data := await self._reader.read(_CHUNK):
            yield data

    async def close(self) -> None:
        # to close with something unread would reset the connection, and what is under way would be lost
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                async for _ in self.received():
                    pass
