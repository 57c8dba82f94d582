"""flanneld as a process, against the real API server over the emulated wire: two machines and a control plane.

The control plane's socket listens in the switch's namespace (172.18.0.1:6443), where the test, as administrator,
creates and deletes Nodes.
"""

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from knet.api.families import IPV4
from knet.api.objects import Event, Node
from knet.client.client import Client
from knet.cluster import kubeconfig
from knet.cluster.pki import Authority, write_service_account_key
from knet.cni import network_config
from knet.cni.lease import MANAGED, PUBLIC_IP
from knet.kernel import addresses, links, mounts, namespaces, neighbours, routes
from knet.kernel.addresses import Address
from knet.kernel.links import VethEnd
from knet.kernel.namespaces import Namespaces, run_in
from knet.kernel.netlink import Netlink

pytestmark = pytest.mark.root

T = TypeVar("T")
SERVER = "172.18.0.1"
PATIENCE = 30


@dataclass
class Flanneld:
    """A running flanneld and the machine it runs on."""

    name: str
    space: Namespaces
    netlink: Netlink
    options: dict[str, object]
    process: subprocess.Popen[bytes] = field(init=False)
    log: str = ""

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.log = ""
        self.process = run_in(self.space, lambda: _start("cni", self.options))

    def wait_for(self, text: str) -> None:
        """Until it has written a line with ``text`` since its start."""
        assert self.process.stderr is not None
        log = self.process.stderr.fileno()
        while text not in self.log:
            ready = select.select([log], [], [], PATIENCE)[0]
            more = os.read(log, 65536).decode() if ready else ""
            if not more:
                raise AssertionError(f"{self.name}: no line like {text!r} in\n{self.log}")
            self.log += more

    def routes(self) -> list[str]:
        return [str(route) for route in routes.list_routes(self.netlink) if route.gateway]


class Cluster:
    """A control plane on a switch, and machines."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.switch = namespaces.create("net")
        self._ports = Netlink(self.switch.fds["net"])
        self._bridge = links.ensure_bridge(self._ports, "s1").index
        addresses.ensure(self._ports, Address("s1", f"{SERVER}/24"))
        self._ports.send(links.change("lo", up=True))  # a machine reaches its own addresses through lo
        self.flannelds: list[Flanneld] = []
        self._authority = Authority.create("kubernetes")
        self._authority.write(directory)
        write_service_account_key(directory)
        self._authority.sign("kube-apiserver", names=(SERVER,), server=True).write(directory, "apiserver")
        self._authority.sign("kubelet-client").write(directory, "apiserver-kubelet-client")
        listener = run_in(self.switch, lambda: socket.create_server((SERVER, 6443)))
        self._server = _start(
            "apiserver",
            {
                "data_dir": str(directory / "data"),
                "pki_dir": str(directory),
                "advertise_address": SERVER,
                "listen_fds": [listener.fileno()],
            },
            pass_fds=(listener.fileno(),),
        )
        listener.close()

    def start(self, number: int, backend: str, address: str = "") -> Flanneld:
        """A machine n1, n2 … and a flanneld on it."""
        name, address = f"n{number}", address or f"172.18.0.{number + 2}"
        space = namespaces.create("net", "mnt", setup=_private_run)
        netlink = Netlink(space.fds["net"])
        port = VethEnd(f"s1-{name}")
        self._ports.send(links.create_veth(port, VethEnd("eth0", netns=space.fds["net"]), master=self._bridge))
        netlink.send(links.change("lo", up=True), links.change("eth0", up=True))
        self._ports.send(links.change(port.name, up=True))
        addresses.ensure(netlink, Address("eth0", f"{address}/24"))
        routes.ensure(netlink, routes.Route(f"{SERVER}/32", "eth0"))
        routes.ensure(self._ports, routes.Route(f"{address}/32", "s1"))
        options = {
            "kubeconfig": str(self._kubeconfig(f"flanneld-{name}")),
            "node_name": name,
            "public_ip": address,
            "interface": "eth0",
            "backend": backend,
        }
        self.flannelds.append(Flanneld(name, space, netlink, options))
        return self.flannelds[-1]

    def ask(self, question: Callable[[Client], Awaitable[T]]) -> T:
        """Run something with an administrator's client, on the switch."""
        path = str(self._kubeconfig("admin"))

        async def session() -> T:
            async with Client.from_kubeconfig(path) as client:
                return await question(client)

        return run_in(self.switch, lambda: asyncio.run(session()))

    def create_node(self, number: int) -> None:
        subnet = f"10.244.{number}.0/24"
        body = {"metadata": {"name": f"n{number}"}, "spec": {"podCIDR": subnet, "podCIDRs": [subnet]}}
        self.ask(lambda client: client.create(Node, body))

    def close(self) -> None:
        for flanneld in self.flannelds:
            flanneld.process.send_signal(signal.SIGTERM)
            flanneld.process.communicate(timeout=PATIENCE)
            flanneld.netlink.close()
            flanneld.space.close()
        self._server.send_signal(signal.SIGTERM)
        self._server.communicate(timeout=PATIENCE)
        self._ports.close()
        self.switch.close()

    def _kubeconfig(self, name: str) -> Path:
        path = self._directory / f"{name}.conf"
        if not path.exists():
            pair = self._authority.sign("kubernetes-admin", ("system:masters",))
            kubeconfig.write(path, kubeconfig.render("knet", f"https://{SERVER}:6443", self._authority.pem, pair))
        return path


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.close()


