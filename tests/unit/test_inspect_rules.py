"""An object's rules held against what is expected of a machine: what is there, missing, or should not be."""

import pytest
from test_inspect_explain import DENY, SERVICE, WEB
from worlds import world

from knet.client.controller import Key
from knet.errors import KnetError
from knet.inspect.conntrack import of
from knet.inspect.explain.explain import Subject
from knet.inspect.explain.kernel import Held, parse_saved
from knet.inspect.explain.objects import settled, with_object
from knet.inspect.explain.picture import Section, picture
from knet.inspect.explain.spelling import meaning
from knet.inspect.rules.compare import MISSING, UNEXPECTED, rules_of
from knet.inspect.rules.facts import facts
from knet.inspect.rules.report import as_json, pieces
from knet.kernel import nft
from knet.kernel.conntrack import Flow, Tracked

NAME = Key("default", "web")
OTHER = {**SERVICE, "metadata": {"name": "other", "namespace": "default"}}
OTHER["spec"] = {**SERVICE["spec"], "clusterIP": "10.96.0.81", "clusterIPs": ["10.96.0.81"]}
NAT = "iptables nat"
PORTALS, SPREAD = Section("iptables", "nat KUBE-SERVICES"), Section("iptables", "nat KUBE-SVC-CDGGSHYLG3RE2FKL")


def cluster(proxy="iptables"):
    found = world(WEB, proxy=proxy)
    for kind, row in (
        ("Service", SERVICE),
        ("Service", OTHER),
        ("NetworkPolicy", {**DENY, "metadata": SERVICE["metadata"]}),
    ):
        found = settled(found, with_object(found, kind, row))
    return found


def kernels(found, changes=None):
    """As they should be, but for ``changes`` on n2: section → what becomes of its lines."""
    there = {
        node: {section: tuple(map(Held, rows)) for section, rows in picture(found, node).items()}
        for node in ("n1", "n2")
    }
    for section, change in (changes or {}).items():
        there["n2"][section] = tuple(change(list(there["n2"].get(section, ()))))
    return there


def text(rules):
    return [piece.text for piece in pieces(rules)]


@pytest.mark.parametrize(
    ("proxy", "sections"),
    [
        ("iptables", ["nat KUBE-SERVICES", "nat KUBE-SVC-CDGGSHYLG3RE2FKL", "nat KUBE-SEP-AFGSLHOD2HFNCBX4"]),
        ("nftables", ["map service-ips", "chain service-2", "map service-endpoints-1", "chain service-endpoint-1"]),
        ("ipvs", ["-t 10.96.0.80:80 -s rr", "KUBE-CLUSTER-IP", "kube-ipvs0 ipv4"]),
    ],
)
def test_a_services_rules_in_each_mode_are_its_own_and_those_that_it_shares(proxy, sections):
    found = cluster(proxy)
    rules = rules_of(found, Subject("Service", NAME), kernels(found))
    assert not rules.wrong(MISSING)
    assert not rules.wrong(UNEXPECTED)
    assert rules.parts[0].machines == ("n1", "n2")
    assert set(sections) <= {section.name for part in rules.parts for section, *_ in part.rows}
    assert not [row for row in text(rules) if "10.96.0.81" in row or "default/other" in row or row[0] in "!?"]


def without(word):
    return lambda rows: [row for row in rows if word not in row.text]


def besides(line):
    return lambda rows: [*rows, Held(line)]


STRANGER = "-d 10.96.0.80/32 -p tcp -m tcp --dport 81 -j ACCEPT"
LAST = '-m comment --comment "default/web:http -> 10.244.2.5:8080" -j KUBE-SEP-OAIGUPJHOE4YU7HS'
LEFTOVER = '-m comment --comment "default/web:http" -j DNAT --to-destination 10.244.9.9:80'


