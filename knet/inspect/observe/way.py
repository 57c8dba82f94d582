"""What was seen, as hops.

Sights of one way fall into *visits*: a machine, a pod or a switch that the packet comes to, by one interface, and
leaves, by another.  What happened in between is told by rules' traces, by how the packet had changed, and by the kernel
of that site, which is asked afterwards.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from knet.cni.bridge import veth_name
from knet.inspect.observe.lookups import Asked
from knet.inspect.observe.rules import Root
from knet.inspect.observe.watch import Sight, Watched
from knet.inspect.trace.evidence import Lookups, Probe
from knet.inspect.trace.hops import BACK, THERE, Encapsulation, Hop, Packet, Passage, Translation, ends
from knet.inspect.world import Topology

_PREROUTING, _INPUT, _OUTPUT, _POSTROUTING = "prerouting", "input", "output", "postrouting"
#: in the order in which a packet passes them
_ORDER = {_PREROUTING: 0, _OUTPUT: 0, "forward": 1, _INPUT: 1, _POSTROUTING: 2}
_POD = "pod/"
#: what VXLAN adds to a packet: Ethernet, VXLAN, UDP and IP
_OVERHEAD = 14 + 8 + 8


@dataclass
class Visit:
    """A packet at one site."""

    site: str
    way: str
    starts: bool = False
    """it was sent from here"""
    ins: list[Sight] = field(default_factory=list)
    outs: list[Sight] = field(default_factory=list)
    roots: list[Root] = field(default_factory=list)
    got: Packet | None = None
    """as a socket there got it, where that is known"""

    @property
    def packet(self) -> Packet:
        """As it was seen last."""
        if self.outs or not self.roots:
            return _packet(self.outs or self.ins)
        return self.roots[-1].seen.packet


@dataclass
class Observed:
    """The hops, and what was asked on the way."""

    hops: list[Hop] = field(default_factory=list)
    lookups: dict[str, Lookups] = field(default_factory=dict)


class Way:
    """Makes hops of what was seen.

    ``ask``: the kernel of a machine or a pod, by site; ``roots``: rules' traces, by site.
    """

    def __init__(
        self,
        probe: Probe,
        topology: Topology,
        ask: Callable[[str], Asked],
        roots: Mapping[str, Sequence[Root]],
        way_of: Callable[[Root], str],
    ) -> None:
        self._probe = probe
        self._topology = topology
        self._ask = ask
        self._roots = roots
        self._way_of = way_of
        self._switch_of = {row.name: node.name for node in topology.nodes if node.is_switch for row in node.interfaces}
        self._switches = frozenset(self._switch_of.values())
        self._peers = {row.name: row.peer for node in topology.nodes for row in node.interfaces}

    def observed(self, watched: Watched) -> Observed:
        there = self._visits(watched.way(THERE), THERE)
        if not there or there[0].site != self._probe.site:
            there.insert(0, Visit(self._probe.site, THERE))
        there[0].starts = True
        back = self._visits(watched.way(BACK), BACK)
        if back:
            back[0].starts = True
        for visits, way in ((there, THERE), (back, BACK)):
            self._give_roots(visits, way)
        found = Observed()
        self._tell(there, found)
        found.hops += _ended(there[-1], back, found.hops)
        if back and back[-1].site == self._probe.site and watched.answer is not None:
            back[-1].got = _answer(self._probe.packet, back[-1])
        self._tell(back, found)
        if back and back[-1].got:
            found.hops.append(Hop("deliver", self._probe.site, way=BACK, packet=back[-1].got))
        return found

    # ---- visits --------------------------------------------------------------------------------------------------

    def _visits(self, sights: Sequence[Sight], way: str) -> list[Visit]:
        found: list[Visit] = []
        for sight in self._leading(sights):
            site = self._site(sight)
            last = found[-1] if found else None
            if last is None or last.site != site or (last.outs and not sight.out):
                last = Visit(site, way)
                found.append(last)
            (last.outs if sight.out else last.ins).append(sight)
        return found

    def _site(self, sight: Sight) -> str:
        return self._switch_of.get(sight.interface, sight.space)

    def _leading(self, sights: Sequence[Sight]) -> list[Sight]:
        """Without repetitions, and without what a switch, or cni0, that does not know the way sent everywhere."""
        kept: dict[tuple[str, str, bool, bool], Sight] = {}
        for sight in sights:
            if sight.space in self._switches and sight.interface not in self._switch_of:
                continue  # the wire between two machines is a bridge, too, but none of the topology's
            kept.setdefault((sight.space, sight.interface, sight.out, sight.seen.outer is None), sight)
        ends = {(row.space, row.interface) for row in kept.values() if row.foreign and self._is_end(row)}
        ports = {self._port(*end) for end in ends}
        rows = [row for row in kept.values() if row.out or (row.space, row.interface) not in ends]
        rows = [row for row in rows if not row.out or row.interface not in ports]
        while True:
            heard = {row.interface for row in rows if not row.out}
            through = {row.interface for row in rows if row.out}
            deaf = [
                row
                for row in rows
                if row.out and row.interface in self._switch_of and self._peers.get(row.interface) not in heard
            ]
            leading = {
                self._switch_of[name] for name in through & set(self._switch_of) if self._peers.get(name) in heard
            }
            dead = [row for row in deaf if self._site(row) in leading]
            if not dead:
                return rows
            rows = [row for row in rows if row not in dead]

    def _port(self, site: str, interface: str) -> str:
        """Of a switch, or of cni0, that a machine or a pod is plugged into."""
        return veth_name(site.removeprefix(_POD)) if site.startswith(_POD) else self._peers.get(interface, "")

    def _is_end(self, sight: Sight) -> bool:
        """Whether a frame for somebody else's address ends there: not on a switch's or another bridge's port."""
        return sight.interface not in self._switch_of and not self._ask(sight.space).bridge_of(sight.interface)

    def _give_roots(self, visits: Sequence[Visit], way: str) -> None:
        """To each visit the chains of its hooks: a hook that comes before the last one begins another visit."""
        for site in {visit.site for visit in visits}:
            rows = iter([visit for visit in visits if visit.site == site])
            visit, last = next(rows), 0
            for root in self._roots.get(site, ()):
                if self._way_of(root) != way:
                    continue
                order = _ORDER[root.base.hook]
                if order < last:
                    visit = next(rows, visit)
                visit.roots.append(root)
                last = order

    # ---- hops ----------------------------------------------------------------------------------------------------

    def _tell(self, visits: Sequence[Visit], found: Observed) -> None:
        for number, visit in enumerate(visits):
            following = visits[number + 1].ins if number + 1 < len(visits) else []
            arrives = following[0].at if following else 0
            is_switch = visit.site in self._switches
            hops = list(self._switched(visit) if is_switch else self._passed(visit, found))
            if hops and hops[-1].kind == "link" and arrives:
                hops[-1] = replace(hops[-1], at=arrives)
            found.hops += hops

    def _switched(self, visit: Visit) -> Iterator[Hop]:
        coming, packet = visit.ins[0] if visit.ins else None, _packet([*visit.ins, *visit.outs])
        port = coming.interface if coming else ""
        if not visit.outs:
            yield Hop("enter", visit.site, port, visit.way, packet, at=coming.at if coming else 0)
            return
        leaving = visit.outs[0]
        yield Hop("switch", visit.site, leaving.interface, visit.way, packet, port, at=leaving.at)
        yield self._link(visit, leaving)

    def _link(self, visit: Visit, sight: Sight) -> Hop:
        link = self._topology.link_at[sight.interface]
        queue = next(end.impairment for end in link.ends if end.interface == sight.interface)
        packet = sight.seen.packet
        return Hop(
            "link",
            visit.site,
            sight.interface,
            visit.way,
            packet,
            mtu=link.mtu,
            at=sight.at,
            link=link.name,
            queue=queue,
        )

    def _passed(self, visit: Visit, found: Observed) -> Iterator[Hop]:
        """A machine or a pod."""
        asked = self._ask(visit.site)
        if packed := self._packed(visit, asked):
            found.lookups[visit.site] = packed
            yield from self._forwarded(visit, asked, packed)
            return
        before = self._start(visit)
        yield from self._entered(visit, asked)
        translated = list(_translations(visit, before))
        early = [hop for hop in translated if hop.interface in (_PREROUTING, _OUTPUT, _INPUT)]
        yield from early
        packet = early[-1].packet if early else before
        sent_to = visit.outs[-1].seen.destination_mac if visit.outs else ""
        lookups = asked.about(packet, "" if visit.starts else _up(visit, asked), sent_to)
        if visit.way == THERE or visit.site not in found.lookups or not visit.outs:
            found.lookups[visit.site] = lookups
        dropped = any(root.verdict == "drop" for root in visit.roots)
        if (early or _routed(visit, asked)) and not (dropped and not _seen(visit, "forward", _OUTPUT)):
            yield from self._route(visit, lookups, packet)
        yield from _filters(visit)
        late = [hop for hop in translated if hop not in early]
        yield from late
        if dropped:
            yield _dropped(visit)
        else:
            yield from self._left(visit, asked, lookups)

    def _packed(self, visit: Visit, asked: Asked) -> Lookups | None:
        """What a router's kernel says of the packet around ours, where it is that which it forwards."""
        outer = visit.ins[0].seen.outer if visit.ins else None
        if outer is None or any(row.seen.outer is None for row in visit.ins):
            return None
        lookups = asked.about(outer.packet, visit.ins[0].interface)
        return lookups if lookups.route and lookups.route.type != "local" else None

    def _forwarded(self, visit: Visit, asked: Asked, lookups: Lookups) -> Iterator[Hop]:
        yield from self._entered(visit, asked)
        packet = visit.ins[-1].seen.packet
        yield from self._route(visit, lookups, packet)
        yield from (self._link(visit, row) for row in visit.outs[:1])

    def _start(self, visit: Visit) -> Packet:
        """The packet as it comes in, or as it was sent.  A bridge hands it up when its destination is translated."""
        if visit.ins:
            inner = [row for row in visit.ins if row.seen.outer is None]
            return (inner or visit.ins)[0].seen.packet
        if visit.way == THERE:
            first = visit.outs[0].seen.packet if visit.outs else self._probe.packet
            return self._probe.packet._replace(ttl=first.ttl, size=first.size, flags=first.flags)
        return visit.roots[0].seen.packet if visit.roots else _packet(visit.outs)

    def _entered(self, visit: Visit, asked: Asked) -> Iterator[Hop]:
        if not visit.ins:
            return
        first = visit.ins[0]
        inner = [row for row in visit.ins if row.seen.outer is None]
        bridge = asked.bridge_of(first.interface)
        interface = bridge or first.interface
        if first.seen.outer is not None and inner:
            yield Hop(
                "untunnel",
                visit.site,
                inner[0].interface,
                visit.way,
                inner[0].seen.packet,
                mtu=_mtu(asked, inner[0].interface),
                at=inner[0].at,
                encapsulation=_encapsulation(first),
            )
            return
        port = first.interface if bridge else ""
        yield Hop("enter", visit.site, interface, visit.way, first.seen.packet, port, _mtu(asked, interface), first.at)

    def _route(self, visit: Visit, lookups: Lookups, packet: Packet) -> Iterator[Hop]:
        route = lookups.route
        if route is None or (route.type not in ("unicast", "local")):
            if not visit.outs:
                verdict = route.type if route else "unreachable"
                yield Hop("route", visit.site, "", visit.way, packet, route=route, verdict=verdict)
            return
        if route.type == "local" or (visit.site.startswith(_POD) and visit.outs):
            return
        yield Hop("route", visit.site, route.interface, visit.way, packet, route=route, neighbour=lookups.neighbour)

    def _left(self, visit: Visit, asked: Asked, lookups: Lookups) -> Iterator[Hop]:
        if not visit.outs:
            return
        outer = next((row for row in visit.outs if row.seen.outer is not None), None)
        last = visit.outs[-1]
        if outer is not None or _kind(asked, last.interface) == "vxlan":
            inner = next((row for row in visit.outs if row.seen.outer is None), None)
            device = inner.interface if inner else lookups.route.interface if lookups.route else ""
            yield Hop(
                "tunnel",
                visit.site,
                device,
                visit.way,
                (inner or last).seen.packet,
                mtu=_mtu(asked, device),
                at=(inner or last).at,
                encapsulation=_encapsulation(outer) if outer else None,
                fdb=lookups.fdb,
            )
            if outer is not None and outer.interface in self._topology.link_at:
                yield self._link(visit, outer)
            return
        if last.interface in self._topology.link_at:
            yield self._link(visit, last)
            return
        bridge = asked.bridge_of(last.interface)
        interface, port = (bridge, last.interface) if bridge else (last.interface, "")
        fdb = lookups.fdb if bridge else None
        mtu = _mtu(asked, interface)
        yield Hop("leave", visit.site, interface, visit.way, last.seen.packet, port, mtu, last.at, fdb=fdb)