def _private_run() -> None:
    mounts.make_private()
    mounts.tmpfs("/run")


def _start(package: str, options: dict[str, object], pass_fds: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
    """A component in a fresh interpreter, in the namespaces of the calling thread."""
    code = (
        "import sys, msgspec\n"
        "from knet.client.component import run\n"
        f"from knet.{package}.main import Options, serve\n"
        "options = msgspec.json.decode(sys.argv[1], type=Options)\n"
        f"run('{package}', lambda: serve(options))\n"
    )
    command = [sys.executable, "-c", code, msgspec.json.encode(options).decode()]
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "PYTHONUNBUFFERED": "1"}
    log = subprocess.PIPE if package == "cni" else None
    return subprocess.Popen(command, stderr=log, pass_fds=pass_fds, env=environment)


def test_a_node_becomes_a_part_of_the_pod_network(cluster: Cluster):
    n1, n2 = cluster.start(1, "vxlan"), cluster.start(2, "vxlan")
    n1.wait_for("waiting for node n1 to be assigned a podCIDR")
    cluster.create_node(1)
    n1.wait_for("wrote /run/flannel/subnet.env: subnet 10.244.1.0/24, mtu 1450")
    assert run_in(n1.space, lambda: str(network_config())) == (
        "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
    )
    found = cluster.ask(lambda client: client.get(Node, "n1")).metadata.annotations
    assert (found[MANAGED], found[PUBLIC_IP[IPV4]]) == ("true", "172.18.0.3")
    cluster.create_node(2)
    n1.wait_for("add route 10.244.2.0/24")
    n2.wait_for("wrote /run/flannel/subnet.env")
    assert n1.routes() == ["10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink"]
    assert n2.routes() == ["10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink"]


def test_a_node_that_is_deleted_leaves_the_others_tables(cluster: Cluster):
    n1, n2 = cluster.start(1, "host-gw"), cluster.start(2, "host-gw")
    for number in (1, 2):
        cluster.create_node(number)
    n1.wait_for("add route 10.244.2.0/24")
    n2.wait_for("add route 10.244.1.0/24")
    cluster.ask(lambda client: client.delete(Node, "n2"))
    n1.wait_for("remove route 10.244.2.0/24")


def test_damage_is_repaired_and_survives_a_killed_flanneld(cluster: Cluster):
    n1 = cluster.start(1, "vxlan")
    cluster.start(2, "vxlan").wait_for("waiting for node")
    for number in (1, 2):
        cluster.create_node(number)
    n1.wait_for("add route 10.244.2.0/24")
    n1.wait_for("wrote /run/flannel/subnet.env")
    [entry] = [found for found in neighbours.list_neighbours(n1.netlink, "flannel.1") if found.state == "permanent"]
    neighbours.remove_neighbour(n1.netlink, entry)
    n1.wait_for(f"neigh {entry}: was missing, restored")
    n1.process.kill()
    n1.process.communicate()
    n1.start()
    neighbours.remove_neighbour(n1.netlink, entry)
    n1.wait_for(f"neigh {entry}")
    assert n1.routes() == ["10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink"]


def test_a_node_behind_a_router_is_refused_by_hostgw_with_an_event(cluster: Cluster):
    n1, n2 = cluster.start(1, "host-gw"), cluster.start(2, "host-gw", address="172.18.1.4")
    for number in (1, 2):
        cluster.create_node(number)
    n2.wait_for("wrote /run/flannel/subnet.env")
    n1.wait_for("node n2: no route to 10.244.2.0/24: host-gw needs 172.18.1.4 on the same link")
    assert n1.routes() == []

    async def first_event(client: Client) -> Event:
        listing = await client.list(Event, field_selector="reason=RouteNotPossible")
        if listing.items:
            return listing.items[0]
        async for event in client.watch(Event, listing.resource_version, field_selector="reason=RouteNotPossible"):
            return event.object
        raise AssertionError("the watch ended")

    assert "use the vxlan or the direct-routing backend" in cluster.ask(first_event).message
