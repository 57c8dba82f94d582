"""What an object makes different, told of worlds in code: golden text in each proxy mode, and what cannot be told."""

import base64
import re
from dataclasses import replace
from pathlib import Path
from socket import IPPROTO_TCP, IPPROTO_UDP

import msgspec
import pytest
from worlds import pod, world

from knet.api.load_balancers import held
from knet.api.objects import Condition, ServicePort
from knet.client.controller import Key, key_of
from knet.cni.lease import BackendData, Lease, annotations, vtep_mac
from knet.ingress import fake
from knet.inspect.explain.connections import FORGOTTEN, KEPT
from knet.inspect.explain.explain import Subject, differences, explain
from knet.inspect.explain.notes import notes, pods_of
from knet.inspect.explain.objects import settled, with_object, without_object
from knet.inspect.explain.report import as_json, lines
from knet.kernel.conntrack import Flow, Tracked
from tests.cluster_objects import endpoint_slice, service


def ready(row):
    status = msgspec.structs.replace(row.status, conditions=(Condition(type="Ready", status="True"),))
    metadata = msgspec.structs.replace(row.metadata, uid=f"uid-{row.name}")
    return msgspec.structs.replace(row, status=status, metadata=metadata)


#: in each mode, after a line ### MODE
GOLDEN = Path(__file__).with_name("golden_explain.txt")
WEB = [ready(pod(f"web-{n}", f"10.244.{n + 1}.5", labels={"app": "web"})) for n in range(2)]
CLIENT = ready(pod("client", "10.244.1.7"))
HTTP = {"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}
SERVICE = {
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"clusterIP": "10.96.0.80", "clusterIPs": ["10.96.0.80"], "selector": {"app": "web"}, "ports": [HTTP]},
}
DENY = {"metadata": {"name": "deny", "namespace": "default"}, "spec": {"podSelector": {"matchLabels": {"app": "web"}}}}
WEB_KEY = Key("default", "web")


def applied(before, kind, manifest, tables=None, verb="created"):
    after = settled(before, with_object(before, kind, manifest))
    meta = manifest["metadata"]
    return explain(Subject(kind, Key(meta.get("namespace", ""), meta["name"])), verb, before, after, (), tables)


def deleted(before, kind, key):
    return explain(Subject(kind, key), "deleted", before, settled(before, without_object(before, kind, key)))


def text(explanation):
    return "".join(f"{piece}\n" for piece in lines(explanation))


def brief(explanation):
    """Without whose the lines are."""
    return [piece.text for piece in lines(explanation)]


@pytest.mark.parametrize("mode", ["iptables", "nftables", "ipvs"])
def test_a_service_in_each_mode(mode):
    golden = dict(re.findall(r"^### (\w+)\n(.*?)(?=^###|\Z)", GOLDEN.read_text(), re.MULTILINE | re.DOTALL))
    assert text(applied(world(WEB, proxy=mode), "Service", SERVICE)) == golden[mode]


def test_what_goes_is_what_came_the_other_way_round():
    with_it = settled(world(WEB), with_object(world(WEB), "Service", SERVICE))
    came, went = applied(world(WEB), "Service", SERVICE), deleted(with_it, "Service", WEB_KEY)
    assert sorted(brief(came)[1:]) == sorted(
        row.replace("- ", "+ ", 1).replace("(gone)", "(new)") if row[0] in "-@" else row for row in brief(went)[1:]
    )


def test_another_pod_is_one_more_endpoint():
    before = settled(world(WEB), with_object(world(WEB), "Service", SERVICE))
    more = msgspec.to_builtins(ready(pod("web-2", "10.244.2.6", labels={"app": "web"})))
    found = brief(applied(before, "Pod", more))
    last = '-m comment --comment "default/web:http -> 10.244.2.5:8080"'
    assert [row for row in found if row.startswith(("-", "+")) and "10.244.2.5" in row] == [
        f"- {last} -j KUBE-SEP-OAIGUPJHOE4YU7HS",
        f"+ {last} -m statistic --mode random --probability 0.5000000000 -j KUBE-SEP-OAIGUPJHOE4YU7HS",
    ]
    assert "+ 10-244-2-6.web.default.svc.cluster.local A 10.244.2.6" in found


