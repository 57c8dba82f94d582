"""The listening sockets, the clock of all connections, and their orderly end."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate

from knet.apiserver.http.connection import Connection
from knet.apiserver.http.request import Request, Subject
from knet.apiserver.http.response import Answer
from knet.apiserver.user import User


@dataclass(frozen=True)
class Limits:
    """How much, and how long, a client may take.  Sizes in bytes, times in seconds; upstream's where it has one."""

    #: of a request's head (Go's http.DefaultMaxHeaderBytes)
    head: int = 1 << 20
    #: from a connection's, or a request's, first byte to the end of its head (ReadHeaderTimeout)
    head_seconds: float = 32
    #: between two requests (IdleTimeout)
    idle_seconds: float = 90
    #: for what is left of a body that nobody wants
    linger_seconds: float = 5
    #: for TLS to begin, and to end
    handshake_seconds: float = 10
    shutdown_seconds: float = 5
    #: between two looks at who has taken too long
    period: float = 1


class HttpServer:
    """Answers connections by ``handle``, which never raises but for being cancelled."""

    def __init__(
        self,
        handle: Callable[[Request], Awaitable[Answer]],
        identify: Callable[[Subject, bytes], User | None],
        limits: Limits = Limits(),
    ) -> None:
        """``identify`` tells whom a client certificate (subject, DER) stands for; asked once for each connection."""
        self.handle = handle
        self.identify = identify
        self.limits = limits
        self.connections: set[Connection] = set()
        #: seconds, coarse: as of the last look
        self.now = 0.0
        #: the Date field, as of the last look
        self.date = b""
        self.closing = False
        self._servers: list[asyncio.Server] = []
        self._timer: asyncio.TimerHandle | None = None
        self._empty: asyncio.Event | None = None

    async def listen(self, listener: socket.socket, tls: ssl.SSLContext) -> None:
        """Serve a bound socket; may be called for several."""
        loop = asyncio.get_running_loop()
        if self._timer is None:
            self._look(loop)
        # half-open connections are found out by the kernel; sockets that are accepted inherit it
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in ((socket.TCP_KEEPIDLE, 15), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4)):
            listener.setsockopt(socket.IPPROTO_TCP, option, value)
        self._servers.append(
            await loop.create_server(
                lambda: Connection(self, loop),
                sock=listener,
                ssl=tls,
                backlog=1024,
                ssl_handshake_timeout=self.limits.handshake_seconds,
                ssl_shutdown_timeout=self.limits.shutdown_seconds,
            )
        )

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self.now = loop.time()
        self.date = f"Date: {formatdate(usegmt=True)}\r\n".encode()
        for connection in list(self.connections):
            connection.check(self.now)
        self._timer = loop.call_later(self.limits.period, self._look, loop)

    def dropped(self, connection: Connection) -> None:
        """A connection has ended."""
        self.connections.discard(connection)
        if self._empty is not None and not self.connections:
            self._empty.set()

    async def close(self, seconds: float) -> None:
        """Accept nothing more, end what is idle and what streams, wait that long for answers under way."""
        self.closing = True
        for server in self._servers:
            server.close()
        for connection in list(self.connections):
            connection.finish()
        if self.connections:
            self._empty = asyncio.Event()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), seconds)
        for connection in list(self.connections):
            connection.abort()
        if self._timer is not None:
            self._timer.cancel()
