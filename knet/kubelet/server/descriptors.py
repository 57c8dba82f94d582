"""Pipes and terminals read and written without blocking."""

import asyncio
import fcntl
import json
import os
import struct
import termios
from collections.abc import Callable

_CHUNK = 32 * 1024
#: what a pipe holds at most, pipe(7)
_PIPE = 64 * 1024


async def read_some(fd: int) -> bytes:
    """The next bytes of a non-blocking descriptor; b"" at its end (for a terminal: when its last user is gone)."""
    while True:
        try:
            return os.read(fd, _CHUNK)
        except BlockingIOError:
            await _ready(fd, asyncio.get_running_loop().add_reader, asyncio.get_running_loop().remove_reader)
        except OSError:
            return b""


def read_now(fd: int) -> bytes:
    """What is waiting in a non-blocking pipe or terminal, or b""."""
    try:
        return os.read(fd, _PIPE)
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


def resize(terminal: int, data: bytes) -> None:
    """Give a terminal the size that a client sent, {"Width": …, "Height": …}; one that is none changes nothing."""
    try:
        size = json.loads(data)
        packed = struct.pack("HHHH", int(size["Height"]), int(size["Width"]), 0, 0)
    except (ValueError, KeyError, TypeError, struct.error):
        return
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, packed)