def test_a_policy_isolates_on_the_machines_of_its_pods():
    explanation = applied(world([*WEB[:1], CLIENT]), "NetworkPolicy", DENY)
    [effect] = explanation.effects
    assert effect.machines == ("n1",)
    assert "+ 10.244.1.5 : goto ingress-of-02d49a56" in brief(explanation)
    assert "@@ inet knet-policy chain ingress/default/deny (new)" in brief(explanation)


def test_labels_of_a_namespace_are_who_a_policy_lets_in():
    friends = [{"from": [{"namespaceSelector": {"matchLabels": {"team": "a"}}}]}]
    policy = {**DENY, "spec": {**DENY["spec"], "ingress": friends}}
    other = ready(pod("friend", "10.244.2.9", namespace="other"))
    before = settled(world([*WEB, other]), with_object(world([*WEB, other]), "NetworkPolicy", policy))
    labelled = {"metadata": {"name": "other", "labels": {"team": "a"}}}
    changed = [row for row in brief(applied(before, "Namespace", labelled)) if row[0] in "+-"]
    assert changed == ["+ 10.244.2.9"]


NODE = """\
Node n3 created
n1, n2:
@@ route IPv4
+ 10.244.3.0/24 via 10.244.3.0 dev flannel.1 onlink                                                   # pods of node n3
@@ neigh IPv4
+ 10.244.3.0 dev flannel.1 lladdr {mac} permanent                                         # node n3
@@ fdb IPv4
+ {mac} dev flannel.1 dst 172.18.0.9 permanent                                            # node n3
"""


def test_a_node_is_a_route_a_neighbour_and_a_forwarding_entry():
    lease = Lease("n3", "10.244.3.0/24", "172.18.0.9", "vxlan", BackendData(1, vtep_mac("n3")))
    manifest = {"metadata": {"name": "n3", "annotations": annotations(lease)}, "spec": {"podCIDR": lease.subnet}}
    assert text(applied(world(), "Node", manifest)) == NODE.format(mac=vtep_mac("n3"))


def test_a_machine_whose_node_goes_keeps_what_its_flanneld_wrote():
    before = world(WEB)
    after = without_object(before, "Node", Key("", "n2"))
    assert [str(row.section) for row in differences(before, after, "n1")] == ["route IPv4", "neigh IPv4", "fdb IPv4"]
    assert differences(before, after, "n2") == []


UDP = {"name": "dns", "port": 53, "targetPort": 5353, "protocol": "UDP"}
SOURCE = ("10.244.1.7", 40000, "10.96.0.80")


def test_udp_flows_to_endpoints_that_go_are_forgotten_and_tcp_connections_kept():
    both = {**SERVICE, "spec": {**SERVICE["spec"], "ports": [HTTP, UDP]}}
    before = settled(world(WEB), with_object(world(WEB), "Service", both))
    rows = [
        Tracked(Flow(IPPROTO_UDP, *SOURCE, 53, "10.244.2.5", 5353), "10.244.1.7", 40000),
        Tracked(Flow(IPPROTO_UDP, *SOURCE, 53, "10.244.1.5", 5353), "10.244.1.7", 40000),
        Tracked(Flow(IPPROTO_TCP, *SOURCE, 80, "10.244.2.5", 8080), "10.244.1.7", 40000),
        Tracked(Flow(IPPROTO_TCP, "10.244.1.7", 1, "192.0.2.1", 80, "192.0.2.1", 80), "10.244.1.7", 1),
    ]
    after = settled(before, without_object(before, "Pod", Key("default", "web-1")))
    found = explain(Subject("Pod", Key("default", "web-1")), "deleted", before, after, (), {"n1": rows, "n2": []})
    assert {row.tracked: row.fate for row in found.connections["n1"]} == {rows[0]: FORGOTTEN, rows[2]: KEPT}
    assert "- udp 10.244.1.7:40000 → 10.96.0.80:53 ⇒ 10.244.2.5:5353 forgotten" in brief(found)
    assert "  tcp 10.244.1.7:40000 → 10.96.0.80:80 ⇒ 10.244.2.5:8080 kept" in brief(found)
    assert [row["fate"] for row in as_json(found)["connections"]] == [FORGOTTEN, KEPT]


