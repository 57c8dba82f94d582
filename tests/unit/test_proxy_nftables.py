"""What only mode nftables has: its table as text, and what a change amounts to."""

import random
from pathlib import Path

import pytest
from nft_walk import Ruleset
from packets import Outcome, Packet

from knet.api.objects import ServicePort
from knet.kernel.rules import RulesError
from knet.proxy.nftables.desired import Change, Desired
from knet.proxy.nftables.frame import FAMILIES
from knet.proxy.nftables.text import elements, render
from knet.proxy.snapshot import build
from tests.cluster_objects import endpoint_slice, service

IPV4 = FAMILIES[4]
NODE, POD, OUTSIDER = "172.18.0.11", "10.244.1.9", "172.18.0.50"
GOLDEN = Path(__file__).with_name("golden_nftables.nft")


def snapshot(services, slices=()):
    return build(services, slices, "n1", NODE, "10.244.0.0/16")


def web(*endpoints, **spec):
    return snapshot([service("web", **spec)], [endpoint_slice("web", *endpoints)])


def test_the_text_is_as_written_down():
    port = ServicePort(name="p80", port=80, nodePort=30080)
    services = [
        service("svc1", "10.96.0.41", [port], "ns1", type="NodePort"),
        service("idle", "10.96.0.53", [ServicePort(port=53, protocol="UDP")], "ns2"),
        service(
            "lb", "10.96.0.42", [ServicePort(name="p80", port=80, nodePort=30081)], "ns3", balanced=["192.0.2.8"],
            externalTrafficPolicy="Local", loadBalancerSourceRanges=("203.0.113.0/25", "203.0.113.128/25"),
        ),
        service("sticky", "10.96.0.43", [ServicePort(name="p80", port=80)], "ns4", sticky=600),
    ]  # fmt: skip
    slices = [
        endpoint_slice(name, *endpoints, ports=[("p80", 80, "TCP")], namespace=namespace)
        for name, namespace, endpoints in (
            ("svc1", "ns1", ("10.244.2.3", "10.244.1.1", "10.244.2.2")),
            ("lb", "ns3", ("10.244.2.1", "10.244.2.2")),
            ("sticky", "ns4", ("10.244.1.1", "10.244.2.2")),
        )
    ]
    assert render(snapshot(services, slices)) == GOLDEN.read_text()


def test_other_ports_of_a_cluster_ip_are_refused_and_other_addresses_none_of_its_business():
    ruleset = Ruleset(render(web("10.244.1.2")), {NODE})
    for packet in (Packet(POD, "10.96.0.80", 81), Packet(POD, "10.96.0.80", 80, "udp")):
        assert ruleset.forwarded(packet) == {Outcome(f"10.96.0.80:{packet.port}", verdict="REJECT"): 1}
        assert ruleset.sent(packet) == {Outcome(f"10.96.0.80:{packet.port}", verdict="REJECT"): 1}
    assert ruleset.forwarded(Packet(POD, "10.96.0.81", 80)) == {Outcome("10.96.0.81:80"): 1}


def test_node_ports_are_open_at_the_machines_own_address_only():
    ports = [ServicePort(name="http", port=80, nodePort=30080)]
    ruleset = Ruleset(render(web("10.244.1.2", ports=ports)), {NODE, "10.244.1.1"})
    assert ruleset.forwarded(Packet(OUTSIDER, NODE, 30080)) == {Outcome("10.244.1.2:8080", True): 1}
    for address in ("127.0.0.1", "10.244.1.1"):
        assert ruleset.sent(Packet(NODE, address, 30080)) == {Outcome(f"{address}:30080"): 1}


def test_with_policy_local_what_starts_on_the_machine_goes_where_the_endpoints_are():
    ruleset = Ruleset(render(web("10.244.2.2", balanced=["192.0.2.8"], externalTrafficPolicy="Local")), {NODE})
    assert ruleset.sent(Packet(NODE, "192.0.2.8", 80)) == {Outcome("10.244.2.2:8080", True): 1}
    assert ruleset.forwarded(Packet(OUTSIDER, "192.0.2.8", 80)) == {Outcome("192.0.2.8:80", verdict="DROP"): 1}


