"""The kubelet's side of the container shim: find it or start it, start containers, learn how they end."""

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

import knet
from knet.kernel.process import Process, Program, spawn

log = logging.getLogger(__name__)

PACKET = 1 << 20
_SO_SNDBUFFORCE = 32

#: -E -s -S: no environment, no user's packages, no site-packages: the standard library and knet.kernel
_RUN = "import sys; sys.path[0] = {root!r}; from knet.kubelet.runtime.shim import main; main()"


class StartError(RuntimeError):
    """A container's program could not be executed; the message is what runc would say."""


class ShimLost(ConnectionError):
    """The shim died; a new one will be there in a moment."""


@dataclass(frozen=True)
class Started:
    """A container that runs: its process, and when its program was executed (Unix time)."""

    pid: int
    at: float


@dataclass(frozen=True)
class Ending:
    """How a container ended: exit code, or minus the signal's number; Unix time."""

    code: int
    at: float


class ShimClient:
    """A connection to the machine's shim, made anew (with a new shim) whenever it breaks.

    ``ended`` is called with a container's id and its Ending; ``lost`` when a shim died and the ends of its
    containers will not be told by anybody.
    """

    def __init__(self, path: Path, ended: Callable[[str, Ending], None], lost: Callable[[], None]) -> None:
        self._path = path
        self._ended = ended
        self._lost = lost
        self._socket: socket.socket | None = None
        self._starting: dict[str, asyncio.Future[Started]] = {}
        self._inputs: dict[str, asyncio.Future[int]] = {}
        self._running: asyncio.Future[dict[str, int]] | None = None
        self._reaper: asyncio.Task[int | None] | None = None

    async def connect(self) -> dict[str, int]:
        """Reach the shim that is there, or start one; which containers it has running, with their pids."""
        self._socket = _connect(self._path)
        if self._socket is None:
            self._reaper = asyncio.create_task(_launch(self._path).wait())
            self._socket = _connect(self._path)
        if self._socket is None:
            raise ConnectionError(f"the container shim does not listen at {self._path}")
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, PACKET)
        loop = asyncio.get_running_loop()
        self._running = loop.create_future()
        loop.add_reader(self._socket.fileno(), self._receive)
        return await self._running

    def close(self) -> None:
        """Leave; shim and containers go on."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    async def start(self, container: str, message: dict[str, Any], namespaces: list[int]) -> Started:
        """Start a container (the message's form: `knet.kubelet.runtime.containers`); raises StartError, ShimLost."""
        future: asyncio.Future[Started] = asyncio.get_running_loop().create_future()
        self._starting[container] = future
        try:
            self._send({"start": {"id": container, **message}}, namespaces)
            return await future
        finally:
            self._starting.pop(container, None)

    async def standard_input(self, container: str) -> int:
        """A descriptor to write a container's standard input with (its terminal, if it has one).

        The caller closes it. LookupError if the container has no input, or is not this shim's.
        """
        future = self._inputs.get(container)
        if future is None:
            future = self._inputs[container] = asyncio.get_running_loop().create_future()
            self._send({"input": container}, [])
        return os.dup(await future)

    def close_input(self, container: str) -> None:
        """End of file on a container's standard input."""
        self._send({"close_input": container}, [])

    def _send(self, message: dict[str, Any], fds: list[int]) -> None:
        if self._socket is None:
            raise ShimLost("the container shim is restarting")
        try:
            socket.send_fds(self._socket, [msgspec.json.encode(message)], fds)
        except OSError as error:
            raise ShimLost(f"the container shim cannot be reached: {error.strerror}") from error

    def _receive(self) -> None:
        assert self._socket is not None
        try:
            data, fds, _, _ = socket.recv_fds(self._socket, PACKET, 4)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        for fd in fds:
            os.set_inheritable(fd, False)
        if not data:
            self._break()
            return
        message = msgspec.json.decode(data)
        if "exited" in message:
            self._ended(message["exited"], Ending(message["code"], message["at"]))
        elif "started" in message:
            self._settle(message["started"], Started(message["pid"], message["at"]))
        elif "failed" in message:
            self._settle(message["failed"], StartError(message["error"]))
        elif "running" in message and self._running is not None:
            self._running.set_result(message["running"])
        elif "input" in message:
            self._settle_input(message["input"], fds)

    def _settle(self, container: str, outcome: Started | StartError) -> None:
        future = self._starting.get(container)
        if future is None or future.done():
            return
        if isinstance(outcome, Started):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)

    def _settle_input(self, container: str, fds: list[int]) -> None:
        future = self._inputs.pop(container, None)
        if future is None or future.done():
            for fd in fds:
                os.close(fd)
        elif fds:
            future.set_result(fds[0])
            asyncio.get_running_loop().call_soon(os.close, fds[0])  # after all who wait have duplicated it
        else:
            future.set_exception(LookupError("the container has no standard input"))

    def _break(self) -> None:
        log.warning("the container shim is gone; a new one takes its place")
        self.close()
        for future in [*self._starting.values()]:
            if not future.done():
                future.set_exception(ShimLost("the container shim died"))
        for waiting in self._inputs.values():
            if not waiting.done():
                waiting.set_exception(LookupError("the container shim died"))
        self._inputs.clear()
        self._lost()


def _connect(path: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        return None
    return connection


def _launch(path: Path) -> Process:
    """A new shim, in a session of its own. It inherits a socket that listens already: nobody waits for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    root = str(Path(knet.__file__).resolve().parent.parent)
    argv = [os.path.realpath(sys.executable), "-EsSB", "-c", _RUN.format(root=root)]
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()
        return spawn(Program(argv, executable=argv[0], cwd="/", stdio=(listener.fileno(), 2, 2)))
