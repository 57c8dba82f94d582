"""Where load balancers' addresses come from, unless ``--lb-pool`` says: the end of the workers' own network or, where
they are announced by BGP, a network that is nobody's."""

from collections.abc import Iterable
from ipaddress import IPv4Interface

from knet.api.families import IPV4, IPV6
from knet.api.load_balancers import Address, AddressPool
from knet.cluster.config import BGP, ClusterConfig
from knet.cluster.errors import KnetError
from knet.cluster.peering import options
from knet.underlay.families import counterpart, in_families
from knet.underlay.plan import WORKER, Plan

#: addresses, as far as machines leave them free
SIZE = 32
#: of BGP mode: TEST-NET-2 (RFC 5737)
ROUTED = IPv4Interface("198.51.100.1/24"), IPv4Interface("198.51.100.254/24")


def pool(config: ClusterConfig, plan: Plan) -> AddressPool:
    """The addresses of a cluster's load balancers; ``plan`` is the topology's, in IPv4.

    KnetError where BGP has no router to announce them to, or no router would be asked for them.
    """
    given = AddressPool.parse(config.lb_pool)
    if config.lb_mode != BGP:
        return given if given.ranges else default_pool(plan, config.families)
    if not any(options(plan, config.families, worker.name).peers for worker in plan.of_role(WORKER)):
        raise KnetError(
            f"--lb-mode bgp: {plan.source} has no router in a worker's network that could be a peer; "
            "use --topo two_racks or wan, or give a host role='router'."
        )
    found = given if given.ranges else AddressPool(tuple(_images(*ROUTED)[family] for family in config.families))
    for machine in in_families(plan, config.families).machines:
        for address in (address for interface in machine.interfaces for address in interface.addresses):
            if found.overlaps(address.network):
                raise KnetError(
                    f"--lb-pool {found} and {machine.name}'s network {address.network} overlap: in BGP mode nobody "
                    f"would ask a router for them; choose addresses outside of all networks ({ROUTED[0].network})."
                )
    return found


def default_pool(plan: Plan, families: Iterable[str] = (IPV4,)) -> AddressPool:
    """Of the last addresses of the first worker's network those behind its last machine; empty if there are none.

    ``plan`` is the topology's, in IPv4; those of IPv6 are the images of the same (`knet.underlay.families`).
    """
    address = plan.of_role(WORKER)[0].interfaces[0].address
    if address is None:
        return AddressPool(())
    network = address.network
    machines = [row.address.ip for machine in plan.machines for row in machine.interfaces if row.address is not None]
    last = network.broadcast_address - 1
    first = max([last - SIZE + 1, *(ip + 1 for ip in machines if ip in network)])
    images = _images(*(IPv4Interface((end, network.prefixlen)) for end in (first, last)))
    return AddressPool(tuple(images[family] for family in families) if first <= last else ())


def _images(first: IPv4Interface, last: IPv4Interface) -> dict[str, tuple[Address, Address]]:
    return {IPV4: (first.ip, last.ip), IPV6: (counterpart(first).ip, counterpart(last).ip)}
