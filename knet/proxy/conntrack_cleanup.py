"""Flows that still lead to UDP endpoints which no Service has any more, or past a Service that has endpoints by now.

The kernel translates a UDP flow as its first packet was translated; new rules do not change that.  A resolver that
keeps its port would go on asking a DNS pod that is gone until it has been silent for 30 s (120 s once answered).
TCP needs nothing of the kind: a dead endpoint's connections break, and new ones are new flows.

Upstream: pkg/proxy/conntrack/cleanup.go.
"""

import logging
import socket
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from knet.kernel.conntrack import Conntrack, Flow
from knet.proxy.snapshot import ServicePortName, Snapshot

log = logging.getLogger(__name__)


class Frontend(NamedTuple):
    """An address and UDP port at which a Service is reached; a node port is reached at any address (`ANY`)."""

    address: str
    port: int


#: by address family
ANY = {4: "0.0.0.0", 6: "::"}
#: what may answer for each frontend, as (address, port)
Frontends = Mapping[Frontend, frozenset[tuple[str, int]]]


def udp_frontends(snapshot: Snapshot, names: Collection[ServicePortName] | None = None) -> Frontends:
    """Where UDP Services (or those of ``names``) are reached on this machine, and what may answer there."""
    found: dict[Frontend, frozenset[tuple[str, int]]] = {}
    for name in snapshot.ports if names is None else names:
        port = snapshot.ports.get(name)
        if port is None or port.protocol != "UDP":
            continue
        # all that serve: a flow goes on where it is, whatever policies and hints say of new ones, as with TCP
        answering = frozenset((row.ip, row.port) for row in port.endpoints if row.serving or row.ready)
        for address in (port.cluster_ip, *port.external_ips, *port.load_balancer_ips):
            found[Frontend(address, port.port)] = answering
        if port.node_port:
            found[Frontend(ANY[snapshot.family], port.node_port)] = answering
    return found


def changed(before: Frontends, after: Frontends) -> Frontends:
    """The frontends to look at: new ones, ones with other endpoints, and those that are gone (nothing may answer)."""
    gone: Frontends = {frontend: frozenset() for frontend in before if frontend not in after}
    return {**gone, **{key: answering for key, answering in after.items() if before.get(key) != answering}}


def stale(flows: Iterable[Flow], answering: frozenset[tuple[str, int]]) -> list[Flow]:
    """The flows that are answered by something else."""
    return [flow for flow in flows if (flow.answered_by, flow.answered_by_port) not in answering]


def clean(conntrack: Conntrack, before: Frontends, after: Frontends) -> int:
    """Forget the stale flows of what changed; how many there were.  OSError where the kernel refuses."""
    forgotten = 0
    for frontend, answering in changed(before, after).items():
        for flow in stale(conntrack.flows_to(socket.IPPROTO_UDP, *frontend), answering):
            forgotten += conntrack.delete(flow)
    if forgotten:
        log.info("forgot %d UDP flows that no endpoint of their Service answers", forgotten)
    return forgotten
