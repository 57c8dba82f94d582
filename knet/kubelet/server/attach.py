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
from knet.kubelet.server import channels
from knet.kubelet.server.channels import Wanted

#: seconds for which one who attaches to a new container sees its output from the beginning (kubectl run -it)
_NEW = 5.0


async def attach(
    request: web.Request, containers: Containers, running: Running, spec: Container, log: Path
) -> web.StreamResponse:
    """Handle an attach request until the container ends or the client goes."""
    wanted = Wanted.of(request)
    stdin = -1
    if wanted.stdin and spec.stdin:
        with contextlib.suppress(LookupError):
            stdin = await containers.input(running.id)
            os.set_blocking(stdin, False)  # so is a terminal already, which the shim reads by the same description
    socket = await channels.accept(request)
    terminal = stdin if spec.tty else -1
    try:
        await _converse(socket, containers, running, wanted, log, stdin, terminal)
        if running.exit.done():
            await channels.finish(socket, channels.success())
    finally:
        if stdin >= 0:
            os.close(stdin)
    return socket


async def _converse(
    socket: web.WebSocketResponse,
    containers: Containers,
    running: Running,
    wanted: Wanted,
    log: Path,
    stdin: int,
    terminal: int,
) -> None:
    tail = None if time.time() - running.record.started_at < _NEW else 0
    names = {"stdout": channels.STDOUT} if wanted.tty else {"stdout": channels.STDOUT, "stderr": channels.STDERR}
    asked = {"stdout": wanted.stdout, "stderr": wanted.stderr}
    outputs = [
        asyncio.create_task(_send_log(socket, channel, log, LogOptions(tail=tail, stream=name), running))
        for name, channel in names.items()
        if asked[name]
    ]
    listener = asyncio.create_task(
        channels.receive_input(socket, stdin, terminal, lambda: containers.close_input(running.id))
    )
    try:
        await asyncio.wait([listener, *outputs], return_when=asyncio.FIRST_COMPLETED)
        if running.exit.done() and outputs:
            await asyncio.wait(outputs)
    finally:
        for task in (listener, *outputs):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await task


async def _send_log(
    socket: web.WebSocketResponse, channel: int, log: Path, options: LogOptions, running: Running
) -> None:
    head = bytes([channel])
    async for text in read(log, options, running.exit):
        if text:
            await socket.send_bytes(head + text)
