"""Which UDP flows are forgotten when Services change."""

from socket import IPPROTO_UDP

from knet.api.objects import ServicePort
from knet.kernel.conntrack import Flow
from knet.proxy.conntrack_cleanup import Frontend, changed, stale, udp_frontends
from knet.proxy.snapshot import build
from tests.cluster_objects import endpoint, endpoint_slice, service

NODE = "172.18.0.11"
DNS = [
    ServicePort(name="dns", port=53, protocol="UDP", nodePort=30053),
    ServicePort(name="dns-tcp", port=53, protocol="TCP"),
]
VIP, AT_NODE = Frontend("10.96.0.10", 53), Frontend("0.0.0.0", 30053)


def frontends(*endpoints):
    slices = [endpoint_slice("dns", *endpoints, ports=[("dns", 5353, "UDP"), ("dns-tcp", 5353, "TCP")])]
    return udp_frontends(build([service("dns", "10.96.0.10", DNS)], slices, "n1", NODE))


def flow(answered_by, port=5353):
    return Flow(IPPROTO_UDP, "10.244.1.9", 40000, "10.96.0.10", 53, answered_by, port)


def test_udp_services_are_reached_at_their_address_and_node_port():
    answering = frozenset({("10.244.1.2", 5353), ("10.244.2.2", 5353)})
    assert frontends("10.244.1.2", "10.244.2.2") == {VIP: answering, AT_NODE: answering}


def test_udp_services_are_reached_by_load_balancers_and_external_addresses_too():
    made = service("dns", "10.96.0.10", DNS[:1], balanced=["192.0.2.8"], externalIPs=("192.0.2.7",))
    found = udp_frontends(build([made], [], "n1"))
    assert found.keys() == {VIP, AT_NODE, Frontend("192.0.2.8", 53), Frontend("192.0.2.7", 53)}


def test_flows_stay_with_whatever_serves_whichever_way_new_ones_go():
    far, leaving = endpoint("10.244.2.2", zones=["b"]), endpoint("10.244.1.3", False, True, True)
    near = endpoint("10.244.1.2", zones=["a"])
    assert frontends(near, far, leaving)[VIP] == {(row, 5353) for row in ("10.244.1.2", "10.244.2.2", "10.244.1.3")}


def test_only_what_changed_is_looked_at():
    before = frontends("10.244.1.2")
    assert changed(before, frontends("10.244.1.2")) == {}
    assert set(changed(before, frontends("10.244.1.3"))) == {VIP, AT_NODE}
    assert set(changed(before, frontends(endpoint("10.244.1.2", ready=False, serving=False)))) == {VIP, AT_NODE}


def test_nothing_may_answer_for_a_service_that_is_gone():
    assert changed(frontends("10.244.1.2"), {}) == {VIP: frozenset(), AT_NODE: frozenset()}


def test_a_flow_is_stale_when_its_endpoint_is_gone_or_it_was_never_translated():
    answering = frozenset({("10.244.1.2", 5353)})
    old, untranslated, current = flow("10.244.1.3"), flow("10.96.0.10", 53), flow("10.244.1.2")
    assert stale([old, untranslated, current], answering) == [old, untranslated]
