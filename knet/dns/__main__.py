"""``python -m knet.dns -conf Corefile``: the DNS server of a cluster, in a pod of its own."""

import argparse
import asyncio
import gc
import logging
import resource
import secrets
import signal
import socket
import sys
from functools import partial
from pathlib import Path

from knet.api.exposition import CONTENT_TYPE, Distribution, Family, exposition
from knet.api.objects import EndpointSlice, Namespace, Service
from knet.dns.connection import in_cluster
from knet.dns.corefile import ConfigError
from knet.dns.directory import Directory
from knet.dns.feed import Feed
from knet.dns.forward import NoAnswer, TooMany
from knet.dns.http import Page, serve_page
from knet.dns.metrics import Metrics
from knet.dns.question import RECURSION_DESIRED, Question
from knet.dns.responder import Responder
from knet.dns.routes import Routes
from knet.dns.server import Server
from knet.dns.settings import PORT, read

log = logging.getLogger("dns")

ADDRESSES = ("0.0.0.0", "::")
_HINFO, _IN = 13, 1
#: sockets: one per forwarded question, and connections
_FILES = 8192


class DNS:
    """A running server: what the Corefile says, put together."""

    def __init__(self, corefile: Path, port: int) -> None:
        self._corefile = corefile
        self._port = port
        self._text = corefile.read_text()
        self._directory = Directory()
        self._feeds: list[Feed[Service] | Feed[EndpointSlice] | Feed[Namespace]] = []
        self.settings = read(self._text, port)
        metrics = Metrics()
        self.responder = Responder(self._directory, Routes(self.settings, self._directory, metrics), metrics)

    async def run(self) -> None:
        """Until cancelled.  OSError where a port is taken."""
        access, directory = in_cluster(), self._directory
        self._feeds = [
            Feed(access, Service, directory.service_changed),
            Feed(access, EndpointSlice, directory.slice_changed),
            Feed(access, Namespace, directory.namespace_changed),
        ]
        await self._listen()
        async with asyncio.TaskGroup() as group:
            for feed in self._feeds:
                group.create_task(feed.run())
            group.create_task(self._reload())
            for feed in self._feeds:
                await feed.synced.wait()
            self.responder.ready = True
            log.info("serving %s at port %d", ", ".join(row.label for row in self.responder.routes.all()), self._port)
            gc.freeze()  # what is there by now stays: no collection need look at it again
            await self._look_for_loops()

    async def _listen(self) -> None:
        await Server(self.responder).start(self._port, *(ADDRESSES if _has_ipv6() else ADDRESSES[:1]))
        for address, path, page in (
            (self.settings.health, "/health", lambda: Page("OK")),
            (self.settings.ready, "/ready", self._readiness),
            (self.settings.metrics, "/metrics", self._metrics),
        ):
            if address is not None:
                await serve_page(*address, path, page)

    def _readiness(self) -> Page:
        """What is waited for, and why it does not come."""
        if self.responder.ready:
            return Page("OK")
        why = "".join(f"\n{feed.trouble}" for feed in self._feeds if feed.trouble)
        return Page(f"kubernetes{why}", 503)

    def _metrics(self) -> Page:
        self.responder.count()
        families: list[Family | Distribution] = self.responder.metrics.families()
        return Page(exposition([*families, *self.responder.routes.families()]), content_type=CONTENT_TYPE)

    async def _reload(self) -> None:
        """Look at the file now and then; with a mistake in it, go on as before."""
        while self.settings.reload:
            await asyncio.sleep(self.settings.reload)
            try:
                text = self._corefile.read_text()
                if text == self._text:
                    continue
                self._text = text
                log.info("Reloading")
                settings = read(text, self._port)
            except (OSError, ConfigError) as error:
                log.error("Restart failed: %s", error)
                self.responder.metrics.failed_reloads += 1
                continue
            self.settings = settings
            self.responder.reroute(Routes(settings, self._directory, self.responder.metrics))
            log.info("Reloading complete")
            await self._look_for_loops()

    async def _look_for_loops(self) -> None:
        """CoreDNS's plugin loop: a question for others that comes here would go round for ever."""
        for block in self.settings.blocks:
            zone = block.zones[0]
            route = self.responder.routes.of(zone)
            forwarder = route.forwarder_of(zone) if route else None
            if not block.loop or forwarder is None:
                continue
            name = (*(str(secrets.randbits(63)) for _ in range(2)), *zone)
            question = Question(0, 0, RECURSION_DESIRED, tuple(label.encode() for label in name), _HINFO, _IN, None)
            self.responder.probes[name] = partial(_looped, ".".join(name), ".".join(zone))
            try:
                await forwarder.resolve(question)
            except (NoAnswer, TooMany) as error:
                log.warning("plugin/loop: %s", error)
            del self.responder.probes[name]


def _has_ipv6() -> bool:
    """Whether the kernel does; it may have been told not to (ipv6.disable=1)."""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError:
        return False
    return True


def _looped(name: str, zone: str) -> None:
    where = "see https://coredns.io/plugins/loop#troubleshooting"
    sys.exit(f'plugin/loop: Loop detected for zone "{zone}.", {where}. Query: "HINFO {name}."')


async def _until_signal(dns: DNS) -> None:
    """SIGINT ends it at once, SIGTERM after the lame duck's time: until everybody knows, queries still come here."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(dns.run())
    loop.add_signal_handler(signal.SIGINT, task.cancel)
    loop.add_signal_handler(signal.SIGTERM, lambda: loop.call_later(dns.settings.lameduck, task.cancel))
    try:
        await task
    except asyncio.CancelledError:
        log.info("stopped")


def main() -> None:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(prog="knet.dns", description="DNS for the Services of a Kubernetes cluster")
    parser.add_argument("-conf", type=Path, required=True, metavar="COREFILE", help="what to serve, and how")
    parser.add_argument("-dns.port", dest="port", type=int, default=PORT, help="UDP and TCP (default: %(default)s)")
    arguments = parser.parse_args()
    logging.basicConfig(
        format="%(levelname).1s%(asctime)s.%(msecs)03d %(name)s: %(message)s", datefmt="%H:%M:%S", level=logging.INFO
    )
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(_FILES, most), most))
    try:
        dns = DNS(arguments.conf, arguments.port)
    except (OSError, ConfigError) as error:
        sys.exit(str(error))
    asyncio.run(_until_signal(dns))


if __name__ == "__main__":
    main()
