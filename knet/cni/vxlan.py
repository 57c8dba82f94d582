"""The backend ``vxlan``: pods of different machines talk through UDP packets between the machines (RFC 7348).

flannel routes, although VXLAN could switch: each machine's end of the tunnel, flannel.1, owns the network address of
its pods' subnet, and a remote subnet is reached "via" the remote end::

    10.244.1.7 → 10.244.2.9     route   10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink     whose turn is it
                                neigh   10.244.2.0 lladdr 5e:…:02                             its address in the tunnel
                                fdb     5e:…:02 dst 172.18.0.4                                its machine
                                UDP     172.18.0.3 → 172.18.0.4:8472, VNI 1                   50 bytes more than before

All three entries per machine are permanent and set from the Nodes; nothing is learnt, nobody is asked (no ARP crosses
the tunnel).  ``onlink`` is needed because no address of flannel.1 says that 10.244.2.0 is reachable there: its own
address is a /32, lest the kernel derive routes from it.  Scaling: one route, one neighbour, one entry per machine.
Upstream tells the history of this design in its pkg/backend/vxlan/vxlan.go.

``direct-routing`` (flannel's DirectRouting) is the same with one difference: a machine on the same link is reached by a
plain route, as with ``host-gw``, and only those behind a router through the tunnel.  Each machine keeps its end of it,
and pods the tunnel's MTU, because a packet does not know beforehand which way it will go.

IPv6 has a tunnel of its own beside the other, flannel-v6.1, whose outer packets are IPv6 as well.
"""

from collections.abc import Iterable

from knet.api.families import IPV4, IPV6
from knet.cni.hostgw import PROTOCOL
from knet.cni.lease import Lease
from knet.cni.state import Device, Refusal, State, Underlay
from knet.kernel.addresses import Address
from knet.kernel.links import Vxlan
from knet.kernel.neighbours import FdbEntry, Neighbour
from knet.kernel.routes import Route

#: outer Ethernet is not counted: IP 20 (IPv6 40), UDP 8, VXLAN 8, and the inner Ethernet header 14
OVERHEAD = {IPV4: 50, IPV6: 70}
#: before the network identifier; upstream's names
DEVICES = {IPV4: "flannel", IPV6: "flannel-v6"}
PORT = 8472


def desired(own: Lease, leases: Iterable[Lease], underlay: Underlay, *, direct: bool = False) -> State:
    """What this machine's kernel needs to reach the pods of all ``leases`` (its own among them is passed over).

    ``direct``: without the tunnel where no router is between.  ValueError if ``own`` is not a lease of this backend.
    """
    if own.vtep is None:
        raise ValueError(f"node {own.node!r}: lease of type {own.backend!r} has no VTEP")
    family = own.family
    name = f"{DEVICES[family]}.{own.vtep.VNI}"
    device = Device(
        name=name,
        vxlan=Vxlan(own.vtep.VNI, underlay.interface, own.public_ip, PORT, learning=False),
        mac=own.vtep.VtepMAC,
        mtu=underlay.mtu - OVERHEAD[family],
        address=Address(name, f"{gateway_of(own)}/{32 if family == IPV4 else 128}"),
    )
    fdb: list[FdbEntry] = []
    neighbours: list[Neighbour] = []
    routes: list[Route] = []
    refusals: list[Refusal] = []
    for lease in sorted((lease for lease in leases if lease.node != own.node), key=lambda lease: lease.node):
        if lease.backend != "vxlan" or lease.vtep is None:
            refusals.append(Refusal(lease.node, f"ignoring non-vxlan subnet {lease.subnet}: type={lease.backend}"))
            continue
        if direct and underlay.reaches(lease.public_ip):
            routes.append(Route(lease.subnet, underlay.interface, lease.public_ip, protocol=PROTOCOL))
            continue
        gateway = gateway_of(lease)
        fdb.append(FdbEntry(lease.vtep.VtepMAC, name, lease.public_ip))
        neighbours.append(Neighbour(gateway, name, lease.vtep.VtepMAC))
        routes.append(Route(lease.subnet, name, gateway, onlink=True))
    return State(device.mtu, family, device, tuple(fdb), tuple(neighbours), tuple(routes), tuple(refusals))


def gateway_of(lease: Lease) -> str:
    """The address of a machine's end of the tunnel: its subnet's network address."""
    return lease.subnet.partition("/")[0]
