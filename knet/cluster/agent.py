"""The process network-agent: what a worker's pod network needs, in one process, as Calico's and Cilium's agents are.

flanneld, network policies and load balancers are clients of the API server like all components, each under its own
identity.  A process of its own would cost each of them 12 MB of what the zygote's children otherwise share.
"""

import asyncio
import importlib
from typing import Any

import msgspec

from knet.client import component


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """``module`` has ``Options``, and ``serve(options)``, which runs until cancelled."""

    module: str
    options: dict[str, Any]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """``listen_fds`` are for the part whose options have such a field."""

    parts: list[Part]
    listen_fds: list[int] = []


def main(options: Options) -> None:
    """Run until SIGTERM; where one part fails all are started anew."""
    component.run("network-agent", lambda: serve(options))


async def serve(options: Options) -> None:
    async with asyncio.TaskGroup() as group:
        for part in options.parts:
            module = importlib.import_module(part.module)
            given = dict(part.options)
            if "listen_fds" in module.Options.__struct_fields__:
                given["listen_fds"] = options.listen_fds
            group.create_task(module.serve(msgspec.convert(given, module.Options)))