def _packet(sights: Sequence[Sight]) -> Packet:
    return sights[-1].seen.packet if sights else Packet()


def _answer(probe: Packet, visit: Visit) -> Packet:
    """An answer to the probe, as its socket gets it; an error comes as it is."""
    last = _packet(visit.ins)
    if last.protocol != probe.protocol or (visit.ins and visit.ins[-1].seen.error):
        return last
    return probe.reversed._replace(ttl=last.ttl, flags=last.flags, size=last.size)


def _mtu(asked: Asked, interface: str) -> int:
    return asked.links[interface].mtu if interface in asked.links else 0


def _kind(asked: Asked, interface: str) -> str:
    return asked.links[interface].kind if interface in asked.links else ""


def _encapsulation(sight: Sight) -> Encapsulation | None:
    outer = sight.seen.outer
    if outer is None:
        return None
    overhead = _OVERHEAD + (40 if ":" in outer.packet.source else 20)
    return Encapsulation(
        outer.vni, outer.packet.source, outer.packet.destination, outer.packet.destination_port, overhead
    )


def _up(visit: Visit, asked: Asked) -> str:
    """The interface by which routing gets it."""
    last = visit.ins[-1].interface if visit.ins else ""
    return asked.bridge_of(last) or last


def _routed(visit: Visit, asked: Asked) -> bool:
    """Whether the machine looked a route up; a bridge may have handed the frame from port to port."""
    if visit.starts or not visit.ins:
        return True
    bridge = asked.bridge_of(visit.ins[-1].interface)
    if not bridge:
        return True
    return bool(visit.outs) and asked.bridge_of(visit.outs[-1].interface) != bridge


