"""What a backend wants the kernel to hold, as a value: compare it, print it, test it without a kernel.

The printed form is the one that ``ip`` and ``bridge`` use, in the order of installation::

    device flannel.1 vxlan id 1 local 172.18.0.3 dev eth0 dstport 8472 nolearning lladdr 5e:…:01 mtu 1450
    addr 10.244.1.0/32 dev flannel.1
    fdb 5e:…:02 dev flannel.1 dst 172.18.0.4 permanent
    neigh 10.244.2.0 dev flannel.1 lladdr 5e:…:02 permanent
    route 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink
"""

import ipaddress
from dataclasses import dataclass, replace

from knet.api.families import IPV4
from knet.kernel.addresses import Address
from knet.kernel.links import Vxlan
from knet.kernel.neighbours import FdbEntry, Neighbour
from knet.kernel.routes import Route

Entry = FdbEntry | Neighbour | Route


@dataclass(frozen=True)
class Underlay:
    """The interface that connects this machine with the others."""

    interface: str
    address: str
    """of the machine on it, with the prefix length: 172.18.0.3/24"""
    mtu: int

    def reaches(self, address: str) -> bool:
        """Whether a machine of that address is on the same link, with no router between."""
        return ipaddress.ip_address(address) in ipaddress.ip_interface(self.address).network


@dataclass(frozen=True)
class Device:
    """The tunnel's end on this machine."""

    name: str
    vxlan: Vxlan
    mac: str
    mtu: int
    address: Address

    def __str__(self) -> str:
        vxlan = self.vxlan
        learning = "" if vxlan.learning else " nolearning"
        return (
            f"device {self.name} vxlan id {vxlan.vni} local {vxlan.local} dev {vxlan.device} dstport {vxlan.port}"
            f"{learning} lladdr {self.mac} mtu {self.mtu}\naddr {self.address}"
        )


@dataclass(frozen=True)
class Refusal:
    """A node that this backend cannot reach, and why."""

    node: str
    message: str


@dataclass(frozen=True)
class State:
    """Everything that flanneld wants in the kernel of one machine.  Sorted, so that equal states are equal values."""

    mtu: int
    """of the pods' interfaces"""
    family: str = IPV4
    """of all that follows"""
    device: Device | None = None
    fdb: tuple[FdbEntry, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    routes: tuple[Route, ...] = ()
    refusals: tuple[Refusal, ...] = ()

    def with_mtu(self, mtu: int) -> "State":
        """The same with an MTU for pods that somebody has decided on.  The tunnel's is not for anybody to choose: the
        kernel takes none that the underlay's interface has no room for."""
        return replace(self, mtu=mtu)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """In the order of installation."""
        return (*self.fdb, *self.neighbours, *self.routes)

    def __str__(self) -> str:
        lines = [str(self.device)] if self.device else []
        lines += [f"fdb {entry}" for entry in self.fdb]
        lines += [f"neigh {entry}" for entry in self.neighbours]
        lines += [f"route {route}" for route in self.routes]
        lines += [f"refused {refusal.node}: {refusal.message}" for refusal in self.refusals]
        return "\n".join(lines)
