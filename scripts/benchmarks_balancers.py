"""How long a load balancer's address is lost when a link is cut: its holder's, or with BGP that of one of several."""

import json
import re
import statistics
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator

from benchmarks_pods import deployment

from knet import Cluster

NAME = "bench"
ROUNDS, CALM = 5, 2.0
POOL = "172.18.0.200-172.18.0.209"
WORKERS = ("n1", "n2", "n3")

#: connects all the time from a few ports, each of which a router sends to one next hop, until standard input ends and
#: every port has been answered again; prints the longest time that one was without an answer
CLIENT = """
    import socket, struct, sys, threading, time
    PORTS = range(40000, 40012)
    last, longest, ending = {}, dict.fromkeys(PORTS, 0.0), threading.Event()

    def ask(port):
        while True:
            end = ending.is_set()
            with socket.socket() as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                # closed by a reset, so that the port is free at once
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.settimeout(0.05)
                try:
                    connection.bind(("", port))
                    connection.connect((sys.argv[1], 80))
                    connection.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
                    connection.settimeout(0.2)
                    answered = bool(connection.recv(9))
                except OSError:
                    answered = False
            if answered:
                now = time.monotonic()
                longest[port] = max(longest[port], now - last.get(port, now))
                last[port] = now
                if end:
                    return
            time.sleep(0.01)

    threads = [threading.Thread(target=ask, args=(port,)) for port in PORTS]
    for thread in threads:
        thread.start()
    while len(last) < len(PORTS):
        time.sleep(0.01)
    print("answered", flush=True)
    sys.stdin.read()
    ending.set()
    for thread in threads:
        thread.join()
    print(max(longest.values()))
"""


def measurements() -> Iterator[tuple[str, float]]:
    """Seconds without an answer by mode, the medians of a few cuts."""
    with Cluster(name=NAME, workers=3, lb_pool=POOL) as cluster:
        address = _balanced(cluster)
        yield "layer2", statistics.median(_cut(cluster, address, _holder) for _ in range(ROUNDS))
    with Cluster(name=NAME, topo="two_racks", workers=3, lb_mode="bgp") as cluster:
        address = _balanced(cluster)
        while _watched(cluster) < len(WORKERS):
            time.sleep(0.1)
        yield "bgp", statistics.median(_cut(cluster, address, _hops) for _ in range(ROUNDS))


def _balanced(cluster: Cluster) -> str:
    """The address of a Service with a pod on each worker, to which alone that worker sends what it gets.

    With policy Cluster the others would go on choosing the pod that is cut off, too, for as long as its Node is Ready.
    """
    web = deployment(3, "web")
    web["spec"]["template"]["spec"] |= {
        "containers": [{"name": "nginx", "image": "nginx"}],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": web["spec"]["selector"],
            }
        ],
    }
    cluster.apply(web)
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80}]}
    spec |= {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
    cluster.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec})
    cluster.rollout("deployment/web")
    rows: list[dict[str, str]] = []
    while not rows:
        rows = cluster.get("service/web")["status"]["loadBalancer"].get("ingress") or []
    return rows[0]["ip"]


def _cut(cluster: Cluster, address: str, ways: Callable[[Cluster, str], set[str]]) -> float:
    """Cut the cable of a machine that an address leads to, and mend it again."""
    client = cluster.machine("client")
    victim = max(_settled(cluster, address, ways))
    asking = client.popen(
        [sys.executable, "-c", textwrap.dedent(CLIENT), address], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert asking.stdin is not None and asking.stdout is not None
    asking.stdout.readline()
    link = cluster.link(victim, _switch(cluster, victim))
    link.down()
    while victim in ways(cluster, address):
        pass
    asking.stdin.close()
    longest = float(asking.stdout.read().split()[-1])
    asking.wait()
    link.up()
    return longest


def _settled(cluster: Cluster, address: str, ways: Callable[[Cluster, str], set[str]]) -> set[str]:
    """Where it leads to, once that has been the same for `CALM` seconds: who has come, or come back, may take over."""
    last, since = set[str](), time.monotonic()
    while not last or time.monotonic() - since < CALM:
        cluster.machine("client").run(f"curl -s -m 0.2 {address} -o /dev/null", check=False)
        found = ways(cluster, address)
        if found != last:
            last, since = found, time.monotonic()
    return last


def _switch(cluster: Cluster, machine: str) -> str:
    ends = [[end["node"] for end in link["ends"]] for link in cluster.status()["links"]]
    return next(node for nodes in ends if machine in nodes for node in nodes if node != machine)


def _holder(cluster: Cluster, address: str) -> set[str]:
    """Who the client sends to."""
    seen = re.search(r"lladdr (\S+)", cluster.machine("client").run(f"ip neigh show {address}"))
    return {name for name in WORKERS if seen is not None and _mac(cluster, name) == seen[1]}


def _hops(cluster: Cluster, address: str) -> set[str]:
    """Who the router sends to."""
    routes = json.loads(cluster.machine("r1").run(f"ip -json route show {address}") or "[]")
    owners = {row["address"]: row["name"] for row in cluster.status()["machines"]}
    return {owners[hop["gateway"]] for route in routes for hop in route.get("nexthops", [route])}


def _watched(cluster: Cluster) -> int:
    """How many nodes the router watches by BFD: for a second or two after they have called it does not."""
    return cluster.machine("r1").run("birdc show bfd sessions").count(" Up ")


def _mac(cluster: Cluster, name: str) -> str:
    return cluster.machine(name).run(f"cat /sys/class/net/{name}-eth0/address").strip()
