"""The component ``knet-underlay``: objects of lab.knet.io on one side, the supervisor on the other."""

import asyncio
import logging
import os
from collections.abc import Callable

import msgspec

from knet.client import Client, Informer
from knet.client.component import run
from knet.client.controller import Controller, Key
from knet.cluster.errors import KnetError
from knet.cluster.lab.definitions import LabObject, Link, Machine
from knet.cluster.lab.reconcile import LINK, MACHINE, LabReconciler, Network

log = logging.getLogger(__name__)

#: seconds after which the supervisor is asked although it has said nothing: an interface that somebody has set down
#: inside a machine is nobody's doing that it knows of
LOOK_EVERY = 5


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """``supervisor`` is the address of a Unix socket on this machine; ``wake_fds`` one eventfd(2), written to when the
    network has changed."""

    kubeconfig: str
    supervisor: str
    wake_fds: list[int]


def main(options: Options) -> None:
    """Run until SIGTERM."""
    run("knet-underlay", lambda: _serve(options))


async def _serve(options: Options) -> None:
    controllers: dict[type[LabObject], Controller] = {}

    def changed(cls: type[LabObject], name: str) -> None:
        controllers[cls].enqueue(Key("", name))

    network = Network(options.supervisor, changed)
    async with Client.from_kubeconfig(options.kubeconfig, "knet-underlay") as client, asyncio.TaskGroup() as tasks:
        links, machines = Informer(client, Link), Informer(client, Machine)
        controllers[Link] = Controller("links", LabReconciler(LINK, client, links, network))
        controllers[Machine] = Controller("machines", LabReconciler(MACHINE, client, machines, network))
        await network.refresh()
        for informer in (links, machines):
            tasks.create_task(informer.run())
            await informer.synced.wait()
        links.subscribe(_enqueue(controllers[Link]))
        machines.subscribe(_enqueue(controllers[Machine]))
        for controller in controllers.values():
            tasks.create_task(controller.run())
        await _look(network, options.wake_fds[0])


def _enqueue(controller: Controller) -> Callable[[LabObject | None, LabObject | None], None]:
    def changed(old: LabObject | None, new: LabObject | None) -> None:
        found = new or old
        if found is not None:
            controller.enqueue(Key("", found.name))

    return changed


async def _look(network: Network, wake: int) -> None:
    """Ask the supervisor whenever it says that something is new, and now and then."""
    news = asyncio.Event()

    def woken() -> None:
        os.eventfd_read(wake)
        news.set()

    asyncio.get_running_loop().add_reader(wake, woken)
    while True:
        try:
            async with asyncio.timeout(LOOK_EVERY):
                await news.wait()
        except TimeoutError:
            pass
        news.clear()
        try:
            await network.refresh()
        except KnetError as error:
            log.warning("%s", error)
