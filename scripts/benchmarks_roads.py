"""Bulk TCP and request/response on every road of a cluster, beside the same road built by hand.

By hand means `BY_HAND`: bridges, veth pairs, a VXLAN device, routes, one nft rule by which pods reach the world
outside, and two more where there is a Service.  Both ends of a connection are in one thread, and what is counted is its
own CPU time, in which the kernel carries the packets: so it does not matter what else the computer does.  Knet's road
and the one by hand are measured in turns.
"""

import contextlib
import os
import re
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks_api import Measured
from benchmarks_pods import members

from knet import Cluster
from knet.kernel.namespaces import Namespaces, entered

NAME = "bench"
PORT, NODE_PORT = 8080, 30080
#: which roads are gone with which backend
BACKENDS = {"host-gw": ["host-gw"], "vxlan": ["same node", "vxlan", "cluster ip", "node port"]}
ROUND_TRIPS, BYTES = 2_000, 1 << 28
PATIENCE = 30

#: Two machines on a switch, each with a bridge, pods and a way to the other's pods; somebody outside.  $1 is vxlan or
#: host-gw.  10.96.0.80:80 is a Service and 30080 a node port, each of pod2.
BY_HAND = """
set -e
ip link add s1 type bridge; ip link set s1 up
ip netns add outside
ip link add eth0 netns outside type veth peer name s1-9
ip link set s1-9 master s1 up
ip -n outside link set lo up; ip -n outside addr add 192.0.2.9/24 dev eth0; ip -n outside link set eth0 up
mtu=1500; [ $1 = vxlan ] && mtu=1450
for n in 1 2; do
  ip netns add node$n
  ip link add eth0 netns node$n type veth peer name s1-$n
  ip link set s1-$n master s1 up
  N="ip -n node$n"
  $N link set lo up
  $N addr add 192.0.2.$n/24 dev eth0; $N link set eth0 up
  $N link add cni0 mtu $mtu type bridge
  $N addr add 198.18.$n.1/24 dev cni0; $N link set cni0 up
  for p in pod near; do
    ip netns add $p$n; P="ip -n $p$n"; i=$([ $p = pod ] && echo 2 || echo 3)
    $P link set lo up
    $N link add veth$i mtu $mtu type veth peer name eth0 netns $p$n mtu $mtu
    $N link set veth$i master cni0 up
    $P addr add 198.18.$n.$i/24 dev eth0; $P link set eth0 up; $P route add default via 198.18.$n.1
  done
  ip netns exec node$n sysctl -qw net.ipv4.ip_forward=1
  ip netns exec node$n nft -f - <<EOF
table ip outward {
  chain postrouting { type nat hook postrouting priority srcnat;
    ip saddr 198.18.0.0/16 ip daddr != 198.18.0.0/16 masquerade
  }
}
EOF
  if [ $1 = vxlan ]; then
    $N link add flannel.1 mtu 1450 address 02:00:00:00:00:0$n type vxlan id 1 local 192.0.2.$n dev eth0 dstport 8472 \\
      nolearning
    $N addr add 198.18.$n.0/32 dev flannel.1; $N link set flannel.1 up
  fi
done
for n in 1 2; do
  m=$((3 - n)); N="ip -n node$n"
  if [ $1 = vxlan ]; then
    $N route add 198.18.$m.0/24 via 198.18.$m.0 dev flannel.1 onlink
    $N neigh add 198.18.$m.0 lladdr 02:00:00:00:00:0$m dev flannel.1 nud permanent
    bridge -n node$n fdb append 02:00:00:00:00:0$m dev flannel.1 dst 192.0.2.$m
  else
    $N route add 198.18.$m.0/24 via 192.0.2.$m
  fi
done
ip netns exec node1 nft -f - <<EOF
table ip hand {
  chain prerouting { type nat hook prerouting priority dstnat;
    ip daddr 10.96.0.80 tcp dport 80 dnat to 198.18.2.2:8080
    ip daddr 192.0.2.1 tcp dport 30080 meta mark set 0x4000 dnat to 198.18.2.2:8080
  }
  chain postrouting { type nat hook postrouting priority srcnat; meta mark 0x4000 masquerade; }
}
EOF
echo ready
cat
"""


class Ends(NamedTuple):
    """A road: who opens the connection, who takes it, and at which address and port."""

    client: Namespaces
    server: Namespaces
    address: str
    port: int


#: roads by their names
Roads = dict[str, Ends]
#: what is measured of a road
Measure = Callable[[Ends], float]


def roads(rounds: int) -> Iterator[tuple[str, Measured]]:
    """Ratios to what is built by hand, and of a ClusterIP to the pod's own address."""
    for backend, names in BACKENDS.items():
        with by_hand(backend) as hand, Cluster(name=NAME, workers=2, cni=backend, proxy="nftables") as cluster:
            ours = knets(cluster)
            for name in names:
                for what, measure in (("bulk", gigabits), ("rr", round_trips)):
                    yield f"{what} {name}", Measured(compare(measure, ours[name], hand[name], rounds))
            if "cluster ip" in names:
                yield "pod ip", Measured(compare(round_trips, ours["cluster ip"], ours["vxlan"], rounds))


