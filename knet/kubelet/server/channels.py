"""A remote command on a WebSocket: the first byte of each message is its channel.

Since v5 a message 255, N closes channel N.  The dialects "base64" are for programs that know no bytes (in a browser):
their messages are texts, the channel's digit and then base64.
https://github.com/kubernetes/apimachinery/blob/master/pkg/util/remotecommand/websocket.go
"""

import base64
import binascii
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web

from knet.kubelet.server.session import ERROR, STDOUT, Status, told
from knet.kubelet.server.upgrade import WebSocket

#: dialect → version
DIALECTS = {
    "v5.channel.k8s.io": 5,
    "v4.channel.k8s.io": 4,
    "v4.base64.channel.k8s.io": 4,
    "channel.k8s.io": 1,
    "base64.channel.k8s.io": 1,
    "": 1,
}
_CLOSE = 255


class Channels:
    """See `knet.kubelet.server.session.Session`."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._version = DIALECTS[socket.spoken]
        self._base64 = "base64" in socket.spoken

    @property
    def response(self) -> web.StreamResponse:
        return self._socket.response

    async def begin(self) -> None:
        """An empty message tells the client that all is open.

        A ping goes before it, and a moment is left after its answer: client-go 0.30 to 0.33 (kubectl likewise) may
        begin to read before it knows its own channels, and drops what is said to them until then.
        """
        await self._socket.greet(lambda: self.send(STDOUT, b""))

    async def ready(self) -> None:
        await self._socket.greeted()

    async def send(self, channel: int, data: bytes) -> None:
        if self._base64:
            await self._socket.send_text(f"{channel}{base64.b64encode(data).decode()}")
        else:
            await self._socket.send(bytes([channel]) + data)

    async def received(self) -> AsyncIterator[tuple[int, bytes]]:
        async for message in self._socket.received():
            if self._base64:
                with suppress(binascii.Error):
                    message = bytes([message[0] - ord("0") & 255]) + base64.b64decode(message[1:])
            channel, data = message[0], message[1:]
            if channel == _CLOSE and self._version >= 5:
                yield data[0] if data else _CLOSE, b""
            elif data:
                yield channel, data

    async def finish(self, status: Status) -> None:
        with suppress(ConnectionError):  # the client did not wait for it
            await self.ready()
            if text := told(status, self._version):
                await self.send(ERROR, text)
            await self._socket.close()
