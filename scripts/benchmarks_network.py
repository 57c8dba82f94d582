"""How fast Services become rules, and what the rules cost those who go through them.

- *full sync*: a kube-proxy that finds nothing in the kernel, from its snapshot to the end of the last transaction.
- *endpoint changed*: a cluster with so many Services and three workers; one EndpointSlice is written by the API, and
  each worker's kernel tells by a netlink notification when the new address stands in its rules.  The last one counts.
- *new connections*: client, machine and server are namespaces; both ends of a connection are in one thread, so that its
  CPU time is the kernel's work for it (and some of Python's), whatever else the computer does meanwhile.
"""

import asyncio
import contextlib
import select
import socket
import statistics
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from benchmarks_api import Measured
from benchmarks_roads import roads

from knet import Cluster
from knet.api.names import SERVICE_NAME_LABEL
from knet.api.resources import ENDPOINTSLICES, SERVICES
from knet.client import Client
from knet.kernel import addresses, links, namespaces, routes, sysctl
from knet.kernel.addresses import Address
from knet.kernel.links import VethEnd
from knet.kernel.namespaces import Namespaces, entered, run_in
from knet.kernel.netlink import Netlink
from knet.kernel.routes import Route
from knet.proxy.modes import MODES
from knet.proxy.snapshot import Endpoint, ServicePort, ServicePortName, Snapshot

T = TypeVar("T")

NAME = "bench"
WORKERS, ENDPOINTS = 3, 3
FEW, MANY = 10, 5_000
#: Services that a cluster has when one endpoint changes, and how many are changed
SIZES, CHANGES = (1_000, 5_000), 60
CONNECTIONS = 4_000
PATIENCE = 30
_NETLINK_NETFILTER, _NFNLGRP_NFTABLES = 12, 7
CLIENT, SERVER, PORT = "10.244.1.9", "10.244.1.2", 8080


def measurements(rounds: int) -> Iterator[tuple[str, Measured]]:
    """Name and value of each figure."""
    yield "full sync", Measured(1000 * statistics.median(full_sync() for _ in range(rounds)))
    pairs = [(connections_per_second(MANY), connections_per_second(FEW)) for _ in range(rounds)]
    many, few = map(statistics.median, zip(*pairs, strict=True))
    yield "connections", Measured(many / few)
    yield from endpoint_changes()
    yield from roads(rounds)


# ---- rules without a cluster -------------------------------------------------------------------------------------


def snapshot(count: int) -> Snapshot:
    """So many Services of three endpoints; of the last one all endpoints are `SERVER`'s."""
    ports = {}
    for number in range(count):
        name = ServicePortName("default", f"web-{number:05d}", "http", "TCP")
        pods = [
            f"10.244.{2 + (3 * number + place) // 250 % 250}.{1 + (3 * number + place) % 250}" for place in range(3)
        ]
        endpoints = tuple(Endpoint(pod, PORT, True, True, False, place == 0) for place, pod in enumerate(pods))
        if number == count - 1:
            endpoints = (Endpoint(SERVER, PORT, True, True, False, True),)
        ports[name] = ServicePort(name, "TCP", service_ip(number), 80, 0, (), 0, False, False, endpoints)
    return Snapshot(ports, "172.18.0.11", "10.244.0.0/16")


def service_ip(number: int) -> str:
    return f"10.100.{number // 250}.{1 + number % 250}"


def full_sync() -> float:
    """Seconds."""
    wanted = snapshot(MANY)

    def body() -> float:
        begin = time.monotonic()
        asyncio.run(MODES["nftables"]().apply(wanted))
        return time.monotonic() - begin

    return in_new_namespace(body)


def in_new_namespace(body: Callable[[], T]) -> T:
    space = namespaces.create("net")
    try:
        return run_in(space, body)
    finally:
        space.close()


def connections_per_second(count: int) -> float:
    """New connections to the last of so many Services, per second of CPU time."""
    with contextlib.ExitStack() as stack:
        node, client, server = (namespaces.create("net") for _ in range(3))
        for space in (node, client, server):
            stack.callback(space.close)
        _cable(node, client, CLIENT)
        _cable(node, server, SERVER)
        run_in(node, lambda: sysctl.ensure("net.ipv4.ip_forward", 1))
        run_in(node, lambda: asyncio.run(MODES["nftables"]().apply(snapshot(count))))
        listener = stack.enter_context(run_in(server, lambda: socket.create_server(("", PORT), backlog=64)))
        return run_in(client, lambda: _connect(listener, service_ip(count - 1)))


