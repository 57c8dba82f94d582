"""The remote command protocol over a WebSocket: channels 0 to 4 in the first byte of each message.

stdin 0, stdout 1, stderr 2, the outcome as a Status 3, terminal sizes 4; since v5 a message 255, N closes channel N.
https://github.com/kubernetes/apimachinery/blob/master/pkg/util/remotecommand/constants.go
"""

import asyncio
import fcntl
import json
import os
import struct
import termios
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import WSMsgType, web

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
_CHUNK = 32 * 1024


@dataclass(frozen=True)
class Wanted:
    """Which streams the client asks for."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    @classmethod
    def of(cls, request: web.Request) -> "Wanted":
        def flag(name: str) -> bool:
            return request.query.get(name, "") in ("1", "true")

        tty = flag("tty")
        return cls(flag("input"), flag("output"), flag("error") and not tty, tty)


async def accept(request: web.Request) -> web.WebSocketResponse:
    """Upgrade; HTTP 400 for a client that speaks something else. An empty message tells it that streams are open."""
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise web.HTTPBadRequest(text="unable to upgrade: only WebSocket is spoken here (kubectl 1.31 or later)")
    socket = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=0, compress=False)
    await socket.prepare(request)
    await socket.send_bytes(bytes([STDOUT]))
    return socket


async def finish(socket: web.WebSocketResponse, status: dict[str, object]) -> None:
    """Send the outcome and close."""
    try:
        await socket.send_bytes(bytes([ERROR]) + json.dumps(status).encode())
        await socket.close()
    except ConnectionError:
        return  # the client did not wait for it


def success() -> dict[str, object]:
    return {"metadata": {}, "status": "Success"}


def exit_status(code: int) -> dict[str, object]:
    """The Status for an exit code, from which kubectl takes its own."""
    if code == 0:
        return success()
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def failure(message: str) -> dict[str, object]:
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "InternalError",
        "message": f"Internal error occurred: {message}",
        "code": 500,
    }


async def send_output(socket: web.WebSocketResponse, channel: int, fd: int) -> None:
    """Copy a pipe or terminal to a channel until its end."""
    head = bytes([channel])
    while data := await read_some(fd):
        await socket.send_bytes(head + data)


async def receive_input(
    socket: web.WebSocketResponse, stdin: int, terminal: int, close_stdin: Callable[[], None]
) -> None:
    """Carry out what the client sends until it closes; ``stdin`` or ``terminal`` may be -1 for none."""
    async for message in socket:
        if message.type is not WSMsgType.BINARY or not message.data:
            continue
        channel, data = message.data[0], message.data[1:]
        if channel == STDIN and stdin >= 0 and data:
            try:
                await write_all(stdin, data)
            except OSError:
                stdin = -1  # nobody reads it any more; kubectl goes on sending
        elif channel == CLOSE and data[:1] == bytes([STDIN]) and stdin >= 0:
            close_stdin()
            stdin = -1
        elif channel == RESIZE and terminal >= 0:
            _resize(terminal, data)


async def read_some(fd: int) -> bytes:
    """The next bytes of a non-blocking descriptor; b"" at its end (for a terminal: when its last user is gone)."""
    while True:
        try:
            return os.read(fd, _CHUNK)
        except BlockingIOError:
            await _ready(fd, asyncio.get_running_loop().add_reader, asyncio.get_running_loop().remove_reader)
        except OSError:
            return b""


async def write_all(fd: int, data: bytes) -> None:
    """Write everything to a non-blocking descriptor; raises OSError where nobody reads."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            await _ready(fd, asyncio.get_running_loop().add_writer, asyncio.get_running_loop().remove_writer)


async def _ready(fd: int, add: Callable[..., object], remove: Callable[[int], object]) -> None:
    ready = asyncio.Event()
    add(fd, ready.set)
    try:
        await ready.wait()
    finally:
        remove(fd)


def _resize(terminal: int, data: bytes) -> None:
    try:
        size = json.loads(data)
        packed = struct.pack("HHHH", int(size["Height"]), int(size["Width"]), 0, 0)
    except (ValueError, KeyError, TypeError, struct.error):
        return  # a size that is none changes nothing
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, packed)
