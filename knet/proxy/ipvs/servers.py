"""Which virtual and real servers a snapshot amounts to.  Pure.

Where policy Local finds no endpoint on this machine: a cluster IP has none then; an external address has all, as
upstream's, because pods of this machine may use it too (who comes from outside gets answers that he does not expect,
so to him it is the same as none).
"""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from knet.kernel.ipvs import Real, Scheduling, Server
from knet.kernel.protocols import NUMBERS
from knet.proxy.snapshot import Endpoints, ServicePort, Snapshot, usable_endpoints

#: the interface that bears the Services' addresses; it is never up
INTERFACE = "kube-ipvs0"


class Wanted(NamedTuple):
    """A virtual server as it should be."""

    scheduling: Scheduling
    reals: frozenset[Real]


class Servers(NamedTuple):
    """All virtual servers, and the addresses that `INTERFACE` bears for them."""

    virtual: Mapping[Server, Wanted]
    bound: frozenset[str]


def servers(snapshot: Snapshot, node_addresses: Collection[str], scheduler: str) -> Servers:
    """``node_addresses``: the machine's own of the snapshot's family, where node ports are reached."""
    virtual: dict[Server, Wanted] = {}
    bound = set()
    for port in snapshot.ports.values():
        scheduling = Scheduling(scheduler, port.affinity_seconds)
        for address, number, endpoints in _frontends(port, node_addresses):
            reals = frozenset(Real(row.ip, row.port) for row in endpoints)
            virtual.setdefault(Server(NUMBERS[port.protocol.lower()], address, number), Wanted(scheduling, reals))
            if address not in node_addresses:
                bound.add(address)
    return Servers(virtual, frozenset(bound))


def _frontends(port: ServicePort, node_addresses: Collection[str]) -> Iterator[tuple[str, int, Endpoints]]:
    usable = usable_endpoints(port)
    yield port.cluster_ip, port.port, usable.local if port.internal_local else usable.cluster
    external = (usable.local if port.external_local else ()) or usable.cluster
    for address in (*port.external_ips, *port.load_balancer_ips):
        yield address, port.port, external
    if port.node_port:
        for address in node_addresses:
            yield address, port.node_port, external
