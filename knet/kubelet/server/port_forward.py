"""port-forward over a WebSocket: for each port a data channel 2N and an error channel 2N + 1.

Each begins with the port's number in two bytes, little-endian. Connections are made inside the pod's network, to
localhost, so that also what listens there only can be reached.
https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/server/portforward or its cri-streaming successor
"""

import asyncio
import contextlib
import socket as sockets
import struct

from aiohttp import WSMsgType, web

from knet.kernel.namespaces import entered
from knet.kubelet.runtime.sandbox import Sandbox
from knet.kubelet.server import channels


async def port_forward(request: web.Request, sandbox: Sandbox) -> web.StreamResponse:
    """Handle a port-forward request until the client closes it."""
    try:
        ports = [int(port) for part in request.query.getall("port", []) for port in part.split(",")]
    except ValueError:
        raise web.HTTPBadRequest(text='query parameter "port" must be a number') from None
    if not ports:
        raise web.HTTPBadRequest(text='query parameter "port" is required')
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise web.HTTPBadRequest(text="unable to upgrade: only WebSocket is spoken here")
    socket = web.WebSocketResponse(protocols=channels.PROTOCOLS, max_msg_size=0, compress=False)
    await socket.prepare(request)
    writers: dict[int, asyncio.StreamWriter] = {}
    copies: list[asyncio.Task[None]] = []
    try:
        for index, port in enumerate(ports):
            for channel in (2 * index, 2 * index + 1):
                await socket.send_bytes(bytes([channel]) + struct.pack("<H", port))
        for index, port in enumerate(ports):
            try:
                reader, writers[2 * index] = await _connect(sandbox, port)
            except OSError as error:
                text = f"an error occurred forwarding {port} -> {port}: error forwarding port {port} to pod: {error}"
                await socket.send_bytes(bytes([2 * index + 1]) + text.encode())
                continue
            copies.append(asyncio.create_task(_send(socket, 2 * index, reader)))
        async for message in socket:
            if message.type is WSMsgType.BINARY and message.data and message.data[0] in writers:
                writer = writers[message.data[0]]
                writer.write(message.data[1:])
                await writer.drain()
    except ConnectionError:
        pass  # one of the two sides has gone: so does the other
    finally:
        for copy in copies:
            copy.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await copy
        for writer in writers.values():
            writer.close()
    return socket


async def _connect(sandbox: Sandbox, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    with entered(sandbox.namespaces.only("net")):
        sock = sockets.socket(sockets.AF_INET, sockets.SOCK_STREAM)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    except OSError:
        sock.close()
        raise
    return await asyncio.open_connection(sock=sock)


async def _send(socket: web.WebSocketResponse, channel: int, reader: asyncio.StreamReader) -> None:
    while data := await reader.read(32 * 1024):
        await socket.send_bytes(bytes([channel]) + data)
    await socket.close()
