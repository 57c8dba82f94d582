"""kube-network-policies: one on each worker, in that machine's namespaces."""

import asyncio
import socket

import msgspec

from knet.api.timing import PROFILES
from knet.client import Client
from knet.policy.announced import Announced
from knet.policy.enforcer import Enforcer
from knet.policy.gate import Gate


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """``listen_fds``: the socket that the kubelet asks at; ``timing`` names a row of `knet.api.timing.PROFILES`."""

    kubeconfig: str
    node_name: str
    listen_fds: list[int] = []
    timing: str = "lab"


async def serve(options: Options) -> None:
    """Run until cancelled.  The rules stay when it ends."""
    async with Client.from_kubeconfig(options.kubeconfig, "kube-network-policies") as client:
        period = PROFILES[options.timing].proxy_sync
        enforcer = Enforcer(client, options.node_name, Announced(options.node_name), period)
        async with asyncio.TaskGroup() as group:
            for fd in options.listen_fds:
                group.create_task(Gate(socket.socket(fileno=fd), enforcer.admit).run())
            group.create_task(enforcer.run())