@pytest.mark.parametrize(
    ("section", "change", "lines"),
    [
        (SPREAD, without("-> 10.244.2.5"), [f"! {LAST}"]),
        (PORTALS, besides(STRANGER), [f"? {STRANGER}"]),
        (PORTALS, besides("-d 10.96.0.99/32 -j ACCEPT"), []),
        (SPREAD, besides("-j ACCEPT"), ["? -j ACCEPT"]),
        (Section("iptables", "nat KUBE-SEP-GONE"), besides(LEFTOVER), [f"? {LEFTOVER}"]),
        (Section("iptables", "nat KUBE-SEP-GONE"), besides("-m comment --comment default/web-2 -j DNAT"), []),
        (Section("inet knet-policy", "chain ingress/default/web"), besides("accept"), []),
    ],
)  # fmt: skip
def test_what_is_not_as_expected_is_marked(section, change, lines):
    found = cluster()
    rules = rules_of(found, Subject("Service", NAME), kernels(found, {section: change}))
    assert [row for row in text(rules) if row[0] in "!?"] == lines
    marked = [row for row in text(rules) if row.startswith("n2: 1 line is ")]
    assert len(marked) == len(lines)


def test_a_section_that_is_gone_is_told_as_a_whole():
    found = cluster()
    held = kernels(found)
    del held["n2"][SPREAD]
    rules = rules_of(found, Subject("Service", NAME), held, ("n3",))
    assert f"@@ {SPREAD} (missing)" in text(rules)
    assert "n3: it is off" in text(rules)
    assert rules.wrong(MISSING) == {"n2": 3}


def test_a_policys_chain_is_there_though_it_lets_nobody_in():
    found = cluster()
    rules = rules_of(found, Subject("NetworkPolicy", NAME), kernels(found))
    assert "@@ inet knet-policy chain ingress/default/web (empty)" in text(rules)
    assert not [row for row in text(rules) if NAT in row]


def test_counters_are_each_machines_and_the_sum_of_many():
    found = cluster()
    held = kernels(found)
    for node, packets in (("n1", 12), ("n2", 0)):
        held[node][SPREAD] = tuple(
            row._replace(counters={"packets": packets, "bytes": 60 * packets}) for row in held[node][SPREAD]
        )
    rules = rules_of(found, Subject("Service", NAME), held)
    assert {piece.tag for piece in pieces(rules)} == {"", "n1 12 packets/720 bytes, n2 0"}
    [line, *_] = next(row["lines"] for row in as_json(rules)["parts"][0]["sections"] if row["section"] == str(SPREAD))
    assert line["counters"] == {"n1": {"packets": 12, "bytes": 720}, "n2": {"packets": 0, "bytes": 0}}
    many = {f"n{number}": held["n1"] for number in range(1, 3)}
    assert rules_of(found, Subject("Service", NAME), many).parts[0].machines == ("n1", "n2")


def test_there_are_no_rules_of_a_deployment():
    with pytest.raises(KnetError, match="no machine has rules of a Deployment itself: ask for a Service, a Pod"):
        rules_of(cluster(), Subject("Deployment", NAME), {})


SAVED = """\
*nat
:PREROUTING ACCEPT [1:60]
:KUBE-SEP-X - [0:0]
[3:180] -A KUBE-SEP-X -s 10.244.1.5/32 -j KUBE-MARK-MASQ
[0:0] -A KUBE-SEP-X -p tcp -m tcp -j DNAT --to-destination 10.244.1.5:80
COMMIT
"""


def test_what_iptables_saves_is_read_with_its_counters():
    assert parse_saved("iptables", "nat", SAVED) == {
        Section("iptables", "nat PREROUTING"): (),
        Section("iptables", "nat KUBE-SEP-X"): (
            Held("-s 10.244.1.5/32 -j KUBE-MARK-MASQ", {"packets": 3, "bytes": 180}),
            Held("-p tcp -m tcp -j DNAT --to-destination 10.244.1.5:80", {"packets": 0, "bytes": 0}),
        ),
    }


def test_what_nft_lists_is_read_by_chain():
    chains = "\tchain a/b {\n\t\ttype nat hook output priority 0;\n\t\tdrop\n\t}\n\n\tchain c {\n\t}\n"
    other = "table ip y {\n\tchain a/b {\n\t\taccept\n\t}\n}\n"
    listing = f"table ip x {{\n\tset s {{\n\t\ttype ipv4_addr\n\t}}\n\n{chains}}}\n{other}"
    assert nft.parse_chains(listing, "ip", "x") == {"a/b": ["type nat hook output priority 0;", "drop"], "c": []}


