"""The objects behind what a kernel holds, for all that the components render: nothing in it is without an owner."""

import re

import pytest
from worlds import pod, world

from knet.api.objects import ContainerPort, ServicePort
from knet.cni import portmap
from knet.cni.lease import vtep_mac
from knet.inspect import desired
from knet.inspect.attribution import attribution
from knet.inspect.trace.hops import Passage, Rule
from knet.kernel.neighbours import FdbEntry, Neighbour
from knet.kernel.routes import Route
from knet.proxy import iptables
from knet.proxy.nftables import text as nftables
from tests.cluster_objects import endpoint_slice, service

PODS = [
    pod("client", "10.244.1.7", ports=[ContainerPort(containerPort=80, hostPort=8080)]),
    pod("web-0", "10.244.2.5"),
]
HTTP = ServicePort(name="http", port=80, targetPort=8080, nodePort=30080)
SERVICES = [
    service("web", ip="10.96.0.80", type="NodePort", ports=[HTTP]),
    service("sticky", ip="10.96.0.81", sticky=600, balanced=["172.18.0.200"], loadBalancerSourceRanges=("10.0.0.0/8",)),
    service("unnamed", ip="10.96.0.82", ports=[ServicePort(port=80, targetPort=8080)]),
]
SLICES = [
    endpoint_slice(name, "10.244.2.5", ports=[(port, 8080, "TCP")])
    for name, port in (("web", "http"), ("sticky", "http"), ("unnamed", ""))
]
POLICY = {
    "metadata": {"name": "only-clients", "namespace": "default"},
    "spec": {
        "podSelector": {"matchLabels": {"app": "client"}},
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "web-0"}}}], "ports": [{"port": "http"}]}],
    },
}
WORLD = world(PODS, SERVICES, SLICES, [POLICY])
FOUND = attribution(WORLD, "n1")
SNAPSHOT = desired.snapshot(WORLD, "n1")
WEB, SLICE = "Service default/web port http", "EndpointSlice default/web-a endpoint 10.244.2.5:8080"


def said(causes):
    return " · ".join(map(str, causes))


def test_every_chain_of_kube_proxy_has_an_owner_and_every_comment_its_object():
    for chain, rules in iptables.chains(SNAPSHOT).items():
        causes = FOUND.chain(chain.name)
        objects = {cause.kind for cause in causes} - {"Component"}
        assert bool(objects) == chain.name.startswith(("KUBE-SVC-", "KUBE-SVL-", "KUBE-SEP-", "KUBE-EXT-", "KUBE-FW-"))
        for rule in rules:
            comment = re.search(r'--comment (?:"([^"]+)"|(\S+))', rule)
            text = next(filter(None, comment.groups())) if comment else ""
            named = FOUND.comment(text)
            assert bool(named) == ("default/" in text), rule
            assert not named or named[0].name in text


@pytest.mark.parametrize(
    ("comment", "causes"),
    [
        ("default/web:http cluster IP", WEB),
        ("default/web:http -> 10.244.2.5:8080", f"{WEB} · {SLICE}"),
        ("masquerade traffic for default/web:http external destinations", WEB),
        ("default/unnamed has no endpoints", "Service default/unnamed"),
        ("default/client", "Pod default/client"),
        ("kubernetes service portals", ""),
        ("default/gone cluster IP", ""),
    ],
)
def test_comments(comment, causes):
    assert said(FOUND.comment(comment)) == causes


def test_every_chain_set_and_comment_of_the_mode_nftables_has_an_owner():
    text = nftables.render(SNAPSHOT)
    names = set(re.findall(r"^add (?:chain|set|map) ip kube-proxy (\S+)", text, re.M))
    own = {name for name in names if "default/" in name}
    assert len(own) > 4
    for name in names:
        assert FOUND.chain(name), name
    assert {said(FOUND.chain(name)).split(" · ")[0] for name in own} == {"Service default/sticky port http"}
    [endpoint] = [name for name in own if name.startswith("endpoint-")]
    assert said(FOUND.chain(endpoint)[1:]) == "EndpointSlice default/sticky-a endpoint 10.244.2.5:8080"


def test_every_chain_and_set_of_policies_has_an_owner():
    table = desired.isolation(WORLD, "n1")
    policy = "NetworkPolicy default/only-clients"
    for name in (*table.sets, *table.chains):
        belongs = name.startswith(("pods-", "port-", "ingress-of-", "ingress/"))
        assert said(FOUND.chain(name)) == (policy if belongs else "Component kube-network-policies@n1"), name


def test_flanneld_and_host_ports():
    assert {said(FOUND.chain(chain.name)) for chain in desired.masquerading(WORLD, "n1")} == {"Component flanneld@n1"}
    text = portmap.render(desired.host_ports(WORLD, "n1"), "IPv4")
    assert (
        said(FOUND.comment(re.search(r'--dport 8080 .*--comment "([^"]+)" -j DNAT', text)[1])) == "Pod default/client"
    )
    assert said(FOUND.chain("CNI-HOSTPORT-DNAT")) == "Component kubelet@n1"


def test_passages():
    rule = Rule(7, "-d 10.96.0.80/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-X", "default/web:http cluster IP")
    assert said(FOUND.passage(Passage("ip", "nat", "KUBE-SERVICES", (rule,)))) == WEB
    assert said(FOUND.passage(Passage("ip", "nat", "KUBE-SERVICES"))) == "Component kube-proxy@n1"
    jump = Rule(3, "jump ingress/default/only-clients")
    assert (
        said(FOUND.passage(Passage("inet", "knet-policy", "ingress-of-1", (jump,))))
        == "NetworkPolicy default/only-clients"
    )


@pytest.mark.parametrize(
    ("causes", "expected"),
    [
        (FOUND.service("10.96.0.80", 80, "TCP"), WEB),
        (FOUND.service("", 30080, "tcp"), f"{WEB} nodePort"),
        (FOUND.service("10.96.0.80", 81, "tcp"), ""),
        (FOUND.endpoint("10.244.2.5", 8080, "tcp")[2:3], "Service default/unnamed"),
        (FOUND.address("10.244.2.5"), "Pod default/web-0"),
        (FOUND.address("172.18.0.4"), "Node n2"),
        (FOUND.route(Route("10.244.2.0/24", "flannel.1", "10.244.2.0", onlink=True)), "Node n2 podCIDR"),
        (FOUND.route(Route("10.244.1.0/24", "cni0")), "Node n1 podCIDR"),
        (FOUND.route(Route("default", "n1-eth0")), "Topology n1 route default"),
        (FOUND.route(Route("192.0.2.0/24", "n1-eth0")), ""),
        (FOUND.neighbour(Neighbour("10.244.2.0", "flannel.1", vtep_mac("n2"))), "Node n2 flannel annotations"),
        (FOUND.neighbour(Neighbour("172.18.0.2", "n1-eth0", "02:42:ac:12:00:02")), "Topology cp1"),
        (FOUND.fdb(FdbEntry(vtep_mac("n2"), "flannel.1", "172.18.0.4")), "Node n2 flannel annotations"),
        (FOUND.interface("n1-eth0"), "Link n1–s1"),
        (FOUND.interface("lo"), ""),
    ],
)
def test_addresses_routes_and_entries(causes, expected):
    assert said(causes) == expected
