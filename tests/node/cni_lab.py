"""Nodes without Kubernetes: a machine's namespaces with the CNI plugin and flanneld's reconciler in them, and pods."""

import socket
from dataclasses import dataclass, field
from pathlib import Path

from knet.api.families import IPV4, IPV6
from knet.api.objects import Meta, Node, NodeSpec
from knet.cni import CniResult, Plugin
from knet.cni.lease import Lease, own_lease
from knet.cni.main import BACKENDS
from knet.cni.reconciler import Reconciler
from knet.cni.state import State, Underlay
from knet.kernel import namespaces
from knet.kernel.namespaces import Namespaces, run_in
from knet.kernel.netlink import Netlink

ETH_P_ALL = 3


@dataclass
class Machine:
    """A node without Kubernetes: namespaces, the plugin and the reconciler in them."""

    number: int
    underlays: dict[str, Underlay]
    """by family"""
    space: Namespaces
    netlink: Netlink
    plugin: Plugin
    reconcilers: dict[str, Reconciler]
    pods: list["Pod"] = field(default_factory=list)

    @classmethod
    def of(cls, number: int, underlays: dict[str, Underlay], space: Namespaces, directory: Path) -> "Machine":
        netlink = Netlink(space.fds["net"])
        reconcilers = {family: Reconciler(netlink) for family in underlays}
        return cls(number, underlays, space, netlink, run_in(space, lambda: Plugin(directory)), reconcilers)

    def close(self) -> None:
        self.netlink.close()
        self.plugin.close()
        for pod in self.pods:
            pod.space.close()

    @property
    def subnet(self) -> str:
        return ",".join(SUBNETS[family].format(self.number) for family in self.underlays)

    @property
    def address(self) -> str:
        return self.public_ip(next(iter(self.underlays)))

    def public_ip(self, family: str) -> str:
        return self.underlays[family].address.partition("/")[0]

    @property
    def interface(self) -> str:
        return next(iter(self.underlays.values())).interface

    @property
    def reconciler(self) -> Reconciler:
        """That of the only family."""
        [reconciler] = self.reconcilers.values()
        return reconciler

    @reconciler.setter
    def reconciler(self, reconciler: Reconciler) -> None:
        [family] = self.reconcilers
        self.reconcilers[family] = reconciler

    def lease(self, backend: str, family: str = IPV4) -> Lease:
        cidrs = tuple(self.subnet.split(","))
        node = Node(metadata=Meta(name=f"n{self.number}"), spec=NodeSpec(podCIDR=cidrs[0], podCIDRs=cidrs))
        lease = own_lease(node, backend, self.public_ip(family))
        assert lease is not None
        return lease

    def desired(self, backend: str, leases: list[Lease], family: str = IPV4) -> State:
        return BACKENDS[backend](self.lease(backend, family), leases, self.underlays[family])

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


SUBNETS = {IPV4: "10.244.{}.0/24", IPV6: "fd00:10:244:{}::/64"}


def call(source: Namespaces, target: Namespaces, address: str, patience: float = 5) -> str:
    """Open a TCP connection and exchange a message; the source address that the target saw.  TimeoutError if cut."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = run_in(target, lambda: socket.create_server((address, 8080), family=family))
    caller = run_in(source, lambda: socket.socket(family))
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
    packets = run_in(machine.space, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)))
    packets.bind((machine.interface, ETH_P_ALL))
    packets.setblocking(False)
    return packets


def encapsulated(packets: socket.socket) -> list[bool]:
    """For each packet of TCP, or of UDP to port 8472, that was seen: whether it is the latter."""
    found = []
    while True:
        try:
            frame = packets.recv(65535)
        except BlockingIOError:
            return found
        version = frame[14] >> 4
        protocol, ports = (frame[23], frame[34:38]) if version == 4 else (frame[20], frame[54:58])
        tunnelled = protocol == socket.IPPROTO_UDP and int.from_bytes(ports[2:], "big") == 8472
        if tunnelled or protocol == socket.IPPROTO_TCP:
            found.append(tunnelled)
