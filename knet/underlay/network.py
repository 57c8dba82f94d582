"""A `Mininet` built from a plan by netlink: 1 to 2 ms for each machine instead of 20.

What costs time in Mininet is a bash on a pseudo-terminal for each node, ifconfig(8) and ip(8) for each setting, and
``ip link del`` for each interface on stop (30 ms each, in which the kernel waits for all processors).  Here all
switches and cables are one batch of netlink messages, each machine's addresses and routes another, and everything is
deleted at once, as an interface group.

Switches are bridges in the network namespace of the thread that calls `start`: it must be the cluster's own.
"""

import errno
from collections.abc import Mapping, Sequence
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from knet.kernel import addresses, links, qdiscs, routes, sysctl
from knet.kernel.addresses import Address
from knet.kernel.namespaces import Namespaces
from knet.kernel.netlink import Netlink, NetlinkError
from knet.kernel.netlink_wire import Request
from knet.kernel.qdiscs import Impairment
from knet.kernel.routes import Route
from knet.underlay import cabling, filesystem
from knet.underlay.cables import Cables
from knet.underlay.cabling import GROUP
from knet.underlay.filesystem import Home
from knet.underlay.impairment import NONE
from knet.underlay.link import Link
from knet.underlay.machine import Machine
from knet.underlay.node import Interface
from knet.underlay.plan import CONTROL_PLANE, WORKER, MachineSpec, Plan, Port
from knet.underlay.switch import Switch
from knet.underlay.upstream import Mininet


class Network(Mininet):
    """A running plan, with Mininet's vocabulary: ``net.get("n1").cmd("ip route")``, ``net.hosts``, ``net.pingAll()``.

    Nodes and links come from the plan and stay what they are; ``addHost`` and its kin are not available.
    """

    def __init__(self, plan: Plan, state_dir: Path, nameservers: Sequence[str] = ()) -> None:
        # not Mininet.__init__: that changes the host's sysctls (fixLimits) and starts a process to count processors
        self.plan, self.state_dir, self.nameservers = plan, state_dir, nameservers
        self.hosts: list[Machine] = []
        self.switches: list[Switch] = []
        self.links: list[Link] = []
        self.controllers: list[Any] = []
        self.terms: list[Any] = []
        self.nameToNode: dict[str, Any] = {}
        self.topo = None
        self.built = False
        self.namespaces = Namespaces({})
        self.cables: Cables | None = None

    def start(self) -> None:
        """Build everything.  After a failure nothing is left; OSError or `NetlinkError` says what failed."""
        self.namespaces = Namespaces.of("thread-self", ("net",))
        try:
            self._start_machines()
            self._lay_cables()
            shaping = {
                end.interface: impairment
                for link in self.plan.links
                for end, impairment in zip(link.ends, link.impairments, strict=True)
            }
            for machine in self.hosts:
                _configure(machine, shaping)
            self._introduce_nodes()
            self.running_cables.wait()
            self.built = True
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the machines' shells and holders, delete switches and links, let go of the namespaces.

        Other processes that run in a machine keep its namespaces alive, without links, until they end.
        """
        if "net" not in self.namespaces.fds:
            return
        with Netlink(self.namespaces.fds["net"]) as netlink:
            try:
                netlink.send(links.delete_group(GROUP))
            except NetlinkError as error:
                if error.errno != errno.ENODEV:
                    raise
        for node in [*self.switches, *self.hosts]:
            node.terminate()
        self.namespaces.close()
        self.hosts, self.switches, self.links, self.nameToNode, self.cables = [], [], [], {}, None
        self.built = False

    def configLinkStatus(self, src: str, dst: str, status: str) -> None:
        """Cut ("down") or mend ("up") the links between two nodes; LinkError where there are none."""
        self.running_cables.set_up(src, dst, status == "up")

    @property
    def running_cables(self) -> Cables:
        """The cables; RuntimeError before `start` and after `stop`."""
        if self.cables is None:
            raise RuntimeError("the network is not running")
        return self.cables

    def addHost(self, *_arguments: Any, **_options: Any) -> None:
        """Not available: raises RuntimeError."""
        raise RuntimeError("nodes and links are declared in the topology and do not change while the network runs")

    addSwitch = addLink = addController = addNAT = delNode = delLink = delLinkBetween = addHost

    def _start_machines(self) -> None:
        hosts_file = filesystem.hosts_file(self.plan)
        resolver_file = filesystem.resolver_file(self.nameservers)
        below_sys = filesystem.mounts_below_sys()
        for spec in self.plan.machines:
            home = Home(spec, self.state_dir / "machines" / spec.name, hosts_file, resolver_file)
            home.prepare()
            self.hosts.append(Machine.start(spec, home, below_sys))

    def _lay_cables(self) -> None:
        """Create bridges and cables, and shape what the switches send."""
        laid = cabling.lay(self.plan)
        namespaces = {machine.name: machine.netns for machine in self.hosts}
        self.cables = Cables(laid, self.plan.switches, self.namespaces.fds["net"], namespaces)
        specs = {machine.name: machine for machine in self.plan.machines}
        _quiet_namespace()
        with Netlink(self.namespaces.fds["net"]) as netlink:
            netlink.send(*(links.create_bridge(name, mcast_snooping=False, group=GROUP) for name in laid.bridges))
            bridges = {name: netlink.index(name) for name in laid.bridges}
            requests: list[Request] = []
            for place, cable in enumerate(laid.cables):
                requests += cabling.creation(cable, specs, namespaces, bridges, place not in self.cables.standby)
            netlink.send(*requests)
            shaping = [
                (end.interface, impairment)
                for cable in laid.cables
                for end, impairment in zip(cable.ends, cable.spec.impairments, strict=True)
                if impairment != NONE and not end.in_machine
            ]
            for interface, impairment in shaping:
                netlink.send(*qdiscs.requests(interface, netlink.index(interface), impairment))

    def _introduce_nodes(self) -> None:
        """Tell Mininet's side of things about what the kernel now has."""
        self.switches = [Switch(spec, self.namespaces) for spec in self.plan.switches]
        self.nameToNode = {node.name: node for node in [*self.hosts, *self.switches]}
        for place, spec in enumerate(self.plan.links):
            first, second = (self._interface(end) for end in spec.ends)
            self.links.append(Link(spec, first, second, partial(self._state, place)))

    def _state(self, place: int) -> str:
        return self.running_cables.state(place)

    def _interface(self, end: Port) -> Interface:
        """The interface of a machine, or a new one of a switch."""
        node = self.nameToNode[end.node]
        if end.interface in node.nameToIntf:
            return node.nameToIntf[end.interface]  # type: ignore[no-any-return]
        return Interface(end.interface, node, node.newPort())


