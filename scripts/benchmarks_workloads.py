"""What the parts that place and run pods do per second.

The scheduler: pods are waiting when it comes up; from the first pod that a watcher sees bound to the last one.  The
whole path counts: decision, bind over TLS, Event, and what the scheduler itself sees of it.  The API server has the
first core, the scheduler and the watcher the others; nodes are objects without machines.
"""

import asyncio
import base64
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, cast

import uvloop
from benchmarks_api import PODS, Measured, Server, connect, creates, drive, request, server

#: pods that wait for the scheduler
WAITING = 2_000
ALLOCATABLE = {"cpu": "64", "memory": "256Gi", "pods": "1000"}
BOUND = f"{PODS}?watch=1&resourceVersion=0&fieldSelector=spec.nodeName!%3D"

SCHEDULER = """
import sys, msgspec
from knet.scheduler.main import Options, main
main(msgspec.json.decode(sys.argv[1], type=Options))
"""


class Bound(asyncio.Protocol):
    """Counts the pods that appear with a node."""

    MARK = b'{"type":"ADDED"'

    def __init__(self, wanted: int) -> None:
        self.times: list[float] = []
        self.all = asyncio.get_running_loop().create_future()
        self._wanted = wanted
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(request("GET", BOUND))

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        self.times += data.count(self.MARK) * [time.perf_counter()]
        self._rest = data[1 - len(self.MARK) :]  # a mark may be cut in two
        if len(self.times) >= self._wanted and not self.all.done():
            self.all.set_result(None)


def kubeconfig(running: Server) -> str:
    """The scheduler's, with the administrator's certificate."""

    def embedded(name: str) -> str:
        return base64.b64encode((running.directory / name).read_bytes()).decode()

    user = {"client-certificate-data": embedded("admin.crt"), "client-key-data": embedded("admin.key")}
    where = {"server": f"https://127.0.0.1:{running.port}", "certificate-authority-data": embedded("ca.crt")}
    config = {
        "clusters": [{"name": "bench", "cluster": where}],
        "users": [{"name": "bench", "user": user}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        "current-context": "bench",
    }
    path = running.directory / "scheduler.kubeconfig"
    path.write_text(json.dumps(config))
    return str(path)


def hollow(name: str) -> tuple[bytes, bytes]:
    """Requests that make a node, and that make it one that takes pods."""
    labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": f"zone{hash(name) % 3}"}
    body: dict[str, Any] = {"metadata": {"name": name, "labels": labels}}
    body |= {"status": {"capacity": ALLOCATABLE, "allocatable": ALLOCATABLE}}
    untaint = [{"op": "remove", "path": "/spec/taints"}]
    path = "/api/v1/nodes"
    patch = request("PATCH", f"{path}/{name}", untaint, "application/json-patch+json")
    return request("POST", path, body), patch


def pods_per_second(nodes: int) -> float:
    """The scheduler's rate on a cluster of so many nodes."""
    with server() as running:
        for step in zip(*map(hollow, (f"node{number:04d}" for number in range(nodes))), strict=True):
            uvloop.run(drive(running, iter(step), min(nodes, 8)))
        uvloop.run(drive(running, iter(creates(0, WAITING)), 8))
        words = [sys.executable, "-c", SCHEDULER, json.dumps({"kubeconfig": kubeconfig(running)})]
        process = subprocess.Popen(words, stderr=(running.directory / "scheduler.log").open("wb"))
        try:
            return uvloop.run(_all_bound(running))
        finally:
            process.terminate()
            process.wait()


async def _all_bound(running: Server) -> float:
    watcher = await connect(running, lambda: Bound(WAITING))
    await asyncio.wait_for(watcher.all, 300)
    return (WAITING - 1) / (watcher.times[WAITING - 1] - watcher.times[0])


def measurements(rounds: int) -> Iterator[tuple[str, Measured]]:
    """Name and value of each figure."""
    for nodes in (10, 1000):
        yield f"scheduler {nodes}", Measured(statistics.median(pods_per_second(nodes) for _ in range(rounds)))