def _seen(visit: Visit, *hooks: str) -> bool:
    return any(root.base.hook in hooks for root in visit.roots)


def _translations(visit: Visit, before: Packet) -> Iterator[Hop]:
    """Where the packet's addresses are not what they were a moment ago."""
    last: Root | None = None
    views: list[tuple[Root | None, Packet]] = [(root, root.seen.packet) for root in visit.roots]
    views += [(None, row.seen.packet) for row in visit.outs if row.seen.outer is None][-1:]
    views += [(None, visit.got)] if visit.got else []
    for root, packet in views:
        for kind, old, new, hook in _changes(before, packet, visit):
            at = last.base.hook if last and last.base.hook == _INPUT else hook
            chains = tuple(_deciding(visit, at))
            # destinations are changed where packets come in, sources where they go out
            arriving = kind in ("DNAT", "undo SNAT")
            now = packet._replace(source=before.source, source_port=before.source_port) if arriving else packet
            yield Hop("nat", visit.site, at, visit.way, now, translation=Translation(kind, old, new), chains=chains)
        before, last = packet, root


def _changes(before: Packet, after: Packet, visit: Visit) -> Iterator[tuple[str, str, str, str]]:
    """Kind, before, after, and the hook at which such a translation happens."""
    rows = (
        (ends(before.destination, before.destination_port), ends(after.destination, after.destination_port), True),
        (ends(before.source, before.source_port), ends(after.source, after.source_port), False),
    )
    for old, new, arriving in rows:
        if old != new:
            early = _OUTPUT if visit.starts else _PREROUTING
            late = _POSTROUTING if visit.outs else _INPUT
            kind = "DNAT" if arriving == (visit.way == THERE) else "SNAT"
            yield kind if visit.way == THERE else f"undo {kind}", old, new, early if arriving else late


