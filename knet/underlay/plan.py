"""What is to be built: a topology as frozen data.

A plan holds no Mininet objects and no kernel state.  It can be compared, printed and tested, and everything in it
remembers the line of the topology file that it comes from, so that whoever finds fault with it can say where.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

from knet.kernel.qdiscs import Impairment
from knet.underlay.impairment import NONE, text

CONTROL_PLANE = "control-plane"
WORKER = "worker"
EXTERNAL = "external"
ROUTER = "router"

#: what a host of a topology may be: the machine of the API server; a Node; a machine outside of the cluster;
#: a machine that forwards between subnets
ROLES = (CONTROL_PLANE, WORKER, EXTERNAL, ROUTER)

#: bytes; Ethernet's
DEFAULT_MTU = 1500


class TopologyError(Exception):
    """A topology that cannot be built, in one line: ``mine.py:14: host n1 is declared twice``."""


@dataclass(frozen=True)
class Interface:
    """One end of a link."""

    name: str
    """as in Mininet: node, ``-eth``, port"""
    address: IPv4Interface | None = None
    """address and prefix length; None on switches, and where there is IPv6 alone"""
    address6: IPv6Interface | None = None
    """likewise; see `knet.underlay.families`"""
    hardware: str = ""
    """its hardware address, where `mac` cannot tell it from ``address``"""

    @property
    def addresses(self) -> tuple[IPv4Interface | IPv6Interface, ...]:
        return tuple(address for address in (self.address, self.address6) if address)

    @property
    def mac(self) -> str:
        """The hardware address, derived from the IPv4 address as Docker does, so that captures of two runs compare.

        "" (the kernel chooses) where there is no address.
        """
        if self.hardware:
            return self.hardware
        return "02:42:" + self.address.ip.packed.hex(":") if self.address else ""


@dataclass(frozen=True)
class MachineSpec:
    """A host of the topology."""

    name: str
    role: str
    interfaces: tuple[Interface, ...]
    gateway: str = ""
    """next hop of the default route, "" for none"""
    routes: tuple[tuple[IPv4Network | IPv6Network, str], ...] = ()
    """further routes: destination, next hop"""
    gateway6: str = ""
    """likewise, of IPv6"""
    labels: Mapping[str, str] = field(default_factory=dict)
    """labels of the Node"""
    cpu: str = "4"
    """capacity of the Node, a Kubernetes quantity; a promise to the scheduler, not a limit"""
    memory: str = "8Gi"
    where: str = ""
    """``file:line`` of its declaration"""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Those of the first interface, without prefix length: the machine's own ("InternalIP" of a Node)."""
        return tuple(str(address.ip) for address in self.interfaces[0].addresses)

    @property
    def address(self) -> str:
        """The first of these, "" if there is none."""
        return next(iter(self.addresses), "")

    @property
    def interface(self) -> str:
        """The name of the first interface."""
        return self.interfaces[0].name


@dataclass(frozen=True)
class SwitchSpec:
    """A switch of the topology: a Linux bridge in the cluster's network namespace."""

    name: str
    priority: int = 32768
    """as in the spanning tree protocol: the switch with the lowest number is the root of the tree"""
    where: str = ""


@dataclass(frozen=True)
class Port:
    """Where a link ends."""

    node: str
    interface: str


@dataclass(frozen=True)
class LinkSpec:
    """A cable between two nodes."""

    ends: tuple[Port, Port]
    impairments: tuple[Impairment, Impairment] = (NONE, NONE)
    """what happens to packets that leave the first end, and to those that leave the second"""
    mtu: int = DEFAULT_MTU
    up: bool = True
    """False: it is cut until somebody mends it"""
    where: str = ""

    def __str__(self) -> str:
        return f"{self.ends[0].node}–{self.ends[1].node}"


@dataclass(frozen=True)
class Plan:
    """A whole network, in the order in which the topology declares it."""

    name: str
    machines: tuple[MachineSpec, ...]
    switches: tuple[SwitchSpec, ...]
    links: tuple[LinkSpec, ...]
    source: str = ""
    """the topology's file, for complaints about the whole"""

    def of_role(self, role: str) -> tuple[MachineSpec, ...]:
        """The machines of one role."""
        return tuple(machine for machine in self.machines if machine.role == role)

    def __str__(self) -> str:
        """The plan as text, a line for each machine, switch and link."""
        lines = []
        for machine in self.machines:
            interfaces = " ".join(f"{i.name}={','.join(map(str, i.addresses)) or None}" for i in machine.interfaces)
            routes = [f"default via {hop}" for hop in (machine.gateway, machine.gateway6) if hop]
            routes += [f"{network} via {hop}" for network, hop in machine.routes]
            labels = [f"{key}={value}" for key, value in machine.labels.items()]
            lines.append(" · ".join([f"{machine.name} {machine.role} {interfaces}", *routes, *labels]))
        lines += [f"{switch.name} switch" for switch in self.switches]
        for link in self.links:
            there, back = (text(impairment) for impairment in link.impairments)
            words = [f"{link.ends[0].interface} – {link.ends[1].interface}", "" if link.up else "down", there]
            if there != back:
                words[2:] = [f"→ {there or 'free'}", f"← {back or 'free'}"]
            lines.append(" · ".join(word for word in words if word))
        return "\n".join(lines)
