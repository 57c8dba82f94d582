"""One look at what flows: sample, then ask the machines what they track."""

from collections.abc import Sequence
from itertools import chain

from knet.inspect.flows.connections import Flow, flows
from knet.inspect.flows.sample import sample
from knet.inspect.names import Names
from knet.inspect.places import MACHINE, POD, Choice, Place, Sites, Spot
from knet.kernel.conntrack import Conntrack, Tracked
from knet.kernel.namespaces import Namespaces, entered


def measure(
    sites: Sites, names: Names, where: Sequence[str], namespace: str, seconds: float, each: bool = False
) -> tuple[list[Flow], int]:
    """What flows through the places that ``where`` chooses (none: pods, and the machines' cables) for so long; and how
    many packets could not be counted."""
    places = sites.places(where or ["all"], namespace)
    if not where:
        places = [place for place in places if _counts(place)]
    nodes = [node.name for node in sites.inventory.nodes if not node.is_switch]
    machines = sites.sites(Choice(Spot(MACHINE, name), named=False) for name in nodes).values()
    names.see(machines)
    found = sample(places, seconds)
    tracked = [tracked_in(site.netns) for site in machines]
    return flows(found, chain(*tracked), names, each), found.lost


def _counts(place: Place) -> bool:
    kind = place.site.spot.kind
    return kind == POD or (kind == MACHINE and place.interface in place.site.cables)


def tracked_in(netns: int) -> list[Tracked]:
    """The connections that a network namespace tracks."""
    with entered(Namespaces({"net": netns})), Conntrack() as conntrack:
        return conntrack.tracked()