@pytest.mark.parametrize("policy", ["Cluster", "Local"])
def test_session_affinity_leads_a_known_client_to_its_endpoint(policy):
    text = render(web("10.244.1.2", "10.244.1.3", sticky=600, externalIPs=("192.0.2.7",), externalTrafficPolicy=policy))
    [mine] = {word for word in text.split() if word.startswith("affinity-") and "10.244.1.3" in word}
    for source, address, masqueraded in (
        (POD, "10.96.0.80", False),
        (OUTSIDER, "10.96.0.80", True),
        (OUTSIDER, "192.0.2.7", policy == "Cluster"),
        ("10.244.1.3", "10.96.0.80", True),
    ):
        packet = Packet(source, address, 80)
        assert len(Ruleset(text, {NODE}).forwarded(packet)) == 2
        again = Ruleset(text, {NODE}, {mine}).forwarded(packet)
        assert again == {Outcome("10.244.1.3:8080", masqueraded): 1}


def test_an_address_that_two_services_claim_is_the_firsts_until_it_goes():
    def of(*names):
        services = [service(name, f"10.96.0.{ord(name)}", externalIPs=("192.0.2.7",)) for name in names]
        return snapshot(services, [endpoint_slice(name, f"10.244.1.{ord(name)}") for name in names])

    desired = Desired(IPV4)
    for names, served in (("b", "b"), ("ab", "b"), ("a", "a"), ("ab", "a")):
        desired.update(of(*names))
        [line] = [row for row in elements(desired.everything(), IPV4).splitlines() if "service-endpoints-0" in row]
        assert f"192.0.2.7 . tcp . 80 : 10.244.1.{ord(served)} . 8080" in line


def test_a_changed_endpoint_is_one_element():
    desired = Desired(IPV4)
    desired.update(web("10.244.1.2", "10.244.2.2"))
    change = desired.update(web("10.244.1.2", "10.244.2.3"))
    assert elements(change, IPV4) == (
        "add element ip kube-proxy service-endpoints-1 { 10.96.0.80 . tcp . 80 : 10.244.2.3 . 8080 }\n"
    )
    assert change.removed.keys() == change.added.keys()
    assert not (change.chains or change.sets or change.stale_chains or change.stale_sets)
    assert desired.update(web("10.244.1.2", "10.244.2.3")) == Change()


def test_an_address_that_is_none_changes_nothing():
    desired = Desired(IPV4)
    desired.update(web("10.244.1.2"))
    with pytest.raises(RulesError, match=r"^999\.244\.1\.2 is no IP address$"):
        desired.update(web("999.244.1.2"))
    assert desired.update(web("10.244.1.2")) == Change()


class Kernel:
    """A table that takes changes as strictly as the kernel does."""

    def __init__(self):
        self.chains, self.sets, self.elements = {}, {}, {}

    def take(self, change):
        assert not change.sets.keys() & self.sets.keys()
        self.sets |= change.sets
        self.chains |= change.chains
        for name, gone in change.removed.items():
            for key in gone:
                del self.elements[name, key]
        for name, new in change.added.items():
            for key, one in new.items():
                assert self.elements.setdefault((name, key), one) == one
        for chain in change.stale_chains:
            del self.chains[chain]
        for name in change.stale_sets:
            del self.sets[name]


@pytest.mark.parametrize("seed", range(20))
def test_changes_add_up_to_what_is_written_anew(seed):
    """Services that come, go and change in every respect, some of them with the same addresses."""
    chance = random.Random(seed)

    def some_service(name):
        return service(
            name, f"10.96.0.{ord(name)}",
            [ServicePort(name="http", port=80, nodePort=chance.choice([0, 30000 + ord(name)]))],
            sticky=chance.choice([0, 0, 10, 20]), externalIPs=chance.choice([(), ("192.0.2.7",), ("192.0.2.9",)]),
            balanced=chance.choice([(), ["192.0.2.8"]]), externalTrafficPolicy=chance.choice(["Cluster", "Local"]),
            internalTrafficPolicy=chance.choice(["Cluster", "Local"]),
            loadBalancerSourceRanges=chance.choice([(), ("10.0.0.0/8",)]),
        )  # fmt: skip

    def some_slice(name):
        addresses = (f"10.244.{node}.{place}" for node in (1, 2) for place in (2, 3))
        return endpoint_slice(name, *(address for address in addresses if chance.random() < 0.5))

    desired, kernel = Desired(IPV4), Kernel()
    for _ in range(30):
        names = [name for name in "abcd" if chance.random() < 0.7]
        state = snapshot(map(some_service, names), map(some_slice, names))
        kernel.take(desired.update(state))
        anew = Kernel()
        anew.take(desired.everything())
        assert vars(kernel) == vars(anew)
    fresh, alone = Desired(IPV4), Kernel()
    alone.take(fresh.update(state))
    assert (kernel.chains, kernel.sets, kernel.elements.keys()) == (alone.chains, alone.sets, alone.elements.keys())
