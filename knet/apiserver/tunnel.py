"""Connections into pods, through their kubelets, as konnectivity makes them where a control plane has no road to pods.

The control-plane machine is no node: it has neither routes to pods nor rules for Services.  It reaches kubelets, and a
kubelet's port-forward leads into a pod's network.  One connection is one WebSocket in the dialect that has no streams
(``v4.channel.k8s.io``): channel 0 for data, channel 1 for errors, each beginning with the port's number.

https://kubernetes.io/docs/tasks/extend-kubernetes/setup-konnectivity/
"""

import asyncio
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import aiohttp

_PROTOCOL = "v4.channel.k8s.io"
_DATA, _ERROR = b"\0", b"\1"
#: bytes of a channel's opening message: the channel and the port
_OPENING = 3
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Road:
    """The port-forward of a kubelet: its URL, for one port of one pod."""

    url: str
    tls: ssl.SSLContext | None


_running: set["asyncio.Task[None]"] = set()


class Dialled(NamedTuple):
    """A socket whose bytes go to the pod and come from there; when that ends, ``why`` may say why it was in vain."""

    socket: socket.socket
    why: list[str]


async def dial(road: Road) -> Dialled:
    """Connect to the pod; ConnectionError if not even its kubelet can be reached."""
    session = aiohttp.ClientSession()
    try:
        web = await session.ws_connect(road.url, ssl=road.tls or True, protocols=(_PROTOCOL,), max_msg_size=0)
    except aiohttp.ClientError as error:
        await session.close()
        raise ConnectionError(f"error dialing backend: {error}") from None
    except BaseException:
        await session.close()
        raise
    near, far = socket.socketpair()
    near.setblocking(False)
    dialled = Dialled(near, [])
    task = asyncio.ensure_future(_carry(session, web, far, dialled.why))
    _running.add(task)
    task.add_done_callback(_running.discard)
    return dialled


async def _carry(
    session: aiohttp.ClientSession, web: aiohttp.ClientWebSocketResponse, far: socket.socket, why: list[str]
) -> None:
    """Copy both ways until either side ends."""
    reader, writer = await asyncio.open_connection(sock=far)
    copies = [asyncio.ensure_future(_outward(reader, web)), asyncio.ensure_future(_inward(web, writer, why))]
    try:
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)
        writer.close()
        await web.close()
        await session.close()


async def _outward(reader: asyncio.StreamReader, web: aiohttp.ClientWebSocketResponse) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            await web.send_bytes(_DATA + data)


async def _inward(web: aiohttp.ClientWebSocketResponse, writer: asyncio.StreamWriter, why: list[str]) -> None:
    opened = set()
    with suppress(ConnectionError):
        async for message in web:
            if message.type is not aiohttp.WSMsgType.BINARY:
                continue
            channel, data = message.data[:1], message.data[1:]
            if channel not in opened and len(message.data) == _OPENING:
                opened.add(channel)
            elif channel == _DATA:
                writer.write(data)
                await writer.drain()
            elif channel == _ERROR:
                why.append(data.decode(errors="replace").strip().rpartition(": ")[2])
                return
