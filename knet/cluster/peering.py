"""Who speaks BGP with whom, by the topology: each worker with the routers of its networks, and routers with each other.

Nodes are one autonomous system and each router is one of its own, as in data centres (RFC 7938).  Pure.
"""

from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from knet.cluster.bird import Options, Peer
from knet.underlay.families import in_families
from knet.underlay.plan import ROUTER, Plan

#: of all nodes; routers have the numbers after it, in the topology's order: private ones (RFC 6996)
NODES_AS = 64512


def options(plan: Plan, families: Sequence[str], machine: str, timing: str = "lab") -> Options:
    """What a router's or worker's BIRD is to do; ``plan`` is the topology's, in IPv4.  Pure."""
    systems = {router.name: NODES_AS + number for number, router in enumerate(plan.of_role(ROUTER), start=1)}
    own = next(spec for spec in plan.machines if spec.name == machine)
    address = own.interfaces[0].address
    return Options(
        router_id=str(address.ip) if address else "",
        system=systems.get(machine, NODES_AS),
        forwards=own.role == ROUTER,
        peers=list(_peers(in_families(plan, families), machine, systems)),
        timing=timing,
    )


def _peers(plan: Plan, machine: str, systems: dict[str, int]) -> Iterator[Peer]:
    own = next(spec for spec in plan.machines if spec.name == machine)
    routers = [
        Peer(name=interface.name, address=str(address.ip), system=systems[router.name])
        for router in plan.of_role(ROUTER)
        for interface in (router.interfaces if router is not own else ())
        for address in interface.addresses
    ]
    for network in (address.network for interface in own.interfaces for address in interface.addresses):
        yield from (peer for peer in routers if ip_address(peer.address) in network)
        if own.role == ROUTER:
            yield Peer(name="node", address=str(network), system=NODES_AS)
