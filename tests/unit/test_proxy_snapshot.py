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


HERE, ELSEWHERE = ["a"], ["b"]
LAST_RESORT = {"ready": False, "serving": True, "terminating": True}


@pytest.mark.parametrize(
    ("first", "second", "used"),
    [
        (endpoint("10.244.1.2", zones=HERE), endpoint("10.244.2.2", zones=ELSEWHERE), [1]),
        (endpoint("10.244.1.2", zones=HERE), endpoint("10.244.2.2"), [1, 2]),
        (endpoint("10.244.1.2", zones=ELSEWHERE), endpoint("10.244.2.2", zones=["c"]), [1, 2]),
        (endpoint("10.244.1.2", False, zones=HERE), endpoint("10.244.2.2", zones=ELSEWHERE), [2]),
        (endpoint("10.244.1.2", zones=HERE), endpoint("10.244.2.2", ready=False), [1]),
        (endpoint("10.244.1.2", **LAST_RESORT, zones=HERE), endpoint("10.244.2.2", **LAST_RESORT), [1, 2]),
    ],
    ids=["near", "one has none", "none for here", "near one unready", "unready ones do not count", "last resort"],
)
def test_hints_keep_traffic_in_the_zone_where_they_are_complete(first, second, used):
    [port] = build([service("web")], [endpoint_slice("web", first, second)], "n1", zone="a").ports.values()
    assert addresses(usable_endpoints(port).cluster) == [f"10.244.{node}.2:8080" for node in used]


def test_local_policy_does_not_ask_for_zones():
    slices = [endpoint_slice("web", endpoint("10.244.1.2", zones=["b"]), endpoint("10.244.2.2", zones=["a"]))]
    [port] = build([service("web", internalTrafficPolicy="Local")], slices, "n1", zone="a").ports.values()
    assert addresses(usable_endpoints(port).reachable) == ["10.244.1.2:8080"]


def test_a_machine_in_no_zone_takes_no_notice_of_hints():
    slices = [endpoint_slice("web", endpoint("10.244.1.2", zones=["a"]))]
    [port] = ports([service("web")], slices).values()
    assert addresses(usable_endpoints(port).cluster) == ["10.244.1.2:8080"]


def test_health_checks_count_a_services_ready_pods_on_this_machine():
    two = [HTTP, ServicePort(name="admin", port=81)]
    local = {"balanced": ["192.0.2.8"], "externalTrafficPolicy": "Local", "healthCheckNodePort": 32000}
    endpoints = ["10.244.1.2", "10.244.1.3", "10.244.2.2", endpoint("10.244.1.4", ready=False)]
    slices = [endpoint_slice("web", *endpoints, ports=[("http", 80, "TCP"), ("admin", 81, "TCP")])]
    state = build([service("web", ports=two, **local), service("other")], slices, "n1")
    assert state.health_checks == {("default", "web"): (32000, 2)}
    assert build([service("web", **local)], [], "n1").health_checks == {("default", "web"): (32000, 0)}


def test_a_service_of_one_family_is_none_of_the_other_familys_business():
    assert build([service("web")], [endpoint_slice("web", "10.244.1.2")], "n1", family=6).ports == {}
    [port] = build([service("web", "fd00:10:96::80")], [], "n1", family=6).ports.values()
    assert port.cluster_ip == "fd00:10:96::80"


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
