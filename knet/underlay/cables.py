"""The cables of a running network: cut and mend them, impair them, tell how they are."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from knet.kernel import links, qdiscs
from knet.kernel.links import Counters, change
from knet.kernel.netlink import Netlink
from knet.kernel.qdiscs import Impairment, Qdisc
from knet.underlay import impairment, tree
from knet.underlay.cabling import Cabling, End
from knet.underlay.carrier import wait_until_operational
from knet.underlay.plan import LinkSpec, SwitchSpec
from knet.underlay.state import DOWN, NO_CARRIER, STANDBY, UP, LinkError, LinkState, Sending
from knet.underlay.validate import unsupported


@dataclass
class Cables:
    """All cables of a network, known by their place in the plan.

    Interfaces are looked up by name, and the kernel is asked for what it knows; kept here is only what it does not
    know: which cables somebody cut, and what each end's impairment is meant to be.
    """

    cabling: Cabling
    switches: tuple[SwitchSpec, ...]
    netns: int
    """descriptor of the cluster's own network namespace"""
    machines: Mapping[str, int]
    """descriptors of the machines' network namespaces"""
    cut: frozenset[int] = frozenset()
    off: frozenset[str] = frozenset()
    """machines without power"""
    standby: frozenset[int] = frozenset()
    current: dict[tuple[int, int], Impairment] = field(default_factory=dict)
    """(cable, end) → what becomes of packets that it sends, where it is not what the plan says"""

    def __post_init__(self) -> None:
        self.standby = self._choose_standby(self.cut)

    def relaid(self, cabling: Cabling, machines: Mapping[str, int]) -> "Cables":
        """The same network with other cables: those that stay are as they were, cut or impaired."""
        place = {cable.ports: number for number, cable in enumerate(cabling.cables)}
        stays = {old: place[cable.ports] for old, cable in enumerate(self.cabling.cables) if cable.ports in place}
        fresh = set(range(len(cabling.cables))) - set(stays.values())
        cut = frozenset(stays[old] for old in self.cut if old in stays)
        cut |= {number for number in fresh if not cabling.cables[number].spec.up}
        current = {(stays[old], end): impaired for (old, end), impaired in self.current.items() if old in stays}
        return Cables(cabling, self.switches, self.netns, machines, cut, self.off & machines.keys(), current=current)

    def between(self, a: str, b: str) -> list[int]:
        """The cables between two nodes; LinkError where there is none."""
        found = [place for place, cable in enumerate(self.cabling.cables) if {a, b} == {end.node for end in cable.ends}]
        if not found:
            nodes = {end.node for cable in self.cabling.cables for end in cable.ends}
            unknown = [name for name in (a, b) if name not in nodes]
            if unknown:
                raise LinkError(f"there is no node {unknown[0]}; there are {', '.join(sorted(nodes))}")
            ends = ({end.node for end in cable.ends} for cable in self.cabling.cables)
            around = sorted(name for pair in ends if a in pair for name in pair - {a})
            raise LinkError(f"there is no link {a}–{b}; {a} has links to {', '.join(around)}")
        return found

    def impair(self, a: str, b: str, sender: str | None, options: Mapping[str, object]) -> None:
        """Change the impairment of what ``sender`` (None: either end) sends over the links between ``a`` and ``b``.

        Raises LinkError, before anything is changed, if a value has no meaning or the kernel cannot carry it out.
        """
        if sender not in (None, a, b):
            raise LinkError(f"link {a}–{b}: {sender} is at neither of its ends")
        wanted = {}
        for place in self.between(a, b):
            for number, end in enumerate(self.cabling.cables[place].ends):
                if sender in (None, end.node):
                    try:
                        wanted[place, number] = impairment.changed(self.impairment(place, number), options)
                    except ValueError as error:
                        raise LinkError(f"link {a}–{b}: {error}") from None
        for complaint in filter(None, map(unsupported, set(wanted.values()))):
            raise LinkError(f"link {a}–{b}: {complaint}")
        for (place, number), impaired in wanted.items():
            self._shape(place, number, impaired)

    def reset(self, a: str, b: str) -> None:
        """Make the links between two nodes what the topology declares: whole or cut, with these impairments."""
        places = self.between(a, b)
        for place in places:
            for number, declared in enumerate(self.cabling.cables[place].spec.impairments):
                if self.impairment(place, number) != declared:
                    self._shape(place, number, declared)
        down = {place for place in places if not self.cabling.cables[place].spec.up}
        self._switch_over(self.cut.difference(places) | down, self.off)

    def set_up(self, a: str, b: str, up: bool) -> None:
        """Cut or mend the links between two nodes."""
        places = frozenset(self.between(a, b))
        self._switch_over(self.cut - places if up else self.cut | places, self.off)

    def set_power(self, machine: str, on: bool) -> None:
        """Take the carrier from a machine's cables, or give it back to those that are not cut."""
        self._switch_over(self.cut, self.off - {machine} if on else self.off | {machine})

    def ends_of(self, machine: str) -> Iterator[tuple[int, int, End]]:
        """The places where a machine is plugged in: cable, number of its end, and that end."""
        for place, cable in enumerate(self.cabling.cables):
            for number, end in enumerate(cable.ends):
                if end.in_machine and end.node == machine:
                    yield place, number, end

    def impairment(self, place: int, number: int) -> Impairment:
        """What one end of a cable is meant to do to the packets it sends."""
        return self.current.get((place, number), self.cabling.cables[place].spec.impairments[number])

    def states(self) -> list[LinkState]:
        """All links as they are now, in the plan's order: two netlink requests, and one for each end that is shaped."""
        with Netlink(self.netns) as netlink:
            known = {link.name: link for link in links.list_links(netlink)}
            counted = links.counters(netlink)
        found = []
        for place, cable in enumerate(self.cabling.cables):
            sending = [
                self._sending(end, self.impairment(place, number), counted[end.port])
                for number, end in enumerate(cable.ends)
            ]
            carried = all(known[port].carrier for port, _bridge in cable.ports)
            declared = (place in self.cut) != cable.spec.up and not any(
                (place, number) in self.current for number in (0, 1)
            )
            found.append(LinkState((sending[0], sending[1]), self._state(place, carried), cable.spec.mtu, declared))
        return found

    def state(self, link: LinkSpec) -> str:
        """The state of one cable, as `LinkState.state`."""
        place = next(place for place, cable in enumerate(self.cabling.cables) if cable.spec == link)
        with Netlink(self.netns) as netlink:
            known = [links.get(netlink, port) for port, _bridge in self.cabling.cables[place].ports]
        return self._state(place, all(port.carrier for port in known))

    def _state(self, place: int, carried: bool) -> str:
        if place in self.cut:
            return DOWN
        if place in self.standby:
            return STANDBY
        return UP if carried else NO_CARRIER

    def _switch_over(self, cut: frozenset[int], off: frozenset[str]) -> None:
        """Set ports up and down so that exactly ``cut`` and what leads to ``off`` carry nothing, without a loop at any
        moment."""
        reserve = self._choose_standby(cut)
        before, after = self.cut | self.dead | self.standby, cut | self._leading_to(off) | reserve
        with Netlink(self.netns) as netlink:
            for place in sorted(after - before):
                netlink.send(*self._set(place, False))
            for place in sorted(before - after):
                netlink.send(*self._set(place, True))
            if reserve != self.standby:
                netlink.send(*(links.flush_fdb(netlink.index(switch.name)) for switch in self.switches))
        self.cut, self.off, self.standby = cut, off, reserve
        self.wait()

    @property
    def dead(self) -> frozenset[int]:
        """The cables that lead to a machine without power."""
        return self._leading_to(self.off)

    def _leading_to(self, machines: frozenset[str]) -> frozenset[int]:
        cables = enumerate(self.cabling.cables)
        return frozenset(place for place, cable in cables if machines & {end.node for end in cable.ends})

    def wait(self) -> None:
        """Until all cables that are to carry traffic do."""
        idle = self.cut | self.dead | self.standby
        active = {
            port
            for place, cable in enumerate(self.cabling.cables)
            if place not in idle
            for port, _bridge in cable.ports
        }
        wait_until_operational(self.netns, active)

    def _set(self, place: int, up: bool) -> Iterator[links.Request]:
        return (change(port, up=up) for port, _bridge in self.cabling.cables[place].ports)

    def _choose_standby(self, cut: frozenset[int]) -> frozenset[int]:
        between = {
            place: (cable.ends[0].node, cable.ends[1].node)
            for place, cable in enumerate(self.cabling.cables)
            if cable.between_switches
        }
        return tree.standby(self.switches, between, cut)

    def _shape(self, place: int, number: int, wanted: Impairment) -> None:
        cable = self.cabling.cables[place]
        end = cable.ends[number]
        with self._netlink(end) as netlink:
            qdiscs.apply(netlink, end.interface, wanted)
        if wanted == cable.spec.impairments[number]:
            self.current.pop((place, number), None)
        else:
            self.current[place, number] = wanted

    def reshape(self, place: int) -> None:
        """Shape what a switch sends over a cable anew, because its port is a new one."""
        for number, end in enumerate(self.cabling.cables[place].ends):
            impaired = self.impairment(place, number)
            if impaired != impairment.NONE and not end.in_machine:
                with self._netlink(end) as netlink:
                    qdiscs.apply(netlink, end.interface, impaired)

    def _netlink(self, end: End) -> Netlink:
        """A socket where that end's packets are shaped."""
        return Netlink(self.machines[end.node] if end.in_machine else self.netns)

    def _sending(self, end: End, impaired: Impairment, counted: Counters) -> Sending:
        out = end.counted_as == "tx"
        roots: list[Qdisc] = []
        if impaired != impairment.NONE:
            with self._netlink(end) as netlink:
                roots = [row for row in qdiscs.list_qdiscs(netlink, end.interface) if row.parent == "root"]
        return Sending(
            node=end.node,
            interface=end.interface,
            options=impairment.options(impaired),
            impairment=impairment.text(impaired),
            packets=counted.tx_packets if out else counted.rx_packets,
            bytes=counted.tx_bytes if out else counted.rx_bytes,
            dropped=sum(row.dropped for row in roots),
            waiting=sum(row.waiting for row in roots),
        )