IPTABLES, CHAIN = Section("iptables", "nat X"), Section("inet knet-policy", "chain x")


@pytest.mark.parametrize(
    ("section", "one", "other", "same"),
    [
        (IPTABLES, "-m tcp -p tcp -d 10.0.0.1 --dport 80 -j X", "-d 10.0.0.1/32 -p tcp -m tcp --dport 80 -j X", True),
        (IPTABLES, "-j MARK --or-mark 0x4000", "-j MARK --set-xmark 0x4000/0x4000", True),
        (IPTABLES, "-j MARK --xor-mark 0x4000", "-j MARK --set-xmark 0x4000/0x0", True),
        (IPTABLES, "-m statistic --probability 0.3333333333", "-m statistic --probability 0.33333333349", True),
        (IPTABLES, "-j REJECT", "-j REJECT --reject-with icmp-port-unreachable", True),
        (IPTABLES, "-j REJECT", "-j REJECT --reject-with tcp-reset", False),
        (IPTABLES, "-s 10.0.0.0/8 -j X", "! -s 10.0.0.0/8 -j X", False),
        (IPTABLES, "-m comment --comment a/b -j X", '-m comment --comment "a/b" -j X', True),
        (IPTABLES, "-s 10.0.0.1 -j X", "-d 10.0.0.1 -j X", False),
        (CHAIN, "ip saddr { 10.0.0.1/32 } accept", "ip saddr 10.0.0.1 accept", True),
        (CHAIN, "ip daddr { 10.0.0.9, 10.2.0.0/15, 10.4.0.0/14 }", "ip daddr { 10.0.0.9, 10.2.0.0-10.7.255.255 }", 1),
        (CHAIN, "ip saddr != { 10.0.0.0/8 } drop", "ip saddr != 10.0.0.0/8 drop", True),
        (CHAIN, "ip saddr != { 10.0.0.0/8 } drop", "ip saddr 10.0.0.0/8 drop", False),
        (CHAIN, "ip6 saddr { fd00::/64 } accept", "ip6 saddr fd00::/64 accept", True),
        (CHAIN, "ip daddr @pods accept", "ip daddr @others accept", False),
        (CHAIN, "meta mark & 0x00004000 == 0 return", "meta mark & 0x00004000 == 0x00000000 return", True),
        (CHAIN, "update @x { ip saddr timeout 10800s }", "update @x { ip saddr timeout 3h }", True),
        (CHAIN, "th dport { 80, 81 } accept", "th dport { 81, 80 } accept", True),
        (CHAIN, "th dport { 80, 81 } accept", "th dport { 80, 82 } accept", False),
        (CHAIN, "type filter hook forward priority filter + 11;", "type filter hook forward priority 11;", True),
    ],
)  # fmt: skip
def test_when_two_lines_say_the_same(section, one, other, same):
    assert (meaning(section, one) == meaning(section, other)) == same


def test_an_explanation_says_where_a_kernel_disagrees_and_what_it_tracks():
    found, web = cluster(), Subject("Service", NAME)
    tracked = Tracked(Flow(6, "10.244.1.7", 41822, "10.96.0.80", 80, "10.244.2.5", 8080), "10.244.1.7", 41822)
    held = kernels(found, {SPREAD: without("-> 10.244.2.5"), PORTALS: besides(STRANGER)})
    assert list(facts(found, web, held, {"n1": [tracked, tracked], "n2": []})) == [
        "n2's kernel: 1 line is missing there, see knet rules",
        "n2's kernel: 1 line is there and not expected, see knet rules",
        "tracked connections: n1 2, see knet conntrack --of",
    ]
    assert list(facts(found, web, kernels(found), {"n1": []})) == []
    assert list(facts(found, Subject("Deployment", NAME), kernels(found), {"n1": [tracked]})) == []


def test_who_has_gone_between_two_looks_is_told():
    for question in (lambda: rules_of(world(), Subject("Service", NAME), {}), lambda: of(world(), "Service", NAME)):
        with pytest.raises(KnetError, match="Service default/web has just gone"):
            question()