def _configure(machine: Machine, shaping: Mapping[str, Impairment]) -> None:
    """Inside a machine: interfaces up, addresses, routes, and the shaping of what it sends."""
    with Netlink(machine.netns) as netlink:
        indexes = {interface.name: netlink.index(interface.name) for interface in machine.spec.interfaces}
        requests = [links.change("lo", up=True)]
        for interface in machine.spec.interfaces:
            index = indexes[interface.name]
            requests.append(links.change(index, up=True))
            if interface.address:
                requests.append(addresses.add(Address(interface.name, str(interface.address)), index))
            requests += qdiscs.requests(interface.name, index, shaping[interface.name])
        for route in _routes(machine.spec):
            requests.append(routes.add(route, indexes[route.interface]))
        netlink.send(*requests)


def _routes(spec: MachineSpec) -> list[Route]:
    """The declared routes, each through the interface whose subnet holds its next hop.  Pure.

    A Node that has no gateway gets a default route without one, through its first interface: the kernel looks a route
    up before kube-proxy's rules turn a Service's address into a pod's, and refuses a connection that has none.
    """
    found = []
    if spec.role in (CONTROL_PLANE, WORKER) and not spec.gateway:
        found.append(Route("default", spec.interface))
    for destination, hop in [("default", spec.gateway), *((str(network), hop) for network, hop in spec.routes)]:
        for interface in spec.interfaces if hop else ():
            if interface.address and IPv4Address(hop) in interface.address.network:
                found.append(Route(destination, interface.name, hop))
                break
    return found


def _quiet_namespace() -> None:
    """In the cluster's own namespace, ports say nothing of themselves (IPv6 router and neighbour solicitations), and
    frames that cross a switch are no business of iptables."""
    for name, value in (("net.ipv6.conf.default.disable_ipv6", 1), ("net.bridge.bridge-nf-call-iptables", 0)):
        if sysctl.path(name).exists():
            sysctl.write(name, value)
