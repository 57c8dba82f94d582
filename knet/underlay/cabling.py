"""How the links of a plan are made of veth pairs and bridges: pure.

Every link can be cut from the cluster's own namespace, without touching the machines at its ends: a machine whose
cable is cut keeps its interface up, its addresses and its routes, and sees NO-CARRIER, as a real one does.  (Setting
a machine's own interface down would lose its routes; Mininet's ``link down`` has that effect.)  Therefore at least one
interface of each link is in the cluster's namespace::

    machine – switch    n1-eth0 (in n1) ════ s1-eth2 (port of s1)
    switch – switch     leaf1-eth1 (port of leaf1) ════ spine1-eth1 (port of spine1)
    machine – machine   r1-eth1 (in r1) ════ r1-eth1 (port of wire1) · r2-eth1 (port of wire1) ════ r2-eth1 (in r2)

A veth has carrier if both of its ends are up: cutting is setting all ports of the link down.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from knet.kernel.links import VethEnd, change, create_veth
from knet.kernel.netlink_wire import Request
from knet.underlay.plan import Interface, LinkSpec, MachineSpec, Plan, Port

#: the interface group of everything in the cluster's namespace, which is thus deleted by one message
GROUP = 0x6B6E


@dataclass(frozen=True)
class End:
    """One end of a link: where its packets are shaped, and where they are counted."""

    node: str
    interface: str
    """shaped where they leave, in the machine, or on the switch's port"""
    in_machine: bool
    port: str
    """the interface in the cluster's namespace that counts them"""
    counted_as: str
    """"tx" if ``port`` is where they leave, "rx" if it is the far end of the veth pair"""


@dataclass(frozen=True)
class Cable:
    """A link of the plan, realised."""

    spec: LinkSpec
    ends: tuple[End, End]
    ports: tuple[tuple[str, str], ...]
    """the interfaces in the cluster's namespace, each with its bridge"""

    @property
    def between_switches(self) -> bool:
        return not any(end.in_machine for end in self.ends)


@dataclass(frozen=True)
class Cabling:
    """What is to be created in the cluster's namespace."""

    bridges: tuple[str, ...]
    cables: tuple[Cable, ...]
    """in the order of the plan's links"""


#: before anything is laid
NONE = Cabling((), ())


def lay(plan: Plan) -> Cabling:
    """Choose bridges and ports for all links of ``plan``."""
    bridges = [switch.name for switch in plan.switches]
    switches = set(bridges)
    cables = []
    for link in plan.links:
        a, b = link.ends
        if {a.node, b.node} & switches:
            ports = tuple((end.interface, end.node) for end in link.ends if end.node in switches)
            ends = (_end(a, b, switches), _end(b, a, switches))
        else:
            wire = next(name for name in (f"wire{n}" for n in range(1, len(plan.links) + 2)) if name not in bridges)
            bridges.append(wire)
            ports = ((a.interface, wire), (b.interface, wire))
            ends = (_end(a, a, switches), _end(b, b, switches))
        cables.append(Cable(link, ends, ports))
    return Cabling(tuple(bridges), tuple(cables))


def _end(own: Port, opposite: Port, switches: set[str]) -> End:
    if own.node in switches:
        return End(own.node, own.interface, False, own.interface, "tx")
    return End(own.node, own.interface, True, opposite.interface, "rx")


def creation(
    cable: Cable,
    machines: Mapping[str, MachineSpec],
    namespaces: Mapping[str, int],
    bridges: Mapping[str, int],
    up: bool,
) -> list[Request]:
    """The messages, for the cluster's namespace, that create a cable, with its ports up or down.

    ``namespaces`` are descriptors of the machines' network namespaces, ``bridges`` the indexes of the bridges.
    """
    mtu = cable.spec.mtu
    if cable.between_switches:
        (first, one), (second, other) = cable.ports
        ports = (VethEnd(name, mtu=mtu, group=GROUP) for name in (first, second))
        return [create_veth(*ports, up=up, master=bridges[one]), change(second, master=bridges[other], up=up)]
    ends = (end for end in cable.ends if end.in_machine)
    return [plug(cable, end, machines[end.node], namespaces[end.node], bridges, up) for end in ends]


def plug(cable: Cable, end: End, machine: MachineSpec, namespace: int, bridges: Mapping[str, int], up: bool) -> Request:
    """The message that plugs a machine, whose namespace that descriptor is, into its end of a cable."""
    interface = _interface(machine, end.interface)
    inside = VethEnd(interface.name, namespace, cable.spec.mtu, interface.mac)
    outside = VethEnd(end.port, mtu=cable.spec.mtu, group=GROUP)
    return create_veth(outside, inside, up=up, master=bridges[dict(cable.ports)[end.port]])


def _interface(machine: MachineSpec, name: str) -> Interface:
    return next(interface for interface in machine.interfaces if interface.name == name)
