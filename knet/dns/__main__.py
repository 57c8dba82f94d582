"""``python -m knet.dns``: the DNS server of a cluster, in a pod of its own."""

import argparse
import asyncio
import gc
import logging
import signal

from knet.api.names import CLUSTER_DOMAIN
from knet.api.objects import EndpointSlice, Namespace, Service
from knet.dns.connection import in_cluster
from knet.dns.directory import Directory
from knet.dns.feed import Feed
from knet.dns.forward import Forwarder
from knet.dns.responder import Responder
from knet.dns.server import Server, serve_probe
from knet.dns.zone import Zone

log = logging.getLogger("dns")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="knet.dns", description="DNS for the Services of a Kubernetes cluster")
    parser.add_argument("--domain", default=CLUSTER_DOMAIN, help="the cluster's zone (default: %(default)s)")
    parser.add_argument("--address", default="0.0.0.0", help="where to listen (default: %(default)s)")
    parser.add_argument("--port", type=int, default=53, help="UDP and TCP (default: %(default)s)")
    parser.add_argument(
        "--upstream", default="", metavar="ADDR[:PORT]", help="asked about all other names; without it: NXDOMAIN"
    )
    parser.add_argument(
        "--lameduck",
        type=float,
        default=5,
        metavar="SECONDS",
        help="go on so long after SIGTERM (default: %(default)s)",
    )
    parser.add_argument("--health-port", type=int, default=8080, help="/health (default: %(default)s)")
    parser.add_argument("--ready-port", type=int, default=8181, help="/ready (default: %(default)s)")
    return parser.parse_args()


async def _serve(arguments: argparse.Namespace) -> None:
    directory = Directory()
    forwarder = _forwarder(arguments.upstream)
    responder = Responder(directory, Zone(directory, arguments.domain), recursive=forwarder is not None)
    access = in_cluster()
    services = Feed(access, Service, directory.service_changed)
    slices = Feed(access, EndpointSlice, directory.slice_changed)
    namespaces = Feed(access, Namespace, directory.namespace_changed)
    feeds = (services, slices, namespaces)
    async with asyncio.TaskGroup() as group:
        for feed in feeds:
            group.create_task(feed.run())
        await Server(responder, forwarder).start(arguments.address, arguments.port)
        await serve_probe(arguments.address, arguments.health_port, "/health", lambda: True)
        await serve_probe(arguments.address, arguments.ready_port, "/ready", lambda: responder.ready)
        for feed in feeds:
            await feed.synced.wait()
        responder.ready = True
        log.info("serving %s at %s:%d", arguments.domain, arguments.address, arguments.port)
        gc.freeze()  # what is there by now stays: no collection need look at it again


def _forwarder(upstream: str) -> Forwarder | None:
    if not upstream:
        return None
    address, _, port = upstream.partition(":")
    return Forwarder(address, int(port or 53))


async def _until_signal(arguments: argparse.Namespace) -> None:
    """SIGINT ends it at once, SIGTERM after the lame duck's time: until everybody knows, queries still come here."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(_serve(arguments))
    loop.add_signal_handler(signal.SIGINT, task.cancel)
    loop.add_signal_handler(signal.SIGTERM, lambda: loop.call_later(arguments.lameduck, task.cancel))
    try:
        await task
    except asyncio.CancelledError:
        log.info("stopped")


def main() -> None:
    """Run until SIGTERM."""
    logging.basicConfig(
        format="%(levelname).1s%(asctime)s.%(msecs)03d %(name)s: %(message)s", datefmt="%H:%M:%S", level=logging.INFO
    )
    asyncio.run(_until_signal(_arguments()))


if __name__ == "__main__":
    main()
