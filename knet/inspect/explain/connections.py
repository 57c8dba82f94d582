"""What becomes of connections that are under way.  Pure.

kube-proxy forgets UDP flows that nobody answers any more, so that their next packet goes where new ones go; everything
else goes on as it was translated, whatever the rules say by then.
"""

from collections.abc import Iterable, Iterator
from socket import IPPROTO_UDP
from typing import NamedTuple

from knet.inspect import desired
from knet.inspect.world import World
from knet.kernel.conntrack import Flow, Tracked
from knet.proxy.conntrack_cleanup import ANY, changed, stale, udp_frontends
from knet.proxy.ipvs.servers import PROTOCOLS
from knet.proxy.snapshot import Snapshot

FORGOTTEN, KEPT = "forgotten", "kept"


class Connection(NamedTuple):
    """One that is translated to where new ones would not go any more: `FORGOTTEN` or `KEPT`."""

    fate: str
    tracked: Tracked


def fates(before: World, after: World, node: str, table: Iterable[Tracked]) -> list[Connection]:
    """Of the connections in a machine's table."""
    rows, found = list(table), []
    for family in before.settings.families:
        old, new = (desired.snapshot(world, node, family) for world in (before, after))
        forgotten = _forgotten(old, new, [row.flow for row in rows])
        gone = _endpoints(old) - _endpoints(new)
        for row in rows:
            if row.flow in forgotten:
                found.append(Connection(FORGOTTEN, row))
            elif row.dnat and (row.flow.protocol, row.flow.answered_by, row.flow.answered_by_port) in gone:
                found.append(Connection(KEPT, row))
    return found


def _forgotten(old: Snapshot, new: Snapshot, flows: list[Flow]) -> set[Flow]:
    found: set[Flow] = set()
    for frontend, answering in changed(udp_frontends(old), udp_frontends(new)).items():
        at = (
            flow
            for flow in flows
            if (flow.protocol, flow.destination_port) == (IPPROTO_UDP, frontend.port)
            and frontend.address in (flow.destination, ANY[new.family])
        )
        found |= set(stale(at, answering))
    return found


def _endpoints(snapshot: Snapshot) -> set[tuple[int, str, int]]:
    return set(_serving(snapshot))


def _serving(snapshot: Snapshot) -> Iterator[tuple[int, str, int]]:
    for port in snapshot.ports.values():
        yield from ((PROTOCOLS[port.protocol], row.ip, row.port) for row in port.endpoints if row.serving or row.ready)
