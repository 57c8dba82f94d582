"""The frame around a component's process: event loop, log lines, orderly stop."""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from knet.kernel import recorder

log = logging.getLogger(__name__)

#: as klog prints it: severity, time, component or module, text
FORMAT = "%(levelname).1s%(asctime)s.%(msecs)03d %(name)s: %(message)s"


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
    try:
        await task
    except asyncio.CancelledError:
        log.info("stopped")
