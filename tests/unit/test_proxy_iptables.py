"""The rules of mode iptables: their text, and where they lead packets."""

import random

import pytest
from iptables_walk import Ruleset
from packets import Outcome, Packet

from knet.api.objects import ServicePort
from knet.proxy.chains import FILTER, NAT, Chain, chain_name
from knet.proxy.iptables import Renderer, chains, render
from knet.proxy.snapshot import Place, build
from knet.proxy.tracker import Tracker
from tests.cluster_objects import endpoint_slice, service

NODE = "172.18.0.11"
POD, OTHER_POD, OUTSIDER = "10.244.1.9", "10.244.2.9", "172.18.0.50"
NODE_PORT = ServicePort(name="http", port=80, nodePort=30080)
LOCAL_LB = service("web", balanced=["192.0.2.8"], externalTrafficPolicy="Local", healthCheckNodePort=32000)

GOLDEN = """\
*filter
:KUBE-SERVICES - [0:0]
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
:KUBE-FIREWALL - [0:0]
-A KUBE-SERVICES -m comment --comment "ns2/idle has no endpoints" -m udp -p udp -d 10.96.0.53 --dport 53 -j REJECT
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A KUBE-FIREWALL -m comment --comment "block incoming localnet connections" -d 127.0.0.0/8 ! -s 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
-I INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
-I FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
-I INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS
-I FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-I OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-I FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-I INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-I OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-I FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-I INPUT -j KUBE-FIREWALL
-I OUTPUT -j KUBE-FIREWALL
COMMIT
*nat
:KUBE-SERVICES - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-SVC-XPGD46QRK7WJZT7O - [0:0]
:KUBE-EXT-XPGD46QRK7WJZT7O - [0:0]
:KUBE-SEP-SXIVWICOYRO3J4NJ - [0:0]
:KUBE-SEP-LXVODXWDISEETFEF - [0:0]
:KUBE-SEP-ICDUIKC33SFI6ZPR - [0:0]
-A KUBE-SERVICES -m comment --comment "ns1/svc1:p80 cluster IP" -m tcp -p tcp -d 10.96.0.41 --dport 80 -j KUBE-SVC-XPGD46QRK7WJZT7O
-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-NODEPORTS -m comment --comment ns1/svc1:p80 -m tcp -p tcp --dport 30080 -j KUBE-EXT-XPGD46QRK7WJZT7O
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
-A KUBE-SVC-XPGD46QRK7WJZT7O -m comment --comment "ns1/svc1:p80 cluster IP" -m tcp -p tcp -d 10.96.0.41 --dport 80 ! -s 10.244.0.0/16 -j KUBE-MARK-MASQ
-A KUBE-SVC-XPGD46QRK7WJZT7O -m comment --comment "ns1/svc1:p80 -> 10.180.0.1:80" -m statistic --mode random --probability 0.3333333333 -j KUBE-SEP-SXIVWICOYRO3J4NJ
-A KUBE-SVC-XPGD46QRK7WJZT7O -m comment --comment "ns1/svc1:p80 -> 10.180.0.2:80" -m statistic --mode random --probability 0.5000000000 -j KUBE-SEP-LXVODXWDISEETFEF
-A KUBE-SVC-XPGD46QRK7WJZT7O -m comment --comment "ns1/svc1:p80 -> 10.180.0.3:80" -j KUBE-SEP-ICDUIKC33SFI6ZPR
-A KUBE-EXT-XPGD46QRK7WJZT7O -m comment --comment "masquerade traffic for ns1/svc1:p80 external destinations" -j KUBE-MARK-MASQ
-A KUBE-EXT-XPGD46QRK7WJZT7O -j KUBE-SVC-XPGD46QRK7WJZT7O
-A KUBE-SEP-SXIVWICOYRO3J4NJ -m comment --comment ns1/svc1:p80 -s 10.180.0.1 -j KUBE-MARK-MASQ
-A KUBE-SEP-SXIVWICOYRO3J4NJ -m comment --comment ns1/svc1:p80 -m tcp -p tcp -j DNAT --to-destination 10.180.0.1:80
-A KUBE-SEP-LXVODXWDISEETFEF -m comment --comment ns1/svc1:p80 -s 10.180.0.2 -j KUBE-MARK-MASQ
-A KUBE-SEP-LXVODXWDISEETFEF -m comment --comment ns1/svc1:p80 -m tcp -p tcp -j DNAT --to-destination 10.180.0.2:80
-A KUBE-SEP-ICDUIKC33SFI6ZPR -m comment --comment ns1/svc1:p80 -s 10.180.0.3 -j KUBE-MARK-MASQ
-A KUBE-SEP-ICDUIKC33SFI6ZPR -m comment --comment ns1/svc1:p80 -m tcp -p tcp -j DNAT --to-destination 10.180.0.3:80
-I OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-I PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-I POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
COMMIT
"""  # noqa: E501 - as iptables-restore takes it


