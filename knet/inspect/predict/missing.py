"""Diagnosers of what is missing, or wrong, where a packet was seen last: interface, address, room.  Pure."""

from collections.abc import Iterator

from knet.api.families import family_of
from knet.inspect.attribution import Causes, attribution
from knet.inspect.predict.case import Case, is_inside
from knet.inspect.predict.telling import POD
from knet.inspect.trace.evidence import Diagnosis
from knet.kernel.links import Link

_FORWARDING = {"IPv4": "net.ipv4.ip_forward", "IPv6": "net.ipv6.conf.all.forwarding"}
_ASKING = {"IPv4": "ARP", "IPv6": "neighbour discovery"}
#: the states of a neighbour's entry in which its hardware address is not known
_UNKNOWN = ("incomplete", "failed", "none")
#: hops by which a packet leaves a machine
_OUT = ("leave", "tunnel", "link")
#: hops at which an interface, and its MTU, matter
_THROUGH = ("leave", "enter", "tunnel", "untunnel", "link", "switch")


def does_not_forward(case: Case) -> Diagnosis | None:
    """A packet that is for others ends in a machine that is no router."""
    setting = _FORWARDING[family_of(case.last.packet.destination)]
    way = [hop for hop in case.prediction.hops if hop.way == case.last.way]
    forwards = any(hop.site == case.site and hop.kind in _OUT for hop in way) and way[0].site != case.site
    if case.at.sysctls.get(setting) != "0" or not case.stayed or not forwards:
        return None
    text = f"{case.machine} does not forward packets of others, as {setting} is 0."
    return Diagnosis(text, "forwarding", expected=f"{setting}=1", remedy=case.restored(case.machine, ()))


def interface_down(case: Case) -> Diagnosis | None:
    """An interface on the next stretch is not there, is down, or has no carrier; nothing goes out of a dummy
    (kube-ipvs0)."""
    for site, name, link in _ahead(case):
        if link and (link.kind == "dummy" or (link.up and link.carrier)):
            continue
        how = "is not there" if link is None else "has no carrier" if link.up else "is down"
        causes = _behind(case, site, name)
        remedy = f"knet exec {site} -- ip link set {name} up" if link else case.restored(site, causes)
        if site.startswith(POD):
            remedy = case.restored(site, causes)
        return Diagnosis(f"{name} of {case.named(site)} {how}.", "link-down", causes, f"{name} up", remedy)
    return None


def too_large(case: Case) -> Diagnosis | None:
    """A packet that some interface on the next stretch has no room for."""
    size = case.end.packet.size
    for site, name, link in _ahead(case) if size else ():
        declared = case.world.topology.link_at.get(name)
        outside = _overhead(case) if declared else 0
        if link is None or size + outside <= link.mtu:
            continue
        packed = f" ({size} and {outside} around it)" if outside else ""
        text = f"{size + outside} bytes{packed} are too much for {name} of {case.named(site)}, whose MTU is {link.mtu}."
        right = declared.mtu if declared else _expected_mtu(case, site, name)
        wrong = bool(right) and link.mtu < right
        remedy = f"knet exec {site} -- ip link set {name} mtu {right}" if wrong else "send less, or knet up --mtu less"
        return Diagnosis(text, "mtu", _behind(case, site, name), f"mtu {right}" if wrong else "", remedy)
    return None


def no_forwarding_entry(case: Case) -> Diagnosis | None:
    """The tunnel does not know where the hardware address lives, or leads to another machine."""
    for wanted, seen in case.visited("tunnel"):
        if seen is None or wanted.fdb is None:
            continue
        sent, to = seen.encapsulation, seen.fdb.destination if seen.fdb else ""
        to = sent.destination if sent else to
        if not to:
            text = (
                f"{seen.site} has no forwarding entry for {wanted.fdb.mac} on {wanted.interface}: it leads to nobody."
            )
        elif to != wanted.fdb.destination:
            text = f"{seen.site} tunnels it to {to}, which is not where {wanted.fdb.mac} is."
        else:
            continue
        return Diagnosis(text, "no-fdb", wanted.because, str(wanted.fdb), case.restored(seen.site, wanted.because))
    return None


