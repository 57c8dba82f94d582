"""A remote command on SPDY: a stream for each channel, opened by the client with a header that names it.

kubectl before 1.31 and most client libraries in Go speak this.
https://github.com/kubernetes/kubelet/blob/master/pkg/cri/streaming/remotecommand/httpstream.go
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

from aiohttp import web

from knet.kubelet.server import spdy
from knet.kubelet.server.session import ERROR, RESIZE, STDERR, STDIN, STDOUT, Status, Wanted, told
from knet.kubelet.server.upgrade import Link

#: dialect → version
DIALECTS = {f"v{version}.channel.k8s.io": version for version in (5, 4, 3, 2)}
_TYPES = {"stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "error": ERROR, "resize": RESIZE}
#: seconds in which the client has to open its streams
_PATIENCE = 30.0


class Streams:
    """See `knet.kubelet.server.session.Session`."""

    def __init__(self, link: Link, wanted: Wanted) -> None:
        self._link = link
        self._version = DIALECTS[link.spoken]
        self._spdy = spdy.Connection()
        self._streams: dict[int, int] = {}
        self._channels: dict[int, int] = {}
        self._events = self._read()
        self._early: list[spdy.Data | spdy.Reset] = []
        asked = {ERROR: True, STDIN: wanted.stdin, STDOUT: wanted.stdout, STDERR: wanted.stderr}
        self._missing = {channel for channel, ask in asked.items() if ask}
        if wanted.tty and self._version >= 3:
            self._missing.add(RESIZE)

    @property
    def response(self) -> web.StreamResponse:
        return self._link.response

    async def begin(self) -> None:
        """All streams are open; ConnectionError if the client does not get so far."""
        try:
            async with asyncio.timeout(_PATIENCE):
                while self._missing:
                    event = await anext(self._events)
                    if not isinstance(event, spdy.Opened):
                        self._early.append(event)
        except (TimeoutError, StopAsyncIteration):
            raise ConnectionAbortedError("timed out waiting for client to create streams") from None

    async def ready(self) -> None:
        """It is: it has opened its streams."""

    async def send(self, channel: int, data: bytes) -> None:
        if channel in self._streams:
            await self._link.send(self._spdy.data(self._streams[channel], data))

    async def received(self) -> AsyncIterator[tuple[int, bytes]]:
        for early in self._early:
            for row in self._meaning(early):
                yield row
        async for event in self._events:
            for row in self._meaning(event):
                yield row

    def _meaning(self, event: spdy.Opened | spdy.Data | spdy.Reset) -> Iterator[tuple[int, bytes]]:
        channel = self._channels.get(event.stream)
        if channel is None or isinstance(event, spdy.Opened):
            return
        if isinstance(event, spdy.Data) and event.data:
            yield channel, event.data
        if isinstance(event, spdy.Reset) or event.last:
            yield channel, b""

    async def finish(self, status: Status) -> None:
        with suppress(ConnectionError):  # the client did not wait for it
            for channel, stream in self._streams.items():
                text = told(status, self._version) if channel == ERROR else b""
                await self._link.send(self._spdy.data(stream, text, last=True))
            await self._link.close()

    async def _read(self) -> AsyncIterator[spdy.Opened | spdy.Data | spdy.Reset]:
        async for data in self._link.received():
            for event in self._spdy.receive(data):
                if isinstance(event, spdy.Pinged):
                    await self._link.send(event.frame)
                    continue
                if isinstance(event, spdy.Opened):
                    await self._open(event)
                yield event

    async def _open(self, event: spdy.Opened) -> None:
        channel = _TYPES.get(event.headers.get("streamtype", ""))
        if channel not in self._missing:
            await self._link.send(self._spdy.reset(event.stream))
            return
        self._missing.remove(channel)
        self._streams[channel] = event.stream
        self._channels[event.stream] = channel
        await self._link.send(self._spdy.reply(event.stream))
