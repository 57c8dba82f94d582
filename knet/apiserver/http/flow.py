"""What both ends of HTTP share: a transport that is neither read nor written faster than somebody takes it."""

import asyncio
from math import inf
from typing import cast

#: bytes that wait for a slow reader before whoever writes has to wait, too
UNSENT = 64 * 1024


class Flow(asyncio.Protocol):
    """The half of a protocol that writes, and stops and resumes reading."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        #: the connection has ended
        self.lost = False
        self._paused_reading = False
        self._drained: asyncio.Future[None] | None = None
        self._full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(UNSENT)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self._drained is not None and not self._drained.done():
            self._drained.set_exception(_gone())

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def _pause_reading(self, wanted: bool) -> None:
        if wanted != self._paused_reading and not self._transport.is_closing():
            self._paused_reading = wanted
            if wanted:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    async def write(self, data: bytes) -> None:
        """Send, and wait while the other side does not read; ConnectionError."""
        if self.lost:
            raise _gone()
        self._transport.write(data)
        if self._full:
            await self._drain()

    async def _drain(self) -> None:
        if self.lost:
            raise _gone()
        self._drained = asyncio.get_running_loop().create_future()
        try:
            await self._drained
        finally:
            self._drained = None

    def close(self) -> None:
        """Hang up when everything written has been sent."""
        self._pause_reading(False)  # TLS ends by an exchange
        self._transport.close()

    def abort(self) -> None:
        """Hang up at once."""
        self._transport.abort()


def _gone() -> ConnectionError:
    return ConnectionResetError("the other side has hung up")


#: what deadlines are when there is none
NEVER = inf
