"""Diagnosers of routes: none, one that refuses, another than it should be; there, and for the answer.  Pure."""

from ipaddress import ip_interface

from knet.api.families import family_of
from knet.cni.bridge import default_route
from knet.inspect import desired
from knet.inspect.predict.case import Case, is_inside
from knet.inspect.predict.telling import POD
from knet.inspect.trace.evidence import Diagnosis
from knet.inspect.trace.hops import BACK, THERE, Hop
from knet.kernel.routes import REFUSING, Route


def leads_nowhere(case: Case) -> Diagnosis | None:
    """Where it ended there is no route for it, or one that refuses it: for the address that it has, or for the one to
    which it has been translated there, of which nothing that was seen tells."""
    end, at = case.end, case.asked(case.end.site)
    wanted = case.expected("route", end.site, end.way)
    if case.untold and (found := case.untold.translation):
        note = f", to which it has translated {found.before}"
        rows = ((address, route) for address, route in at.translated.items() if _refuses(route))
        return next((_nowhere(case, end.site, *row, wanted, note) for row in rows), None)
    failed = end.kind == "route" and end.verdict
    route = end.route if failed else at.route
    if not failed and not (is_inside(end) and end.site in case.evidence.lookups and _refuses(route)):
        return None
    return _nowhere(case, end.site, end.packet.destination, route, wanted)


def no_way_back(case: Case) -> Diagnosis | None:
    """It got to whom it is for, whose kernel has no route for the answer."""
    at, source = case.asked(case.site), case.last.packet.source
    if case.last.way != THERE or at.route is None or at.route.type != "local" or not _refuses(at.answer):
        return None
    return _nowhere(case, case.site, source, at.answer, case.expected("route", case.site, BACK), answer=True)


def another_route(case: Case) -> Diagnosis | None:
    """It was sent by another route than the one that should be there."""
    for row, seen in case.visited("route"):
        other = seen or case.observed("route", row.site, row.way)
        if other and other.route and row.route and _way(other.route) != _way(row.route):
            text = f"{row.site} has another route to {row.route.destination}: {other.route}."
            if other.route.destination in ("default", "::/0"):
                text = f"{row.site} has no route to {row.route.destination}, and takes: {other.route}."
            return Diagnosis(text, "no-route", row.because, str(row.route), case.restored(row.site, row.because))
    return None


def _way(route: Route) -> tuple[str, str]:
    return route.interface, route.gateway


def _refuses(route: Route | None) -> bool:
    return route is None or route.type in REFUSING


def _nowhere(
    case: Case, site: str, address: str, route: Route | None, wanted: Hop | None, note: str = "", answer: bool = False
) -> Diagnosis:
    """A site has no route to an address, or that one, which refuses; ``wanted`` is the look-up as it should be."""
    causes, right = (wanted.because, wanted.route) if wanted else ((), None)
    name, after = case.named(site), ": its answer cannot leave" if answer else ""
    if route is None or not route.destination:
        text = f"{name} has no route to {address}{note}{after}."
    else:
        verb = "drops" if route.type == "blackhole" else "refuses"
        what = f"its answer to {address}" if answer else f"what is for {address}{note},"
        text = f"{name} {verb} {what} by the route {route}."
    remedy = case.restored(site, causes)
    if site.startswith(POD):
        right = _of_pod(case, site, address)
    elif route is not None and not (right and (route.destination, route.metric) == (right.destination, right.metric)):
        metric = f" metric {route.metric}" if route.metric else ""
        remedy = f"knet exec {site} -- ip route del {route.type} {route.destination}{metric}"
    return Diagnosis(case.sentence(text), "no-route", causes, str(right or ""), remedy)


def _of_pod(case: Case, site: str, address: str) -> Route | None:
    """Its default route, by its machine's bridge."""
    rows = (ip_interface(row).ip for row in desired.gateways(case.world, case.machine_of(site)))
    gateway = next((str(row) for row in rows if f"IPv{row.version}" == family_of(address)), "")
    return default_route(gateway) if gateway else None
