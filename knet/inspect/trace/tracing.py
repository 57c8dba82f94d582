"""One trace, from what was asked to what was found."""

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from knet.client.controller import Key
from knet.errors import KnetError
from knet.inspect.inventory import MACHINE, POD, SWITCH, Choice, Spot, spot_of, spot_of_pod
from knet.inspect.observe import probes, rules
from knet.inspect.observe.live import Overheard
from knet.inspect.observe.lookups import Asked
from knet.inspect.observe.mark import Recognising
from knet.inspect.observe.rules import Root, Words
from knet.inspect.observe.watch import Watch, Watched
from knet.inspect.observe.way import Observed, Way
from knet.inspect.places import Site, Sites
from knet.inspect.predict.case import Case
from knet.inspect.predict.diagnosis import diagnose
from knet.inspect.predict.path import expected
from knet.inspect.trace.comparing import Finding, compared
from knet.inspect.trace.evidence import DELIVERED, DROPPED, REFUSED, Diagnosis, Evidence, Prediction, Probe
from knet.inspect.trace.hops import BACK, THERE, Hop, Packet
from knet.inspect.trace.targets import Destination, Targets, source
from knet.inspect.world import World
from knet.kernel.conntrack import Conntrack, Flow
from knet.kernel.namespaces import Namespaces, entered
from knet.kernel.nftrace import Event
from knet.kernel.protocols import NUMBERS
from knet.kernel.rules import RulesError
from knet.kernel.sniffer import await_stamps
from knet.underlay.impairment import NONE, changed

#: seconds without a sign of the packet after which it is lost, beside what the links' delays may take
PATIENCE = 0.4
#: … and for a program that has got a datagram to answer it
ANSWERING = 1.0
#: pods that are looked at besides the packet's ends, at most
_MOST = 64
_NOWHERE = ("0.0.0.0", "::")


class Request(NamedTuple):
    """What to trace; see `knet trace --help`."""

    source: str
    target: str
    protocol: str = ""
    question: str = ""
    namespace: str = "default"
    family: str = ""
    """IPv4 or IPv6; "" for the first that the target has"""
    source_port: int = 0
    size: int = 0
    rules: bool = True
    """whether machines may be given a rule that has the kernel tell which rules match"""
    live: float = 0.0
    """send nothing, but wait so many seconds for a packet of a connection that is there anyway"""


@dataclass(frozen=True)
class Trace:
    """What was found."""

    probe: Probe
    hops: tuple[Hop, ...]
    """observed, there and back, with what caused each"""
    evidence: Evidence
    prediction: Prediction
    findings: tuple[Finding, ...]
    """where what was observed is not what was predicted"""
    diagnosis: Diagnosis | None
    """why it did not get there, or did although it should not"""
    ruled: tuple[str, ...]
    """machines that had a rule of ours"""
    seconds: float
    """from the beginning to the verdict"""
    onward: tuple[str, ...] = ()
    """traces of what a proxy at the end does with it, as FROM and TO"""

    @property
    def outcome(self) -> str:
        """delivered, refused or dropped"""
        return self.evidence.outcome

    @property
    def delivered(self) -> bool:
        return self.outcome == DELIVERED

    def way(self, way: str) -> tuple[Hop, ...]:
        return tuple(hop for hop in self.hops if hop.way == way)


def trace(world: World, sites: Sites, request: Request) -> Trace:
    """KnetError for what cannot be asked; OSError and RulesError where the kernel refuses to watch."""
    begun = time.monotonic()
    if request.live and (request.question or request.size):
        raise KnetError("a live connection has its own packets: leave --dns and --size away")
    inventory = sites.inventory
    origin = source(inventory, request.source, request.namespace)
    if origin.kind == POD and Key(origin.namespace, origin.name) not in world.pods:  # which was read a moment later
        raise KnetError(f"{origin} has ended meanwhile")
    targets = Targets(world, inventory, origin, request.namespace, request.family)
    to = targets.destination(request.target, request.protocol, request.question)
    open_sites = _opened(world, sites, origin, to)
    spaces = {site.name: site.netns for site in open_sites.values() if site.spot.kind != SWITCH}
    switch = next((site for site in open_sites.values() if site.spot.kind == SWITCH), None)
    if switch:  # all switches live in one namespace
        spaces[switch.name] = switch.netns
    machines = sorted(spot.name for spot in open_sites if spot.kind == MACHINE)
    ruled = frozenset(machines) if request.rules else frozenset[str]()
    home = open_sites[origin]
    with contextlib.closing(_Kernels(spaces, machines)) as kernels:
        # with a port of its own choice it is no connection that anybody knows
        asked = Packet(to.protocol, "", request.source_port, to.address, to.port)
        known = kernels.known(machines, asked) if request.source_port or request.live else {}
        try:
            watched, probe, mark = _probed(world, home, to, spaces, ruled, request)
        except RulesError as error:
            raise KnetError(f"the kernel does not trace rules ({error}); try: --no-rules") from None
        if home.held and not home.alive:
            raise KnetError(f"{home.name} has ended meanwhile")
        evidence = _evidence(world, probe, watched, mark, kernels, _of(probe, known))
        prediction = expected(world, probe, _chosen(evidence.hops), _gateways(evidence.hops))
        evidence = _translated(Case(world, prediction, evidence), kernels)
    found = compared(evidence.hops, prediction, evidence.outcome)
    diagnosis = diagnose(world, prediction, evidence)
    seconds = time.monotonic() - begun
    ends = [hop.site for hop in found.hops if hop.kind == "deliver" and hop.way == THERE]
    onward = tuple(f"{_word(site)} {target}" for site in ends for target in to.onward)
    return Trace(
        probe, found.hops, evidence, prediction, found.findings, diagnosis, tuple(sorted(ruled)), seconds, onward
    )


