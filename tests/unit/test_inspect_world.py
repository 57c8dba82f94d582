"""A world as a value, and what the components of its machines make of it."""

from dataclasses import replace

import pytest
from worlds import pod, world

from knet.api.objects import ContainerPort, ServicePort
from knet.client.controller import key_of
from knet.inspect import desired
from knet.inspect.world import Owner, addresses_of
from knet.proxy import iptables
from tests.cluster_objects import endpoint_slice, service

WEB = pod("web-0", "10.244.2.5", ports=[ContainerPort(containerPort=80, hostPort=8080)])
CLIENT = pod("client", "10.244.1.7")
HTTP = ServicePort(name="http", port=80, targetPort=8080)
SERVICE = service("web", ip="10.96.0.80", externalIPs=("192.0.2.7",), ports=[HTTP])
ISOLATE = {"metadata": {"name": "deny", "namespace": "default"}, "spec": {"podSelector": {}}}


@pytest.mark.parametrize(
    ("address", "owner"),
    [
        ("10.244.2.5", Owner("pod", "web-0", "default")),
        ("10.96.0.80", Owner("service", "web", "default")),
        ("192.0.2.7", Owner("service", "web", "default")),
        ("172.18.0.3", Owner("node", "n1")),
        ("172.18.0.5", Owner("machine", "client")),
        ("203.0.113.1", None),
    ],
)
def test_whose_an_address_is(address, owner):
    assert world([WEB, CLIENT], [SERVICE]).owners.get(address) == owner


def test_an_address_that_was_given_away_is_the_new_pods():
    leaving = replace_meta(pod("old", "10.244.2.5"), deletionTimestamp="2026-01-01T00:00:00Z")
    assert world([WEB, leaving]).pod_at["10.244.2.5"] is WEB
    assert world([leaving]).pod_at["10.244.2.5"] is leaving


def replace_meta(row, **changes):
    import msgspec

    return msgspec.structs.replace(row, metadata=msgspec.structs.replace(row.metadata, **changes))


def test_pods_in_their_machines_network_have_no_address_of_their_own():
    found = world([pod("agent", "172.18.0.3", host_network=True)])
    assert found.pod_at == {}
    assert found.owners["172.18.0.3"] == Owner("node", "n1")


def test_the_virtual_addresses_of_a_service():
    assert addresses_of(service("web", ip="10.96.0.80", balanced=["172.18.0.200"])) == ("10.96.0.80", "172.18.0.200")
    assert addresses_of(service("web", ip="None")) == ()


def test_what_the_components_of_a_machine_want():
    found = world([WEB, CLIENT], [SERVICE], [endpoint_slice("web", "10.244.2.5")], [ISOLATE])
    state = desired.overlay(found, "n1")
    assert [str(route) for route in state.routes] == ["10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink"]
    assert state.mtu == 1450
    assert [str(row) for row in next(iter(desired.snapshot(found, "n2").ports.values())).endpoints] == [
        "10.244.2.5:8080"
    ]
    assert desired.snapshot(found, "n2").node_ip == "172.18.0.4"
    assert "KUBE-SVC-" in iptables.render(desired.snapshot(found, "n1"))
    assert "10.244.2.5 : goto" in str(desired.isolation(found, "n2"))
    assert "10.244.2.5 : goto" not in str(desired.isolation(found, "n1"))
    assert [chain.name for chain in desired.masquerading(found, "n1")] == ["FLANNEL-POSTRTG", "FLANNEL-FWD"]
    assert [(row.host_port, row.port) for row in desired.host_ports(found, "n2")] == [(8080, 80)]
    assert desired.host_ports(found, "n1") == []
    assert desired.overlay(found, "client") is None


@pytest.mark.parametrize(
    ("settings", "routes", "mtu"),
    [
        ({"cni": "host-gw"}, ["10.244.2.0/24 via 172.18.0.4 dev n1-eth0"], 1500),
        ({"cni": "direct-routing", "mtu": 1400}, ["10.244.2.0/24 via 172.18.0.4 dev n1-eth0"], 1400),
    ],
)
def test_backends(settings, routes, mtu):
    state = desired.overlay(world(**settings), "n1")
    assert ([str(route) for route in state.routes], state.mtu) == (routes, mtu)


def test_another_world_is_worked_out_anew():
    before = world([CLIENT, WEB])
    assert desired.isolation(before, "n2") is desired.isolation(before, "n2")
    assert not desired.isolation(before, "n2")
    [policy] = world(policies=[ISOLATE]).policies.values()
    assert desired.isolation(replace(before, policies={key_of(policy): policy}), "n2")
    assert not desired.isolation(before, "n2")
