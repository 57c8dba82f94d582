"""The sockets: DNS over UDP and TCP, and the two HTTP ports that kubelets probe.

UDP is read straight off a non-blocking socket, many datagrams per wake-up: asyncio's own datagram transport costs more
than an answer does.
"""

import asyncio
import logging
import socket
from collections.abc import Callable

from knet.dns.forward import Forwarder
from knet.dns.responder import Foreign, Responder

log = logging.getLogger(__name__)

#: datagrams answered before others get their turn
_BATCH = 64
_LARGEST = 4096
#: seconds that a TCP client may stay silent (RFC 7766: a few)
_IDLE = 10
_TCP_BACKLOG = 128


class Server:
    """Answers queries at one address; a recursive responder needs a forwarder."""

    def __init__(self, responder: Responder, forwarder: Forwarder | None = None) -> None:
        self._responder = responder
        self._forwarder = forwarder
        self._under_way: set[asyncio.Task[None]] = set()
        self._udp: socket.socket | None = None
        self._tcp: asyncio.Server | None = None

    async def start(self, address: str, port: int) -> None:
        """Listen.  OSError where the port is taken."""
        if self._forwarder is not None:
            await self._forwarder.start()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._udp = socket.socket(family, socket.SOCK_DGRAM)
        self._udp.setblocking(False)
        self._udp.bind((address, port))
        asyncio.get_running_loop().add_reader(self._udp, self._readable, self._udp)
        self._tcp = await asyncio.start_server(self._serve, address, port, backlog=_TCP_BACKLOG)

    def close(self) -> None:
        if self._udp is not None:
            asyncio.get_running_loop().remove_reader(self._udp)
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()

    def _readable(self, udp: socket.socket) -> None:
        respond = self._responder.respond
        for _ in range(_BATCH):
            try:
                query, client = udp.recvfrom(_LARGEST)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error that an earlier answer brought back
                continue
            reply = respond(query)
            if isinstance(reply, bytes):
                _send(udp, reply, client)
            elif reply is not None:
                task = asyncio.create_task(self._forward(udp, reply, query, client))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)

    async def _forward(self, udp: socket.socket, foreign: Foreign, query: bytes, client: object) -> None:
        _send(udp, await self._resolve(foreign, query, tcp=False), client)

    async def _resolve(self, foreign: Foreign, query: bytes, tcp: bool) -> bytes:
        assert self._forwarder is not None, "a responder without one does not ask for it"
        return await self._forwarder.resolve(self._responder.packer, foreign, query, tcp)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One TCP connection: queries, each with its length before it, one after the other."""
        try:
            while True:
                async with asyncio.timeout(_IDLE):
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    query = await reader.readexactly(size)
                reply = self._responder.respond(query, tcp=True)
                if isinstance(reply, Foreign):
                    reply = await self._resolve(reply, query, tcp=True)
                if reply is None:
                    return
                writer.write(len(reply).to_bytes(2, "big") + reply)
                await writer.drain()
        except (OSError, EOFError):  # it is silent, or gone
            return
        finally:
            writer.close()


def _send(udp: socket.socket, message: bytes, client: object) -> None:
    """Answers may get lost: who asked asks again."""
    try:
        udp.sendto(message, client)  # type: ignore[call-overload]
    except OSError as error:
        log.debug("no answer to %s: %s", client, error)


async def serve_probe(address: str, port: int, path: str, healthy: Callable[[], bool]) -> asyncio.Server:
    """CoreDNS's plugins health and ready: 200 "OK" at ``path`` while ``healthy`` says so, else 503."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_IDLE):
                request = await reader.readuntil(b"\r\n\r\n")
            status, body = ("200 OK", "OK") if healthy() else ("503 Service Unavailable", "kubernetes")
            if request.split(b" ", 2)[1:2] != [path.encode()]:
                status, body = "404 Not Found", "404 page not found\n"
            head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
            writer.write(f"{head}Connection: close\r\n\r\n{body}".encode())
            await writer.drain()
        except (OSError, EOFError, asyncio.LimitOverrunError):
            return
        finally:
            writer.close()

    return await asyncio.start_server(answer, address, port)
