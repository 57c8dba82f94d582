"""How long a load balancer's address is lost when its holder's link is cut: a client that connects all the time."""

import re
import statistics
import subprocess
import sys
import textwrap

from benchmarks_pods import deployment

from knet import Cluster

NAME = "bench"
ROUNDS = 5
POOL = "172.18.0.200-172.18.0.209"

#: connects every few milliseconds until its standard input ends; prints the longest time without an answer
CLIENT = """
    import select, socket, sys, time
    last, longest = None, 0.0
    while not select.select([sys.stdin], [], [], 0.002)[0]:
        try:
            with socket.create_connection((sys.argv[1], 80), timeout=0.05) as connection:
                connection.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
                connection.settimeout(0.2)
                if connection.recv(9):
                    now = time.monotonic()
                    if last is None:
                        print("answered", flush=True)
                    longest, last = max(longest, now - (last or now)), now
        except OSError:
            pass
    print(longest)
"""


def measurement() -> float:
    """Seconds without an answer, the median of a few cuts."""
    with Cluster(name=NAME, workers=3, lb_pool=POOL) as cluster:
        web = deployment(3, "web")
        web["spec"]["template"]["spec"]["containers"] = [{"name": "nginx", "image": "nginx"}]
        cluster.apply(web)
        ports = [{"port": 80}]
        spec = {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": ports}
        cluster.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec})
        cluster.rollout("deployment/web")
        return statistics.median(_cut(cluster, POOL.partition("-")[0]) for _ in range(ROUNDS))


def _cut(cluster: Cluster, address: str) -> float:
    client = cluster.machine("client")
    asking = client.popen(
        [sys.executable, "-c", textwrap.dedent(CLIENT), address], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert asking.stdin is not None and asking.stdout is not None
    asking.stdout.readline()
    holder = _holder(cluster, address)
    link = cluster.link(holder, "s1")
    link.down()
    while _holder(cluster, address) == holder:
        pass
    asking.stdin.close()
    longest = float(asking.stdout.read().split()[-1])
    asking.wait()
    link.up()
    back = f"ip neigh show {address} | grep -q {_mac(cluster, holder)}"
    client.run(f"until {back}; do curl -s -m 0.2 {address} -o /dev/null; done")
    return longest


def _holder(cluster: Cluster, address: str) -> str:
    """Who the client sends to."""
    seen = re.search(r"lladdr (\S+)", cluster.machine("client").run(f"ip neigh show {address}"))
    by_mac = {_mac(cluster, name): name for name in ("n1", "n2", "n3")}
    return by_mac[seen[1]] if seen is not None else ""


def _mac(cluster: Cluster, name: str) -> str:
    return cluster.machine(name).run(f"cat /sys/class/net/{name}-eth0/address").strip()
