"""What becomes of connections that are under way.  Pure.

kube-proxy forgets UDP flows that nobody answers any more, so that their next packet goes where new ones go; everything
else goes on as it was translated, whatever the rules say by then.
"""

from collections.abc import Iterable, Mapping
from socket import IPPROTO_UDP
from typing import NamedTuple

from knet.inspect import desired
from knet.inspect.world import World
from knet.kernel.conntrack import Flow, Tracked
from knet.kernel.protocols import NUMBERS
from knet.proxy.conntrack_cleanup import ANY, changed, stale, udp_frontends
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
        served, serving = _serving(old), _serving(new)
        for row in rows:
            flow = row.flow
            endpoint = flow.answered_by, flow.answered_by_port
            if flow in forgotten:
                found.append(Connection(FORGOTTEN, row))
            elif any(endpoint in served.get(at, _NOBODY) - serving.get(at, _NOBODY) for at in _asked(flow, old)):
                found.append(Connection(KEPT, row))
    return found


def _forgotten(old: Snapshot, new: Snapshot, flows: list[Flow]) -> set[Flow]:
    found: set[Flow] = set()
    for frontend, answering in changed(udp_frontends(old), udp_frontends(new)).items():
        at = (flow for flow in flows if (IPPROTO_UDP, *frontend) in _asked(flow, new))
        found |= set(stale(at, answering))
    return found


#: protocol, address and port
_At = tuple[int, str, int]
_NOBODY: frozenset[tuple[str, int]] = frozenset()


def _asked(flow: Flow, snapshot: Snapshot) -> tuple[_At, _At]:
    """Where a Service is that a flow was opened to: at that address, or at a node port."""
    address, port = flow.destination, flow.destination_port
    return (flow.protocol, address, port), (flow.protocol, ANY[snapshot.family], port)


def _serving(snapshot: Snapshot) -> Mapping[_At, frozenset[tuple[str, int]]]:
    """The endpoints behind each address of a Service, and behind its node port."""
    found: dict[_At, frozenset[tuple[str, int]]] = {}
    for port in snapshot.ports.values():
        endpoints = frozenset((row.ip, row.port) for row in port.endpoints if row.serving or row.ready)
        protocol = NUMBERS[port.protocol.lower()]
        for address in (port.cluster_ip, *port.external_ips, *port.load_balancer_ips):
            found[protocol, address, port.port] = endpoints
        if port.node_port:
            found[protocol, ANY[snapshot.family], port.node_port] = endpoints
    return found
