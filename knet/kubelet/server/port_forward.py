"""port-forward: connections into a pod's network namespace, all carried by one, in two dialects.

* kubectl speaks SPDY, straight or since 1.31 inside a WebSocket (``SPDY/3.1+portforward.k8s.io``, KEP-4006): for each
  connection a pair of streams with headers streamtype (error, data), port and requestid; an error stream that ends
  empty means success.
* Other clients (Python's) speak ``v4.channel.k8s.io``: for the N-th port asked for, channel 2N for data and 2N + 1 for
  errors, each beginning with the port's number in two bytes, little-endian; one connection per port.

Connections go to localhost inside the pod, so that also what listens there only can be reached; those of the API
server's proxies, to the address that it names (``?address=``), the pod's.
"""

import asyncio
import contextlib
import ipaddress
import os
import socket as sockets
import struct
from dataclasses import dataclass

from aiohttp import web

from knet.kernel.namespaces import entered
from knet.kubelet.runtime.sandbox import Sandbox
from knet.kubelet.server import spdy, upgrade
from knet.kubelet.server.upgrade import Link

_TUNNELS = ("portforward.k8s.io", "SPDY/3.1+portforward.k8s.io")
_CHANNELS = ("v5.channel.k8s.io", "v4.channel.k8s.io", "")
_CHUNK = 32 * 1024

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def port_forward(request: web.Request, sandbox: Sandbox) -> web.StreamResponse:
    """Handle a port-forward request until the client closes it."""
    ports, pod = _ports(request), _Pod(sandbox, _address(request))
    link = await upgrade.accept(request, (_TUNNELS[1], *_CHANNELS), (_TUNNELS[0],))
    session = _Tunnel(link, pod) if link.spoken in _TUNNELS else _Channels(link, pod, ports)
    try:
        await session.begin()
        async for data in link.received():
            await session.receive(data)
    except ConnectionError:
        pass  # one of the two sides has gone, or talks nonsense: so ends the other
    finally:
        await session.end()
    return link.response


def _ports(request: web.Request) -> list[int]:
    try:
        return [int(port) for part in request.query.getall("port", []) for port in part.split(",")]
    except ValueError:
        raise web.HTTPBadRequest(text='query parameter "port" must be a number') from None


def _address(request: web.Request) -> str:
    try:
        return str(ipaddress.ip_address(request.query.get("address", "127.0.0.1")))
    except ValueError as error:
        raise web.HTTPBadRequest(text=f'query parameter "address": {error}') from None


@dataclass(frozen=True)
class _Pod:
    """Where connections go: an address, in the namespace of a sandbox."""

    sandbox: Sandbox
    address: str

    async def connect(self, port: int) -> Stream:
        with entered(self.sandbox.namespaces.only("net")):
            family = sockets.AF_INET6 if ":" in self.address else sockets.AF_INET
            sock = sockets.socket(family, sockets.SOCK_STREAM)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, (self.address, port))
        except OSError:
            sock.close()
            raise
        return await asyncio.open_connection(sock=sock)

    def failure(self, port: int, error: OSError) -> str:
        """As containerd's; kubectl puts the local port in front."""
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        return (
            f"error forwarding port {port} to pod {self.sandbox.id}, uid : failed to execute portforward in network "
            f"namespace: dial tcp4 {self.address}:{port}: connect: {reason}"
        )


class _Copies:
    """The connections into the pod, and the tasks that copy what comes out of them."""

    def __init__(self) -> None:
        self._writers: dict[int, asyncio.StreamWriter] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, key: int, writer: asyncio.StreamWriter, task: "asyncio.Task[None]") -> None:
        self._writers[key] = writer
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def write(self, key: int, data: bytes, last: bool) -> None:
        writer = self._writers.get(key)
        if writer is None or writer.is_closing():
            return
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            if last:
                writer.write_eof()
            await writer.drain()

    def drop(self, key: int) -> None:
        writer = self._writers.pop(key, None)
        if writer is not None:
            writer.close()

    async def end(self) -> None:
        for task in list(self._tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await task
        for key in list(self._writers):
            self.drop(key)


class _Tunnel:
    """SPDY, whatever it is in."""

    def __init__(self, link: Link, pod: _Pod) -> None:
        self._link = link
        self._pod = pod
        self._spdy = spdy.Connection()
        self._copies = _Copies()
        self._errors: dict[str, int] = {}

    async def begin(self) -> None:
        """Nothing is said before the client opens a stream."""

    async def end(self) -> None:
        await self._copies.end()

    async def receive(self, data: bytes) -> None:
        for event in self._spdy.receive(data):
            if isinstance(event, spdy.Opened):
                await self._open(event)
            elif isinstance(event, spdy.Data):
                await self._copies.write(event.stream, event.data, event.last)
            elif isinstance(event, spdy.Reset):
                self._copies.drop(event.stream)
            else:
                await self._link.send(event.frame)

    async def _open(self, stream: spdy.Opened) -> None:
        kind, request = stream.headers.get("streamtype", ""), stream.headers.get("requestid", "")
        port = stream.headers.get("port", "")
        if kind not in ("error", "data") or not port.isdigit():
            await self._link.send(self._spdy.reset(stream.stream))
            return
        await self._link.send(self._spdy.reply(stream.stream))
        if kind == "error":
            self._errors[request] = stream.stream
            return
        error_stream = self._errors.pop(request, 0)
        try:
            reader, writer = await self._pod.connect(int(port))
        except OSError as error:
            text = self._pod.failure(int(port), error)
            await self._link.send(self._spdy.data(error_stream, text.encode(), last=True))
            await self._link.send(self._spdy.data(stream.stream, b"", last=True))
            return
        task = asyncio.create_task(self._copy(reader, stream.stream, error_stream))
        self._copies.add(stream.stream, writer, task)

    async def _copy(self, reader: asyncio.StreamReader, stream: int, error_stream: int) -> None:
        with contextlib.suppress(ConnectionResetError):
            while data := await reader.read(_CHUNK):
                await self._link.send(self._spdy.data(stream, data))
        await self._link.send(self._spdy.data(stream, b"", last=True))
        await self._link.send(self._spdy.data(error_stream, b"", last=True))
        self._copies.drop(stream)


class _Channels:
    """One connection for each port, on channels of the WebSocket itself."""

    def __init__(self, link: Link, pod: _Pod, ports: list[int]) -> None:
        self._link = link
        self._pod = pod
        self._ports = ports
        self._copies = _Copies()

    async def begin(self) -> None:
        for channel in range(2 * len(self._ports)):
            await self._link.send(bytes([channel]) + struct.pack("<H", self._ports[channel // 2]))
        for index, port in enumerate(self._ports):
            try:
                reader, writer = await self._pod.connect(port)
            except OSError as error:
                text = self._pod.failure(port, error)
                await self._link.send(bytes([2 * index + 1]) + text.encode())
                continue
            self._copies.add(2 * index, writer, asyncio.create_task(self._copy(reader, 2 * index)))

    async def end(self) -> None:
        await self._copies.end()

    async def receive(self, data: bytes) -> None:
        if data:
            await self._copies.write(data[0], data[1:], last=False)

    async def _copy(self, reader: asyncio.StreamReader, channel: int) -> None:
        with contextlib.suppress(ConnectionResetError):
            while data := await reader.read(_CHUNK):
                await self._link.send(bytes([channel]) + data)
        await self._link.close()
