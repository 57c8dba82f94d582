"""From what machines do with a packet to the hops of its way, in words that an observer could have used.  Pure."""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from knet.api.families import family_of
from knet.client.controller import Key
from knet.cni.bridge import BRIDGE, POD_INTERFACE, mac_of, veth_name
from knet.cni.state import State
from knet.cni.vxlan import OVERHEAD
from knet.inspect import desired
from knet.inspect.attribution import Causes, attribution, port_cause
from knet.inspect.predict.cables import Crossing
from knet.inspect.predict.routes import Known, Leg, lookup, next_machine
from knet.inspect.predict.services import REJECT, Translated
from knet.inspect.predict.walk import Return, Stage
from knet.inspect.trace.hops import Cause, Encapsulation, Hop, Packet, Translation, ends
from knet.inspect.world import World
from knet.kernel.neighbours import Neighbour

#: how a pod's site begins
POD = "pod/"


def key_of_site(site: str) -> Key:
    """Of the pod that a site, ``pod/default/web-0``, is."""
    _, namespace, name = site.split("/")
    return Key(namespace, name)


class Teller:
    """Tells one way of a packet; ``packet`` is what it has become by now.

    ``port``: the one that the prober has, where the packet is an answer.
    """

    def __init__(self, world: World, way: str, packet: Packet, port: int = 0) -> None:
        self.hops: list[Hop] = []
        self.packet = packet
        self._world = world
        self._way = way
        self._port = port

    def leave_pod(self, site: str, machine: str) -> None:
        """From a pod's socket to its machine's bridge."""
        key = key_of_site(site)
        causes, mtu = (Cause("Pod", key.name, key.namespace),), self._mtu(machine)
        self._say("leave", site, POD_INTERFACE, causes, mtu=mtu)
        self._say("enter", machine, BRIDGE, causes, port=veth_name(str(key)), mtu=mtu)

    def stage(self, stage: Stage) -> None:
        """What a machine does with the packet, up to the cable to the next one, or the pod."""
        hook = "output" if stage.from_here else "forward"
        if stage.translated and stage.translated.verdict:
            self._refuse(stage, stage.translated)
            return
        if stage.endpoint or stage.mapped:
            self._translate(stage)
        if stage.problem:
            kind = "reject" if stage.refused or stage.problem.culprit == "no-route" else "drop"
            self._say(kind, stage.machine, "", stage.problem.because, verdict=stage.problem.text)
        if stage.leg is None:
            return
        self._route(stage.leg, stage.from_here)
        if stage.refusal:
            verdict = f"{stage.refusal.direction} is not allowed"
            self._say("drop", stage.machine, hook, _policies(stage), verdict=verdict)
            return
        self._filter(stage.machine, hook, _policies(stage))
        if stage.masquerade:
            causes = (Cause("Component", f"{stage.masquerade}@{stage.machine}", detail="masquerade"),)
            self._masquerade(stage, causes)
        self._go(stage.leg)

    def arrive(self, stage: Stage) -> None:
        """At the socket that the packet is for."""
        if stage.leg is None:
            self._filter(stage.machine, "input")
        pod = self._world.pod_at.get(stage.after.destination)
        site = f"{POD}{pod.namespace}/{pod.name}" if pod and stage.leg else stage.machine
        self._say("deliver", site)

    def answer(self, stretches: Sequence[Return], sender: str, receiver: str) -> None:
        """The way of the answer, from who got the packet to who had sent it."""
        from_pod = sender.startswith(POD)
        if from_pod:
            self.leave_pod(sender, stretches[0].machine)
        for stretch in stretches:
            self._turn(stretch, from_here=stretch is stretches[0] and not from_pod)
            if stretch.problem:
                return
        if not receiver.startswith(POD):
            self._filter(receiver, "input")
            self._restore(stretches[-1], receiver, "input")
        self._say("deliver", receiver)

    def _turn(self, stretch: Return, from_here: bool) -> None:
        """A machine that changes the answer's addresses back, and the legs from there."""
        machine = stretch.machine
        if stretch.unmasked:
            was = self.packet.destination
            self.packet = self.packet._replace(destination=stretch.destination, destination_port=self._port)
            self._undo("SNAT", machine, "prerouting", was, ends(stretch.destination, self._port))
        for leg in stretch.legs:
            own = from_here and leg is stretch.legs[0]
            self._route(leg, own)
            self._filter(leg.machine, "output" if own else "forward")
            self._restore(stretch, leg.machine, "postrouting")
            self._go(leg)

    def _restore(self, stretch: Return, machine: str, hook: str) -> None:
        """The source as the stretch has it, where the machine has not changed it back yet."""
        if (self.packet.source, self.packet.source_port) == (stretch.source, stretch.port):
            return
        was = ends(self.packet.source, self.packet.source_port)
        self.packet = self.packet._replace(source=stretch.source, source_port=stretch.port)
        self._undo("DNAT", machine, hook, was, ends(stretch.source, stretch.port))

    def _undo(self, kind: str, machine: str, hook: str, was: str, now: str) -> None:
        self._say("nat", machine, hook, translation=Translation(f"undo {kind}", was, now))

    def _say(self, kind: str, site: str, interface: str = "", because: Causes = (), **more: Any) -> None:
        self.hops.append(Hop(kind, site, interface, self._way, self.packet, because=because, **more))

    def _filter(self, machine: str, hook: str, because: Causes = ()) -> None:
        """Only Nodes have rules."""
        if machine in self._world.nodes:
            self._say("filter", machine, hook, because)

    def _refuse(self, stage: Stage, translated: Translated) -> None:
        """iptables, and IPVS, refuse in the filter table, nftables before the packet is routed."""
        hook = "output" if stage.from_here else "prerouting"
        if self._world.settings.proxy != "nftables" and not stage.from_here:
            address = stage.before.destination
            hook = "input" if address in desired.own_addresses(self._world, stage.machine) else "forward"
            known = lookup(self._world, stage.machine, address)
            if known and hook == "forward":  # a virtual address leads nowhere, but has to lead there
                self._look_up(known, stage.machine)
        kind = "reject" if translated.verdict == REJECT else "drop"
        because = stage.problem.because if stage.problem else ()
        causes = (port_cause(translated.port.name),) if translated.port else because
        self._say(kind, stage.machine, hook, causes, verdict=translated.reason)

    def _look_up(self, known: Known, machine: str) -> None:
        """A route without anything that comes of it for our packet."""
        self._say("route", machine, known.route.interface, (known.cause,), route=known.route)

    def _translate(self, stage: Stage) -> None:
        before = ends(self.packet.destination, self.packet.destination_port)
        after = stage.after
        self.packet = self.packet._replace(destination=after.destination, destination_port=after.port)
        among: tuple[str, ...] = ()
        if stage.mapped:
            namespace, _, name = stage.mapped.pod.partition("/")
            causes: Causes = (Cause("Pod", name, namespace, f"hostPort {stage.mapped.host_port}"),)
        else:
            assert stage.translated and stage.translated.port
            among = tuple(map(str, stage.translated.endpoints))
            found = attribution(self._world, stage.machine)
            causes = found.behind(stage.translated.port.name, after.destination, after.port)
        now = ends(after.destination, after.port)
        translation = Translation("DNAT", before, now, among if len(among) > 1 else ())
        self._say("nat", stage.machine, "output" if stage.from_here else "prerouting", causes, translation=translation)

    def _masquerade(self, stage: Stage, causes: Causes) -> None:
        """The port that it is given instead of the sender's is nobody's to predict."""
        before = ends(self.packet.source, self.packet.source_port)
        self.packet = self.packet._replace(source=stage.after.source, source_port=0)
        translation = Translation("SNAT", before, stage.after.source)
        self._say("nat", stage.machine, "postrouting", causes, translation=translation)

    def _is_bridged(self, leg: Leg) -> bool:
        """Whether a pod's frame is for another pod on the same bridge, which is no matter for routes."""
        source, destination = self.packet.source, self.packet.destination
        if leg.known.route.interface != BRIDGE or source not in self._world.pod_at:
            return False
        last = self.hops[-1]
        translated = last.kind == "nat" and last.site == leg.machine
        subnet = leg.known.network
        return not translated and ip_address(source) in subnet and ip_address(destination) in subnet

    def _route(self, leg: Leg, from_here: bool) -> None:
        """The look-up; who forwards a packet takes one from its time to live."""
        if not from_here and self._is_bridged(leg):
            return
        if self.packet.ttl and not from_here:
            self.packet = self.packet._replace(ttl=self.packet.ttl - 1)
        route, causes = leg.known.route, (leg.known.cause,)
        self._say("route", leg.machine, route.interface, causes, route=route, neighbour=self._neighbour(leg))

    def _neighbour(self, leg: Leg) -> Neighbour | None:
        """The entry that the next hop should have; None where the hardware address is the kernel's own choice."""
        interface = leg.known.route.interface
        state = desired.overlay(self._world, leg.machine, family_of(leg.hop))
        for row in state.neighbours if state else ():
            if (row.address, row.interface) == (leg.hop, interface):
                return row
        if interface == BRIDGE:
            pod = self._world.pod_at.get(leg.hop)  # whose hardware address is made of its first address
            return Neighbour(leg.hop, interface, mac_of(pod.status.podIPs[0].ip if pod else leg.hop), "")
        return None

    def _go(self, leg: Leg) -> None:
        """From a machine's interface to the next machine, or to its pod."""
        interface = leg.known.route.interface
        if interface == BRIDGE:
            self._enter_pod(leg.machine)
        elif leg.outer:
            state = desired.overlay(self._world, leg.machine, family_of(leg.hop))
            assert state
            self._tunnel(leg, state)
            for place, outer in enumerate(leg.outer):
                if place:  # a router, which forwards the packet around ours
                    self._arrive(leg.outer[place - 1].crossings[-1])
                    self._look_up(outer.known, outer.machine)
                self._cross(outer.crossings)
            self._say("untunnel", next_machine(leg), interface)
        else:
            self._cross(leg.crossings)
            self._arrive(leg.crossings[-1])

    def _arrive(self, crossing: Crossing) -> None:
        self._say("enter", crossing.receiver.node, crossing.receiver.interface, mtu=crossing.link.mtu)

    def _tunnel(self, leg: Leg, state: State) -> None:
        assert state.device
        macs = {row.address: row.mac for row in state.neighbours}
        fdb = next(row for row in state.fdb if row.mac == macs[leg.hop])
        vxlan = state.device.vxlan
        outer = Encapsulation(vxlan.vni, vxlan.local, fdb.destination, vxlan.port, OVERHEAD[state.family])
        causes = attribution(self._world, leg.machine).fdb(fdb)
        name, mtu = state.device.name, state.device.mtu
        self._say("tunnel", leg.machine, name, causes, encapsulation=outer, fdb=fdb, mtu=mtu)

    def _cross(self, crossings: Sequence[Crossing]) -> None:
        port = ""
        for link, sender, receiver in crossings:
            if port:
                self._say("switch", sender.node, sender.interface, port=port)
            causes = (Cause("Link", link.name),)
            name, queue = link.name, sender.impairment
            self._say("link", sender.node, sender.interface, causes, link=name, queue=queue, mtu=link.mtu)
            port = receiver.interface

    def _enter_pod(self, machine: str) -> None:
        pod = self._world.pod_at[self.packet.destination]
        causes, name = (Cause("Pod", pod.name, pod.namespace),), f"{pod.namespace}/{pod.name}"
        mtu = self._mtu(machine)
        self._say("leave", machine, BRIDGE, causes, port=veth_name(name), mtu=mtu)
        self._say("enter", f"{POD}{name}", POD_INTERFACE, causes, mtu=mtu)

    def _mtu(self, machine: str) -> int:
        """Of a machine's pods."""
        states = (desired.overlay(self._world, machine, family) for family in self._world.settings.pod_ranges)
        return min((state.mtu for state in states if state), default=0)


def _policies(stage: Stage) -> Causes:
    """Those that let it pass, or the ones of the first that does not."""
    rows = (stage.refusal,) if stage.refusal else stage.rulings
    found = ((row.direction, policy) for row in rows for policy in row.policies)
    return tuple(Cause("NetworkPolicy", policy.name, policy.namespace, direction) for direction, policy in found)
