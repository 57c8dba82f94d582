"""Requests passed on: to a kubelet or to a proxied program, whatever they turn into.

One mechanism for logs, exec, attach, port-forward and the proxy subresources, after upstream's UpgradeAwareHandler:
the request goes to the backend as it came, body and all; if the backend switches protocols, bytes are copied both
ways, unread, until either side ends; else its answer is copied.  So WebSocket and SPDY, in all their versions, are
between client and backend.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress

from knet.apiserver.http import Answer, BodyBroken, BodyTooLarge, Request, Streamed, Upgraded
from knet.apiserver.http.client import Backend
from knet.apiserver.http.response import Pipe
from knet.apiserver.reach import Endpoint, Reach
from knet.apiserver.status import StatusError, bad_request, internal_error

#: between two neighbours only (RFC 9110, 7.6.1)
_HOP_BY_HOP = frozenset(("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"))
_HOP_BY_HOP |= {"te", "trailer", "transfer-encoding", "upgrade"}
#: what the client says to the API server and to nobody else
_PRIVATE = frozenset(("authorization", "host", "expect"))
_PRIVATE_PREFIX = "impersonate-"
#: fields that are written anew
_FRAMING = frozenset(("content-length", "date"))
#: bytes of a refusal's text that are read
_REFUSAL_SIZE = 64 * 1024

#: (code, text) of a backend's answer → what to raise, or None to let it through
Refusal = Callable[[int, str], StatusError | None]


async def upgrade(request: Request, reach: Reach, endpoint: Endpoint, target: str, refused: Refusal) -> Answer:
    """Pass on a request that has to become another protocol; StatusError where it does not."""
    if not request.upgrade:
        raise bad_request("Upgrade request required")
    return await forward(request, reach, endpoint, target, refused)


async def forward(
    request: Request,
    reach: Reach,
    endpoint: Endpoint,
    target: str,
    refused: Refusal,
    unreachable: Callable[[str], StatusError] = lambda why: internal_error(f"error dialing backend: {why}"),
    more: Sequence[tuple[str, str]] = (),
    location: Callable[[str], str] = str,
) -> Answer:
    """Pass on a request, as one for ``target`` (path and query, encoded), and answer what the backend does.

    ``more`` are fields that the backend gets besides; ``location`` says where a redirect of its leads.
    """
    request.abandonable = True
    try:
        backend = await reach.connect(endpoint)
    except ConnectionError as error:
        raise unreachable(str(error)) from None
    exchange = _Exchange(backend)
    try:
        await exchange.ask(request, target, [("Host", endpoint.authority), *_onward(request), *more])
        if backend.status != 101 and (refusal := await _refusal(backend, refused)):
            raise refusal
    except ConnectionError as error:
        exchange.end()
        raise unreachable(str(error)) from None
    except BaseException:
        exchange.end()
        raise
    headers = [(name, value) for name, value in backend.headers.items() if name.lower() not in _FRAMING]
    if backend.status == 101:
        return Upgraded(headers, lambda client: carry(client, backend))
    headers = [(name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP]
    headers = [(name, location(value) if name.lower() == "location" else value) for name, value in headers]
    return Streamed(exchange.answer(), backend.status, "", headers, length=backend.length)


class _Exchange:
    """One request and its answer; the request's body goes out while the answer is waited for."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._upload: asyncio.Task[None] | None = None

    async def ask(self, request: Request, target: str, headers: list[tuple[str, str]]) -> None:
        """Until the head of the answer is there; ConnectionError."""
        chunked = not request.upgrade and request.headers.has_token("transfer-encoding", "chunked")
        if chunked:
            headers.append(("Transfer-Encoding", "chunked"))
        await self._backend.send(request.method, target, headers)
        if not request.upgrade and (chunked or not request.body.ended or request.body.waiting):
            self._upload = asyncio.ensure_future(self._send_body(request, chunked))
        await self._backend.head()

    async def _send_body(self, request: Request, chunked: bool) -> None:
        try:
            while data := await request.body.some():
                await self._backend.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
            if chunked:
                await self._backend.write(b"0\r\n\r\n")
        except (ConnectionError, BodyBroken):
            return  # the client is gone, or the backend has heard enough; what it says about that is still read

    async def answer(self) -> AsyncGenerator[bytes, None]:
        """The answer's body; ConnectionError where it breaks off."""
        try:
            while data := await self._backend.read():
                yield data
        finally:
            self.end()

    def end(self) -> None:
        """Nothing more of it is wanted."""
        if self._upload is not None:
            self._upload.cancel()
        self._backend.abort()


def _onward(request: Request) -> list[tuple[str, str]]:
    """The fields that concern the backend, which for another protocol are those that ask for it, too."""
    dropped = _PRIVATE if request.upgrade else _PRIVATE | _HOP_BY_HOP
    return [
        (name, value)
        for name, value in request.headers.items()
        if name.lower() not in dropped and not name.lower().startswith(_PRIVATE_PREFIX)
    ]


async def _refusal(backend: Backend, refused: Refusal) -> StatusError | None:
    """What to raise instead of passing an answer on."""
    if not refused(backend.status, ""):
        return None
    try:
        text = await backend.body.read(_REFUSAL_SIZE)
    except BodyTooLarge:
        text = b""
    return refused(backend.status, text.decode(errors="replace"))


async def carry(client: Pipe, backend: Pipe) -> None:
    """Copy bytes both ways until either side ends; what has been read from it still goes out."""
    copies = [asyncio.ensure_future(_copy(client, backend)), asyncio.ensure_future(_copy(backend, client))]
    try:
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)
        client.close()
        backend.close()


async def _copy(source: Pipe, sink: Pipe) -> None:
    with suppress(ConnectionError):
        while data := await source.read():
            await sink.write(data)
