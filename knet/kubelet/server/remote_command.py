"""Remote commands of both forms, for exec and attach: channels of a WebSocket, streams of SPDY."""

from collections.abc import Callable

from aiohttp import web

from knet.kubelet.server import channels, streams, upgrade
from knet.kubelet.server.channels import Channels
from knet.kubelet.server.descriptors import read_some, resize, write_all
from knet.kubelet.server.session import RESIZE, STDIN, Session, Wanted
from knet.kubelet.server.streams import Streams


async def accept(request: web.Request, wanted: Wanted) -> Session:
    """Upgrade; HTTP 4xx for a client that speaks something else, ConnectionError for one that goes."""
    link = await upgrade.accept(request, tuple(channels.DIALECTS), tuple(streams.DIALECTS))
    session = Channels(link) if isinstance(link, upgrade.WebSocket) else Streams(link, wanted)
    await session.begin()
    return session


async def send_output(session: Session, channel: int, fd: int) -> None:
    """Copy a pipe or terminal to a channel until its end."""
    await session.ready()
    while data := await read_some(fd):
        await session.send(channel, data)


async def receive_input(session: Session, stdin: int, terminal: int, close_stdin: Callable[[], None]) -> None:
    """Carry out what the client sends until it goes; ``stdin`` or ``terminal`` may be -1 for none."""
    async for channel, data in session.received():
        if channel == STDIN and stdin >= 0:
            try:
                await write_all(stdin, data)
            except OSError:
                stdin = -1  # nobody reads it any more; kubectl goes on sending
            if not data:
                close_stdin()
                stdin = -1
        elif channel == RESIZE and terminal >= 0 and data:
            resize(terminal, data)
