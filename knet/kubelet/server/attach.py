"""attach: the streams of a container's first process. Its output is what the log gains; its input, if it has one."""

import asyncio
import contextlib
import os
import time
from pathlib import Path

from aiohttp import web

from knet.api.objects import Container
from knet.kubelet.runtime.containers import Containers, Running
from knet.kubelet.runtime.logs import LogOptions, read
from knet.kubelet.server.remote_command import accept, receive_input
from knet.kubelet.server.session import STDERR, STDOUT, Session, Wanted, success

#: seconds for which one who attaches to a new container sees its output from the beginning (kubectl run -it)
_NEW = 5.0


async def attach(
    request: web.Request, containers: Containers, running: Running, spec: Container, log: Path
) -> web.StreamResponse:
    """Handle an attach request until the container ends or the client goes."""
    wanted = Wanted.of(request)
    stdin = _Input(containers, running, spec)
    if wanted.stdin and spec.stdin:
        await stdin.open()
    session = await accept(request, wanted)
    try:
        await _converse(session, running, wanted, log, stdin)
        if running.exit.done():
            await session.finish(success())
    finally:
        stdin.close()
    return session.response


async def replay(request: web.Request, log: Path) -> web.StreamResponse:
    """Attach to a container that has just ended: who comes a moment late sees what it said."""
    wanted = Wanted.of(request)
    session = await accept(request, wanted)
    await session.ready()
    for name, channel, asked in (
        ("stdout", STDOUT, wanted.stdout),
        ("stderr", STDERR, wanted.stderr and not wanted.tty),
    ):
        async for text in read(log, LogOptions(stream=name)):
            if asked and text:
                await session.send(channel, text)
    await session.finish(success())
    return session.response


class _Input:
    """Our end of the container's standard input, which for a terminal is the terminal; ``fd`` is -1 for none."""

    def __init__(self, containers: Containers, running: Running, spec: Container) -> None:
        self._containers = containers
        self._running = running
        self._tty = spec.tty
        self._once = spec.stdinOnce
        self.fd = -1

    @property
    def terminal(self) -> int:
        return self.fd if self._tty else -1

    async def open(self) -> None:
        with contextlib.suppress(LookupError):
            self.fd = await self._containers.input(self._running.id)
            os.set_blocking(self.fd, False)  # so is a terminal already, which the shim reads by the same description

    def end(self) -> None:
        """The client has no more: end of file for the container too if its stdin is for one client (stdinOnce)."""
        if not self._tty:
            if self._once:
                self._containers.close_input(self._running.id)
            self.close()

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


async def _converse(session: Session, running: Running, wanted: Wanted, log: Path, stdin: _Input) -> None:
    tail = None if time.time() - running.record.started_at < _NEW else 0
    channel_of = {"stdout": STDOUT, "stderr": STDERR}
    asked = {"stdout": wanted.stdout, "stderr": wanted.stderr and not wanted.tty}
    outputs = [
        asyncio.create_task(_send_log(session, channel, log, LogOptions(tail=tail, stream=name), running))
        for name, channel in channel_of.items()
        if asked[name]
    ]
    listener = asyncio.create_task(receive_input(session, stdin.fd, stdin.terminal, stdin.end))
    try:
        await asyncio.wait([listener, *outputs], return_when=asyncio.FIRST_COMPLETED)
        if running.exit.done() and outputs:
            await asyncio.wait(outputs)
    finally:
        for task in (listener, *outputs):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await task


async def _send_log(session: Session, channel: int, log: Path, options: LogOptions, running: Running) -> None:
    await session.ready()
    async for text in read(log, options, running.exit):
        if text:
            await session.send(channel, text)