def rules(services, slices=(), remembered=frozenset()):
    snapshot = build(services, slices, "n1", NODE, "10.244.0.0/16")
    return Ruleset(render(snapshot), {NODE}, remembered)


def web(*endpoints, remembered=frozenset(), **spec):
    return rules([service("web", **spec)], [endpoint_slice("web", *endpoints)], remembered)


def chances(outcomes):
    return {outcome: round(chance, 6) for outcome, chance in outcomes.items()}


def test_the_text_is_upstreams():
    services = [
        service("svc1", "10.96.0.41", [ServicePort(name="p80", port=80, nodePort=30080)], "ns1", type="NodePort"),
        service("idle", "10.96.0.53", [ServicePort(port=53, protocol="UDP")], "ns2"),
    ]
    slices = [
        endpoint_slice("svc1", "10.180.0.3", "10.180.0.1", "10.180.0.2", ports=[("p80", 80, "TCP")], namespace="ns1")
    ]
    assert render(build(services, slices, "n1", NODE, "10.244.0.0/16")) == GOLDEN


@pytest.mark.parametrize(
    ("prefix", "parts", "expected"),
    [
        ("KUBE-SVC-", ("default/kubernetes:https", "tcp"), "KUBE-SVC-NPX46M4PTMTKRN6Y"),
        ("KUBE-SVC-", ("kube-system/kube-dns:dns", "udp"), "KUBE-SVC-TCOU7JCQXEZGVUNU"),
        ("KUBE-SVC-", ("kube-system/kube-dns:dns-tcp", "tcp"), "KUBE-SVC-ERIFXISQEP7F7OF4"),
        ("KUBE-SEP-", ("ns1/svc1:p80", "tcp", "10.180.0.1:80"), "KUBE-SEP-SXIVWICOYRO3J4NJ"),
    ],
)
def test_chains_are_named_as_on_every_other_cluster(prefix, parts, expected):
    assert chain_name(prefix, *parts) == expected


def test_other_ports_of_a_service_are_none_of_its_business():
    ruleset = web("10.244.1.2")
    for packet in (Packet(POD, "10.96.0.80", 81), Packet(POD, "10.96.0.80", 80, "udp")):
        assert ruleset.forwarded(packet) == {Outcome(f"{packet.destination}:{packet.port}"): 1}


def test_a_node_port_is_open_on_loopback():
    found = web("10.244.1.2", ports=[NODE_PORT], type="NodePort").sent(Packet(NODE, "127.0.0.1", 30080))
    assert found == {Outcome("10.244.1.2:8080", True): 1}


def test_ipv6_endpoints_stand_in_brackets():
    slices = [endpoint_slice("web", "fd00:10:244:1::2", family="IPv6")]
    text = render(build([service("web", "fd00:10:96::80")], slices, "n1", family=6))
    assert "-j DNAT --to-destination [fd00:10:244:1::2]:8080" in text


def test_packets_out_of_their_connections_window_are_dropped():
    found = web("10.244.1.2").forwarded(Packet(POD, "10.244.2.9", 4000, state="INVALID"))
    assert found == {Outcome("10.244.2.9:4000", verdict="DROP"): 1}


def test_health_checks_come_through_whatever_firewall_stands_below():
    state = build([LOCAL_LB], [endpoint_slice("web", "10.244.1.2")], "n1", NODE)
    assert chains(state)[Chain(FILTER, "KUBE-NODEPORTS")] == (
        '-m comment --comment "default/web:http health check node port" -m tcp -p tcp --dport 32000 -j ACCEPT',
    )


