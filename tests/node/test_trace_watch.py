"""Probes between two machines on a cable: what is seen of them, who decided about them, and what is left."""

import socket
from collections.abc import Iterator

import pytest

from knet.inspect.trace.hops import BACK, THERE, Hop
from knet.kernel import nft, routes
from knet.kernel.namespaces import entered
from knet.kernel.netlink import Netlink
from knet.kernel.nftrace import Base, Chains
from knet.kernel.rules import RulesError
from tests.node.trace_lab import Lab, lab

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def machines() -> Iterator[Lab]:
    with lab() as made, entered(made.machines["b"]):
        servers = [socket.create_server(("::", 80), family=socket.AF_INET6, dualstack_ipv6=True)]
        servers.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        servers[1].bind(("10.9.0.2", 53))
        yield made
        for server in servers:
            server.close()


@pytest.fixture(autouse=True)
def _no_rules(machines: Lab) -> Iterator[None]:
    yield
    for name in machines.machines:
        machines.run(name, "nft flush ruleset")


def told(hops: list[Hop], way: str) -> list[str]:
    rows = [hop for hop in hops if hop.way == way]
    return [" ".join(filter(None, (hop.kind, hop.site, hop.interface, hop.verdict))) for hop in rows]


@pytest.mark.parametrize("address", ["10.9.0.2", "fd09::2"])
@pytest.mark.parametrize(("protocol", "port"), [("tcp", 80), ("icmp", 0)])
def test_there_and_back(machines: Lab, protocol: str, port: int, address: str) -> None:
    watched, hops = machines.watched(protocol, address, port)
    assert watched.answer is not None
    assert watched.answer.error == ""
    assert told(hops, THERE) == ["route a a-eth0", "link a a-eth0", "enter b b-eth0", "deliver b"]
    assert told(hops, BACK) == ["route b b-eth0", "link b b-eth0", "enter a a-eth0", "deliver a"]
    times = [sight.at for sight in watched.sights]
    assert times == sorted(times)
    assert len({sight.interface for sight in watched.sights}) == 2


def test_a_translation_by_iptables_is_told_with_its_rule(machines: Lab) -> None:
    machines.run("b", "iptables -t nat -N WEB", "iptables -t nat -A PREROUTING -m comment --comment 'to web' -j WEB")
    machines.run("b", "iptables -t nat -A WEB -p tcp --dport 8080 -j REDIRECT --to-ports 80")
    _, hops = machines.watched("tcp", "10.9.0.2", 8080)
    there, back = (hop for hop in hops if hop.kind == "nat")
    assert there.translation == ("DNAT", "10.9.0.2:8080", "10.9.0.2:80", ())
    assert [(row.table, row.chain, row.hook) for row in there.chains] == [
        ("nat", "PREROUTING", "prerouting"),
        ("nat", "WEB", ""),
    ]
    assert [row.comment for row in there.chains[0].rules] == ["to web"]
    assert there.chains[1].rules[0].text == "-p tcp -m tcp --dport 8080 -j REDIRECT --to-ports 80"
    assert back.translation is not None
    assert (back.way, back.site, back.translation[:3]) == (BACK, "b", ("undo DNAT", "10.9.0.2:80", "10.9.0.2:8080"))


@pytest.mark.parametrize(
    ("rule", "kind", "verdict", "error"),
    [
        ("drop", "drop", "t in", None),
        ("reject with icmp host-prohibited", "reject", "ICMP host prohibited", "No route to host"),
        ("reject with tcp reset", "reject", "TCP reset", "Connection refused"),
    ],
)
def test_a_rule_that_drops_ends_it_at_once(
    machines: Lab, rule: str, kind: str, verdict: str, error: str | None
) -> None:
    machines.run(
        "b",
        "nft 'add table inet t; add chain inet t in { type filter hook input priority 0; }'",
        f"nft 'add rule inet t in tcp dport 80 {rule} comment \"mine\"'",
    )
    watched, hops = machines.watched("tcp", "10.9.0.2", 80)
    assert (watched.answer and watched.answer.error) == error
    last = [hop for hop in hops if hop.way == THERE][-1]
    assert (last.kind, last.site, last.verdict) == (kind, "b", verdict)
    assert [row.comment for row in last.chains[-1].rules] == ["mine"]


def test_nobody_listens(machines: Lab) -> None:
    watched, hops = machines.watched("udp", "10.9.0.2", 9)
    assert watched.answer is not None
    assert (watched.answer.error, told(hops, THERE)[-1]) == ("Connection refused", "reject b ICMP port unreachable")
    watched, hops = machines.watched("udp", "10.9.0.2", 53)  # somebody who never answers
    assert (watched.answer, told(hops, THERE)[-1]) == (None, "enter b b-eth0")


def test_without_a_route_it_is_over_before_it_begins(machines: Lab) -> None:
    watched, hops = machines.watched("tcp", "10.8.0.1", 80)
    assert watched.answer is not None
    assert (watched.answer.error, told(hops, THERE)) == ("Network is unreachable", ["route a unreachable"])
    with Netlink(machines.spaces["a"]) as netlink:
        assert routes.lookup(netlink, "10.8.0.1") == ()
        [found] = routes.lookup(netlink, "10.9.0.77")
    assert (found.destination, found.interface, found.gateway) == ("10.9.0.0/24", "a-eth0", "")


def test_without_rules_of_ours_the_translation_is_still_seen(machines: Lab) -> None:
    machines.run("b", "iptables -t nat -A PREROUTING -p tcp --dport 8080 -j REDIRECT --to-ports 80")
    _, hops = machines.watched("tcp", "10.9.0.2", 8080, ruled=False)
    assert [hop.way for hop in hops if hop.kind == "deliver"] == [THERE, BACK]
    machines.run("a", "iptables -t nat -A POSTROUTING -p tcp -j MASQUERADE --to-ports 7000")
    _, hops = machines.watched("tcp", "10.9.0.2", 80, ruled=False)
    found = [hop.translation for hop in hops if hop.translation]
    assert found
    assert (found[0].kind, found[0].after) == ("SNAT", "10.9.0.1:7000")
    assert "knet-trace" not in machines.run("a", "nft list tables")


def test_a_table_of_ours_ends_with_its_owner(machines: Lab) -> None:
    text = "table inet mine { flags owner; chain c { type filter hook forward priority 7; accept; }; }\n"
    with entered(machines.machines["a"]):
        owned = nft.Owned(text)
        chains = Chains()
        assert chains.base("inet", "mine", "c") == Base("forward", "filter", 7)
        [handle] = chains.handles("inet", "mine", "c")
        assert nft.rules("inet", "mine", "c") == {handle: "accept"}
        owned.close()
        assert chains.base("inet", "mine", "c") is None
        assert nft.rules("inet", "mine", "c") == {}
        chains.close()
        with pytest.raises(RulesError, match="syntax error"):
            nft.Owned("table inet mine { nonsense }\n")
