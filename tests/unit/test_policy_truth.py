"""The rendered rules against the meaning of the policies, for every pair of addresses: the truth-table method.

A random cluster, random policies, and one machine's table each; a connection is let pass where both machines' tables
let it.  The model in `policy_model` shares no code with knet.policy.
"""

import os
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from knet.api.networking import NetworkPolicy
from knet.policy import policies as reading
from knet.policy.compile import Compiler
from knet.policy.population import NarrowPod, Population, endpoint
from knet.policy.table import Table
from tests.unit.policy_model import Cluster, allowed
from tests.unit.policy_walk import Packet, Ruleset, packets

#: clusters; scripts/soak sets it
EXAMPLES = int(os.environ.get("KNET_EXAMPLES", "150"))
NODES = ("n1", "n2")
OUTSIDE = ["192.0.2.7", "2001:db8:9::7"]
PORTS = [("tcp", 80), ("tcp", 81), ("tcp", 443), ("udp", 53), ("udp", 80), ("sctp", 80), ("icmp", 0)]
CIDRS = ["0.0.0.0/0", "192.0.2.0/24", "10.244.0.0/16", "10.244.0.0/30", "2001:db8::/32", "::/0"]
EXCEPT = {
    "0.0.0.0/0": ["10.244.0.0/16", "192.0.2.0/25", "192.0.0.0/8"],
    "192.0.2.0/24": ["192.0.2.7/32", "192.0.2.6/31"],
    "10.244.0.0/16": ["10.244.0.0/24", "10.244.0.1/32", "10.244.0.0/17"],
    "10.244.0.0/30": ["10.244.0.1/32", "10.244.0.2/31"],
    "2001:db8::/32": ["2001:db8:9::/48", "2001:db8:0:1::/64"],
    "::/0": ["2001:db8::/32"],
}

labels = st.dictionaries(st.sampled_from(["app", "tier"]), st.sampled_from(["a", "b"]), max_size=2)
expressions = st.one_of(
    st.builds(
        lambda key, operator, values: {"key": key, "operator": operator, "values": values},
        st.sampled_from(["app", "tier"]),
        st.sampled_from(["In", "NotIn"]),
        st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=2, unique=True),
    ),
    st.builds(
        lambda key, operator: {"key": key, "operator": operator},
        st.sampled_from(["app", "tier"]),
        st.sampled_from(["Exists", "DoesNotExist"]),
    ),
)
selectors = st.one_of(
    st.just({}),
    st.builds(lambda found: {"matchLabels": found}, labels),
    st.builds(lambda found: {"matchExpressions": found}, st.lists(expressions, min_size=1, max_size=2)),
)


@st.composite
def blocks(draw: Any) -> dict[str, Any]:
    cidr = draw(st.sampled_from(CIDRS))
    holes = draw(st.lists(st.sampled_from(EXCEPT[cidr]), max_size=2, unique=True))
    return {"ipBlock": {"cidr": cidr, **({"except": holes} if holes else {})}}


peers = st.one_of(
    st.builds(lambda found: {"podSelector": found}, selectors),
    st.builds(lambda found: {"namespaceSelector": found}, selectors),
    st.builds(lambda one, two: {"podSelector": one, "namespaceSelector": two}, selectors, selectors),
    blocks(),
)
ports = st.one_of(
    st.builds(lambda protocol: {"protocol": protocol}, st.sampled_from(["TCP", "UDP", "SCTP"])),
    st.builds(
        lambda protocol, port: {"protocol": protocol, "port": port},
        st.sampled_from(["TCP", "UDP", "SCTP"]),
        st.sampled_from([53, 80, 81, "web", "dns"]),
    ),
    st.builds(
        lambda port, more: {"port": port, "endPort": port + more},
        st.sampled_from([79, 80]),
        st.sampled_from([0, 1, 400]),
    ),
)
lists = {
    "peers": st.lists(peers, max_size=3),
    "ports": st.lists(ports, max_size=3),
}


def rules(side: str) -> Any:
    return st.lists(st.builds(lambda one, two: {side: one, "ports": two}, lists["peers"], lists["ports"]), max_size=2)


@st.composite
def clusters(draw: Any) -> Cluster:
    namespaces = {name: draw(labels) for name in ("x", "y")}
    pods = []
    for number in range(draw(st.integers(2, 5))):
        offered = st.sampled_from([[], [("web", 80)], [("web", 81)], [("dns", 53), ("web", 443)]])
        pods.append(
            {
                "metadata": {
                    "name": f"p{number}",
                    "namespace": draw(st.sampled_from(["x", "y"])),
                    "labels": draw(labels),
                },
                "spec": {
                    "nodeName": draw(st.sampled_from(NODES)),
                    "hostNetwork": draw(st.sampled_from([False] * 9 + [True])),
                    "containers": [
                        {
                            "ports": [
                                {"name": name, "containerPort": port, "protocol": "UDP" if name == "dns" else "TCP"}
                                for name, port in draw(offered)
                            ]
                        }
                    ],
                },
                "status": {
                    "phase": draw(st.sampled_from(["Running"] * 9 + ["Succeeded"])),
                    "podIPs": [{"ip": f"10.244.0.{number + 1}"}]
                    + ([{"ip": f"2001:db8:0:1::{number + 1}"}] if draw(st.booleans()) else []),
                },
            }
        )
    found = []
    for number in range(draw(st.integers(1, 4))):
        spec: dict[str, Any] = {"podSelector": draw(selectors)}
        spec["policyTypes"] = draw(st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"]]))
        spec["ingress"], spec["egress"] = draw(rules("from")), draw(rules("to"))
        meta = {"name": f"policy-{number}", "namespace": draw(st.sampled_from(["x", "y"]))}
        found.append({"metadata": meta, "spec": spec})
    return Cluster(found, pods, namespaces)


def table(cluster: Cluster, node: str, compiler: Compiler | None = None) -> Table:
    """What a machine enforces."""
    pods = (endpoint(msgspec.convert(row, NarrowPod), node) for row in cluster.pods)
    population = Population([row for row in pods if row is not None], cluster.namespaces)
    rows = [reading.read(msgspec.convert(row, NetworkPolicy)) for row in cluster.policies]
    return (compiler or Compiler()).table(rows, population)


@settings(
    max_examples=int(os.environ.get("KNET_EXAMPLES", 150)), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(clusters())
def test_what_passes_is_what_the_policies_allow(cluster: Cluster) -> None:
    """Many clusters, some hundred connections each."""
    machines = {node: Ruleset.parse(str(table(cluster, node))) for node in NODES}
    addresses = [row["ip"] for pod in cluster.pods for row in pod["status"]["podIPs"]] + OUTSIDE
    for packet in packets(addresses, PORTS):
        expected = allowed(cluster, packet.source, packet.destination, packet.port, packet.protocol)
        # what IPVS has translated it sends from the output hook
        for hook in ("forward", "output") if packet.port == 80 else ("forward",):
            assert all(machine.passes(packet, hook) for machine in machines.values()) == expected, (packet, hook)
    for source, destination in zip(addresses, reversed(addresses), strict=True):
        for machine in machines.values():
            assert machine.passes(Packet(source, destination, 80, answer=True))
            assert machine.passes(Packet(source, destination, 80, own=True), "output")
