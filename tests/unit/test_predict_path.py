"""A probe's predicted way, hop by hop: three of them as text, and what is so on all of them."""

import pytest
from test_predict_verdicts import FAULTS, HEALTHY, PODS, SERVICES, SLICES, one
from worlds import address_of, world

from knet.inspect.predict.path import expected
from knet.inspect.predict.verdicts import addresses, verdict
from knet.inspect.trace.evidence import Probe
from knet.inspect.trace.hops import BACK, THERE, Packet


def told(found, site, destination, port=80, chosen="", protocol="tcp"):
    return expected(found, Probe(site, Packet(protocol, "", 40000 if port else 0, destination, port, 64)), chosen)


def text(prediction):
    """A line for each hop, those back after an empty one."""
    lines = []
    for hop in prediction.hops:
        if hop.way == BACK and "" not in lines:
            lines.append("")
        more = [str(hop.translation.after) if hop.translation else "", str(hop.route or ""), hop.verdict]
        more += [f"{hop.encapsulation.source} > {hop.encapsulation.destination}" if hop.encapsulation else ""]
        words = [hop.kind, hop.site, hop.interface, hop.port, *more, f"[{', '.join(map(str, hop.because))}]"]
        lines.append(" ".join(word for word in words if word not in ("", "[]")))
    return "\n".join(lines)


TO_ANOTHER_MACHINE = """\
leave pod/default/client eth0 [Pod default/client]
enter n1 cni0 vethce2a28d0 [Pod default/client]
nat n1 prerouting 10.244.2.5:8080 [Service default/web port http, EndpointSlice default/web-a endpoint 10.244.2.5:8080]
route n1 flannel.1 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink [Node n2 podCIDR]
filter n1 forward
tunnel n1 flannel.1 172.18.0.3 > 172.18.0.4 [Node n2 flannel annotations]
link n1 n1-eth0 [Link n1–s1]
switch s1 s1-eth3 s1-eth2
link s1 s1-eth3 [Link n2–s1]
untunnel n2 flannel.1
route n2 cni0 10.244.2.0/24 dev cni0 src 10.244.2.1 [Node n2 podCIDR]
filter n2 forward
leave n2 cni0 veth5887b110 [Pod default/web]
enter pod/default/web eth0 [Pod default/web]
deliver pod/default/web

leave pod/default/web eth0 [Pod default/web]
enter n2 cni0 veth5887b110 [Pod default/web]
route n2 flannel.1 10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink [Node n1 podCIDR]
filter n2 forward
tunnel n2 flannel.1 172.18.0.4 > 172.18.0.3 [Node n1 flannel annotations]
link n2 n2-eth0 [Link n2–s1]
switch s1 s1-eth2 s1-eth3
link s1 s1-eth2 [Link n1–s1]
untunnel n1 flannel.1
route n1 cni0 10.244.1.0/24 dev cni0 src 10.244.1.1 [Node n1 podCIDR]
filter n1 forward
nat n1 postrouting 10.96.0.80:80
leave n1 cni0 vethce2a28d0 [Pod default/client]
enter pod/default/client eth0 [Pod default/client]
deliver pod/default/client"""

#: who asks on the bridge itself: no route, and the answer's address is changed back all the same
ON_ONE_BRIDGE = """\
leave pod/default/client eth0 [Pod default/client]
enter n1 cni0 vethce2a28d0 [Pod default/client]
nat n1 prerouting 10.244.1.8:8080 [Service default/web port http, EndpointSlice default/web-a endpoint 10.244.1.8:8080]
route n1 cni0 10.244.1.0/24 dev cni0 src 10.244.1.1 [Node n1 podCIDR]
filter n1 forward
leave n1 cni0 veth6121c68a [Pod default/near]
enter pod/default/near eth0 [Pod default/near]
deliver pod/default/near

leave pod/default/near eth0 [Pod default/near]
enter n1 cni0 veth6121c68a [Pod default/near]
filter n1 forward
nat n1 postrouting 10.96.0.80:80
leave n1 cni0 vethce2a28d0 [Pod default/client]
enter pod/default/client eth0 [Pod default/client]
deliver pod/default/client"""

FROM_OUTSIDE = """\
route client client-eth0 172.18.0.0/24 dev client-eth0 src 172.18.0.5 [Topology client address 172.18.0.5/24]
link client client-eth0 [Link client–s1]
switch s1 s1-eth2 s1-eth4
link s1 s1-eth2 [Link n1–s1]
enter n1 n1-eth0
nat n1 prerouting 10.244.2.5:8080 [Service default/web port http, EndpointSlice default/web-a endpoint 10.244.2.5:8080]
route n1 n1-eth0 10.244.2.0/24 via 172.18.0.4 dev n1-eth0 [Node n2 podCIDR]
filter n1 forward
nat n1 postrouting 172.18.0.3 [Component kube-proxy@n1 masquerade]
link n1 n1-eth0 [Link n1–s1]
switch s1 s1-eth3 s1-eth2
link s1 s1-eth3 [Link n2–s1]
enter n2 n2-eth0
route n2 cni0 10.244.2.0/24 dev cni0 src 10.244.2.1 [Node n2 podCIDR]
filter n2 forward
leave n2 cni0 veth5887b110 [Pod default/web]
enter pod/default/web eth0 [Pod default/web]
deliver pod/default/web

leave pod/default/web eth0 [Pod default/web]
enter n2 cni0 veth5887b110 [Pod default/web]
route n2 n2-eth0 172.18.0.0/24 dev n2-eth0 src 172.18.0.4 [Topology n2 address 172.18.0.4/24]
filter n2 forward
link n2 n2-eth0 [Link n2–s1]
switch s1 s1-eth2 s1-eth3
link s1 s1-eth2 [Link n1–s1]
enter n1 n1-eth0
nat n1 prerouting 172.18.0.5:40000
route n1 n1-eth0 172.18.0.0/24 dev n1-eth0 src 172.18.0.3 [Topology n1 address 172.18.0.3/24]
filter n1 forward
nat n1 postrouting 172.18.0.3:30080
link n1 n1-eth0 [Link n1–s1]
switch s1 s1-eth4 s1-eth2
link s1 s1-eth4 [Link client–s1]
enter client client-eth0
deliver client"""


