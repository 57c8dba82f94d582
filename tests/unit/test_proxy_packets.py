"""Where the rules of a mode lead packets, whatever the mode."""

from typing import Any, NamedTuple

import iptables_walk
import msgspec
import nft_walk
import pytest
from packets import Outcome, Packet

from knet.api.objects import LoadBalancerIngress, ServicePort
from knet.proxy import iptables
from knet.proxy.nftables import text as nftables
from knet.proxy.snapshot import build
from tests.cluster_objects import endpoint, endpoint_slice, service

NODE = "172.18.0.11"
POD, OTHER_POD, OUTSIDER = "10.244.1.9", "10.244.2.9", "172.18.0.50"
NODE_PORT = ServicePort(name="http", port=80, nodePort=30080)


class Walk(NamedTuple):
    """How a mode writes its rules, and how they are read."""

    render: Any
    ruleset: Any

    def rules(self, services, slices=(), cidr="10.244.0.0/16"):
        return self.ruleset(self.render(build(services, slices, "n1", NODE, cidr)), {NODE})

    def web(self, *endpoints, cidr="10.244.0.0/16", **spec):
        return self.rules([service("web", **spec)], [endpoint_slice("web", *endpoints)], cidr)


WALKS = {
    "iptables": Walk(iptables.render, iptables_walk.Ruleset),
    "nftables": Walk(nftables.render, nft_walk.Ruleset),
}


@pytest.fixture(params=list(WALKS))
def walk(request):
    return WALKS[request.param]


@pytest.fixture
def web(walk):
    """The rules for one Service ``web`` with these endpoints."""
    return walk.web


@pytest.fixture
def rules(walk):
    return walk.rules


def chances(outcomes):
    return {outcome: round(chance, 6) for outcome, chance in outcomes.items()}


def test_each_endpoint_gets_the_same_share(web):
    found = web("10.244.1.2", "10.244.2.2", "10.244.2.3").forwarded(Packet(POD, "10.96.0.80", 80))
    assert chances(found) == {
        Outcome("10.244.1.2:8080"): 0.333333,
        Outcome("10.244.2.2:8080"): 0.333333,
        Outcome("10.244.2.3:8080"): 0.333333,
    }


def test_only_the_services_own_address_port_and_protocol_are_translated(web):
    ruleset = web("10.244.1.2")
    for packet in (
        Packet(POD, "10.96.0.81", 80),
        Packet(POD, "10.244.1.2", 8080),
    ):
        assert ruleset.forwarded(packet) == {Outcome(f"{packet.destination}:{packet.port}"): 1}


@pytest.mark.parametrize(
    ("source", "masqueraded"),
    [(OTHER_POD, False), (OUTSIDER, True), ("10.244.1.2", True)],
    ids=["a pod keeps its address", "from outside of the cluster", "a pod that reaches itself"],
)
def test_what_is_masqueraded(web, source, masqueraded):
    found = web("10.244.1.2").forwarded(Packet(source, "10.96.0.80", 80))
    assert found == {Outcome("10.244.1.2:8080", masqueraded): 1}


def test_a_pod_reaches_itself_by_a_slice_made_by_hand(web):
    found = web(msgspec.structs.replace(endpoint("10.244.1.2"), nodeName="")).forwarded
    assert found(Packet("10.244.1.2", "10.96.0.80", 80)) == {Outcome("10.244.1.2:8080", True): 1}


def test_the_machine_itself_is_masqueraded_too(web):
    assert web("10.244.2.2").sent(Packet(NODE, "10.96.0.80", 80)) == {Outcome("10.244.2.2:8080", True): 1}


@pytest.mark.parametrize("hook", ["forwarded", "sent"])
def test_a_service_without_endpoints_refuses(web, hook):
    found = getattr(web(endpoint("10.244.1.2", ready=False)), hook)(Packet(POD, "10.96.0.80", 80))
    assert found == {Outcome("10.96.0.80:80", verdict="REJECT"): 1}


def test_a_node_port_leads_to_all_endpoints_under_the_machines_address(web):
    ruleset = web("10.244.1.2", "10.244.2.2", ports=[NODE_PORT], type="NodePort")
    for found in (ruleset.forwarded(Packet(OUTSIDER, NODE, 30080)), ruleset.sent(Packet(NODE, NODE, 30080))):
        assert found == {Outcome("10.244.1.2:8080", True): 0.5, Outcome("10.244.2.2:8080", True): 0.5}


