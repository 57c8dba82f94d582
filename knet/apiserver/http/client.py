"""The other direction: one request to a kubelet or to a proxied service, on a connection of its own.

No pool: what goes out from an API server is mostly what lasts (logs that follow, exec, watches of a proxied program),
and a connection per request keeps every one apart from the others' fate.
"""

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

from knet.apiserver.http.flow import Flow
from knet.apiserver.http.request import Body, Headers
from knet.apiserver.http.response import Fields, fields


class ReplyError(ConnectionError):
    """The backend answers something that is no HTTP, or nothing."""


class Backend(Flow):
    """A connection to a backend: `send`, `head`, then read `body`.

    After 101 it is a `knet.apiserver.http.response.Pipe`.
    """

    def __init__(self, why: Callable[[], str] = str) -> None:
        """``why``: asked for a reason, which may be "", when the backend hangs up without an answer."""
        super().__init__()
        self._why = why
        self._parser = httptools.HttpResponseParser(self)
        self._fields: list[tuple[bytes, bytes]] = []
        self._head: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._bodiless = False
        self._to_the_end = False
        self.status = 0
        self.headers = Headers([])
        #: of the body, in bytes, where it is known
        self.length: int | None = None
        self.body = Body(self._throttle, lambda seconds: None)

    async def send(self, method: str, target: str, headers: Fields) -> None:
        """Send a request's head; its body follows by `write`.  ConnectionError."""
        self._bodiless = method == "HEAD"
        await self.write(b"%b %b HTTP/1.1\r\n%b\r\n" % (method.encode(), target.encode(), fields(headers)))

    async def head(self) -> None:
        """Wait until status and headers of the answer are there; ConnectionError (`ReplyError`) if none come."""
        await asyncio.shield(self._head)

    async def read(self) -> bytes:
        """The next bytes of the body, or of the connection after 101."""
        return await self.body.some()

    # ---- asyncio's and httptools' calls ----------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self.status == 101:
            self.body.feed(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.body.feed(data[cast(int, upgrade.args[0]) :])
        except httptools.HttpParserError as error:
            self._failed(ReplyError(f"malformed HTTP response: {error}"))
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._to_the_end:
            self.body.end()
        self._failed(exc if isinstance(exc, ConnectionError) else ReplyError(self._why() or "EOF"))

    def _failed(self, error: Exception) -> None:
        self.body.fail(error)
        if not self._head.done():
            self._head.set_exception(error)
            self._head.exception()  # whoever waits sees it; perhaps nobody does any more

    def _throttle(self) -> None:
        self._pause_reading(self.body.full)

    def on_message_begin(self) -> None:
        self._fields = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200 and status != 101:
            return  # 100 Continue and its like; the answer is still to come
        self.status = status
        self.headers = Headers(self._fields)
        chunked = self.headers.has_token("transfer-encoding", "chunked")
        length = self.headers.get("content-length")
        self.length = int(length) if length.isdecimal() and not chunked else None
        self._to_the_end = not chunked and self.length is None
        if self._bodiless:
            self.body.end()
        if not self._head.done():
            self._head.set_result(None)

    def on_body(self, data: bytes) -> None:
        self.body.feed(data)

    def on_message_complete(self) -> None:
        if self.status >= 200:
            self.body.end()
