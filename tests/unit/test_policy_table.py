"""The table of network policies: its text, what a change costs, and what its names and numbers are made of."""

from typing import Any

import msgspec
import pytest

from knet.api.networking import IPBlock, NetworkPolicy
from knet.kernel.nflog import Logged
from knet.policy import policies as reading
from knet.policy.compile import Compiler, chain_name, log_prefix
from knet.policy.drops import Drop, logged, remembered
from knet.policy.policies import Policy, merge, networks
from knet.policy.population import Endpoint, NarrowPod, Population, endpoint
from knet.policy.table import Table
from knet.policy.transaction import difference

DENY = {"podSelector": {}}
FRIENDS: dict[str, Any] = {
    "podSelector": {"matchLabels": {"app": "web"}},
    "ingress": [
        {
            "from": [
                {"podSelector": {"matchLabels": {"role": "friend"}}},
                {"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.128/25"]}},
            ],
            "ports": [{"port": "http"}, {"port": 443}, {"protocol": "UDP", "port": 5000, "endPort": 5999}],
        }
    ],
}
GOLDEN = """\
add table inet knet-policy
delete table inet knet-policy
table inet knet-policy {
	map ingress-ipv4 {
		type ipv4_addr : verdict;
		elements = { 10.244.1.2 : goto ingress-of-a411226e }
	}
	set self-ipv4 {
		type ipv4_addr . ipv4_addr;
		elements = { 10.244.1.2 . 10.244.1.2 }
	}
	set dropped-ingress-ipv4 {
		type ipv4_addr . ipv4_addr . inet_proto . inet_service;
		flags dynamic,timeout; timeout 10m; size 1024;
	}
	set dropped-ingress-ipv4-other {
		type ipv4_addr . ipv4_addr . inet_proto;
		flags dynamic,timeout; timeout 10m; size 1024;
	}
	set pods-6014babc-ipv4 {
		type ipv4_addr;
		comment "default: pods role=friend";
		elements = { 10.244.2.9 }
	}
	set port-tcp-http-ipv4 {
		type ipv4_addr . inet_service;
		elements = { 10.244.1.2 . 8080 }
	}
	chain ingress/default/deny {
	}
	chain ingress/default/friends {
		ip saddr @pods-6014babc-ipv4 meta l4proto . th dport { tcp . 443, udp . 5000-5999 } accept
		ip saddr @pods-6014babc-ipv4 meta l4proto tcp ip daddr . th dport @port-tcp-http-ipv4 accept
		ip saddr { 192.0.2.0/25 } meta l4proto . th dport { tcp . 443, udp . 5000-5999 } accept
		ip saddr { 192.0.2.0/25 } meta l4proto tcp ip daddr . th dport @port-tcp-http-ipv4 accept
	}
	chain drop-ingress {
		meta l4proto { tcp, udp, sctp } update @dropped-ingress-ipv4 { ip saddr . ip daddr . meta l4proto . th dport counter }
		meta l4proto != { tcp, udp, sctp } update @dropped-ingress-ipv4-other { ip saddr . ip daddr . meta l4proto counter }
		counter drop
	}
	chain ingress-of-a411226e {
		jump ingress/default/deny
		jump ingress/default/friends
		log prefix "ingress default/deny default/friends" group 86 snaplen 128
		goto drop-ingress
	}
	chain ingress {
		ct state established,related accept
		ip saddr . ip daddr @self-ipv4 accept
		ip daddr vmap @ingress-ipv4
	}
	chain forward-ingress {
		type filter hook forward priority filter + 11; policy accept;
		jump ingress
	}
	chain output-ingress {
		type filter hook output priority filter + 11; policy accept;
		fib saddr type local accept
		jump ingress
	}
}
"""  # noqa: E501  as nft prints it


def policy(name: str, spec: dict[str, Any]) -> Policy:
    row = {"metadata": {"namespace": "default", "name": name}, "spec": spec}
    return reading.read(msgspec.convert(row, NetworkPolicy))