def _cable(node: Namespaces, other: Namespaces, address: str) -> None:
    """A veth pair between the machine and somebody whose gateway it is."""
    name, gateway = f"v{address.rpartition('.')[2]}", "169.254.1.1"
    with Netlink(node.fds["net"]) as here, Netlink(other.fds["net"]) as there:
        here.send(links.create_veth(VethEnd(name), VethEnd("eth0", netns=other.fds["net"])))
        here.send(links.change("lo", up=True), links.change(name, up=True))
        there.send(links.change("lo", up=True), links.change("eth0", up=True))
        addresses.ensure(here, Address(name, f"{gateway}/32"))
        addresses.ensure(there, Address("eth0", f"{address}/32"))
        routes.ensure(here, Route(f"{address}/32", name))
        routes.ensure(there, Route(f"{gateway}/32", "eth0"))
        routes.ensure(there, Route("default", "eth0", gateway))


def _connect(listener: socket.socket, address: str) -> float:
    reset = struct.pack("ii", 1, 0)  # SO_LINGER: away at once, without TIME_WAIT
    begin = time.thread_time()
    for _ in range(CONNECTIONS):
        caller = socket.socket()
        caller.connect((address, 80))
        accepted, _peer = listener.accept()
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        caller.close()
        accepted.close()
    return CONNECTIONS / (time.thread_time() - begin)


# ---- a cluster in which an endpoint changes ----------------------------------------------------------------------


def endpoint_changes(mode: str = "nftables") -> Iterator[tuple[str, Measured]]:
    with Cluster(name=NAME, workers=WORKERS, proxy=mode) as cluster:
        machines = [cluster.machine(f"n{number}").namespaces().only("net") for number in range(1, WORKERS + 1)]
        there = 0
        for size in SIZES:
            cluster.call(_create(cluster.api, range(there, size)))
            there = size
            with contextlib.ExitStack() as stack:
                told = [stack.enter_context(_notifications(machine)) for machine in machines]
                _change(cluster, told, size - 1, 250)  # all that came before it is in force
                times = [_change(cluster, told, size // 2, change) for change in range(CHANGES)]
            yield f"endpoint {size}", Measured(1000 * statistics.median(times))


async def _create(client: Client, numbers: range) -> None:
    waiting = iter(numbers)

    async def work() -> None:
        for number in waiting:
            body = {"metadata": {"name": f"web-{number:05d}"}, "spec": {"ports": [{"name": "http", "port": 80}]}}
            await client.raw("POST", SERVICES.path("default"), body)
            await client.raw("POST", ENDPOINTSLICES.path("default"), _slice(number, _pod(number, 0)))

    await asyncio.gather(*(work() for _ in range(16)))


def _pod(number: int, place: int) -> str:
    return f"10.244.{128 + (3 * number + place) // 250}.{1 + (3 * number + place) % 250}"


def _slice(number: int, first: str) -> dict[str, Any]:
    pods = [first, *(_pod(number, place) for place in range(1, ENDPOINTS))]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"web-{number:05d}", "labels": {SERVICE_NAME_LABEL: f"web-{number:05d}"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": PORT, "protocol": "TCP"}],
        "endpoints": [{"addresses": [pod], "conditions": {"ready": True}, "nodeName": "n1"} for pod in pods],
    }


@contextlib.contextmanager
def _notifications(machine: Namespaces) -> Iterator[socket.socket]:
    """What is told of changes to a machine's nftables (and so of its iptables)."""
    with entered(machine):
        told = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
    with told:
        told.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        told.bind((0, 1 << _NFNLGRP_NFTABLES - 1))
        yield told


def _change(cluster: Cluster, told: list[socket.socket], number: int, change: int) -> float:
    """Seconds from the API write to the last machine's rules."""
    address = f"10.245.{change // 250}.{1 + change % 250}"
    time.sleep(0.05)  # a change of its own, not one of a burst
    begin = time.monotonic()
    cluster.call(cluster.api.raw("PUT", ENDPOINTSLICES.path("default", f"web-{number:05d}"), _slice(number, address)))
    return _heard(told, address) - begin


def _heard(told: list[socket.socket], address: str) -> float:
    """When the last of them has told of the address."""
    wanted, waiting = socket.inet_aton(address), list(told)
    deadline = time.monotonic() + PATIENCE
    while waiting:
        ready, _, _ = select.select(waiting, [], [], deadline - time.monotonic())
        if not ready:
            raise SystemExit(f"bench: {address} is not in the rules of {len(waiting)} machines after {PATIENCE} s")
        for one in ready:
            if wanted in one.recv(1 << 20):
                waiting.remove(one)
    return time.monotonic()