def test_a_node_port_without_endpoints_refuses(web):
    found = web(ports=[NODE_PORT], type="NodePort").forwarded(Packet(OUTSIDER, NODE, 30080))
    assert found == {Outcome(f"{NODE}:30080", verdict="REJECT"): 1}


def test_external_policy_local_keeps_the_clients_address(web):
    ruleset = web("10.244.1.2", "10.244.2.2", ports=[NODE_PORT], type="NodePort", externalTrafficPolicy="Local")
    assert ruleset.forwarded(Packet(OUTSIDER, NODE, 30080)) == {Outcome("10.244.1.2:8080"): 1}
    both = {Outcome("10.244.1.2:8080"): 0.5, Outcome("10.244.2.2:8080"): 0.5}
    assert ruleset.forwarded(Packet(POD, NODE, 30080)) == both
    assert ruleset.sent(Packet(NODE, NODE, 30080)) == {
        Outcome("10.244.1.2:8080", True): 0.5, Outcome("10.244.2.2:8080", True): 0.5
    }  # fmt: skip


def test_external_policy_local_drops_where_only_other_machines_have_endpoints(web):
    ruleset = web("10.244.2.2", ports=[NODE_PORT], type="NodePort", externalTrafficPolicy="Local")
    assert ruleset.forwarded(Packet(OUTSIDER, NODE, 30080)) == {Outcome(f"{NODE}:30080", verdict="DROP"): 1}
    assert ruleset.forwarded(Packet(POD, NODE, 30080)) == {Outcome("10.244.2.2:8080"): 1}


def test_internal_policy_local(web):
    ruleset = web("10.244.1.2", "10.244.2.2", internalTrafficPolicy="Local")
    assert ruleset.forwarded(Packet(POD, "10.96.0.80", 80)) == {Outcome("10.244.1.2:8080"): 1}
    ruleset = web("10.244.2.2", internalTrafficPolicy="Local")
    assert ruleset.forwarded(Packet(POD, "10.96.0.80", 80)) == {Outcome("10.96.0.80:80", verdict="DROP"): 1}


def test_an_external_address(web):
    ruleset = web("10.244.1.2", externalIPs=("192.0.2.7", "2001:db8::7"))
    assert ruleset.forwarded(Packet(OUTSIDER, "192.0.2.7", 80)) == {Outcome("10.244.1.2:8080", True): 1}
    assert web(externalIPs=("192.0.2.7",)).forwarded(Packet(OUTSIDER, "192.0.2.7", 80)) == {
        Outcome("192.0.2.7:80", verdict="REJECT"): 1
    }


def test_a_load_balancers_address_leads_to_all_endpoints_unless_it_proxies(web):
    balanced = ["192.0.2.8", "2001:db8::8", LoadBalancerIngress(ip="192.0.2.9", ipMode="Proxy")]
    ruleset = web("10.244.1.2", balanced=balanced)
    assert ruleset.forwarded(Packet(OUTSIDER, "192.0.2.8", 80)) == {Outcome("10.244.1.2:8080", True): 1}
    assert ruleset.sent(Packet(NODE, "192.0.2.8", 80)) == {Outcome("10.244.1.2:8080", True): 1}
    assert ruleset.forwarded(Packet(OUTSIDER, "192.0.2.9", 80)) == {Outcome("192.0.2.9:80"): 1}
    refused = {Outcome("192.0.2.8:80", verdict="REJECT"): 1}
    assert web(balanced=balanced).forwarded(Packet(OUTSIDER, "192.0.2.8", 80)) == refused


def test_a_load_balancer_with_policy_local_keeps_the_clients_address(web):
    local = {"balanced": ["192.0.2.8"], "externalTrafficPolicy": "Local"}
    packet = Packet(OUTSIDER, "192.0.2.8", 80)
    assert web("10.244.1.2", "10.244.2.2", **local).forwarded(packet) == {Outcome("10.244.1.2:8080"): 1}
    assert web("10.244.2.2", **local).forwarded(packet) == {Outcome("192.0.2.8:80", verdict="DROP"): 1}


SERVED, DROPPED = {Outcome("10.244.1.2:8080", True): 1}, {Outcome("192.0.2.8:80", verdict="DROP"): 1}


