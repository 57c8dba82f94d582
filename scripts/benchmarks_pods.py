"""What whole clusters with many pods cost: coming up, standing still, being replaced.

Every figure is of a cluster of ten workers and ordinary Deployments, seen by a watch of its pods as any client sees it.
Beside the time stands the CPU time that all processes of the cluster took for each pod: on a machine that others use,
that is the steadier of the two.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import orjson
from benchmarks_api import PODS, Measured, median

from knet import Cluster
from knet.api.names import NODE_LEASE_NAMESPACE
from knet.api.timing import PROFILES
from knet.client import Client
from knet.cluster.state import StateDir

T = TypeVar("T")
Object = dict[str, Any]

NAME = "bench"
WORKERS, MANY, HUNDRED = 10, 1_000, 100
#: seconds for which a cluster is left alone: after coming up; after a burst, until its Events are told; while its idle
#: CPU time is taken
SETTLE, AFTERMATH, IDLE = 5, 20, 20
#: seconds that anything may take before the measurement is given up
PATIENCE = 300
TICKS = os.sysconf("SC_CLK_TCK")


def deployment(replicas: int, name: str = "bench") -> Object:
    """A Deployment of pods that do nothing."""
    labels = {"app": name}
    containers = [{"name": "pause", "image": "registry.k8s.io/pause:3.10"}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


# ---- what a cluster's processes use ------------------------------------------------------------------------------


def members(name: str) -> Iterator[int]:
    """The host's pids of a cluster's processes, those of its containers among them: the supervisor and all below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    waiting = [int((StateDir(name).run / "supervisor.pid").read_text())]
    while waiting:
        yield (pid := waiting.pop())
        waiting += children.get(pid, ())


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name (proc(5) counts from 3); none of a process that has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def cpu(name: str) -> float:
    """CPU seconds of a cluster so far, of the processes that it has waited for as well."""
    return sum(map(_cpu_of, members(name)))


def _cpu_of(pid: int) -> float:
    """A process' own time is told in whole ticks, of which a pause process uses less than one, and its first thread's
    in nanoseconds; both are too little, so the larger counts."""
    own, waited = (sum(map(int, _stat(pid)[begin : begin + 2])) / TICKS for begin in (11, 13))
    try:
        thread = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    except OSError:
        thread = 0.0
    return max(own, thread) + waited


# ---- watching ----------------------------------------------------------------------------------------------------


def ready(pod: Object) -> bool:
    rows = pod.get("status", {}).get("conditions", ())
    up = any(row["type"] == "Ready" and row["status"] == "True" for row in rows)
    return up and "deletionTimestamp" not in pod["metadata"]


async def until(client: Client, count: int, counts: Callable[[Object], bool]) -> None:
    """Return when so many pods of the default namespace are ready and such that ``counts`` says so, and no more."""
    found: set[str] = set()
    async with asyncio.timeout(PATIENCE):
        path = PODS.partition("?")[0]
        async with contextlib.aclosing(client.lines(path, {"watch": "1", "resourceVersion": "0"})) as lines:
            async for line in lines:
                event = orjson.loads(line)
                pod = event["object"]
                there = event["type"] != "DELETED" and ready(pod) and counts(pod)
                (found.add if there else found.discard)(pod["metadata"]["name"])
                if len(found) == count:
                    return


def timed(cluster: Cluster, pods: int, act: Callable[[], object], counts: Callable[[Object], bool]) -> Measured:
    """Seconds from a deed until so many pods are as they are to be, and the cluster's CPU seconds for each."""
    used, begin = cpu(cluster.name), time.monotonic()
    act()
    cluster.call(until(cluster.api, pods, counts))
    return Measured(time.monotonic() - begin, (cpu(cluster.name) - used) / pods)


# ---- the figures -------------------------------------------------------------------------------------------------


def thousand(_: Cluster | None = None) -> Iterator[tuple[str, Measured]]:
    """A thousand pods from nothing, and what they cost once they are there."""
    with Cluster(name=NAME, workers=WORKERS) as cluster:
        time.sleep(SETTLE)
        yield "pods 1000", timed(cluster, MANY, lambda: cluster.apply(deployment(MANY)), lambda _: True)
        time.sleep(AFTERMATH)
        before, begin = cpu(NAME), time.monotonic()
        time.sleep(IDLE)
        yield "idle", Measured(100 * (cpu(NAME) - before) / (time.monotonic() - begin))


def hundred() -> Iterator[tuple[str, Measured]]:
    """A hundred pods replaced by a rolling update, then those of a worker that dies."""
    with Cluster(name=NAME, workers=WORKERS) as cluster:
        cluster.apply(deployment(HUNDRED))
        cluster.rollout("deployment/bench", timeout=PATIENCE)
        time.sleep(SETTLE)
        yield "rollout", timed(cluster, HUNDRED, lambda: update(cluster), updated)
        cluster.rollout("deployment/bench", timeout=PATIENCE)
        time.sleep(SETTLE)
        yield "dead worker", Measured(after_grace(cluster))


def update(cluster: Cluster) -> None:
    cluster.set_image("deployment/bench", pause="registry.k8s.io/pause:3.9")


def updated(pod: Object) -> bool:
    return bool(pod["spec"]["containers"][0]["image"].endswith(":3.9"))


def after_grace(cluster: Cluster) -> float:
    """Seconds until a lost worker's pods are Ready elsewhere, from the moment at which the cluster may give them up.

    That is the last renewal of the worker's Lease, and node-monitor-grace-period, and the tolerationSeconds that every
    pod is given.  The worker is lost by its cable.
    """
    lost = f"n{WORKERS}"
    cluster.link(lost, "s1").down()
    cluster.call(until(cluster.api, HUNDRED, lambda pod: pod["spec"]["nodeName"] != lost))
    end = time.time()
    renewed = cluster.get(f"lease/{lost}", NODE_LEASE_NAMESPACE)["spec"]["renewTime"]
    timing = PROFILES["lab"]
    allowed = timing.node_monitor_grace_period + timing.default_toleration
    return end - datetime.fromisoformat(renewed).timestamp() - allowed


def measurements(rounds: int) -> Iterator[tuple[str, Measured]]:
    """Name and value of each figure."""
    for suite in (thousand, hundred):
        runs = [dict(suite()) for _ in range(rounds)]
        for key in runs[0]:
            yield key, median(run[key] for run in runs)
