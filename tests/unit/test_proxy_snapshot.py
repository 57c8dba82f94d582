"""What kube-proxy makes of Services and EndpointSlices, before any rule."""

import pytest

from knet.api.objects import ServicePort
from knet.proxy.snapshot import PROXY_NAME_LABEL, ServicePortName, build, usable_endpoints
from tests.cluster_objects import HTTP, endpoint, endpoint_slice, service

WEB = ServicePortName("default", "web", "http", "TCP")


def ports(services, slices, node="n1"):
    return build(services, slices, node, "172.18.0.11", "10.244.0.0/16").ports


def addresses(endpoints):
    return [str(row) for row in endpoints]


def usable(*endpoints, **spec):
    [port] = ports([service("web", **spec)], [endpoint_slice("web", *endpoints)]).values()
    return usable_endpoints(port)


@pytest.mark.parametrize(
    "unserved",
    [
        service("headless", "None"),
        service("alias", "", type="ExternalName", externalName="example.com"),
        service("unassigned", ""),
        service("elsewhere", labels={PROXY_NAME_LABEL: "other"}),
    ],
    ids=lambda row: row.name,
)
def test_services_without_a_virtual_address_of_ours_are_passed_over(unserved):
    assert ports([unserved], []) == {}


def test_every_port_of_a_service_has_its_own_endpoints():
    both = [HTTP, ServicePort(name="metrics", port=9000), ServicePort(name="http", port=80, protocol="UDP")]
    slices = [
        endpoint_slice("web", "10.244.1.2", ports=[("http", 8080, "TCP"), ("metrics", 9001, "TCP")]),
        endpoint_slice("web", "10.244.2.2", ports=[("http", 8081, "UDP")], suffix="b"),
        endpoint_slice("other", "10.244.2.9"),
        endpoint_slice("web", "10.244.2.9", namespace="staging"),
    ]
    found = {
        str(name) + "/" + name.protocol: addresses(port.endpoints)
        for name, port in ports([service("web", ports=both)], slices).items()
    }
    assert found == {
        "default/web:http/TCP": ["10.244.1.2:8080"],
        "default/web:http/UDP": ["10.244.2.2:8081"],
        "default/web:metrics/TCP": ["10.244.1.2:9001"],
    }


def test_an_endpoint_in_two_slices_counts_once_and_as_ready():
    slices = [
        endpoint_slice("web", endpoint("10.244.1.2", ready=False)),
        endpoint_slice("web", endpoint("10.244.1.2"), suffix="b"),
    ]
    [row] = ports([service("web")], slices)[WEB].endpoints
    assert row.ready


def test_slices_of_other_address_families_are_left_to_their_own_proxy():
    assert ports([service("web")], [endpoint_slice("web", "10.244.1.2", family="IPv6")])[WEB].endpoints == ()


def test_endpoints_on_this_machine_are_known_as_local():
    found = ports([service("web")], [endpoint_slice("web", "10.244.1.2", "10.244.2.2")])[WEB].endpoints
    assert [(row.ip, row.local) for row in found] == [("10.244.1.2", True), ("10.244.2.2", False)]


def test_unknown_conditions_mean_ready():
    assert addresses(usable(endpoint("10.244.1.2", ready=None)).cluster) == ["10.244.1.2:8080"]


@pytest.mark.parametrize(
    ("endpoints", "expected"),
    [
        ([endpoint("10.244.1.2"), endpoint("10.244.1.3", ready=False)], ["10.244.1.2:8080"]),
        ([endpoint("10.244.1.2"), endpoint("10.244.1.3", False, True, True)], ["10.244.1.2:8080"]),
        ([endpoint("10.244.1.2", ready=False), endpoint("10.244.1.3", False, True, True)], ["10.244.1.3:8080"]),
        ([endpoint("10.244.1.2", False, False, True)], []),
        ([], []),
    ],
    ids=["unready", "terminating beside ready", "terminating as last resort", "terminating, not serving", "none"],
)
def test_which_endpoints_get_traffic(endpoints, expected):
    found = usable(*endpoints)
    assert addresses(found.cluster) == expected
    assert found.anywhere == bool(expected)


def test_local_policy_uses_this_machines_endpoints_and_knows_of_others():
    found = usable("10.244.2.2", internalTrafficPolicy="Local")
    assert (found.cluster, found.local, found.anywhere) == ((), (), True)
    found = usable("10.244.1.2", "10.244.2.2", internalTrafficPolicy="Local")
    assert addresses(found.reachable) == ["10.244.1.2:8080"]


def test_external_local_policy_keeps_the_others_for_traffic_from_inside():
    node_port = [ServicePort(name="http", port=80, nodePort=30080)]
    found = usable("10.244.1.2", "10.244.2.2", ports=node_port, type="NodePort", externalTrafficPolicy="Local")
    assert addresses(found.cluster) == ["10.244.1.2:8080", "10.244.2.2:8080"]
    assert addresses(found.local) == ["10.244.1.2:8080"]