@pytest.mark.parametrize(
    ("site", "destination", "port", "chosen", "settings", "golden"),
    [
        ("pod/default/client", "10.96.0.80", 80, "10.244.2.5:8080", {}, TO_ANOTHER_MACHINE),
        ("pod/default/client", "10.96.0.80", 80, "10.244.1.8:8080", {}, ON_ONE_BRIDGE),
        ("client", "172.18.0.3", 30080, "10.244.2.5:8080", {"cni": "host-gw"}, FROM_OUTSIDE),
    ],
    ids=["to another machine", "on one bridge", "from outside"],
)
def test_the_way(site, destination, port, chosen, settings, golden):
    assert text(told(world(PODS, SERVICES, SLICES, **settings), site, destination, port, chosen)) == golden


def test_a_machine_asks_under_the_address_that_ipvs_has_given_it():
    """The kernel takes the virtual address, which is its own there, for the source as well."""
    found = world(PODS, SERVICES, SLICES, proxy="ipvs")
    packet = Packet("tcp", "10.96.0.80", 40000, "10.96.0.80", 80, 64)
    prediction = expected(found, Probe("n1", packet), "10.244.2.5:8080")
    assert prediction.outcome == "delivered"
    masked = next(hop.translation for hop in prediction.hops if hop.translation and hop.translation.kind == "SNAT")
    assert masked.before == "10.96.0.80:40000"
    assert (prediction.hops[-1].kind, prediction.hops[-1].site) == ("deliver", "n1")


def site_of(found, name):
    owner = one(name)
    if owner.kind != "pod":
        return owner.name
    pod = found.pods[owner.namespace, owner.name]
    return pod.spec.nodeName if pod.spec.hostNetwork else f"pod/default/{owner.name}"


@pytest.mark.parametrize(
    "settings", [{}, {"cni": "host-gw"}, {"proxy": "nftables"}], ids=["vxlan", "host-gw", "nftables"]
)
@pytest.mark.parametrize(("source", "destination"), HEALTHY)
def test_whoever_is_reached_answers_who_has_asked(settings, source, destination):
    """The answer has the addresses that the question had, and ends where that began."""
    found = world(PODS, SERVICES, SLICES, **settings)
    site, address = site_of(found, source), addresses(found, one(destination))[0]
    prediction = told(found, site, address)
    assert prediction.outcome == "delivered"
    there, back = ([hop for hop in prediction.hops if hop.way == way] for way in (THERE, BACK))
    assert [hop.kind for hop in (there[-1], back[-1])] == ["deliver", "deliver"]
    assert back[-1].site == site
    asked = there[0].packet if there[0].kind != "nat" else None
    assert asked is None or str(back[-1].packet) == str(asked.reversed)
    assert (back[-1].packet.source, back[-1].packet.source_port) == (address, 80)
    assert back[-1].packet.destination_port == 40000


@pytest.mark.parametrize("fault", FAULTS)
def test_the_way_ends_where_the_verdict_says(fault):
    settings, source, destination, outcome, culprit, reason = FAULTS[fault]
    found = world(PODS, SERVICES, SLICES, **settings)
    owner = destination if destination[0].isdigit() else one(destination)
    address = owner if isinstance(owner, str) else addresses(found, owner)[0]
    chosen = "10.244.2.5:8080" if "some" in outcome else ""
    prediction = told(found, site_of(found, source), address, chosen=chosen)
    assert prediction.text == reason
    assert prediction.because == verdict(found, one(source), owner, 80).because
    ends = {"delivered": "deliver", "refused": "reject"}
    last = ends.get(prediction.outcome, "reject" if culprit == "no-route" else "drop")
    assert prediction.hops[-1].kind == last


def test_hops_of_an_echo_have_no_ports():
    prediction = told(world(PODS), "pod/default/client", address_of("client"), 0, protocol="icmp")
    assert {str(hop.packet) for hop in prediction.hops if hop.site == "client"} == {
        "172.18.0.3 > 172.18.0.5",
        "172.18.0.5 > 172.18.0.3",
    }


def test_a_router_takes_one_from_the_time_to_live_and_a_bridge_does_not():
    found = world(PODS, SERVICES, SLICES)
    lives = {to: told(found, "pod/default/client", to).hops for to in ("10.244.1.8", "10.244.2.5", "172.18.0.3")}
    there = {to: [hop for hop in hops if hop.way == THERE][-1].packet.ttl for to, hops in lives.items()}
    assert there == {"10.244.1.8": 64, "10.244.2.5": 62, "172.18.0.3": 64}