def test_an_ingress_is_a_server_of_nginx():
    backend = {"service": {"name": "web", "port": {"name": "http"}}}
    rule = {"host": "web.lab", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    ingress = {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"ingressClassName": "nginx", "rules": [rule]},
    }
    before = settled(world(WEB), with_object(world(WEB), "Service", SERVICE))
    found = brief(applied(before, "Ingress", ingress))
    assert "@@ nginx nginx.conf" in found
    assert "+         server_name web.lab;" in found
    assert sum("10.244.1.5:8080" in row for row in found) == 1


TLS = {
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"ingressClassName": "nginx", "tls": [{"hosts": ["web.lab"], "secretName": "cert"}]},
}


def secret(directory, name="cert"):
    """With a certificate that is another one each time."""
    fake.write(directory / "own.pem")
    chain, begin, key = (directory / "own.pem").read_text().partition("-----BEGIN PRIVATE")
    data = {"tls.crt": chain, "tls.key": begin + key}
    encoded = {part: base64.b64encode(text.encode()).decode() for part, text in data.items()}
    return {"metadata": {"name": name, "namespace": "default"}, "type": "kubernetes.io/tls", "data": encoded}


def test_a_secret_is_the_certificate_of_an_ingress(tmp_path):
    before = settled(world(), with_object(world(), "Ingress", TLS))
    first, second = secret(tmp_path), secret(tmp_path)
    came = brief(applied(before, "Secret", first))
    assert "@@ certificate default-cert (new)" in came
    assert [row for row in came if "ssl_certificate " in row][-1].endswith("/ssl/default-cert.pem;")
    assert {"+ subject CN=Kubernetes Ingress Controller Fake Certificate,O=Acme Co", "+ for ingress.local"} < {*came}
    assert not [row for row in came if "PRIVATE" in row or "tls.key" in row]
    changed = brief(applied(with_object(before, "Secret", first), "Secret", second))
    assert {row[:8] for row in changed if row[0] in "+-"} - {"- until ", "+ until "} == {"- sha256", "+ sha256"}
    assert brief(applied(before, "Secret", secret(tmp_path, "other")))[1:] == ["  nothing changes on any machine"]


def test_addresses_that_are_announced_by_bgp_are_routes_of_a_table():
    status = {"loadBalancer": {"ingress": [{"ip": "198.51.100.1"}]}}
    balanced = {**SERVICE, "spec": {**SERVICE["spec"], "type": "LoadBalancer"}, "status": status}
    cluster = world(WEB[:1], lb_mode="bgp", load_balancers="198.51.100.1")
    cluster = replace(cluster, nodes={name: ready(row) for name, row in cluster.nodes.items()})
    found = applied(cluster, "Service", balanced)
    announced = {
        effect.machines: [str(line.text) for line in change.lines]
        for effect in found.effects
        for change in effect.changes
        if str(change.section) == "route table 179 IPv4"
    }
    assert announced == {("n1", "n2"): ["blackhole 198.51.100.1/32 table 179"]}


