"""What knet costs, measured beside its bounds; medians, because machines are noisy.

`core`       a cluster's life: up, 100 pods, down, memory at rest; the pod network against the same path built by hand.
`api`        the API server alone, on one core, beside a real kube-apiserver.
`workloads`  the scheduler; clusters of ten workers with many pods.
`network`    the cluster DNS beside dnsmasq; a load balancer whose holder's link is cut.

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
    ours, by_hand = path_rates()
    ratio = max(ours) / max(by_hand)
    yield Figure("pod → pod TCP across nodes (VXLAN), by hand = 1", ratio, "", "higher", 0.95, 0.98)


def hundred(cluster: Cluster) -> None:
    cluster.apply(deployment(100, "hundred"))
    cluster.rollout("deployment/hundred", timeout=120)


POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "spec": {"containers": [{"name": "main", "image": "nicolaka/netshoot", "command": ["sleep", "infinity"]}]},
}

#: two nodes on a switch, each with a bridge, a pod and a VXLAN device: knet's path, made with ip(8) alone
BY_HAND = """
set -e
ip link add s1 type bridge; ip link set s1 up
for n in 1 2; do
  ip netns add node$n; ip netns add pod$n
  ip link add eth0 netns node$n type veth peer name s1-$n
  ip link set s1-$n master s1 up
  N="ip -n node$n"; P="ip -n pod$n"
  $N link set lo up; $P link set lo up
  $N addr add 192.0.2.$n/24 dev eth0; $N link set eth0 up
  $N link add cni0 mtu 1450 type bridge
  $N addr add 198.18.$n.1/24 dev cni0; $N link set cni0 up
  $N link add veth0 mtu 1450 type veth peer name eth0 netns pod$n mtu 1450
  $N link set veth0 master cni0 up
  $P addr add 198.18.$n.2/24 dev eth0; $P link set eth0 up; $P route add default via 198.18.$n.1
  $N link add flannel.1 mtu 1450 address 02:00:00:00:00:0$n type vxlan id 1 local 192.0.2.$n dev eth0 dstport 8472 \\
    nolearning
  $N addr add 198.18.$n.0/32 dev flannel.1; $N link set flannel.1 up
  ip netns exec node$n sysctl -qw net.ipv4.ip_forward=1
done
for n in 1 2; do
  m=$((3 - n)); N="ip -n node$n"
  $N route add 198.18.$m.0/24 via 198.18.$m.0 dev flannel.1 onlink
  $N neigh add 198.18.$m.0 lladdr 02:00:00:00:00:0$m dev flannel.1 nud permanent
  bridge -n node$n fdb append 02:00:00:00:00:0$m dev flannel.1 dst 192.0.2.$m
done
exec 3<&0
ip netns exec pod2 iperf3 -s -p 5201 >/dev/null 2>&1 & server=$!
trap 'kill $server' EXIT
sleep 0.5
echo ready
while read -r line <&3; do ip netns exec pod1 iperf3 -c 198.18.2.2 -p 5201 -t 2 -O 0.3 -J | tr -d '\\n'; echo; done
"""


def gigabits(report: str) -> float:
    return float(json.loads(report)["end"]["sum_received"]["bits_per_second"]) / 1e9


def path_rates(rounds: int = 8) -> tuple[list[float], list[float]]:
    """Bulk TCP rates of knet's and of the hand-built path, Gbit/s, measured in turns.

    The best of each is what to compare: whatever else the machine does only ever takes away, and takes away from one of
    two neighbouring measurements more than the paths differ.
    """
    hand = subprocess.Popen(
        ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
         "mount -t tmpfs tmpfs /run && exec bash -s"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert hand.stdin is not None and hand.stdout is not None
    # bash reads its program from stdin: all of it is one function call, so that later lines are ours
    hand.stdin.write("main() {\n" + BY_HAND + "\n}\nmain; exit\n")
    hand.stdin.flush()
    try:
        if hand.stdout.readline().strip() != "ready":
            raise SystemExit("the hand-built path could not be set up")
        with Cluster(name=NAME, workers=2) as cluster:
            for number in (1, 2):
                pod = {"metadata": {"name": f"pod{number}"}, "spec": POD["spec"] | {"nodeName": f"n{number}"}}
                cluster.apply(POD | pod)
            client, server = cluster.pod("pod1"), cluster.pod("pod2")
            server.run("iperf3 -s -D -p 5201")
            ours, by_hand = [], []
            for _ in range(rounds):
                ours.append(gigabits(client.run(f"iperf3 -c {server.ip} -p 5201 -t 2 -O 0.3 -J")))
                hand.stdin.write("go\n")
                hand.stdin.flush()
                by_hand.append(gigabits(hand.stdout.readline()))
            return ours, by_hand
    finally:
        hand.stdin.close()
        hand.wait()


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

NETWORK = {
    "failover": Figure("LoadBalancer without an answer after a link cut", 0, "s", "lower", 1, 0.7),
    "dns rate": Figure("DNS queries/s of one server pod", 0, "/s", "higher", 0.7, 1, peer_note="dnsmasq"),
    "dns p99": Figure("DNS answer at half that load, p99", 0, "ms", "lower", 2, 1, peer_note="dnsmasq"),
}


def network(rounds: int) -> Iterator[Figure]:
    yield replace(NETWORK["failover"], value=benchmarks_balancers.measurement())
    for key, (value, peer, cpu) in benchmarks_dns.measurements(rounds):
        row = NETWORK[f"dns {key}"]
        if key == "rate":  # the bound is a share of the peer's
            yield replace(
                row, value=value, peer=peer, bound=peer * row.bound, goal=peer * row.goal, cpu=cpu and cpu * 1000
            )
        else:
            yield replace(row, value=value * 1000, peer=peer * 1000)


SUITES: dict[str, Callable[[int], Iterator[Figure]]] = {
    "core": core,
    "api": api,
    "workloads": workloads,
    "network": network,
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