def test_the_firewall_reads_like_upstreams():
    service_ = service("web", balanced=["192.0.2.8"], loadBalancerSourceRanges=("172.18.0.0/24", "10.0.0.0/8"))
    found = chains(build([service_], [endpoint_slice("web", "10.244.1.2")], "n1", NODE))
    name = chain_name("KUBE-FW-", "default/web:http", "tcp")
    comment = '-m comment --comment "default/web:http loadbalancer IP"'
    external = chain_name("KUBE-EXT-", "default/web:http", "tcp")
    assert found[Chain(NAT, name)] == (
        f"{comment} -s 172.18.0.0/24 -j {external}",
        f"{comment} -s 10.0.0.0/8 -j {external}",
        f"{comment} -s 192.0.2.8 -j {external}",
        '-m comment --comment "other traffic to default/web:http will be dropped by KUBE-PROXY-FIREWALL"',
    )
    assert found[Chain(FILTER, "KUBE-PROXY-FIREWALL")] == (
        f'-m comment --comment "default/web:http traffic not accepted by {name}"'
        " -m tcp -p tcp -d 192.0.2.8 --dport 80 -j DROP",
    )
    assert f"{comment} -m tcp -p tcp -d 192.0.2.8 --dport 80 -j {name}" in found[Chain(NAT, "KUBE-SERVICES")]


def test_session_affinity_leads_a_known_client_to_its_endpoint():
    client = Packet(POD, "10.96.0.80", 80)
    spread = web("10.244.1.2", "10.244.2.2", sticky=600).forwarded(client)
    assert len(spread) == 2
    mine = chain_name("KUBE-SEP-", "default/web:http", "tcp", "10.244.2.2:8080")
    again = web("10.244.1.2", "10.244.2.2", sticky=600, remembered={mine}).forwarded(client)
    assert again == {Outcome("10.244.2.2:8080"): 1}


def test_services_do_not_touch_each_others_chains():
    def of(*names):
        services = [service(name, f"10.96.0.{place}") for place, name in enumerate(("a", "b"), 1) if name in names]
        return chains(build(services, [endpoint_slice(name, "10.244.1.2") for name in names], "n1", NODE))

    alone, both = of("a"), of("a", "b")
    changed = {chain for chain in both if alone.get(chain) != both[chain]} - set(both.keys() - alone.keys())
    assert changed == {Chain(NAT, "KUBE-SERVICES")}


@pytest.mark.parametrize("seed", range(5))
def test_changes_add_up_to_the_rules_that_are_made_anew(seed):
    chance, renderer, tracker = random.Random(seed), Renderer(), Tracker(Place("n1", ""), NODE, "10.244.0.0/16")
    services, slices = dict.fromkeys("abc"), dict.fromkeys("abc")
    for _ in range(100):
        name = chance.choice("abc")
        if chance.random() < 0.4:
            port = ServicePort(name="http", port=80, nodePort=chance.choice([0, 30000 + ord(name)]))
            more = {"sticky": chance.choice([0, 10]), "externalTrafficPolicy": chance.choice(["Cluster", "Local"])}
            new = chance.choice([None, service(name, f"10.96.0.{ord(name)}", [port], **more)])
            tracker.service(services[name], new)
            services[name] = new
        else:
            new = endpoint_slice(name, *(f"10.244.{node}.2" for node in (1, 2, 3) if chance.random() < 0.5))
            tracker.slice(slices[name], new)
            slices[name] = new
        if chance.random() < 0.7:
            assert renderer.chains(tracker.snapshot()) == chains(tracker.snapshot())


def test_what_is_remembered_of_ports_makes_no_difference():
    renderer = Renderer()
    for endpoints in (["10.244.1.2"], ["10.244.1.2", "10.244.2.2"], [], ["10.244.1.2"]):
        for cidr in ("10.244.0.0/16", "10.0.0.0/8"):
            state = build([service("web")], [endpoint_slice("web", *endpoints)], "n1", NODE, cidr)
            assert renderer.chains(state) == chains(state)
