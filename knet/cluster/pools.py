"""Where load balancers' addresses come from, unless ``--lb-pool`` says: the end of the workers' own network."""

from collections.abc import Iterable
from ipaddress import IPv4Interface

from knet.api.families import IPV4, IPV6
from knet.api.load_balancers import Address, AddressPool
from knet.underlay.families import counterpart
from knet.underlay.plan import WORKER, Plan

#: addresses, as far as machines leave them free
SIZE = 32


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
    ends = [IPv4Interface((end, network.prefixlen)) for end in (first, last)]
    images: dict[str, tuple[Address, Address]] = {
        IPV4: (first, last),
        IPV6: (counterpart(ends[0]).ip, counterpart(ends[1]).ip),
    }
    return AddressPool(tuple(images[family] for family in families) if first <= last else ())
