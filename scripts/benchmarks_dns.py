"""The cluster DNS beside dnsmasq: two pods on one node with the same names, asked in turns by dnsperf from that node.

What else a machine does only ever takes away, so the best of each is compared; the CPU time of the server for each
query is the steadier figure.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks_pods import members

from knet import Cluster
from knet.api.resources import SERVICES

NAME = "bench"
#: Services that are asked for, and seconds of each run
MANY, SECONDS = 1_000, 3
#: dnsperf as four clients with so many queries under way
CLIENTS = "-c 4 -q 100"


class Measured(NamedTuple):
    """``peer`` is dnsmasq's value, ``cpu`` seconds of ours for each query."""

    value: float
    peer: float
    cpu: float | None = None


def address(number: int) -> str:
    return f"10.96.{1 + number // 250}.{1 + number % 250}"


def names() -> list[str]:
    return [f"web-{number}.default.svc.cluster.local" for number in range(MANY)]


DNSMASQ = ["dnsmasq", "--keep-in-foreground", "--user=root", "--no-resolv", "--no-hosts"]
DNSMASQ += ["--addn-hosts=/names/hosts", "--cache-size=10000"]


def prepare(cluster: Cluster) -> None:
    """The Services, and a pod of dnsmasq that knows the same names."""
    hosts = "".join(f"{address(number)} {name}\n" for number, name in enumerate(names()))
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "names"}, "data": {"hosts": hosts}})
    mount = {"name": "names", "mountPath": "/names"}
    container = {"name": "main", "image": "nicolaka/netshoot", "command": DNSMASQ, "volumeMounts": [mount]}
    spec = {"containers": [container], "volumes": [{"name": "names", "configMap": {"name": "names"}}]}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "dnsmasq"}, "spec": spec})

    async def services() -> None:
        for number in range(MANY):
            spec = {"clusterIP": address(number), "ports": [{"port": 80}]}
            body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"web-{number}"}, "spec": spec}
            await cluster.api.raw("POST", SERVICES.path("default"), body)

    cluster.call(services())
    cluster.wait("pod/dnsmasq", "Ready")


def process(words: str) -> int:
    """The pid of the cluster's process with this in its command line."""
    for pid in members(NAME):
        line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        if words in line:
            return pid
    raise SystemExit(f"there is no process {words}")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Load:
    """dnsperf against one server."""

    def __init__(self, cluster: Cluster, server: str, words: str, queries: Path) -> None:
        self._machine = cluster.machine("n1")
        self._command = f"dnsperf -s {server} -d {queries} -l {SECONDS} {CLIENTS}"
        self._pid = process(words)

    def rate(self) -> tuple[float, float]:
        """Queries answered per second, and CPU seconds of the server for each."""
        before = cpu_seconds(self._pid)
        told = self._machine.run(self._command)
        cpu = cpu_seconds(self._pid) - before
        return told_number(r"Queries per second: +([\d.]+)", told), cpu / told_number(
            r"Queries completed: +(\d+)", told
        )

    def slowest(self, rate: float) -> float:
        """Seconds that the slowest of a hundred answers take at so many queries per second, at most."""
        told = self._machine.run(f"{self._command} -v -Q {rate:.0f}")
        times = sorted(float(line.rpartition(" ")[2]) for line in told.splitlines() if line.startswith("> "))
        return times[len(times) * 99 // 100]


def told_number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if found is None:
        raise SystemExit(f"dnsperf does not say {pattern}:\n{text}")
    return float(found[1])


def measurements(rounds: int) -> Iterator[tuple[str, Measured]]:
    for program in ("dnsperf", "dnsmasq"):
        if shutil.which(program) is None:
            raise SystemExit(f"bench: apt-get install dnsperf dnsmasq-base ({program} is missing)")
    with tempfile.TemporaryDirectory() as directory, Cluster(name=NAME, workers=1) as cluster:
        queries = Path(directory) / "queries"
        queries.write_text("".join(f"{name} A\n" for name in names()))
        prepare(cluster)
        [dns] = cluster.pods("k8s-app=kube-dns", "kube-system")
        ours = Load(cluster, dns.ip, "-m knet.dns -conf", queries)
        peer = Load(cluster, cluster.pod("dnsmasq").ip, "dnsmasq --keep-in-foreground", queries)
        rates = [(ours.rate(), peer.rate()) for _ in range(rounds)]
        own, other = (max(column) for column in zip(*rates, strict=True))
        yield "rate", Measured(own[0], other[0], own[1])
        slowest = [(ours.slowest(own[0] / 2), peer.slowest(own[0] / 2)) for _ in range(rounds)]
        own_slowest, other_slowest = (min(column) for column in zip(*slowest, strict=True))
        yield "p99", Measured(own_slowest, other_slowest)
