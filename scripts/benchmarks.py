"""What knet costs, measured beside its bounds; medians, because machines are noisy.

`core`       a cluster's life: up, 100 pods, down, memory at rest.
`api`        the API server alone, on one core, beside a real kube-apiserver.
`workloads`  the scheduler; clusters of ten workers with many pods.
`network`    how fast Services become rules; every road of the pod network beside the same road built by hand; the
             cluster DNS beside dnsmasq; a load balancer whose holder's link is cut.
`inspect`    captures, traces, the timeline: what looking costs, and how fast one sees.

Exit code 0 also where a bound is missed: the table says so.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import benchmarks_api
import benchmarks_balancers
import benchmarks_dns
import benchmarks_inspect
import benchmarks_network
import benchmarks_pods
import benchmarks_workloads
from benchmarks_pods import deployment, members
from rich.console import Console
from rich.table import Column, Table

from knet import Cluster

KNET = str(Path(sys.executable).with_name("knet"))
NAME = "bench"


@dataclass(frozen=True)
class Figure:
    """One row: the value measured, which way is better, what it must be and what we are after."""

    name: str
    value: float
    unit: str
    better: str
    bound: float
    goal: float
    #: the real thing's (Kubernetes 1.20 with etcd 3.4 on a machine of two such cores), where it is known, and in what
    #: that differs from what is measured here
    peer: float | None = None
    peer_note: str = ""
    #: CPU time of the server, or of the whole cluster, per operation, milliseconds
    cpu: float | None = None

    @property
    def met(self) -> bool:
        return self.value <= self.bound if self.better == "lower" else self.value >= self.bound

    @property
    def goal_met(self) -> bool:
        return self.value <= self.goal if self.better == "lower" else self.value >= self.goal


def timed(work: Callable[[], object]) -> float:
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


def knet(*words: str) -> None:
    subprocess.run([KNET, *words], check=True, stdout=subprocess.DEVNULL)


# ---- core ------------------------------------------------------------------------------------------------------


def memory(name: str) -> float:
    """PSS of all processes of a cluster, MB."""
    total = 0
    for pid in members(name):
        try:
            rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(row.split()[1]) for row in rows if row.startswith("Pss:"))
    return total / 1000


def core(rounds: int) -> Iterator[Figure]:
    ups, downs, rests, deploys = [], [], [], []
    for _ in range(rounds):
        ups.append(timed(lambda: knet("up", "--name", NAME)))
        try:
            time.sleep(2)  # at rest: nothing left to do from coming up
            rests.append(memory(NAME))
            with Cluster.attach(NAME) as cluster:
                cluster.apply(deployment(0, "warm"))
                deploys.append(timed(lambda cluster=cluster: hundred(cluster)))
        finally:
            downs.append(timed(lambda: knet("down", "--delete", "--name", NAME)))
    yield Figure("knet up, 3 machines, Nodes Ready and DNS answering", statistics.median(ups), "s", "lower", 3, 1)
    yield Figure("Deployment of 100 pods, apply → all Ready", statistics.median(deploys), "s", "lower", 8, 1)
    yield Figure("knet down with 100 pods", statistics.median(downs), "s", "lower", 2, 0.5)
    yield Figure("memory of an idle 3-machine cluster (PSS)", statistics.median(rests), "MB", "lower", 300, 150)


def hundred(cluster: Cluster) -> None:
    cluster.apply(deployment(100, "hundred"))
    cluster.rollout("deployment/hundred", timeout=120)


# ---- api -------------------------------------------------------------------------------------------------------

API = {
    "get": Figure("get Pod by name, 32 connections", 0, "/s", "higher", 10_000, 20_000, 2_312),
    "create": Figure("create Pod, 32 connections", 0, "/s", "higher", 3_000, 5_000, 745),
    "list": Figure("list of 1,000 Pods", 0, "ms", "lower", 15, 10, 35),
    "watch": Figure("write → watcher, 50 watchers, p50", 0, "ms", "lower", 2, 1.5, 4),
    "memory": Figure("resident with 100,000 Pods", 0, "GB", "lower", 1.5, 1),
    "kubectl 10": Figure("kubectl get pods, 10 Pods", 0, "ms", "lower", 1.2 * 83, 83, 83),
    "kubectl 500": Figure("kubectl get pods, 500 Pods", 0, "ms", "lower", 1.2 * 175, 175, 175),
}


def api(rounds: int) -> Iterator[Figure]:
    for key, measured in benchmarks_api.measurements(rounds):
        yield filled(API[key], measured)


def filled(row: Figure, measured: benchmarks_api.Measured) -> Figure:
    cpu = None if measured.cpu is None else measured.cpu * 1000
    return replace(row, value=measured.value, cpu=cpu)


# ---- workloads -------------------------------------------------------------------------------------------------

WORKLOADS = {
    "scheduler 10": Figure(
        "scheduler, 10 nodes, binds included", 0, "pods/s", "higher", 1_000, 2_000, 385, "500 pods, with their creation"
    ),
    "scheduler 1000": Figure("scheduler, 1,000 hollow nodes, binds included", 0, "pods/s", "higher", 300, 600),
    "pods 1000": Figure(
        "1,000 pods on 10 workers, apply → all Ready", 0, "s", "lower", 12, 6, 14, "500 pods, hollow kubelets"
    ),
    "idle": Figure("idle cluster with 1,000 pods, CPU of one core", 0, "%", "lower", 10, 5),
    "rollout": Figure("rolling update of 100 pods", 0, "s", "lower", 10, 5),
    "dead worker": Figure("dead worker's 10 pods replaced, after grace and toleration", 0, "s", "lower", 1, 0.5),
}


def workloads(rounds: int) -> Iterator[Figure]:
    for measure in (benchmarks_workloads.measurements, benchmarks_pods.measurements):
        for key, measured in measure(rounds):
            yield filled(WORKLOADS[key], measured)


#: columns of an output that is no terminal
WIDE = 200


# ---- network ---------------------------------------------------------------------------------------------------

ROADS = {
    "same node": "pods of one node",
    "host-gw": "pods of two nodes, host-gw",
    "vxlan": "pods of two nodes, VXLAN",
    "cluster ip": "ClusterIP of a pod on another node, nftables",
    "node port": "node port from outside, pod on another node, nftables",
}
NETWORK = {
    "full sync": Figure("full sync of 5,000 Services, nftables", 0, "ms", "lower", 300, 100),
    "endpoint 1000": Figure("endpoint changed, 1,000 Services: API write → rules of 3 nodes", 0, "ms", "lower", 20, 5),
    "endpoint 5000": Figure("endpoint changed, 5,000 Services: API write → rules of 3 nodes", 0, "ms", "lower", 40, 5),
    "connections": Figure("new connections, last of 5,000 Services, nftables; of 10 = 1", 0, "", "higher", 0.9, 0.95),
    **{f"bulk {key}": Figure(f"TCP, {road}, by hand = 1", 0, "", "higher", 0.95, 0.98) for key, road in ROADS.items()},
    **{
        f"rr {key}": Figure(f"request/response, {road}, by hand = 1", 0, "", "higher", 0.95, 0.98)
        for key, road in ROADS.items()
    },
    "failover layer2": Figure("LoadBalancer without an answer after a link cut", 0, "s", "lower", 1, 0.7),
    "failover bgp": Figure("likewise, BGP mode: connections whose next hop it was", 0, "s", "lower", 1, 0.7),
    "dns rate": Figure("DNS queries/s of one server pod", 0, "/s", "higher", 0.7, 1, peer_note="dnsmasq"),
    "dns p99": Figure("DNS answer at half that load, p99", 0, "ms", "lower", 2, 1, peer_note="dnsmasq"),
    "pod ip": Figure("request/response, ClusterIP, nftables; pod's own address = 1", 0, "", "higher", 0.92, 0.95),
}


def network(rounds: int) -> Iterator[Figure]:
    for key, measured in benchmarks_network.measurements(rounds):
        yield filled(NETWORK[key], measured)
    for key, seconds in benchmarks_balancers.measurements():
        yield replace(NETWORK[f"failover {key}"], value=seconds)
    for key, (value, peer, cpu) in benchmarks_dns.measurements(rounds):
        row = NETWORK[f"dns {key}"]
        if key == "rate":  # the bound is a share of the peer's
            yield replace(
                row, value=value, peer=peer, bound=peer * row.bound, goal=peer * row.goal, cpu=cpu and cpu * 1000
            )
        else:
            yield replace(row, value=value * 1000, peer=peer * 1000)


# ---- inspect ---------------------------------------------------------------------------------------------------

INSPECT = {
    "capture": Figure("knet capture into a file, 50,000 packets/s: lost of 250,000", 0, "packets", "lower", 0, 0),
    "timeline": Figure("100 pods deployed while knet timeline -f records: longer by", 0, "%", "lower", 3, 1),
    "reach": Figure("knet reach, 50 pods, 2,450 pairs predicted and tried", 0, "s", "lower", 5, 1),
    "trace": Figure("cluster.trace, by a ClusterIP to another machine and back", 0, "s", "lower", 0.5, 0.3),
    "trace command": Figure("knet trace, likewise, with Python's start", 0, "s", "lower", 1.0, 0.5),
}


def inspect(rounds: int) -> Iterator[Figure]:
    for key, measured in benchmarks_inspect.measurements(rounds):
        yield filled(INSPECT[key], measured)


SUITES: dict[str, Callable[[int], Iterator[Figure]]] = {
    "core": core,
    "api": api,
    "workloads": workloads,
    "network": network,
    "inspect": inspect,
}


def quantity(number: float, unit: str) -> str:
    return f"{number:,.0f} {unit}" if number >= 100 else f"{number:.3g} {unit}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", nargs="?", choices=list(SUITES), help="which figures (default: all)")
    parser.add_argument("--json", action="store_true", help="a list of figures instead of a table")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default: 3)")
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("bench: machines are network namespaces; try: sudo scripts/bench")
    columns = (Column("what", no_wrap=True), "measured", "bound", "goal", "Kubernetes 1.20", "CPU each", "")
    table = Table(*columns, box=None, header_style="dim", padding=(0, 3, 0, 0))
    figures = []
    for suite in [options.suite] if options.suite else SUITES:
        for row in SUITES[suite](options.rounds):
            figures.append(asdict(row))
            sign = "≤" if row.better == "lower" else "≥"
            verdict = "goal met" if row.goal_met else "bound met" if row.met else "[red]bound missed[/]"
            value, bound, goal = (quantity(number, row.unit) for number in (row.value, row.bound, row.goal))
            peer = quantity(row.peer, row.unit) if row.peer else ""
            peer += f" ({row.peer_note})" if row.peer_note else ""
            cpu = quantity(row.cpu, "ms") if row.cpu else ""
            table.add_row(row.name, value, f"{sign} {bound}", f"{sign} {goal}", peer, cpu, verdict)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        console = Console()
        (console if console.is_terminal else Console(width=WIDE)).print(table)


if __name__ == "__main__":
    main()
