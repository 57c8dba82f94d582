"""Where load balancers' addresses come from, unless ``--lb-pool`` says: the end of the workers' own network."""

from knet.api.load_balancers import AddressPool
from knet.underlay.plan import WORKER, Plan

#: addresses, as far as machines leave them free
SIZE = 32


def default_pool(plan: Plan) -> AddressPool:
    """Of the last addresses of the first worker's network those behind its last machine; empty if there are none."""
    address = plan.of_role(WORKER)[0].interfaces[0].address
    if address is None:
        return AddressPool(())
    network = address.network
    machines = [row.address.ip for machine in plan.machines for row in machine.interfaces if row.address is not None]
    last = network.broadcast_address - 1
    first = max([last - SIZE + 1, *(ip + 1 for ip in machines if ip in network)])
    return AddressPool(((first, last),) if first <= last else ())
