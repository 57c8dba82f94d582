"""The sockets: DNS over UDP and TCP.

UDP is read straight off a non-blocking socket, many datagrams per wake-up: asyncio's own datagram transport costs more
than an answer does.  What is left are 4 µs of kernel and 1.5 of Python for each query, as much as dnsmasq takes;
recvmmsg(2) and sendmmsg(2) by ctypes would save a tenth.
"""

import asyncio
import logging
import socket
import time
from typing import Any

from dnslib import RCODE

from knet.dns.packing import code_only
from knet.dns.querylog import line
from knet.dns.resolve import resolve
from knet.dns.responder import Foreign, Responder, Transport

log = logging.getLogger(__name__)

#: datagrams answered before others get their turn
_BATCH = 64
_LARGEST = 4096
#: bytes of queries that wait in the kernel while others are answered
_RECEIVE_BUFFER = 1 << 20
#: seconds that a TCP client may stay silent (RFC 7766: a few), and that it may leave an answer unread
_IDLE, _UNREAD = 10, 5
_TCP_BACKLOG = 128
#: TCP connections at once, beyond which the one that is silent longest is closed; forwarded queries under way on one
CONNECTIONS, PIPELINED = 200, 32

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Server:
    """Answers queries at one port of some addresses."""

    def __init__(self, responder: Responder) -> None:
        self.responder = responder
        self._under_way: set[asyncio.Task[None]] = set()
        self._udp: list[socket.socket] = []
        self._tcp: list[asyncio.Server] = []
        self._connections: dict[asyncio.StreamWriter, None] = {}

    async def start(self, port: int, *addresses: str) -> None:
        """Listen.  OSError where the port is taken."""
        loop = asyncio.get_running_loop()
        for address in addresses:
            number = "2" if ":" in address else "1"
            udp = socket.socket(socket.AF_INET6 if number == "2" else socket.AF_INET, socket.SOCK_DGRAM)
            if number == "2":
                udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            udp.setblocking(False)
            self._udp.append(udp)
            udp.bind((address, port))
            loop.add_reader(udp, self._readable, udp, self.responder.transport("udp", number))
            transport = self.responder.transport("tcp", number)

            async def serve(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, transport: Transport = transport
            ) -> None:
                await self._serve(reader, writer, transport)

            self._tcp.append(await asyncio.start_server(serve, address, port, backlog=_TCP_BACKLOG, limit=_LARGEST))

    def close(self) -> None:
        for udp in self._udp:
            asyncio.get_running_loop().remove_reader(udp)
            udp.close()
        for tcp in self._tcp:
            tcp.close()

    def _readable(self, udp: socket.socket, transport: Transport) -> None:
        start, answered = time.perf_counter(), 0
        for _ in range(_BATCH):
            try:
                query, client = udp.recvfrom(_LARGEST)
            except BlockingIOError:
                break
            except OSError:  # an ICMP error that an earlier answer brought back
                continue
            reply = self._respond(query, transport, client)
            if isinstance(reply, bytes):
                answered += 1
                _send(udp, reply, client)
            elif reply is not None:
                task = asyncio.create_task(self._forward(udp, reply, query, transport, client))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
        if answered:
            self.responder.metrics.durations.observe((time.perf_counter() - start) / answered, answered)

    def _respond(self, query: bytes, transport: Transport, client: Any) -> bytes | Foreign | None:
        """The answer."""
        try:
            reply = self.responder.respond(query, transport)
        except Exception:
            log.exception("no answer to %s", query.hex())
            return self._recovered(query)
        if self.responder.routes.logging and isinstance(reply, bytes):
            log.info("%s", line(query, reply, transport.proto, client, 0))
        return reply

    async def _forward(
        self, udp: socket.socket, foreign: Foreign, query: bytes, transport: Transport, client: object
    ) -> None:
        _send(udp, await self._resolve(foreign, query, transport, client), client)

    async def _resolve(self, foreign: Foreign, query: bytes, transport: Transport, client: Any) -> bytes:
        start = time.perf_counter()
        try:
            reply = await resolve(self.responder, foreign, query, transport)
        except Exception:
            log.exception("no answer to %s", query.hex())
            reply = self._recovered(query)
        seconds = time.perf_counter() - start
        self.responder.metrics.durations.observe(seconds)
        if self.responder.routes.logging:
            log.info("%s", line(query, reply, transport.proto, client, seconds))
        return reply

    def _recovered(self, query: bytes) -> bytes:
        """A query that hits on a mistake of ours gets SERVFAIL, and all others their answers (as in CoreDNS)."""
        self.responder.metrics.panics += 1
        return code_only(query, RCODE.SERVFAIL)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, transport: Transport) -> None:
        """One TCP connection: queries, each with its length before it; answers as they come (RFC 7766)."""
        under_way: set[asyncio.Task[None]] = set()
        client = writer.get_extra_info("peername")
        try:
            while True:
                self._used(writer)
                async with asyncio.timeout(_IDLE):
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    query = await reader.readexactly(size)
                reply = self._respond(query, transport, client)
                if reply is None:
                    return
                if isinstance(reply, bytes):
                    await _write(writer, reply)
                    continue
                if len(under_way) >= PIPELINED:
                    await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                task = asyncio.create_task(self._forward_tcp(writer, reply, query, transport, client))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
        except (OSError, EOFError):  # it is silent, or gone, or wants no more than what is under way
            if under_way:
                await asyncio.wait(under_way)
        finally:
            self._connections.pop(writer, None)
            writer.close()

    async def _forward_tcp(
        self, writer: asyncio.StreamWriter, foreign: Foreign, query: bytes, transport: Transport, client: object
    ) -> None:
        try:
            await _write(writer, await self._resolve(foreign, query, transport, client))
        except OSError as error:
            log.debug("no answer to %s: %s", client, error)

    def _used(self, writer: asyncio.StreamWriter) -> None:
        self._connections.pop(writer, None)
        self._connections[writer] = None
        if len(self._connections) > CONNECTIONS:
            oldest = next(iter(self._connections))
            del self._connections[oldest]
            oldest.transport.abort()


async def _write(writer: asyncio.StreamWriter, message: bytes) -> None:
    """TimeoutError (an OSError) for a client that reads nothing."""
    writer.write(len(message).to_bytes(2, "big") + message)
    async with asyncio.timeout(_UNREAD):
        await writer.drain()


def _send(udp: socket.socket, message: bytes, client: object) -> None:
    """Answers may get lost: who asked asks again."""
    try:
        udp.sendto(message, client)  # type: ignore[call-overload]
    except OSError as error:
        log.debug("no answer to %s: %s", client, error)
