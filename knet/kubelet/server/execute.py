"""exec: a command in a running container, its streams the client's."""

import asyncio
import contextlib
import fcntl
import os
import struct
import termios
from dataclasses import dataclass, field

from aiohttp import web

from knet.kernel.process import Process
from knet.kernel.terminals import open_terminal
from knet.kubelet.runtime.containers import Containers, Running
from knet.kubelet.server.descriptors import read_now
from knet.kubelet.server.remote_command import accept, receive_input, send_output
from knet.kubelet.server.session import STDERR, STDOUT, Session, Wanted, exit_status, failure

#: seconds that output is waited for after the command has ended, if a child of its keeps the pipes open
_STRAGGLERS = 0.2
#: as containerd says it, by way of the kubelet
_CANNOT = (
    'error executing command in container: failed to exec in container: failed to start exec "{}": OCI runtime exec '
    "failed: exec failed: unable to start container process: {}: unknown"
)


@dataclass
class _Ends:
    """Our ends of a command's streams, -1 for none; a terminal is all of them."""

    stdin: int = -1
    stdout: int = -1
    stderr: int = -1
    terminal: int = -1
    others: list[int] = field(default_factory=list)

    def close_stdin(self) -> None:
        if self.stdin >= 0 and self.terminal < 0:
            os.close(self.stdin)
            self.stdin = -1

    def close_others(self) -> None:
        for fd in self.others:
            os.close(fd)
        self.others.clear()

    def close(self) -> None:
        self.close_others()
        for fd in {self.stdin, self.stdout, self.stderr, self.terminal} - {-1}:
            os.close(fd)


async def execute(request: web.Request, containers: Containers, running: Running) -> web.StreamResponse:
    """Handle an exec request: the exit code goes out on the error channel."""
    wanted = Wanted.of(request)
    command = tuple(request.query.getall("command", []))
    session = await accept(request, wanted)
    ends = _Ends()
    try:
        process = _start(containers, running, command, wanted, ends)
    except OSError as error:
        ends.close()
        await session.finish(failure(_CANNOT.format(running.id, error)))
        return session.response
    reaper = asyncio.create_task(process.wait())
    try:
        await _converse(session, ends, reaper)
        if reaper.done():
            await session.finish(exit_status(_shell_code(reaper.result())))
    finally:
        ends.close()
    return session.response


async def _converse(session: Session, ends: _Ends, reaper: "asyncio.Task[int | None]") -> None:
    """Copy streams until the command ends or the client goes; a command left alone lives on, as upstream's does."""
    outputs = [
        asyncio.create_task(send_output(session, channel, fd))
        for channel, fd in ((STDOUT, ends.stdout), (STDERR, ends.stderr))
        if fd >= 0
    ]
    listener = asyncio.create_task(receive_input(session, ends.stdin, ends.terminal, ends.close_stdin))
    try:
        await asyncio.wait([reaper, listener], return_when=asyncio.FIRST_COMPLETED)
        if reaper.done() and outputs:
            await asyncio.wait(outputs, timeout=_STRAGGLERS)
    finally:
        for task in (listener, *outputs):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await task
    if reaper.done():  # on a busy machine that time may pass with something still in the pipes
        for channel, fd in ((STDOUT, ends.stdout), (STDERR, ends.stderr)):
            if fd >= 0 and (data := read_now(fd)):
                await session.ready()
                await session.send(channel, data)


def _start(containers: Containers, running: Running, command: tuple[str, ...], wanted: Wanted, ends: _Ends) -> Process:
    """Start the command with the streams that are wanted; fills in ``ends``. Raises OSError."""
    if wanted.tty:
        ends.terminal, path = _open_terminal(running.record.pid)
        ends.stdout = ends.terminal
        ends.stdin = ends.terminal if wanted.stdin else -1
        return containers.execute(running, command, terminal=path)
    given: list[int | None] = [None, None, None]
    if wanted.stdin:
        given[0], ends.stdin = os.pipe2(os.O_CLOEXEC)
    if wanted.stdout:
        ends.stdout, given[1] = os.pipe2(os.O_CLOEXEC)
    if wanted.stderr:
        ends.stderr, given[2] = os.pipe2(os.O_CLOEXEC)
    ends.others = [fd for fd in given if fd is not None]
    for fd in (ends.stdin, ends.stdout, ends.stderr):
        if fd >= 0:
            os.set_blocking(fd, False)
    process = containers.execute(running, command, (given[0], given[1], given[2]))
    ends.close_others()
    return process


def _open_terminal(pid: int) -> tuple[int, str]:
    """A new terminal of a container's own: our end, and the path of the other one in there."""
    master, path = open_terminal(f"/proc/{pid}/root/dev/pts")
    os.set_blocking(master, False)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    return master, path


def _shell_code(code: int | None) -> int:
    if code is None:
        return 0
    return 128 - code if code < 0 else code
