"""What a component tells of itself, over plain HTTP on its machine's loopback: /metrics in Prometheus' form, /healthz.

Upstream's controller manager and scheduler do so over TLS, for whoever is authorized; here it is for who is on the
machine: ``knet exec cp1 -- curl -s localhost:10259/metrics``.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable

from knet.api.exposition import CONTENT_TYPE, Distribution, Family, exposition
from knet.kernel.process import start_time

log = logging.getLogger(__name__)

Families = Callable[[], Iterable[Family | Distribution]]
#: seconds that a request may take to come
_PATIENCE = 10
_TICKS = os.sysconf("SC_CLK_TCK")


async def serve(port: int, families: Families) -> None:
    """Answer until cancelled; a port that is taken is a line in the log, not the end of the component."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                request = await reader.readuntil(b"\r\n\r\n")
            path = request.split(b" ", 2)[1].partition(b"?")[0]
            writer.write(_response(path.decode(errors="replace"), families))
            await writer.drain()
        except (TimeoutError, OSError, IndexError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # no HTTP, or nobody there any more
        finally:
            writer.close()

    try:
        server = await asyncio.start_server(answer, "127.0.0.1", port)
    except OSError as error:
        log.error("failed to listen on port %d: %s", port, error)
        return
    async with server:
        await server.serve_forever()


def _response(path: str, families: Families) -> bytes:
    status, kind, body = "404 Not Found", "text/plain; charset=utf-8", "404 page not found\n"
    if path == "/metrics":
        status, kind, body = "200 OK", CONTENT_TYPE, exposition([*families(), *process()])
    elif path == "/healthz":
        status, body = "200 OK", "ok"
    data = body.encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    return head.encode() + data


def process() -> list[Family]:
    """The component's process, under the names that every Prometheus client uses."""
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - start_time(os.getpid()) / _TICKS
    return [
        Family("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", "counter",
               [({}, time.process_time(), 0)]),
        Family("process_resident_memory_bytes", "Resident memory size in bytes.", "gauge",
               [({}, pages * os.sysconf("SC_PAGE_SIZE"), 0)]),
        Family("process_start_time_seconds", "Start time of the process since unix epoch in seconds.", "gauge",
               [({}, time.time() - age, 0)]),
    ]  # fmt: skip
