"""The cluster DNS beside dnsmasq: two pods on one node with the same names, asked in turns by dnsperf from a third.

What else a machine does only ever takes away, so the best of each is compared; the CPU time of the server for each
query is the steadier figure.
"""

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

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


def names() -> dict[str, str]:
    """What dnsmasq knows, and what dnsperf asks for."""
    fqdns = [f"web-{number}.default.svc.cluster.local" for number in range(MANY)]
    return {
        "hosts": "".join(f"{address(number)} {name}\n" for number, name in enumerate(fqdns)),
        "queries": "".join(f"{name} A\n" for name in fqdns),
    }


def pod(name: str, command: list[str]) -> dict[str, object]:
    container = {
        "name": "main",
        "image": "nicolaka/netshoot",
        "command": command,
        "volumeMounts": [{"name": "names", "mountPath": "/names"}],
    }
    volume = {"name": "names", "configMap": {"name": "names"}}
    spec = {"containers": [container], "volumes": [volume], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


DNSMASQ = ["dnsmasq", "--keep-in-foreground", "--user=root", "--no-resolv", "--no-hosts"]
DNSMASQ += ["--addn-hosts=/names/hosts", "--cache-size=10000"]


def prepare(cluster: Cluster) -> None:
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "names"}, "data": names()})
    cluster.apply(pod("dnsmasq", DNSMASQ))
    cluster.apply(pod("dnsperf", ["sleep", "infinity"]))

    async def services() -> None:
        for number in range(MANY):
            spec = {"clusterIP": address(number), "ports": [{"port": 80}]}
            body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"web-{number}"}, "spec": spec}
            await cluster.api.raw("POST", SERVICES.path("default"), body)

    cluster.call(services())
    for name in ("dnsmasq", "dnsperf"):
        cluster.wait(f"pod/{name}", "Ready")


def processes(words: str) -> int:
    """The host's pid of the process with this in its command line."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name != str(os.getpid()):
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if words in line:
                return int(entry.name)
    raise SystemExit(f"there is no process {words}")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Load:
    """dnsperf against one server."""

    def __init__(self, cluster: Cluster, server: str, process: str) -> None:
        self._from = cluster.pod("dnsperf")
        self._server = server
        self._pid = processes(process)

    def _run(self, options: str) -> str:
        command = f"dnsperf -s {shlex.quote(self._server)} -d /names/queries -l {SECONDS} {CLIENTS} {options}"
        return self._from.run(["sh", "-c", command])

    def rate(self) -> tuple[float, float]:
        """Queries answered per second, and CPU seconds of the server for each."""
        before = cpu_seconds(self._pid)
        told = self._run("")
        cpu = cpu_seconds(self._pid) - before
        completed = int(told_number(r"Queries completed: +(\d+)", told))
        return told_number(r"Queries per second: +([\d.]+)", told), cpu / completed

    def slowest(self, rate: float) -> float:
        """Seconds that the slowest of a hundred answers take at so many queries per second, at most."""
        told = self._run(f"-v -Q {rate:.0f} > /tmp/told; sed -n 's/^> .* //p' /tmp/told | sort -n > /tmp/times")
        assert not told
        return float(self._from.run(["sh", "-c", "sed -n $(( $(wc -l < /tmp/times) * 99 / 100 ))p /tmp/times"]))


def told_number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if found is None:
        raise SystemExit(f"dnsperf does not say {pattern}:\n{text}")
    return float(found[1])


def measurements(rounds: int) -> Iterator[tuple[str, Measured]]:
    for program in ("dnsperf", "dnsmasq"):
        if shutil.which(program) is None:
            raise SystemExit(f"bench: apt-get install dnsperf dnsmasq-base ({program} is missing)")
    with Cluster(name=NAME, workers=1) as cluster:
        prepare(cluster)
        [dns] = cluster.pods("k8s-app=kube-dns", "kube-system")
        ours = Load(cluster, dns.ip, "-m knet.dns -conf")
        peer = Load(cluster, cluster.pod("dnsmasq").ip, "dnsmasq --keep-in-foreground")
        rates = [(ours.rate(), peer.rate()) for _ in range(rounds)]
        own, other = (max(column) for column in zip(*rates, strict=True))
        yield "rate", Measured(own[0], other[0], own[1])
        slowest = [(ours.slowest(own[0] / 2), peer.slowest(own[0] / 2)) for _ in range(rounds)]
        own_slowest, other_slowest = (min(column) for column in zip(*slowest, strict=True))
        yield "p99", Measured(own_slowest, other_slowest)
