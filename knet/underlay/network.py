"""A `Mininet` built from a plan by netlink: 1 to 2 ms for each machine instead of 20.

What costs time in Mininet is a bash on a pseudo-terminal for each node, ifconfig(8) and ip(8) for each setting, and
``ip link del`` for each interface on stop (30 ms each, in which the kernel waits for all processors).  Here all
switches and cables are one batch of netlink messages, each machine's addresses and routes another, and everything is
deleted at once, as an interface group.

Switches are bridges in the network namespace of the thread that calls `start`: it must be the cluster's own.
"""

import errno
from collections.abc import Iterable, Mapping, Sequence, Set
from functools import partial
from pathlib import Path
from typing import Any

from knet.kernel import addresses, links, nft, qdiscs, routes, sysctl
from knet.kernel.addresses import Address
from knet.kernel.namespaces import Namespaces, run_in
from knet.kernel.netlink import Netlink, NetlinkError
from knet.kernel.netlink_wire import Request
from knet.kernel.qdiscs import Impairment
from knet.kernel.rules import RulesError
from knet.underlay import cabling, filesystem, isolation
from knet.underlay.cables import Cables
from knet.underlay.cabling import GROUP
from knet.underlay.filesystem import Home
from knet.underlay.impairment import NONE
from knet.underlay.isolation import Partition
from knet.underlay.link import Link
from knet.underlay.machine import Machine
from knet.underlay.node import Interface
from knet.underlay.plan import LinkSpec, MachineSpec, Plan, Port
from knet.underlay.routing import declared_routes
from knet.underlay.state import LinkError
from knet.underlay.switch import Switch
from knet.underlay.upstream import Mininet