def pod(name: str, *addresses: str, node: str = "n1", phase: str = "Running", **labels: str) -> Endpoint | None:
    row = {
        "metadata": {"namespace": "default", "name": name, "labels": labels},
        "spec": {"nodeName": node, "containers": [{"ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"phase": phase, "podIPs": [{"ip": address} for address in addresses]},
    }
    return endpoint(msgspec.convert(row, NarrowPod), "n1")


WEB, MORE = pod("web", "10.244.1.2", app="web"), pod("more", "10.244.1.3", app="web")
FRIEND = pod("friend", "10.244.2.9", node="n2", role="friend")
BOTH = [policy("deny", DENY), policy("friends", FRIENDS)]


def table(rows: list[Policy], *endpoints: Endpoint | None, compiler: Compiler | None = None) -> Table:
    population = Population([row for row in endpoints if row], {"default": {}})
    return (compiler or Compiler()).table(rows, population)


def test_the_table_reads_as_the_policies_do() -> None:
    offering = FRIEND._replace(ports=()) if FRIEND else None
    assert str(table(BOTH, WEB, offering)) == GOLDEN


@pytest.mark.parametrize(
    ("rows", "endpoints"),
    [
        pytest.param([], [WEB, FRIEND], id="no policy"),
        pytest.param(BOTH, [FRIEND], id="nobody of this machine"),
        pytest.param([policy("egress", {"podSelector": {}, "policyTypes": []})], [], id="no pod"),
        pytest.param(BOTH, [pod("web", "10.244.1.2", phase="Succeeded", app="web")], id="its pod has ended"),
        pytest.param([policy("other", {"podSelector": {"matchLabels": {"app": "db"}}})], [WEB], id="no pod selected"),
    ],
)
def test_where_nobody_is_isolated_there_is_nothing(rows: list[Policy], endpoints: list[Endpoint | None]) -> None:
    assert not table(rows, *endpoints)


def changes(before: Table, after: Table) -> list[str]:
    return [line.replace(" inet knet-policy", "") for line in difference(after, before).splitlines()]


def test_a_change_costs_what_changes() -> None:
    compiler = Compiler()
    first = table(BOTH, WEB, FRIEND, compiler=compiler)
    assert changes(first, table(BOTH, WEB, FRIEND, compiler=compiler)) == []
    assert changes(first, table(BOTH, WEB, MORE, FRIEND)) == [
        "add element ingress-ipv4 { 10.244.1.3 : goto ingress-of-a411226e }",
        "add element self-ipv4 { 10.244.1.3 . 10.244.1.3 }",
        "add element port-tcp-http-ipv4 { 10.244.1.3 . 8080 }",
    ]
    assert changes(first, table(BOTH, WEB)) == [
        "delete element pods-6014babc-ipv4 { 10.244.2.9 }",
        "delete element port-tcp-http-ipv4 { 10.244.2.9 . 8080 }",
    ]
    closed = [policy("deny", DENY), policy("friends", {"podSelector": {"matchLabels": {"app": "web"}}})]
    assert changes(first, table(closed, WEB, FRIEND, compiler=compiler)) == [
        "flush chain ingress/default/friends",
        "delete set pods-6014babc-ipv4",
        "delete set port-tcp-http-ipv4",
    ]
    assert changes(first, table([], WEB, FRIEND)) == ["delete table"]


def test_what_leaves_stays_isolated_and_is_nobodys_peer() -> None:
    assert WEB is not None and FRIEND is not None
    left = table(BOTH, WEB._replace(leaving=True), FRIEND._replace(leaving=True, local=True))
    assert left.sets["ingress-ipv4"].elements == {
        "10.244.1.2 : goto ingress-of-a411226e",
        "10.244.2.9 : goto ingress-of-02d49a56",
    }
    assert not left.sets["pods-6014babc-ipv4"].elements
    heir = Endpoint("default", "heir", (("app", "db"),), WEB.addresses, (), local=True)
    assert not table(BOTH[1:], WEB._replace(leaving=True), heir)  # its address is another's already


def test_an_address_that_is_none_isolates_nobody() -> None:
    assert pod("odd", "nowhere") is None
    odd = pod("odd", "nowhere", "FD00::0A", app="web")
    assert odd is not None
    assert odd.addresses == ("fd00::a",)


def test_both_families_have_their_sets() -> None:
    both = table(BOTH, pod("web", "10.244.1.2", "fd00:10:244:1::2", app="web"), FRIEND)
    assert both.sets["ingress-ipv6"].elements == {"fd00:10:244:1::2 : goto ingress-of-a411226e"}
    assert "icmpv6 type" in both.chains["ingress"][1]
    assert both.sets["pods-6014babc-ipv6"].elements == frozenset()


@pytest.mark.parametrize(
    ("cidr", "holes", "left"),
    [
        ("10.0.0.0/8", (), ["10.0.0.0/8"]),
        ("10.1.2.3/8", (), ["10.0.0.0/8"]),
        ("10.0.0.0/30", ("10.0.0.1/32",), ["10.0.0.0/32", "10.0.0.2/31"]),
        ("10.0.0.0/30", ("10.0.0.0/31", "10.0.0.2/31"), []),
        ("10.0.0.0/30", ("10.0.0.0/31", "10.0.0.1/32"), ["10.0.0.2/31"]),
        ("10.0.0.0/30", ("10.0.0.1/32", "10.0.0.0/31"), ["10.0.0.2/31"]),
        ("2001:db8::/126", ("2001:db8::2/127",), ["2001:db8::/127"]),
    ],
)
def test_blocks_without_their_holes(cidr: str, holes: tuple[str, ...], left: list[str]) -> None:
    assert sorted(map(str, networks(IPBlock(cidr=cidr, excluded=holes)))) == left


def test_ranges_of_ports_are_disjoint() -> None:
    assert merge([(80, 90), (443, 443), (85, 100), (101, 101), (0, 1)]) == [(0, 1), (80, 101), (443, 443)]


def test_long_names_are_cut_where_the_kernel_would() -> None:
    rows = [policy(f"{number}-{'x' * 50}", DENY) for number in range(3)]
    shown = " ".join(f"default/{number}-{'x' * 50}" for number in range(1))
    assert log_prefix("ingress", rows) == f"ingress {shown} +2"
    assert len(log_prefix("ingress", [policy("x" * 253, DENY)])) == 127
    one, two = (chain_name("ingress", policy("x" * 200 + end, DENY)) for end in "ab")
    assert one != two
    assert len(one) < 135


def test_a_logged_packet_tells_who_and_where_to() -> None:
    ports = b"\x30\x39\x00\x50"
    ends = bytes([10, 0, 0, 1, 10, 0, 0, 2])
    ipv4 = b"\x46" + bytes(8) + b"\x06" + bytes(2) + ends + bytes(4) + ports  # with an option
    assert logged(Logged("ingress a/b +1", ipv4)) == Drop("ingress", "10.0.0.1", "10.0.0.2", "tcp", 80, ("a/b", "+1"))
    addresses = bytes(15) + b"\x01" + bytes(15) + b"\x02"
    ipv6 = b"\x60" + bytes(5) + b"\x00\x40" + addresses + b"\x11\x00" + bytes(6) + ports  # hop-by-hop, then UDP
    assert logged(Logged("egress a/b", ipv6)) == Drop("egress", "::1", "::2", "udp", 80, ("a/b",))
    assert logged(Logged("egress a/b", ipv6[:50])) == Drop("egress", "::1", "::2", "udp", 0, ("a/b",))
    assert logged(Logged("somebody else's", ipv4)) is None
    assert logged(Logged("egress a/b", b"")) is None


def test_drops_that_nobody_would_cause_any_more_are_told_without_policies() -> None:
    element = {"val": {"concat": ["10.0.0.1", "10.0.0.2", "icmp"]}, "expires": 590, "counter": {"packets": 3}}
    listing = [{"set": {"name": "dropped-egress-ipv4-other", "elem": [{"elem": element}]}}]
    assert remembered(listing) == [Drop("egress", "10.0.0.1", "10.0.0.2", "icmp", 0, (), 3, 10.0)]
