"""Nodes without Kubernetes: a machine's namespaces with the CNI plugin and flanneld's reconciler in them, and pods."""

import socket
from dataclasses import dataclass, field
from pathlib import Path

from knet.api.objects import Meta, Node, NodeSpec
from knet.cni import CniResult, Plugin
from knet.cni.lease import Lease, own_lease
from knet.cni.main import BACKENDS
from knet.cni.reconciler import Reconciler
from knet.cni.state import State, Underlay
from knet.kernel import namespaces
from knet.kernel.namespaces import Namespaces, run_in
from knet.kernel.netlink import Netlink


@dataclass
class Machine:
    """A node without Kubernetes: namespaces, the plugin and the reconciler in them."""

    number: int
    underlay: Underlay
    space: Namespaces
    netlink: Netlink
    plugin: Plugin
    reconciler: Reconciler
    pods: list["Pod"] = field(default_factory=list)

    @classmethod
    def of(cls, number: int, underlay: Underlay, space: Namespaces, directory: Path) -> "Machine":
        netlink = Netlink(space.fds["net"])
        return cls(number, underlay, space, netlink, run_in(space, lambda: Plugin(directory)), Reconciler(netlink))

    def close(self) -> None:
        self.netlink.close()
        self.plugin.close()
        for pod in self.pods:
            pod.space.close()

    @property
    def subnet(self) -> str:
        return f"10.244.{self.number}.0/24"

    @property
    def address(self) -> str:
        return self.underlay.address.partition("/")[0]

    @property
    def interface(self) -> str:
        return self.underlay.interface

    def lease(self, backend: str) -> Lease:
        node = Node(metadata=Meta(name=f"n{self.number}"), spec=NodeSpec(podCIDR=self.subnet))
        lease = own_lease(node, backend, self.address)
        assert lease is not None
        return lease

    def desired(self, backend: str, leases: list[Lease]) -> State:
        return BACKENDS[backend](self.lease(backend), leases, self.underlay)

    def add_pod(self, name: str, mtu: int = 1450) -> "Pod":
        space = namespaces.create("net")
        sandbox = f"{name}-sandbox"
        pod = Pod(space, sandbox, self.plugin.add(space.fds["net"], sandbox, f"default/{name}", self.subnet, mtu))
        self.pods.append(pod)
        return pod


@dataclass
class Pod:
    space: Namespaces
    sandbox: str
    result: CniResult


def call(source: Namespaces, target: Namespaces, address: str, patience: float = 5) -> str:
    """Open a TCP connection and exchange a message; the source address that the target saw.  TimeoutError if cut."""
    listener = run_in(target, lambda: socket.create_server((address, 8080)))
    caller = run_in(source, socket.socket)
    with listener, caller:
        for end in (listener, caller):
            end.settimeout(patience)
        caller.connect((address, 8080))
        accepted, peer = listener.accept()
        with accepted:
            accepted.settimeout(patience)
            caller.sendall(b"x" * 4000)
            received = 0
            while received < 4000:
                received += len(accepted.recv(4000))
        return str(peer[0])


def underlay_packets(machine: Machine) -> socket.socket:
    """A packet socket on the machine's end of its cable."""
    packets = run_in(machine.space, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)))
    packets.bind((machine.interface, 0x0800))
    packets.setblocking(False)
    return packets


def encapsulated(packets: socket.socket) -> list[bool]:
    """For each IPv4 frame that was seen: whether it is UDP to port 8472."""
    found = []
    while True:
        try:
            frame = packets.recv(65535)
        except BlockingIOError:
            return found
        found.append(frame[23] == socket.IPPROTO_UDP and int.from_bytes(frame[36:38], "big") == 8472)