def no_neighbour(case: Case) -> Diagnosis | None:
    """The next hop's hardware address is not known, or is taken to be another."""
    at, found = case.at, case.at.neighbour
    left = [hop for hop in case.evidence.hops if hop.way == case.last.way and hop.site == case.site]
    if at.route is None or at.route.type != "unicast" or not at.hop or case.site.startswith(POD):
        return None
    expected = next(
        (row for row, _ in case.visited("route") if row.site == case.site and row.way == case.last.way), None
    )
    wanted, causes = (expected.neighbour, expected.because) if expected else (None, ())
    if found is None or not found.mac or found.state in _UNKNOWN:
        if any(hop.kind in ("leave", "link", "tunnel") for hop in left):
            return None
        text = f"{case.site} does not know the hardware address of {at.hop} on {at.route.interface}"
        if "flannel" in at.route.interface:
            text += f" ({_ASKING[family_of(at.hop)]} is not answered across a VXLAN without learning)"
        text += "."
    elif wanted and wanted.mac != found.mac:
        text = f"{case.site} takes {found.mac} for the hardware address of {at.hop} on {at.route.interface}."
    else:
        return None
    return Diagnosis(text, "no-neighbour", causes, str(wanted or ""), case.restored(case.site, causes))


def not_bridged_by_rules(case: Case) -> Diagnosis | None:
    """Frames between ports of cni0 pass by the rules, and by address translation, only if the kernel is told so."""
    been = {(hop.site, hop.way) for hop in case.evidence.hops}
    for expected in case.prediction.hops:
        if expected.kind not in ("nat", "filter") or expected.key in case.seen:
            continue
        if (expected.site, expected.way) in been and case.unbridged(expected.site):
            return case.unbridged_diagnosis(expected.site, "", expected.because)
    return None


def lost_on_link(case: Case) -> Diagnosis | None:
    """Where it was seen at one end of a link and not at the other."""
    if case.last.kind != "link" or not any(word in case.last.queue for word in ("loss", "corrupt")):
        return None
    text = f"The link {case.last.link} lost it, as it is told to: {case.last.queue}."
    remedy = f"knet link {case.last.link.replace('–', ' ')} --reset"
    return Diagnosis(text, "impairment", case.last.because, remedy=remedy)


def _ahead(case: Case) -> Iterator[tuple[str, str, Link | None]]:
    """The interfaces that a packet has to pass next, from where it ended to where it is missing: as their sites'
    kernels have them, of sites that were asked."""
    names: list[tuple[str, str]] = []
    end, route = case.end, case.asked(case.end.site).route
    if is_inside(end) and route:
        names.append((end.site, route.interface))
    names += [(end.site, name) for name in (end.interface, end.port)]
    hops = case.prediction.hops
    place = hops.index(case.missing) if case.missing else len(hops)
    for hop in [hop for hop in hops[max(place - 1, 0) : place + 2] if hop.kind in _THROUGH]:
        for name in filter(None, (hop.interface, hop.port)):
            names.append((hop.site, name))
            link = case.world.topology.link_at.get(name)
            names += [(end.node, end.interface) for end in link.ends] if link else []
    known = {
        (site, name)
        for site, name in names
        if name and site in case.evidence.lookups and _is_interface(case, site, name)
    }
    for site, name in dict.fromkeys(names):
        if (site, name) in known:
            yield site, name, case.evidence.lookups[site].links.get(name)


def _is_interface(case: Case, site: str, name: str) -> bool:
    """And not a hook's name."""
    if name in case.evidence.lookups[site].links:
        return True
    return any(
        name in (hop.interface, hop.port) for hop in case.prediction.hops if hop.site == site and hop.kind in _THROUGH
    )


def _behind(case: Case, site: str, name: str) -> Causes:
    """The object behind an interface."""
    if site.startswith(POD):
        return ()
    return attribution(case.world, site).interface(name)


def _overhead(case: Case) -> int:
    """Of the tunnel that the packet is in, or is going to be in, on a cable."""
    rows = (hop.encapsulation for hop in case.prediction.hops if hop.way == case.end.way and hop.encapsulation)
    found = next(rows, None)
    return found.overhead if found else 0


def _expected_mtu(case: Case, site: str, name: str) -> int:
    rows = (hop for hop in case.prediction.hops if hop.site == site and name in (hop.interface, hop.port))
    return next((hop.mtu for hop in rows if hop.mtu), 0)