def deployment(replicas, **labels):
    template = {"metadata": {"labels": labels}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": "web", "namespace": "default"}, "spec": spec}


def becoming(**spec):
    return {**SERVICE, "spec": {**SERVICE["spec"], **spec}}


FINAL = "the ClusterIP 10.96.0.80 is not final: it is taken from the free ones when the Service is created"
NOBODY = "no Service selects them, no NetworkPolicy isolates them"


@pytest.mark.parametrize(
    ("kind", "written", "becomes", "said"),
    [
        ("Service", SERVICE, SERVICE, []),
        ("Service", {"spec": {"ports": [HTTP]}}, SERVICE, [FINAL]),
        (
            "Service",
            {"spec": {"clusterIP": "10.96.0.80", "ports": [HTTP]}},
            becoming(ports=[{**HTTP, "nodePort": 30080}]),
            ["1 node port likewise: 30080"],
        ),
        (
            "Service",
            SERVICE,
            becoming(type="LoadBalancer"),
            ["its load balancer has no address: none is free, or it is for another controller to give one"],
        ),
        (
            "Service",
            SERVICE,
            becoming(selector={"app": "db"}),
            ["it selects no pod that has an address (app=db): connections are refused until it does"],
        ),
        ("Service", {}, becoming(type="ExternalName", clusterIP="None"), []),
        ("NetworkPolicy", DENY, DENY, ["isolates 2 pods (ingress)"]),
        (
            "Pod",
            {},
            deployment(1),
            [f"it has no address until it runs; then: {NOBODY}"],
        ),
        (
            "Deployment",
            {},
            deployment(3, app="web"),
            [
                "1 pod more, whose addresses nobody knows yet → endpoints of Service default/web, "
                "isolated by NetworkPolicy default/deny"
            ],
        ),
        ("Deployment", {}, deployment(1, app="web"), [
            "1 pod fewer; which ones, its controller decides → "
            "endpoints of Service default/web, isolated by NetworkPolicy default/deny"
        ]),
        ("Deployment", {}, deployment(3, app="db"), [f"3 pods, whose addresses nobody knows yet → {NOBODY}"]),
        ("DaemonSet", {}, deployment(1, app="x"), [f"2 pods, whose addresses nobody knows yet → {NOBODY}"]),
        ("Node", {}, {"metadata": {"name": "n9"}}, [
            "other machines have routes to it when its flanneld has announced its part of the pod network"
        ]),
        ("ConfigMap", {}, {}, ["no packet depends on a ConfigMap"]),
    ],
)  # fmt: skip
def test_what_cannot_be_told_beforehand_is_said(kind, written, becomes, said):
    before = with_object(with_object(world(WEB), "Service", SERVICE), "NetworkPolicy", DENY)
    assert notes(kind, written, becomes, before, True) == said


def test_a_load_balancers_address_is_the_lowest_that_is_free():
    before = world(WEB, [service("other", "10.96.0.81", balanced=["172.18.0.200"])], load_balancers="172.18.0.200/29")
    made = becoming(type="LoadBalancer")
    after = settled(before, with_object(before, "Service", made))
    assert held(after.services[WEB_KEY]) == ("172.18.0.201",)
    said = "its load balancer's address is given after that: 172.18.0.201, the lowest that is free now"
    assert notes("Service", made, made, after, True) == [said]
    jump = '-m comment --comment "default/web:http loadbalancer IP" -m tcp -p tcp -d 172.18.0.201 --dport 80'
    assert f"+ {jump} -j KUBE-EXT-CDGGSHYLG3RE2FKL" in brief(applied(before, "Service", made))
    again = settled(
        after,
        with_object(after, "Service", {**SERVICE, "status": {"loadBalancer": {"ingress": [{"ip": "172.18.0.201"}]}}}),
    )
    assert held(again.services[WEB_KEY]) == ()


def test_a_workloads_pods_are_those_that_it_selects():
    assert pods_of(deployment(2, app="web"), world([*WEB, CLIENT])) == [key_of(row) for row in WEB]


def test_nothing_is_said_to_change_where_nothing_does():
    before = settled(world(WEB), with_object(world(WEB), "Service", SERVICE))
    assert brief(applied(before, "Service", SERVICE, verb="unchanged")) == [
        "Service default/web unchanged",
        "  nothing changes on any machine",
    ]


def test_a_namespace_takes_with_it_what_is_in_it():
    before = settled(world(WEB), with_object(world(WEB), "Service", SERVICE))
    after = without_object(before, "Namespace", Key("", "default"))
    assert not (after.services or after.pods or after.slices)
    assert after.nodes == before.nodes


def test_slices_that_somebody_else_writes_stay():
    own = endpoint_slice("db", "10.244.1.9")
    before = world(services=[service("db", ports=[ServicePort(name="http", port=80)])], slices=[own])
    assert settled(before, replace(before)).slices == before.slices
