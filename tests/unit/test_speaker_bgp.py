"""Load balancers by BGP: who announces what, who peers with whom, and what BIRD is told."""

import shutil
import subprocess
from pathlib import Path

import pytest

from knet.api.objects import Condition, Meta, Node, NodeStatus
from knet.cluster.bird import configuration, settings
from knet.cluster.config import ClusterConfig
from knet.cluster.errors import KnetError
from knet.cluster.peering import options
from knet.cluster.pools import pool
from knet.speaker.announcements import announced
from knet.speaker.ranking import homes
from knet.underlay.describe import describe
from knet.underlay.membership import Joining, join
from knet.underlay.topology import load
from tests.cluster_objects import endpoint, endpoint_slice, service

BOTH = ("IPv4", "IPv6")
EXCLUDED = {"node.kubernetes.io/exclude-from-external-load-balancers": ""}
SERVICES = [
    service("anywhere", balanced=("198.51.100.1", "fd00:198:51:100::1")),
    service("local", balanced=("198.51.100.2",), externalTrafficPolicy="Local"),
    service("idle", balanced=("198.51.100.3",)),
    service("others", balanced=("198.51.100.4",), loadBalancerClass="example.org/cloud"),
    service("internal"),
]
SLICES = [
    endpoint_slice("anywhere", "10.244.9.2"),
    endpoint_slice("local", "10.244.1.2", endpoint("10.244.2.2", ready=False)),
    endpoint_slice("local", "10.244.3.2", suffix="b"),
    endpoint_slice("local", "10.244.2.3", namespace="elsewhere"),
    endpoint_slice("idle", endpoint("10.244.1.3", ready=False)),
    endpoint_slice("others", "10.244.1.4"),
    endpoint_slice("internal", "10.244.1.5"),
]
ANYWHERE = {"198.51.100.1", "fd00:198:51:100::1"}


def node(name: str, ready: bool = True, labels: dict[str, str] | None = None) -> Node:
    status = NodeStatus(conditions=(Condition(type="Ready", status="True" if ready else "Unknown"),))
    return Node(metadata=Meta(name=name, labels=labels or {}), status=status)


@pytest.mark.parametrize(
    ("where", "addresses"),
    [
        (node("n1"), ANYWHERE | {"198.51.100.2"}),
        (node("n2"), ANYWHERE),
        (node("n3"), ANYWHERE | {"198.51.100.2"}),
        (node("n1", ready=False), set()),
        (node("n1", labels=EXCLUDED), set()),
        (None, set()),
    ],
)
def test_a_node_announces_what_it_leads_to(where: Node | None, addresses: set[str]) -> None:
    assert announced(SERVICES, homes(SLICES), where) == addresses


NODE = """
router id 172.18.2.4;
log stderr all;
debug protocols { states };

protocol device {
}

protocol bfd {
    interface "*" { interval 200 ms; multiplier 3; };
}

protocol kernel {
    kernel table 179;
    learn;
    ipv4 { import all; export none; };
}

template bgp session {
    local as 64512;
    bfd on;
    hold time 9;
    keepalive time 3;
    connect delay time 1;
    connect retry time 1;
    error wait time 0, 0;
}

protocol bgp 'r1-eth1.ipv4' from session {
    neighbor 172.18.2.1 as 64513;
    ipv4 { import none; export all; };
}
"""
#: after the template
ROUTER = """
protocol bgp from session {
    neighbor range fd00:172:18:2::/64 as 64512;
    passive;
    dynamic name "node";
    ipv6 { import all; export none; };
}

protocol bgp 'r1-eth1.ipv6' from session {
    neighbor fd00:172:18::1 as 64513;
    ipv6 { import all; export all; };
}

protocol bgp from session {
    neighbor range fd00:172:18::/80 as 64512;
    passive;
    dynamic name "node";
    ipv6 { import all; export none; };
}
"""


def test_a_node_tells_its_router_what_the_speaker_put_into_the_table() -> None:
    found = configuration(options(describe(load("two_racks", 2)), ("IPv4",), "n2"))
    assert found == NODE.removeprefix("\n")


def test_a_router_hears_nodes_and_other_routers_and_spreads_connections() -> None:
    plan = describe(load("wan,delay=0", 2))
    [first, second] = [options(plan, ("IPv6",), name) for name in ("r1", "r2")]
    assert (first.system, second.system, second.router_id) == (64513, 64514, "172.18.2.1")
    text = configuration(second)
    assert text.endswith(ROUTER)
    assert "\n    merge paths on limit 64;\n    ipv6 { import none; export all; };\n" in text
    assert dict(settings(second, ("all", "r2-eth0"))) == {
        "net.ipv6.fib_multipath_hash_fields": 0x37,
        "net.ipv6.fib_multipath_hash_policy": 3,
        "net/ipv4/conf/all/send_redirects": 0,
        "net/ipv4/conf/r2-eth0/send_redirects": 0,
    }


@pytest.mark.skipif(shutil.which("bird") is None, reason="NO bird ON THIS MACHINE: apt-get install bird2")
@pytest.mark.parametrize("families", [("IPv4",), ("IPv6",), BOTH])
@pytest.mark.parametrize("topology", ["two_racks", "wan,delay=0"])
def test_bird_understands_it(topology: str, families: tuple[str, ...], tmp_path: Path) -> None:
    plan = describe(load(topology, 2))
    for machine in ("r1", "n2"):
        config = tmp_path / machine
        config.write_text(configuration(options(plan, families, machine)))
        found = subprocess.run(["bird", "-p", "-c", config], capture_output=True, text=True, check=False)
        assert (found.returncode, found.stderr) == (0, "")


def test_a_worker_that_joins_has_peers_and_changes_nothing_for_the_router() -> None:
    plan = describe(load("two_racks", 2))
    grown, _ = join(plan, Joining("n7", switch="s2"))
    assert [peer.address for peer in options(grown, BOTH, "n7").peers] == ["172.18.2.1", "fd00:172:18:2::1"]
    assert options(grown, BOTH, "r1") == options(plan, BOTH, "r1")


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "198.51.100.1-198.51.100.254"),
        ({"ip_family": "dual"}, "198.51.100.1-198.51.100.254,fd00:198:51:100::1-fd00:198:51:100::254"),
        ({"lb_pool": "203.0.113.0/28"}, "203.0.113.0-203.0.113.15"),
    ],
)
def test_the_pool_is_nobodys_network(given: dict[str, str], found: str) -> None:
    assert str(pool(ClusterConfig(lb_mode="bgp", **given), describe(load("two_racks", 2)))) == found  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("topology", "given", "why"),
    [
        ("single", {}, "--lb-mode bgp: single.py has no router in a worker's network that could be a peer; use --topo"),
        ("two_racks", {"lb_pool": "172.18.2.200-172.18.2.210"}, "and r1's network 172.18.2.0/24 overlap: in BGP mode"),
    ],
)
def test_what_no_router_would_be_asked_for_is_refused(topology: str, given: dict[str, str], why: str) -> None:
    with pytest.raises(KnetError, match=why):
        pool(ClusterConfig(lb_mode="bgp", **given), describe(load(topology, 2)))  # type: ignore[arg-type]