def _word(site: str) -> str:
    """A pod's site, as one names it on a command line from wherever."""
    kind, _, rest = site.partition("/")
    namespace, _, name = rest.partition("/")
    return f"{namespace}/{kind}/{name}" if name else site


def _of(probe: Probe, known: Mapping[str, tuple[Flow, ...]]) -> dict[str, tuple[Flow, ...]]:
    """The connections of the probe's own ports."""
    mine = probe.packet.source, probe.packet.source_port
    found = {site: tuple(row for row in rows if (row.source, row.source_port) == mine) for site, rows in known.items()}
    return {site: rows for site, rows in found.items() if rows}


def _opened(world: World, sites: Sites, origin: Spot, to: Destination) -> dict[Spot, Site]:
    """Machines and switches, the source, and pods, those first that the packet may well be for."""
    inventory = sites.inventory
    pods = [spot_of_pod(row) for row in inventory.pods if not row.spec.hostNetwork and not row.over]
    owner = world.owners.get(to.address)
    likely = {Spot(POD, owner.name, owner.namespace)} if owner and owner.kind == "pod" else set()
    if owner and owner.kind == "service":
        likely |= set(inventory.members.get(("service", owner.namespace, owner.name), ()))
    pods.sort(key=lambda spot: spot not in likely)
    others = [Choice(spot, named=False) for spot in (*map(spot_of, inventory.nodes), *pods[:_MOST]) if spot != origin]
    return sites.sites([Choice(origin), *others])


def _patience(world: World) -> float:
    """How long nothing may be seen of a packet that is not lost."""
    ends = [end for link in world.topology.links for end in link.ends if end.options]
    held = [changed(NONE, end.options) for end in ends]
    return PATIENCE + sum(row.delay + row.jitter for row in held)


def _probed(
    world: World, home: Site, to: Destination, spaces: Mapping[str, int], ruled: frozenset[str], request: Request
) -> tuple[Watched, Probe, Recognising]:
    """Send the probe, or wait for whoever sends, with all ears open; nothing of it is left afterwards."""
    with entered(Namespaces({"net": home.netns})):
        sender = _sender(world, home, to, request)
    with contextlib.closing(sender), Watch(sender, spaces, ruled) as watch:
        with entered(Namespaces({"net": home.netns})):
            await_stamps()
        watched = watch.run(_patience(world), ANSWERING)
        packet = sender.packet()
    if packet is None:
        port = f" from port {request.source_port}" if request.source_port else ""
        raise KnetError(
            f"{home.name} sent nothing{port} by {to.protocol} to {to.text} within {request.live:g} s that wants an "
            "answer; without --live a probe is sent"
        )
    if packet.source in _NOWHERE:
        packet = packet._replace(source="", source_port=0)
    return watched, Probe(home.name, packet, to.text, live=bool(request.live)), sender.mark


def _sender(world: World, home: Site, to: Destination, request: Request) -> probes.Sender:
    if request.live:
        ends = world.translations(to.address, to.port)
        end = to.address, to.port
        return Overheard(home.name, home.netns, to.protocol, end, ends, request.source_port, request.live)
    try:
        return probes.prepared(to.protocol, to.address, to.port, request.source_port, request.size, to.question)
    except OSError as error:
        raise KnetError(f"{home.name} cannot send from port {request.source_port}: {error.strerror}") from None