class Network(Mininet):
    """A running plan, with Mininet's vocabulary: ``net.get("n1").cmd("ip route")``, ``net.hosts``, ``net.pingAll()``.

    Nodes and links come from the plan, or the next (`become`); ``addHost`` and its kin are not available.
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
            _quiet_namespace()
            self.cables = Cables(cabling.NONE, self.plan.switches, self.namespaces.fds["net"], {})
            self.switches = [Switch(spec, self.namespaces) for spec in self.plan.switches]
            self.become(self.plan)
            self.built = True
        except BaseException:
            self.stop()
            raise

    def become(self, plan: Plan) -> None:
        """Let machines join that ``plan`` has and the network has not, and those leave that it has not any more.

        What a machine that leaves still runs is its owner's to end, before this.  OSError or `NetlinkError` says what
        failed; machines that could not join are not there then.
        """
        names = {machine.name for machine in plan.machines}
        for machine in [machine for machine in self.hosts if machine.name not in names]:
            self._dismiss(machine)
        staying, cables = list(self.hosts), self.cables
        hosts_file = filesystem.hosts_file(plan)
        try:
            self._start_machines(plan, hosts_file)
            self._lay_cables(plan)
            shaping = {
                end.interface: impairment
                for link in plan.links
                for end, impairment in zip(link.ends, link.impairments, strict=True)
            }
            for machine in self.hosts[len(staying) :]:
                _configure(machine, shaping)
        except BaseException:
            for machine in self.hosts[len(staying) :]:
                self._dismiss(machine)
            self.cables = cables
            raise
        for machine in staying:
            machine.write_hosts(hosts_file)
        self.plan = plan
        self._introduce()
        self.running_cables.wait()

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
        raise RuntimeError("nodes and links are declared in the topology; machines join and leave by `become`")

    addSwitch = addLink = addController = addNAT = delNode = delLink = delLinkBetween = addHost

    def _start_machines(self, plan: Plan, hosts_file: str) -> None:
        below_sys = filesystem.mounts_below_sys()
        there = {machine.name for machine in self.hosts}
        for spec in plan.machines:
            if spec.name not in there:
                self.hosts.append(self._start_machine(spec, hosts_file, below_sys))

    def _start_machine(self, spec: MachineSpec, hosts_file: str, below_sys: tuple[str, ...]) -> Machine:
        resolver_file = filesystem.resolver_file(self.nameservers)
        home = Home(spec, self.state_dir / "machines" / spec.name, hosts_file, resolver_file)
        home.prepare()
        return Machine.start(spec, home, below_sys)

    def _lay_cables(self, plan: Plan) -> None:
        """Create the bridges and cables that are not there yet, and shape what their switches send."""
        laid = cabling.lay(plan)
        namespaces = {machine.name: machine.netns for machine in self.hosts}
        before, self.cables = self.running_cables.cabling, self.running_cables.relaid(laid, namespaces)
        specs = {machine.name: machine for machine in plan.machines}
        there = {cable.ports for cable in before.cables}
        new = [(place, cable) for place, cable in enumerate(laid.cables) if cable.ports not in there]
        with Netlink(self.namespaces.fds["net"]) as netlink:
            fresh = (name for name in laid.bridges if name not in before.bridges)
            netlink.send(*(links.create_bridge(name, mcast_snooping=False, group=GROUP) for name in fresh))
            bridges = {name: netlink.index(name) for name in laid.bridges}
            idle = self.cables.standby | self.cables.cut
            requests: list[Request] = []
            for place, cable in new:
                requests += cabling.creation(cable, specs, namespaces, bridges, place not in idle)
            netlink.send(*requests)
            shaping = [
                (end.interface, impairment)
                for _place, cable in new
                for end, impairment in zip(cable.ends, cable.spec.impairments, strict=True)
                if impairment != NONE and not end.in_machine
            ]
            for interface, impairment in shaping:
                netlink.send(*qdiscs.requests(interface, netlink.index(interface), impairment))

    def replace(self, name: str) -> None:
        """A new machine in place of one without processes: empty namespaces, the same cables and disk, power on."""
        old: Machine = self.nameToNode[name]
        cables = self.running_cables
        place = self.hosts.index(old)
        plugs = list(cables.ends_of(name))
        with Netlink(self.namespaces.fds["net"]) as netlink:
            for _place, _number, end in plugs:
                links.remove(netlink, end.port)
            old.terminate()
            hosts_file, below_sys = filesystem.hosts_file(self.plan), filesystem.mounts_below_sys()
            machine = self._start_machine(old.spec, hosts_file, below_sys)
            self.hosts[place] = machine
            cables.machines = {**cables.machines, name: machine.netns}
            idle = cables.cut | cables.standby | cables.dead
            for number, _number, end in plugs:
                cable = cables.cabling.cables[number]
                bridges = {bridge: netlink.index(bridge) for _port, bridge in cable.ports}
                netlink.send(cabling.plug(cable, end, machine.spec, machine.netns, bridges, number not in idle))
        for number, _number, _end in plugs:
            cables.reshape(number)
        _configure(machine, {end.interface: cables.impairment(number, own) for number, own, end in plugs})
        self._forget(link for link in self.links if name in {end.node for end in link.spec.ends})
        self._introduce()
        cables.set_power(name, True)

    def isolate(self, partitions: Sequence[Partition], stopped: Set[str]) -> None:
        """Let machines not hear each other, or anybody; LinkError where the kernel cannot do that."""
        rules = isolation.ruleset(self.plan, self.running_cables.cabling, partitions, stopped)
        try:
            run_in(self.namespaces, lambda: nft.apply(rules))
        except RulesError as error:
            raise LinkError(f"partitions and pauses need nftables for bridges (nft_meta_bridge): {error}") from None

    def _dismiss(self, machine: Machine) -> None:
        """Unplug a machine and let go of it."""
        ports = [
            port
            for cable in self.running_cables.cabling.cables
            for port, _bridge in cable.ports
            if machine.name in {end.node for end in cable.ends}
        ]
        with Netlink(self.namespaces.fds["net"]) as netlink:
            for port in ports:
                links.remove(netlink, port)
        self.hosts.remove(machine)
        machine.terminate()

    def _introduce(self) -> None:
        """Tell Mininet's side of things about what the kernel now has."""
        self.nameToNode = {node.name: node for node in [*self.hosts, *self.switches]}
        declared = set(self.plan.links)
        self._forget(link for link in self.links if link.spec not in declared)
        known = {link.spec for link in self.links}
        for spec in self.plan.links:
            if spec not in known:
                first, second = (self._interface(end) for end in spec.ends)
                self.links.append(Link(spec, first, second, partial(self._state, spec)))

    def _forget(self, gone: Iterable[Link]) -> None:
        for link in list(gone):
            for interface in (link.intf1, link.intf2):
                if interface.node in self.switches:
                    interface.node.delIntf(interface)
            self.links.remove(link)

    def _state(self, spec: LinkSpec) -> str:
        return self.running_cables.state(spec)

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
            requests += [addresses.add(Address(interface.name, str(own)), index) for own in interface.addresses]
            requests += qdiscs.requests(interface.name, index, shaping[interface.name])
        for route in declared_routes(machine.spec):
            requests.append(routes.add(route, indexes[route.interface]))
        netlink.send(*requests)


def _quiet_namespace() -> None:
    """In the cluster's own namespace, ports say nothing of themselves (IPv6 router and neighbour solicitations), and
    frames that cross a switch are no business of iptables."""
    for name, value in (("net.ipv6.conf.default.disable_ipv6", 1), ("net.bridge.bridge-nf-call-iptables", 0)):
        if sysctl.path(name).exists():
            sysctl.write(name, value)
