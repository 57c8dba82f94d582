"""What an object makes different among many Services, and among those few that are drawn instead of all: the same."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import pod, world

from knet.api.objects import ServicePort
from knet.client.controller import Key, key_of
from knet.inspect.explain.difference import difference
from knet.inspect.explain.narrowing import narrowed
from knet.inspect.explain.objects import without_object
from knet.inspect.explain.picture import picture
from tests.cluster_objects import endpoint, endpoint_slice, service

EXAMPLES = int(os.environ.get("KNET_EXAMPLES", "40"))
PODS = [pod(f"p{place}", f"10.244.{1 + (place > 5)}.{2 + place}") for place in range(8)]
WEB = Key("default", "web0")

policies = st.sampled_from(["Cluster", "Local"])
endpoints = st.lists(
    st.builds(
        lambda address, ready, zones: endpoint(address, ready, serving=True, terminating=not ready, zones=zones),
        st.sampled_from([row.status.podIP for row in PODS]),
        st.sampled_from([True] * 7 + [False]),
        st.sampled_from([()] * 7 + [("a",)]),
    ),
    max_size=3,
    unique_by=lambda row: row.addresses,
)
specs = st.fixed_dictionaries(
    {
        "balanced": st.sampled_from([[], [], ["172.18.0.200"], ["172.18.0.201"]]),
        "externalIPs": st.sampled_from([(), (), ("192.0.2.7",)]),
        "internalTrafficPolicy": policies,
        "externalTrafficPolicy": policies,
        "loadBalancerSourceRanges": st.sampled_from([(), ("172.18.0.0/24",), ("10.0.0.0/8",)]),
        "sticky": st.sampled_from([0, 0, 60]),
    }
)
kinds = st.tuples(specs, st.sampled_from(["TCP", "TCP", "UDP"]), st.sampled_from([0, 0, 30080]))


@st.composite
def clusters(draw, proxy):
    """Services of two kinds, so that many are alike, and differ in their endpoints."""
    services, slices, two = [], [], [draw(kinds), draw(kinds)]
    for number in range(draw(st.integers(2, 7))):
        spec, protocol, node_port = draw(st.sampled_from(two))
        port = ServicePort(name="http", port=80, protocol=protocol, nodePort=node_port and node_port + number)
        kind = {} if spec["balanced"] else {"type": "NodePort" if node_port else "ClusterIP"}
        name = f"web{number}"
        services.append(service(name, f"10.96.0.{80 + number}", [port], **kind, **spec))
        slices.append(endpoint_slice(name, *draw(endpoints), ports=[("http", 8080, protocol)]))
    return world(PODS, services, slices, proxy=proxy)


@pytest.mark.parametrize("proxy", ["iptables", "nftables", "ipvs"])
@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_what_is_drawn_of_a_few_services_says_the_same(proxy, data):
    after = data.draw(clusters(proxy))
    before = without_object(without_object(after, "Service", WEB), "EndpointSlice", Key("default", "web0-a"))
    few = narrowed([before, after], [WEB])
    for node in ("n1", "n2"):
        found, drawn = (difference(picture(old, node), picture(new, node)) for old, new in ((before, after), few))
        assert found == drawn


LOCAL = {"externalTrafficPolicy": "Local", "type": "NodePort", "ports": [ServicePort(name="http", port=80, nodePort=1)]}
ADDRESSED = {"externalIPs": ("192.0.2.7",)}
#: Services beside the one in question, which has 10.244.1.2 behind it, and 192.0.2.7: what is so of them, their
#: endpoints, and whether they are drawn
OTHERS = {
    "first of its kind": ({}, ["10.244.1.5", "10.244.1.6"], True),
    "like that": ({}, ["10.244.1.7", "10.244.1.8"], False),
    "with more endpoints": ({}, ["10.244.1.5", "10.244.1.6", "10.244.1.7"], True),
    "with an endpoint that does not serve": ({}, [endpoint("10.244.1.5", False), "10.244.1.6"], True),
    "on another machine": ({}, ["10.244.2.5", "10.244.2.6"], True),
    "on both": ({}, ["10.244.1.9", "10.244.2.9"], False),
    "for local endpoints": (LOCAL, ["10.244.1.5", "10.244.2.5"], True),
    "two of them here": (LOCAL, ["10.244.1.5", "10.244.1.6"], True),
    "two of them here again": (LOCAL, ["10.244.1.7", "10.244.1.6"], False),
    "with the same endpoint": ({}, ["10.244.1.2", "10.244.1.9"], True),
    "with the same address": (ADDRESSED, ["10.244.1.9"], True),
    "another protocol": ({"ports": [ServicePort(name="http", port=80, protocol="UDP")]}, ["10.244.1.9"], True),
}


def test_one_stands_for_all_that_are_alike():
    services, slices = [service("web", "10.96.0.1", **ADDRESSED)], [endpoint_slice("web", "10.244.1.2")]
    for place, (spec, endpoints, _) in enumerate(OTHERS.values(), 2):
        services.append(service(f"s{place:02}", f"10.96.0.{place}", **spec))
        protocols = [("http", 8080, row.protocol) for row in services[-1].spec.ports]
        slices.append(endpoint_slice(services[-1].name, *endpoints, ports=protocols))
    found = world(PODS, services, slices, proxy="nftables")
    [drawn] = narrowed([found], [key_of(services[0])])
    names = {name: Key("default", f"s{place:02}") in drawn.services for place, name in enumerate(OTHERS, 2)}
    assert names == {name: wanted for name, (*_, wanted) in OTHERS.items()}
    assert {key.name.removesuffix("-a") for key in drawn.slices} == {key.name for key in drawn.services}
