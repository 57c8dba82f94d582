"""A machine with pods in a real kernel, for the tests of what kube-proxy does there.

::

    outsider 172.18.0.50 ── n1 172.18.0.11 ── cni0 10.244.1.1 ─┬─ web-1 10.244.1.2
                                                               ├─ web-2 10.244.1.3
                                                               └─ client 10.244.1.4
"""

import asyncio
import select
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knet.api.objects import ServicePort
from knet.cni import Plugin
from knet.kernel import addresses, links, namespaces, routes, sysctl
from knet.kernel.addresses import Address
from knet.kernel.links import VethEnd
from knet.kernel.namespaces import Namespaces, run_in
from knet.kernel.netlink import Netlink
from knet.proxy.modes import MODES
from knet.proxy.snapshot import Snapshot, build
from knet.proxy.sync import Applier
from tests.cluster_objects import endpoint_slice, service

NODE, OUTSIDER, BRIDGE = "172.18.0.11", "172.18.0.50", "10.244.1.1"
WEB_1, WEB_2, CLIENT = "10.244.1.2", "10.244.1.3", "10.244.1.4"
VIP, OTHER_VIP = "10.96.0.80", "10.96.0.81"
EXTERNAL, BALANCED = "192.0.2.7", "192.0.2.8"
PATIENCE = 5


@dataclass
class Lab:
    """One machine with three pods, somebody outside, and a server on port 8080 (TCP, UDP) of web-1 and web-2."""

    node: Namespaces
    outsider: Namespaces
    pods: dict[str, Namespaces]
    tcp: dict[str, socket.socket]
    udp: dict[str, socket.socket]
    applier: Applier
    mode: str

    def apply(self, snapshot: Snapshot) -> None:
        run_in(self.node, lambda: asyncio.run(self.applier.apply(snapshot)))

    def repair(self, snapshot: Snapshot) -> None:
        run_in(self.node, lambda: asyncio.run(self.applier.repair(snapshot)))

    def remove(self) -> None:
        run_in(self.node, lambda: asyncio.run(self.applier.remove()))

    def shell(self, command: str) -> str:
        """The output of a command on the machine."""
        return run_in(self.node, lambda: subprocess.check_output(command, shell=True, text=True))

    def connect(self, source: Namespaces, address: str, port: int = 80, patience: float = PATIENCE) -> tuple[str, str]:
        """Open a connection: the pod that answers, and whom it sees.  ConnectionRefusedError, TimeoutError."""
        with run_in(source, socket.socket) as caller:
            caller.settimeout(patience)
            caller.connect((address, port))
            ready, _, _ = select.select(self.tcp.values(), [], [], PATIENCE)
            accepted, peer = ready[0].accept()
            accepted.close()
            return next(name for name, row in self.tcp.items() if row is ready[0]), peer[0]

    def ask(self, caller: socket.socket) -> str:
        """Send a datagram: the pod that it reaches."""
        caller.send(b"?")
        ready, _, _ = select.select(self.udp.values(), [], [], PATIENCE)
        _, peer = ready[0].recvfrom(100)
        ready[0].sendto(b"!", peer)
        assert caller.recv(100) == b"!"
        return next(name for name, row in self.udp.items() if row is ready[0])


@contextmanager
def made(mode: str, state: Path) -> Iterator[Lab]:
    """The lab, with a kube-proxy of a mode that has not done anything yet."""
    with ExitStack() as stack:
        node, outsider = namespaces.create("net"), namespaces.create("net")
        pods = {name: namespaces.create("net") for name in ("web-1", "web-2", "client")}
        for space in (node, outsider, *pods.values()):
            stack.callback(space.close)
        _connect(node, outsider)
        run_in(node, lambda: sysctl.ensure("net.ipv4.ip_forward", 1))
        # its redirects to who is outside would use up what the kernel allows in ICMP errors per second
        run_in(node, lambda: sysctl.ensure("net.ipv4.conf.eth0.send_redirects", 0))
        run_in(node, lambda: sysctl.ensure("net.ipv4.conf.all.send_redirects", 0))
        run_in(node, lambda: sysctl.ensure("net.bridge.bridge-nf-call-iptables", 1))
        plugin = run_in(node, lambda: Plugin(state))
        stack.callback(plugin.close)
        found = [plugin.add(pods[name].fds["net"], name, name, "10.244.1.0/24", 1500).address for name in pods]
        assert found == [WEB_1, WEB_2, CLIENT]
        tcp, udp = {}, {}
        for name in ("web-1", "web-2"):
            tcp[name] = stack.enter_context(run_in(pods[name], lambda: socket.create_server(("", 8080))))
            udp[name] = stack.enter_context(run_in(pods[name], udp_socket))
            udp[name].bind(("", 8080))
        yield Lab(node, outsider, pods, tcp, udp, MODES[mode](), mode)


def udp_socket() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def _connect(node: Namespaces, outsider: Namespaces) -> None:
    """The cable; who is outside knows a route to the Services by way of the machine."""
    with Netlink(node.fds["net"]) as here, Netlink(outsider.fds["net"]) as there:
        here.send(links.create_veth(VethEnd("eth0"), VethEnd("eth0", netns=outsider.fds["net"])))
        for netlink, address in ((here, NODE), (there, OUTSIDER)):
            netlink.send(links.change("lo", up=True), links.change("eth0", up=True))
            addresses.ensure(netlink, Address("eth0", f"{address}/24"))
        routes.ensure(here, routes.Route("default", "eth0", OUTSIDER))
        routes.ensure(there, routes.Route("default", "eth0", NODE))


def snapshot(
    *endpoints: str, protocol: str = "TCP", node_port: int = 0, more: tuple[str, ...] = (), **spec: Any
) -> Snapshot:
    """The Service web, and the names of more Services."""
    port = ServicePort(name="http", port=80, protocol=protocol, nodePort=node_port)
    services = [service("web", VIP, [port], **spec), *(service(name, OTHER_VIP) for name in more)]
    slices = [endpoint_slice("web", *endpoints, ports=[("http", 8080, protocol)])]
    slices += [endpoint_slice(name, WEB_2) for name in more]
    return build(services, slices, "n1", NODE, "10.244.0.0/16")
