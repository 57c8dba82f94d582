"""From a `State` to the kernel: read what is there, work out the difference, send it as one batch.

The order is what the packets need: routes that lead to a node that left go first; then comes what is new (forwarding
entry, neighbour, the route over both); last goes what no route leads to any more.  So no packet ever takes a route
that ends in nothing.

What is ours: everything permanent on our own device, and routes with our protocol number.  The rest is left alone,
with one exception, as upstream: somebody else's route to the very subnet of a node is replaced, because packets can
follow but one.
"""

import logging
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from knet.api.families import IPV4
from knet.cni.hostgw import PROTOCOL
from knet.cni.state import Device, Entry, State
from knet.kernel import addresses, links, neighbours, routes
from knet.kernel.neighbours import FdbEntry, Neighbour
from knet.kernel.netlink import Netlink
from knet.kernel.netlink_wire import Request
from knet.kernel.routes import Route

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Change:
    """One step: an entry to add (in the place of another, maybe) or to remove."""

    verb: str
    """add or remove"""
    entry: Entry
    replaces: Entry | None = None

    def __str__(self) -> str:
        text = f"{self.verb} {_noun(self.entry)} {self.entry}"
        return text if self.replaces is None else f"{text} in place of {self.replaces}"


def changes(wanted: State, present: Iterable[Entry]) -> list[Change]:
    """The steps from ``present`` to ``wanted`` in the order to take them; none where they agree.  Pure.

    ``present`` is what the kernel holds of ours, in the order of installation, and what stands in our way.
    """
    desired = {_place(entry): entry for entry in wanted.entries}
    found = {_place(entry): entry for entry in present}
    removed = [Change("remove", entry) for place, entry in reversed(found.items()) if place not in desired]
    added = [Change("add", entry, found.get(place)) for place, entry in desired.items() if found.get(place) != entry]
    routes = [step for step in removed if isinstance(step.entry, Route)]
    return [*routes, *added, *(step for step in removed if step not in routes)]


def _place(entry: Entry) -> tuple[str, str, str]:
    """Where an entry stands in the kernel's tables, which have room for one there."""
    match entry:
        case FdbEntry():
            return "fdb", entry.interface, entry.mac
        case Neighbour():
            return "neigh", entry.interface, entry.address
        case Route():
            return "route", entry.destination, str(entry.metric)


def _noun(entry: Entry) -> str:
    return _place(entry)[0]


class Reconciler:
    """Keeps one machine's kernel at the state wanted, of one address family.

    To be made in the machine's network namespace.
    """

    def __init__(self, netlink: Netlink) -> None:
        self._netlink = netlink
        self._installed: frozenset[Entry] = frozenset()

    def reconcile(self, wanted: State) -> list[Change]:
        """Bring the kernel to ``wanted`` and return what had to be done; nothing, the second time.

        What was there after the last call and is not now has been taken by somebody else, and is logged so.
        Raises NetlinkError where the kernel refuses; what could be done has been done then.
        """
        if wanted.device:
            self._ensure_device(wanted.device)
        steps = changes(wanted, self.read(wanted))
        self._netlink.send(*self._requests(steps))
        for step in steps:
            if step.verb == "add" and step.entry in self._installed:
                log.warning("%s %s: was %s, restored", _noun(step.entry), step.entry, step.replaces or "missing")
            else:
                log.info("%s", step)
        self._installed = frozenset(wanted.entries)
        return steps

    def read(self, wanted: State) -> list[Entry]:
        """What the kernel holds now of ours, in the order of installation, and what stands in the way of ``wanted``."""
        netlink, family = self._netlink, socket.AF_INET if wanted.family == IPV4 else socket.AF_INET6
        device = wanted.device.name if wanted.device else ""
        found: list[Entry] = []
        if device:
            found += [entry for entry in neighbours.list_fdb(netlink, device) if entry.destination]
            entries = neighbours.list_neighbours(netlink, device, family)
            found += [entry for entry in entries if entry.state == "permanent"]
        places = {_place(route) for route in wanted.routes}
        found += [
            route
            for route in routes.list_routes(netlink, family=family)
            if _place(route) in places
            or route.protocol == PROTOCOL
            or (route.interface == device and route.protocol != routes.PROTOCOL_KERNEL)
        ]
        return found

    def _ensure_device(self, wanted: Device) -> None:
        links.ensure_vxlan(self._netlink, wanted.name, wanted.vxlan, mac=wanted.mac, mtu=wanted.mtu)
        addresses.ensure(self._netlink, wanted.address, alone=True)

    def _requests(self, steps: Iterable[Change]) -> list[Request]:
        indices: dict[str, int] = {}
        requests = []
        for step in steps:
            name = step.entry.interface
            if name not in indices:
                indices[name] = self._netlink.index(name)
            requests.append(_request(step, indices[name]))
        return requests


def _request(step: Change, index: int) -> Request:
    add = step.verb == "add"
    match step.entry:
        case FdbEntry() as entry:
            return neighbours.set_fdb(entry, index) if add else neighbours.delete_fdb(entry, index)
        case Neighbour() as entry:
            return neighbours.set_neighbour(entry, index) if add else neighbours.delete_neighbour(entry, index)
        case Route() as entry:
            return routes.add(entry, index, replace=True) if add else routes.delete(entry, index)
