"""Ways to load balancers by BGP: what routers should have learned, and which next hop of several is meant."""

import pytest
from worlds import pod, world

from knet.api.objects import Condition, Meta, Node, NodeAddress, NodeSpec, NodeStatus
from knet.cni.lease import BackendData, Lease, annotations, vtep_mac
from knet.inspect.predict.announcements import learned
from knet.inspect.predict.path import expected
from knet.inspect.trace.evidence import Probe
from knet.inspect.trace.hops import Packet
from knet.inspect.world import Topology
from knet.underlay.describe import describe
from knet.underlay.routing import declared_routes
from knet.underlay.state import UP, LinkState, Sending
from knet.underlay.topology import load
from knet.underlay.view import SWITCH, InterfaceState, NodeState
from tests.cluster_objects import endpoint_slice, service

VIP = "198.51.100.1"


def topology(name, down=(), workers=3, partitions=()):
    """A built-in topology, running; ``down`` are machines whose cables are cut."""
    plan = describe(load(name, workers))
    machines = tuple(
        NodeState(
            machine.name,
            machine.role,
            0,
            tuple(InterfaceState(row.name, str(row.address.ip), "", (str(row.address),)) for row in machine.interfaces),
            declared_routes(machine),
        )
        for machine in plan.machines
    )
    links = tuple(
        LinkState(
            tuple(Sending(end.node, end.interface) for end in link.ends),
            "down" if {end.node for end in link.ends} & set(down) else UP,
            1500,
            True,
        )
        for link in plan.links
    )
    switches = tuple(NodeState(switch.name, SWITCH, 0, ()) for switch in plan.switches)
    return Topology((*machines, *switches), links, partitions)


def balanced(name="two_racks", policy="Cluster", unready=(), **given):
    """A pod on n1 and on n2, behind one address."""
    found = world(
        pods=[pod("a", "10.244.1.5"), pod("b", "10.244.2.5")],
        services=[service("web", balanced=(VIP,), externalTrafficPolicy=policy)],
        slices=[endpoint_slice("web", "10.244.1.5", "10.244.2.5")],
        topo=topology(name, **given),
        lb_mode="bgp",
    )
    for name in ("n1", "n2", "n3"):
        found.nodes[name] = worker(name, found.topology.machines[name].address, name not in unready)
    return found


def worker(name, address, ready):
    subnet = f"10.244.{name.removeprefix('n')}.0/24"
    lease = Lease(name, subnet, address, "vxlan", BackendData(1, vtep_mac(name)))
    return Node(
        metadata=Meta(name=name, annotations=annotations(lease)),
        spec=NodeSpec(podCIDR=subnet, podCIDRs=(subnet,)),
        status=NodeStatus(
            addresses=(NodeAddress(type="InternalIP", address=address),),
            conditions=(Condition(type="Ready", status=str(ready)),),
        ),
    )


@pytest.mark.parametrize(
    ("given", "router", "gateways"),
    [
        ({}, "r1", {"172.18.1.3", "172.18.2.4", "172.18.1.5"}),
        ({"policy": "Local"}, "r1", {"172.18.1.3", "172.18.2.4"}),
        ({"down": ["n1"]}, "r1", {"172.18.2.4", "172.18.1.5"}),
        ({"unready": ["n3"]}, "r1", {"172.18.1.3", "172.18.2.4"}),
        ({"partitions": ((("n2",), ("r1",)),)}, "r1", {"172.18.1.3", "172.18.1.5"}),
        ({"down": ["n1", "n2", "n3"]}, "r1", set()),
        ({"name": "wan,delay=0"}, "r1", {"172.18.1.3", "172.18.1.5"}),
        ({"name": "wan,delay=0"}, "r2", {"172.18.2.4"}),
        ({"name": "wan,delay=0", "down": ["n1", "n3"]}, "r1", {"172.18.0.2"}),
        ({"name": "wan,delay=0", "policy": "Local", "down": ["n2"]}, "r2", {"172.18.0.1"}),
    ],
)
def test_a_router_has_the_shortest_ways_to_who_can_be_heard(given, router, gateways):
    assert {route.gateway for route, _ in learned(balanced(**given), router)} == gateways


def test_a_connection_goes_by_the_next_hop_that_was_seen():
    found = balanced()
    probe = Probe("client", Packet("tcp", "", 40000, VIP, 80, 64))
    for gateway, machine in (("172.18.1.3", "n1"), ("172.18.2.4", "n2"), ("172.18.1.5", "n3")):
        hops = expected(found, probe, "", {("r1", f"{VIP}/32"): gateway}).hops
        route = next(hop for hop in hops if (hop.kind, hop.site, hop.way) == ("route", "r1", "there"))
        assert (route.route.gateway, str(route.because[0])) == (gateway, "Service default/web announced by BGP")
        assert next(hop.site for hop in hops if hop.kind == "nat") == machine


def test_in_layer_2_mode_routers_learn_nothing():
    found = balanced()
    assert learned(world(topo=found.topology, services=found.services.values()), "r1") == ()


def test_a_router_forwards_what_is_packed_as_it_does_everything():
    found = balanced("wan,delay=0")
    hops = expected(found, Probe("pod/default/a", Packet("tcp", "", 40000, "10.244.2.5", 80, 64))).hops
    passed = [
        (hop.kind, hop.interface, str(hop.route or "")) for hop in hops if hop.site == "r1" and hop.way == "there"
    ]
    assert passed == [
        ("enter", "r1-eth0", ""),
        ("route", "r1-eth1", "172.18.2.0/24 via 172.18.0.2 dev r1-eth1"),
        ("link", "r1-eth1", ""),
    ]
    inside = [hop.packet.ttl for hop in hops if hop.site in ("n1", "r1", "r2") and hop.way == "there"]
    assert inside[-1] == 63, "who forwards the outer packet leaves the inner one as it is"