@pytest.mark.parametrize(
    ("ranges", "packet", "expected"),
    [
        (["172.18.0.48/29"], Packet(OUTSIDER, "192.0.2.8", 80), SERVED),
        (["10.0.0.0/8"], Packet(OUTSIDER, "192.0.2.8", 80), DROPPED),
        (["2001:db8::/32", " 172.18.0.50/32"], Packet(OUTSIDER, "192.0.2.8", 80), SERVED),
        (["10.0.0.0/8"], Packet(OUTSIDER, "10.96.0.80", 80), SERVED),
        (["10.0.0.0/8"], Packet("192.0.2.8", "192.0.2.8", 80), DROPPED),
        (["172.18.0.0/24"], Packet("192.0.2.8", "192.0.2.8", 80), SERVED),
    ],
    ids=["inside", "outside", "one of two", "not the balancer", "the balancer itself", "the balancer on our machine"],
)
def test_only_source_ranges_may_come_by_a_load_balancer(web, ranges, packet, expected):
    ruleset = web("10.244.1.2", balanced=["192.0.2.8"], loadBalancerSourceRanges=tuple(ranges))
    assert ruleset.forwarded(packet) == expected


def test_source_ranges_of_another_family_let_everybody_in_as_upstreams_do(web):
    ruleset = web("10.244.1.2", balanced=["192.0.2.8"], loadBalancerSourceRanges=("2001:db8::/32",))
    assert ruleset.forwarded(Packet(OUTSIDER, "192.0.2.8", 80)) == SERVED


def test_ipv6_has_the_same_rules_with_other_addresses(walk):
    both = service(
        "web", more_ips=("fd00:10:96::80",), balanced=["192.0.2.8", "2001:db8::8"],
        loadBalancerSourceRanges=("fd00::/8",), externalIPs=("2001:db8::7",), ports=[NODE_PORT],
    )  # fmt: skip
    slices = [endpoint_slice("web", "10.244.1.2"), endpoint_slice("web", "fd00:10:244:1::2", family="IPv6", suffix="b")]
    text = walk.render(build([both], slices, "n1", "fd00:172:18::11", "fd00:10:244::/48", family=6))
    assert "10.244.1.2" not in text and "127.0.0.0/8" not in text
    ruleset = walk.ruleset(text, {"fd00:172:18::11"})
    to, outsider = "fd00:10:244:1::2:8080", "fd00:172:18::50"
    assert ruleset.forwarded(Packet("fd00:10:244:2::9", "fd00:10:96::80", 80)) == {Outcome(to): 1}
    for address, port in (("2001:db8::7", 80), ("2001:db8::8", 80), ("fd00:172:18::11", 30080)):
        assert ruleset.forwarded(Packet(outsider, address, port)) == {Outcome(to, True): 1}
    stranger = ruleset.forwarded(Packet("2001:db8:9::1", "2001:db8::8", 80))
    assert stranger == {Outcome("2001:db8::8:80", verdict="DROP"): 1}


def test_sctp_is_a_protocol_like_the_others(rules):
    sctp = [ServicePort(name="http", port=80, protocol="SCTP", nodePort=30080)]
    slices = [endpoint_slice("web", "10.244.1.2", ports=[("http", 8080, "SCTP")])]
    ruleset = rules([service("web", ports=sctp, type="NodePort")], slices)
    assert ruleset.forwarded(Packet(POD, "10.96.0.80", 80, "sctp")) == {Outcome("10.244.1.2:8080"): 1}
    assert ruleset.forwarded(Packet(OUTSIDER, NODE, 30080, "sctp")) == {Outcome("10.244.1.2:8080", True): 1}


def test_without_a_cluster_range_nothing_counts_as_foreign(web):
    found = web("10.244.1.2", cidr="").forwarded(Packet(OUTSIDER, "10.96.0.80", 80))
    assert found == {Outcome("10.244.1.2:8080"): 1}


def test_ports_of_one_number_and_two_protocols(rules):
    both = [ServicePort(name="dns", port=53, protocol="UDP"), ServicePort(name="dns-tcp", port=53)]
    slices = [endpoint_slice("web", "10.244.1.2", ports=[("dns", 53, "UDP"), ("dns-tcp", 5353, "TCP")])]
    ruleset = rules([service("web", ports=both)], slices)
    assert ruleset.forwarded(Packet(POD, "10.96.0.80", 53, "udp")) == {Outcome("10.244.1.2:53"): 1}
    assert ruleset.forwarded(Packet(POD, "10.96.0.80", 53, "tcp")) == {Outcome("10.244.1.2:5353"): 1}
