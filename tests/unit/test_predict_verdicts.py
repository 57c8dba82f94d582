"""Whether one end reaches another, and why not: a table over healthy and broken worlds."""

import itertools
from dataclasses import replace

import msgspec
import pytest
from worlds import address_of, node, pod, topology, world

from knet.api.objects import ContainerPort, Endpoint, EndpointConditions, ServicePort
from knet.inspect.predict.verdicts import verdict
from knet.inspect.world import Owner
from tests.cluster_objects import endpoint, endpoint_slice, service

CLIENT, WEB, NEAR = pod("client", "10.244.1.7"), pod("web", "10.244.2.5"), pod("near", "10.244.1.8")
MAPPED = pod("mapped", "10.244.2.6", ports=[ContainerPort(containerPort=80, hostPort=8080)])
AGENT = pod("agent", address_of("n2"), host_network=True)
PODS = [CLIENT, WEB, NEAR, MAPPED, AGENT]
PORT = ServicePort(name="http", port=80, targetPort=8080, nodePort=30080)
SERVICES = [
    service("web", ip="10.96.0.80", type="NodePort", ports=[PORT]),
    service("empty", ip="10.96.0.81"),
    service("local", ip="10.96.0.82", internalTrafficPolicy="Local"),
    service("headless", ip="None"),
]
SLICES = [
    endpoint_slice("web", "10.244.2.5", "10.244.1.8"),
    endpoint_slice("empty", endpoint("10.244.2.5", ready=False)),
    endpoint_slice("local", "10.244.2.5"),
]
DENY = {"metadata": {"name": "deny", "namespace": "default"}, "spec": {"podSelector": {"matchLabels": {"app": "web"}}}}


def one(name):
    kind = "node" if name in ("n1", "n2") else "machine" if name in ("client-machine", "cp1") else "pod"
    kind, name = ("service", name[4:]) if name.startswith("svc/") else (kind, name)
    return Owner(kind, name.removesuffix("-machine"), "default" if kind in ("pod", "service") else "")


def asked(found, source, destination, port=80):
    to = destination if destination[0].isdigit() else one(destination)
    row = verdict(found, one(source), to, port)
    return f"{row.outcome}{' by some' if row.some else ''}", row.culprit, row.text


HEALTHY = [
    ("client", "web"),
    ("client", "near"),
    ("client", "client"),
    ("client", "agent"),
    ("client", "n1"),
    ("client", "n2"),
    ("client", "client-machine"),
    ("client", "svc/web"),
    ("near", "svc/web"),
    ("n1", "web"),
    ("n1", "near"),
    ("n1", "svc/web"),
    ("n2", "svc/local"),
    ("agent", "svc/web"),
    ("client-machine", "n1"),
]


@pytest.mark.parametrize("cni", ["vxlan", "host-gw", "direct-routing"])
@pytest.mark.parametrize(("source", "destination"), HEALTHY)
def test_who_reaches_whom(cni, source, destination):
    assert asked(world(PODS, SERVICES, SLICES, cni=cni), source, destination) == ("delivered", "", "")


def test_a_pod_is_seen_as_its_machine_by_whoever_is_behind_a_service_outside_of_the_pod_network():
    outside = Endpoint(addresses=(address_of("cp1"),), conditions=EndpointConditions(ready=True))
    rows = [*SLICES[:1], endpoint_slice("empty", outside, ports=[("http", 6443, "TCP")])]
    assert asked(world(PODS, SERVICES, rows), "client", "svc/empty") == ("delivered", "", "")


@pytest.mark.parametrize("port", [30080, 8080])
@pytest.mark.parametrize("source", ["client-machine", "client", "n1", "n2", "near"])
def test_ports_of_machines(source, port):
    assert asked(world(PODS, SERVICES, SLICES), source, address_of("n2"), port) == ("delivered", "", "")


NO_POLICY = "ingress is not allowed by NetworkPolicy default/deny"
#: what is wrong → what is different in the world, who asks whom, and the answer
FAULTS = {
    "a policy": ({"policies": [DENY]}, "client", "web", "dropped", "policy", NO_POLICY),
    "of one endpoint": ({"policies": [DENY]}, "client", "svc/web", "delivered by some", "policy", NO_POLICY),
    "its own machine": ({"policies": [DENY]}, "n2", "web", "delivered", "", ""),
    "another machine": ({"policies": [DENY]}, "n1", "web", "dropped", "policy", NO_POLICY),
    "no endpoints": (
        *({}, "client", "svc/empty"),
        *("refused", "no-endpoints", "Service default/empty:http has no endpoints"),
    ),
    "no local endpoints": (
        *({}, "client", "svc/local"),
        *("dropped", "no-endpoints", "Service default/local:http has no local endpoints"),
    ),
    "outside": ({}, "client-machine", "web", "dropped", "no-route", "client has no route to 10.244.2.5"),
    "a free address": (
        *({}, "client", "10.244.2.99"),
        *("dropped", "no-neighbour", "no pod of n2 has the address 10.244.2.99"),
    ),
    "a cut cable": ({"topo": topology(down=["n2"])}, "client", "web", "dropped", "link-down", "the link n2–s1 is down"),
    "off": ({"topo": topology(state={"n2": "off"})}, "client", "web", "dropped", "machine-off", "n2 is off"),
    "a partition": (
        *({"topo": topology(partitions=((("n1",), ("n2",)),))}, "client", "web"),
        *("dropped", "partition", "n1 and n2 are kept apart by the partition n1 | n2"),
    ),
    "nobody's address": (
        *({}, "n1", "172.18.0.99"),
        *("dropped", "no-neighbour", "nobody behind n1-eth0 of n1 has the address 172.18.0.99"),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_who_does_not_and_why(fault):
    settings, source, destination, *expected = FAULTS[fault]
    assert asked(world(PODS, SERVICES, SLICES, **settings), source, destination) == tuple(expected)


@pytest.mark.parametrize(("mode", "outcome"), [("iptables", "dropped"), ("ipvs", "refused"), ("nftables", "refused")])
def test_a_port_that_the_service_does_not_have(mode, outcome):
    found = world(PODS, SERVICES, SLICES, proxy=mode)
    text = "Service default/web does not serve 81/tcp, but 80/tcp"
    assert asked(found, "client", "svc/web", 81) == (outcome, "no-such-port", text)


def test_a_node_that_flanneld_has_not_announced():
    bare = node("n2")
    bare = msgspec.structs.replace(bare, metadata=msgspec.structs.replace(bare.metadata, annotations={}))
    found = world(PODS)
    found = replace(found, nodes={**found.nodes, "n2": bare})
    assert asked(found, "client", "web")[1] == "no-neighbour"


def test_ends_that_share_no_family():
    with pytest.raises(ValueError, match="no address family in common"):
        verdict(world(PODS), one("client"), "fd00::1")


def test_thousands_of_pairs():
    """Each of 50 pods to each other one."""
    pods = [pod(f"p{n}", f"10.244.{1 + n % 2}.{10 + n}", labels={"app": f"p{n % 7}"}) for n in range(50)]
    found = world(pods, policies=[{**DENY, "spec": {"podSelector": {"matchLabels": {"app": "p3"}}}}])
    owners = [Owner("pod", row.name, "default") for row in pods]
    refused = [(a, b) for a, b in itertools.permutations(owners, 2) if not verdict(found, a, b, 80).reached]
    closed = {owner for owner, row in zip(owners, pods, strict=True) if row.metadata.labels["app"] == "p3"}
    assert refused == [(a, b) for a, b in itertools.permutations(owners, 2) if b in closed]
