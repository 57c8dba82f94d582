"""What a component tells of itself, over plain HTTP on its machine's loopback: /metrics in Prometheus' form, /healthz.

Upstream's controller manager and scheduler do so over TLS, for whoever is authorized; here it is for who is on the
machine: ``knet exec cp1 -- curl -s localhost:10259/metrics``.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable

from knet.api.exposition import CONTENT_TYPE, Distribution, Family, exposition
from knet.kernel import pages
from knet.kernel.pages import NOT_FOUND, Page
from knet.kernel.process import start_time

log = logging.getLogger(__name__)

Families = Callable[[], Iterable[Family | Distribution]]
_TICKS = os.sysconf("SC_CLK_TCK")


async def serve(port: int, families: Families) -> None:
    """Answer until cancelled; a port that is taken is a line in the log, not the end of the component."""
    try:
        server = await pages.serve("127.0.0.1", port, lambda target: _page(target.partition("?")[0], families))
    except OSError as error:
        log.error("failed to listen on port %d: %s", port, error)
        return
    async with server:
        await server.serve_forever()


def _page(path: str, families: Families) -> Page:
    if path == "/metrics":
        return Page(exposition([*families(), *process()]), content_type=CONTENT_TYPE)
    return Page("ok") if path == "/healthz" else NOT_FOUND


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