def compare(measure: Measure, ours: Ends, other: Ends, rounds: int) -> float:
    """A rate of one road, of another's = 1: the median of many short measurements, each beside one of the other."""
    return statistics.median(measure(ours) / measure(other) for _ in range(10 * rounds + 1))


# ---- the two kinds of roads --------------------------------------------------------------------------------------


@contextlib.contextmanager
def by_hand(backend: str) -> Iterator[Roads]:
    """The roads built by hand."""
    shell = subprocess.Popen(
        ["unshare", "--net", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /run && exec bash -c "$0" bash "$1"', BY_HAND,
         backend],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert shell.stdin is not None and shell.stdout is not None
    spaces: list[Namespaces] = []

    def of(name: str) -> Namespaces:
        spaces.append(Namespaces({"net": _open(f"/proc/{shell.pid}/root/run/netns/{name}")}))
        return spaces[-1]

    try:
        if shell.stdout.readline().strip() != "ready":
            raise SystemExit("bench: the roads by hand could not be built")
        pod1, pod2, near, outside = map(of, ("pod1", "pod2", "near1", "outside"))
        yield {
            "same node": Ends(near, pod1, "198.18.1.2", PORT),
            backend: Ends(pod1, pod2, "198.18.2.2", PORT),
            "cluster ip": Ends(pod1, pod2, "10.96.0.80", 80),
            "node port": Ends(outside, pod2, "192.0.2.1", NODE_PORT),
        }
    finally:
        shell.stdin.close()
        shell.wait()
        for space in spaces:
            space.close()


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def knets(cluster: Cluster) -> Roads:
    """The same roads of a cluster."""
    for name, node in (("pod1", "n1"), ("pod2", "n2"), ("near1", "n1")):
        container = {"name": "main", "image": "nicolaka/netshoot", "command": ["sleep", "infinity"]}
        spec = {"nodeName": node, "containers": [container]}
        cluster.apply(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}
        )
    ports = [{"port": 80, "targetPort": PORT, "nodePort": NODE_PORT}]
    spec = {"type": "NodePort", "selector": {"app": "pod2"}, "ports": ports}
    cluster.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec})
    address = {name: cluster.pod(name).ip for name in ("pod1", "pod2", "near1")}
    space = {name: _namespace_of(ip) for name, ip in address.items()}
    nodes = {row["name"]: row["address"] for row in cluster.status()["machines"]}
    client = cluster.machine("client").namespaces().only("net")
    across = Ends(space["pod1"], space["pod2"], address["pod2"], PORT)
    return {
        "same node": Ends(space["near1"], space["pod1"], address["pod1"], PORT),
        "vxlan": across,
        "host-gw": across,
        "cluster ip": across._replace(address=cluster.get("service/web")["spec"]["clusterIP"], port=80),
        "node port": Ends(client, space["pod2"], nodes["n1"], NODE_PORT),
    }


def _namespace_of(address: str) -> Namespaces:
    """The network namespace of the pod that has an address."""
    own = re.compile(rf"\|-- {re.escape(address)}\n\s+/32 host LOCAL")
    for pid in members(NAME):
        with contextlib.suppress(OSError):
            if own.search(Path(f"/proc/{pid}/net/fib_trie").read_text()):
                return Namespaces.of(pid, ("net",))
    raise SystemExit(f"bench: no process has the address {address}")


# ---- measures ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def connected(ends: Ends) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a new connection."""
    with entered(ends.server):
        listener = socket.create_server(("", PORT))
    with entered(ends.client):
        caller = socket.socket()
    with listener, caller:
        deadline = time.monotonic() + PATIENCE
        while caller.connect_ex((ends.address, ends.port)):  # a Service's rules follow a moment after its pods
            if time.monotonic() > deadline:
                raise SystemExit(f"bench: {ends.address}:{ends.port} does not answer")
            caller.close()
            with entered(ends.client):
                caller = socket.socket()
        answerer, _peer = listener.accept()
        with caller, answerer:
            yield caller, answerer


def round_trips(ends: Ends) -> float:
    """Requests and responses of 64 bytes per second of CPU time."""
    with connected(ends) as (caller, answerer):
        for one in (caller, answerer):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ask, hear, reply, listen = caller.send, caller.recv, answerer.send, answerer.recv
        message = bytes(64)
        begin = time.thread_time()
        for _ in range(ROUND_TRIPS):
            ask(message)
            listen(64)
            reply(message)
            hear(64)
        return ROUND_TRIPS / (time.thread_time() - begin)


def gigabits(ends: Ends) -> float:
    """Gigabits per second of CPU time, in one direction."""
    with connected(ends) as (caller, answerer):
        for one in (caller, answerer):
            one.setblocking(False)
        block, room, taken = bytes(1 << 18), bytearray(1 << 20), 0
        begin = time.thread_time()
        while taken < BYTES:
            with contextlib.suppress(BlockingIOError):
                while True:
                    caller.send(block)
            with contextlib.suppress(BlockingIOError):
                while True:
                    taken += answerer.recv_into(room)
        return 8e-9 * taken / (time.thread_time() - begin)