def _deciding(visit: Visit, hook: str) -> Sequence[Passage]:
    """The chains that translated: the last of type nat that had anything to say."""
    rows = [root for root in visit.roots if root.base.kind == "nat" and root.base.hook == hook and root.matched]
    return rows[-1].passages if rows else ()


def _filters(visit: Visit) -> Iterator[Hop]:
    """What rules let pass, hook by hook."""
    rows = [root for root in visit.roots if root.base.kind != "nat" and root.matched and root.verdict != "drop"]
    for hook in dict.fromkeys(root.base.hook for root in rows):
        here = [root for root in rows if root.base.hook == hook]
        chains = tuple(passage for root in here for passage in root.passages)
        yield Hop("filter", visit.site, hook, visit.way, here[-1].seen.packet, chains=chains, verdict="accept")


def _dropped(visit: Visit) -> Hop:
    root = next(root for root in visit.roots if root.verdict == "drop")
    chains = tuple(root.passages)
    return Hop("drop", visit.site, root.base.hook, visit.way, root.seen.packet, chains=chains, verdict=_by(chains))


def _by(chains: Sequence[Passage]) -> str:
    last = chains[-1] if chains else None
    return f"{last.table} {last.chain}" if last else ""


def _ended(visit: Visit, back: Sequence[Visit], hops: list[Hop]) -> list[Hop]:
    """How the way there ends, by what came back: a rule's drop that is answered was a rejection."""
    if not back:
        return []
    first = (back[0].outs or back[0].ins)[0].seen
    site, dropped = back[0].site, hops.pop() if hops and hops[-1].kind == "drop" else None
    if not first.error and "RST" not in first.packet.flags:
        return [Hop("deliver", site, packet=visit.packet)]
    verdict = f"ICMP {first.error}" if first.error else "TCP reset"
    if dropped is not None:
        return [replace(dropped, kind="reject", verdict=verdict)]
    return [Hop("reject", site, packet=visit.packet, verdict=verdict)]