class _Kernels:
    """The kernels of sites, asked as far as they are needed."""

    def __init__(self, spaces: Mapping[str, int], machines: Sequence[str]) -> None:
        self.machines = machines
        self._spaces = spaces
        self._asked: dict[str, Asked] = {}

    def __call__(self, site: str) -> Asked:
        if site not in self._asked:
            self._asked[site] = Asked(site, self._spaces[site])
        return self._asked[site]

    def close(self) -> None:
        for asked in self._asked.values():
            asked.close()

    def roots(self, site: str, events: Sequence[Event]) -> list[Root]:
        """Rules' traces of a machine, in its words."""
        with entered(Namespaces({"net": self._spaces[site]})), contextlib.closing(Words()) as words:
            return rules.roots(events, words)

    def known(self, sites: Iterable[str], packet: Packet) -> dict[str, tuple[Flow, ...]]:
        """What machines track of connections of the same source, to the same destination; without those of none."""
        if not packet.destination_port:
            return {}
        found = {}
        for site in sites:
            with entered(Namespaces({"net": self._spaces[site]})), Conntrack() as conntrack:
                flows = conntrack.flows_to(NUMBERS[packet.protocol], packet.destination, packet.destination_port)
            found[site] = tuple(flow for flow in flows if packet.source in ("", flow.source))
        return {site: flows for site, flows in found.items() if flows}


def _evidence(
    world: World,
    probe: Probe,
    watched: Watched,
    mark: Recognising,
    kernels: _Kernels,
    known: Mapping[str, tuple[Flow, ...]],
) -> Evidence:
    roots = {site: kernels.roots(site, events) for site, events in watched.events.items()}
    way = Way(probe, world.topology, kernels, roots, lambda root: mark.way(root.seen))
    found = way.observed(watched)
    outcome = _outcome(found, watched, probe, kernels)
    if outcome != DELIVERED:
        packet = found.hops[-1].packet if found.hops else probe.packet
        for site in kernels.machines:
            if site not in found.lookups:
                found.lookups[site] = kernels(site).about(packet)
        found.lookups = {site: kernels(site).further(row) for site, row in found.lookups.items()}
    back = watched.way(BACK)
    return Evidence(
        probe=probe,
        hops=tuple(found.hops),
        outcome=outcome,
        error=watched.answer.error if watched.answer else "",
        lookups=found.lookups,
        known_before=known,
        reply=back[-1].seen.packet if back else None,
    )


def _translated(case: Case, kernels: _Kernels) -> Evidence:
    """With what its kernel says of the addresses that the packet may have been given where it ended."""
    site, evidence = case.end.site, case.evidence
    if evidence.outcome == DELIVERED or not case.candidates:
        return evidence
    known = case.asked(site)
    rows = {to: kernels(site).about(known.packet._replace(destination=to)).route for to in case.candidates}
    return replace(evidence, lookups={**evidence.lookups, site: replace(known, translated=rows)})


def _outcome(found: Observed, watched: Watched, probe: Probe, kernels: _Kernels) -> str:
    """A datagram that nobody answers was delivered where somebody listens, who could have answered."""
    if watched.answer is not None and not watched.answer.error:
        return DELIVERED
    if any(hop.kind == "reject" for hop in found.hops):
        return REFUSED
    last = found.hops[-1] if found.hops else None
    if probe.packet.protocol == "udp" and last and last.kind in ("enter", "filter") and watched.answer is None:
        there = kernels(last.site).further(found.lookups[last.site])
        if last.packet.destination_port in there.listening and there.answer is not None:
            found.hops.append(Hop("deliver", last.site, packet=last.packet))
            return DELIVERED
    return DROPPED


def _gateways(hops: Sequence[Hop]) -> dict[tuple[str, str], str]:
    """The next hops, by machine and destination of the route, among which chance may have chosen, too; of what is on
    the link, by machine and address, the machine that has answered for it."""
    there = [hop for hop in hops if hop.way == THERE]
    found = {(hop.site, hop.route.destination): hop.route.gateway for hop in there if hop.route}
    for place, hop in enumerate(there):
        entered = next((row.site for row in there[place:] if row.kind == "enter"), "")
        if hop.route and not hop.route.gateway:
            found[hop.site, hop.packet.destination] = entered
    return found


def _chosen(hops: Sequence[Hop]) -> str:
    """The endpoint that chance has chosen."""
    rows = [hop.translation for hop in hops if hop.way == THERE and hop.translation]
    return next((row.after for row in reversed(rows) if row.kind == "DNAT"), "")
