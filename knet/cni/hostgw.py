"""The backend ``host-gw``: a machine's pods are reached through the machine, by a plain route.

Nothing is wrapped, so packets keep their size and captures stay readable; but each machine has to be a neighbour of
every other.  A router between them would not know the pods' addresses, so a machine behind one is refused: a route
"via" it is impossible, and one via the router would be a hole.

The routes carry a protocol number of their own (``proto 70`` in ``ip route``), so that the next flanneld knows its
predecessor's from those of people.  Upstream has no such mark and forgets what it installed.
"""

from collections.abc import Iterable

from knet.cni.lease import Lease
from knet.cni.state import Refusal, State, Underlay
from knet.kernel.routes import Route

#: not among those of iproute2's /etc/iproute2/rt_protos
PROTOCOL = 70


def desired(own: Lease, leases: Iterable[Lease], underlay: Underlay) -> State:
    """What this machine's kernel needs to reach the pods of all ``leases`` (its own among them is passed over)."""
    routes: list[Route] = []
    refusals: list[Refusal] = []
    for lease in sorted((lease for lease in leases if lease.node != own.node), key=lambda lease: lease.node):
        if lease.backend != "host-gw":
            refusals.append(Refusal(lease.node, f"ignoring non-host-gw subnet {lease.subnet}: type={lease.backend}"))
        elif not underlay.reaches(lease.public_ip):
            refusals.append(
                Refusal(
                    lease.node,
                    f"no route to {lease.subnet}: host-gw needs {lease.public_ip} on the same link as "
                    f"{underlay.address} ({underlay.interface}), but a router is between them; use the "
                    "vxlan or the direct-routing backend",
                )
            )
        else:
            routes.append(Route(lease.subnet, underlay.interface, lease.public_ip, protocol=PROTOCOL))
    return State(mtu=underlay.mtu, family=own.family, routes=tuple(routes), refusals=tuple(refusals))
