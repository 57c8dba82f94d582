"""The frame around a component's process: event loop, log lines, orderly stop, and what it is told while it runs."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import uvloop

from knet.client.late import LINE
from knet.kernel import recorder

log = logging.getLogger(__name__)

#: as klog prints it: severity, time, component or module, text
FORMAT = "%(levelname).1s%(asctime)s.%(msecs)03d %(name)s: %(message)s"

#: what the process that started us says while we run, if it does: `Orders`, one a packet
told: socket.socket | None = None


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """How a component is to be from now on; each packet says all of it."""

    delay: float = 0.0
    """seconds by which it learns later what its watches tell"""


_orders = msgspec.json.Decoder(Orders)


def run(name: str, body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a component until its body ends or SIGTERM/SIGINT cancels it; log lines go to stderr, and what it records can
    be read (`knet.kernel.recorder`).

    An exception out of ``body`` is logged and leaves by SystemExit(1), on which the supervisor restarts it.
    """
    logging.basicConfig(format=FORMAT, datefmt="%H:%M:%S", level=logging.INFO, force=True)
    try:
        uvloop.run(_until_signal(name, body))
    except Exception:
        logging.getLogger(name).exception("%s failed", name)
        raise SystemExit(1) from None


async def _until_signal(name: str, body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async with recorder.served(name):
        await _cancelled_by_signal(asyncio.ensure_future(body()))


async def _cancelled_by_signal(task: "asyncio.Future[None]") -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    if told is not None:
        told.setblocking(False)
        _heed(told)  # before the body runs, which may have been told something beforehand
        loop.add_reader(told, _heed, told)
    try:
        await task
    except asyncio.CancelledError:
        log.info("stopped")


def _heed(told: socket.socket) -> None:
    """Take over what has been said; whoever says it may be gone, which is no matter of ours."""
    try:
        while packet := told.recv(4096):
            orders = _orders.decode(packet)
            log.info("learns what its watches tell %g ms later", orders.delay * 1000)
            LINE.delay(orders.delay)
    except BlockingIOError:
        return
    asyncio.get_running_loop().remove_reader(told)
