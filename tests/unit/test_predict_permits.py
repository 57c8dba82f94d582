"""What is predicted of network policies, against their meaning as the model of `policy_model` has it."""

import os

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from policy_model import allowed
from test_policy_truth import OUTSIDE, PORTS, clusters
from worlds import pod, topology, world

from knet.api.networking import NetworkPolicy
from knet.api.objects import Meta, Namespace, Pod
from knet.inspect.predict.permits import permits
from knet.inspect.world import Settings, World, by_key

DENY = {"metadata": {"name": "deny-all", "namespace": "default"}, "spec": {"podSelector": {}, "egress": [{}]}}
OPEN = {
    "metadata": {"name": "allow-web", "namespace": "default"},
    "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{"ports": [{"port": 80}]}]},
}
CLIENT, WEB, HERE = pod("client", "10.244.1.7"), pod("web", "10.244.2.5"), pod("here", "10.244.1.8")


@settings(
    max_examples=int(os.environ.get("KNET_EXAMPLES", 60)), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(clusters())
def test_what_is_allowed_is_what_the_policies_mean(cluster):
    for row in cluster.pods:
        row["spec"]["containers"][0]["name"] = "c"
    found = World(
        Settings(),
        topology(),
        pods=by_key(msgspec.convert(cluster.pods, list[Pod])),
        policies=by_key(msgspec.convert(cluster.policies, list[NetworkPolicy])),
        namespaces={
            name: Namespace(metadata=Meta(name=name, labels=labels)) for name, labels in cluster.namespaces.items()
        },
    )
    addresses = [row["ip"] for row in (ip for one in cluster.pods for ip in one["status"]["podIPs"])] + OUTSIDE
    for source in addresses:
        for destination in addresses:
            for protocol, port in PORTS if (":" in source) == (":" in destination) else ():
                rulings = permits(found).rulings(source, destination, port, protocol)
                expected = allowed(cluster, source, destination, port, protocol)
                assert all(row.allowed for row in rulings) == expected, (source, destination, protocol, port)


@pytest.mark.parametrize(
    ("source", "destination", "port", "said"),
    [
        ("10.244.1.7", "10.244.2.5", 80, ["egress by default/deny-all", "ingress by default/allow-web"]),
        (
            "10.244.1.7",
            "10.244.2.5",
            81,
            ["egress by default/deny-all", "ingress not by default/allow-web, default/deny-all"],
        ),
        ("10.244.1.7", "10.244.1.8", 80, ["egress by default/deny-all", "ingress not by default/deny-all"]),
        ("172.18.0.3", "10.244.1.8", 80, []),  # its own machine
        ("172.18.0.4", "10.244.1.8", 80, ["ingress not by default/deny-all"]),
        ("10.244.1.7", "172.18.0.3", 22, []),
        ("10.244.1.7", "172.18.0.4", 22, ["egress by default/deny-all"]),
    ],
)
def test_who_allows_and_who_does_not(source, destination, port, said):
    found = permits(world([CLIENT, WEB, HERE], policies=[DENY, OPEN]))
    rows = found.rulings(source, destination, port, "tcp")
    words = [f"{row.direction} {'' if row.allowed else 'not '}by {', '.join(map(str, row.policies))}" for row in rows]
    assert words == said


def test_without_enforcement_nothing_is_refused():
    assert permits(world([WEB], policies=[DENY], policy="none")).rulings("10.244.1.7", "10.244.2.5", 80, "tcp") == []
