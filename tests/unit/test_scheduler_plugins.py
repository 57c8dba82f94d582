"""Where a pod may go, where it prefers to go, and what it is told when it may go nowhere."""

from typing import Any

import msgspec
import pytest
from scheduler_harness import GI, cluster, framework, node, place, pod

from knet.api.objects import Condition, Node, NodeStatus, Pod
from knet.client import key_of
from knet.scheduler.framework import nodes_to_find
from knet.scheduler.hints import Change, node_changes
from knet.scheduler.pod import PodInfo
from knet.scheduler.requests import pod_requests


def annotated(row: Node) -> Node:
    return msgspec.structs.replace(row, metadata=msgspec.structs.replace(row.metadata, annotations={"a": "b"}))


def conditioned(ready: str, heartbeat: str) -> Node:
    row = Condition(type="Ready", status=ready, lastHeartbeatTime=heartbeat)
    return msgspec.structs.replace(node("n1"), status=NodeStatus(conditions=(row,)))


TAINT = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
SSD = {
    "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}]
    }
}
NEAR_DB = {
    "requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "db"}}}
    ]
}
HARD_SPREAD = [
    {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
    }
]


@pytest.mark.parametrize(
    ("subject", "other", "reason"),
    [
        (pod(), node("n1", unschedulable=True), "1 node(s) were unschedulable"),
        (pod(), node("n1", taints=[TAINT]), "1 node(s) had untolerated taint {gpu: yes}"),
        (
            pod(),
            node("n1", taints=[{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]),
            "1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }",
        ),
        (pod(nodeSelector={"disk": "ssd"}), node("n1"), "1 node(s) didn't match Pod's node affinity/selector"),
        (pod(affinity={"nodeAffinity": SSD}), node("n1"), "1 node(s) didn't match Pod's node affinity/selector"),
        (pod(requests={"cpu": "4001m"}), node("n1"), "1 Insufficient cpu"),
        (pod(requests={"memory": "9Gi", "cpu": "5"}), node("n1"), "1 Insufficient cpu, 1 Insufficient memory"),
        (pod(requests={"ephemeral-storage": "1"}), node("n1"), "1 Insufficient ephemeral-storage"),
        (pod(requests={"example.com/gpu": "1"}), node("n1"), "1 Insufficient example.com/gpu"),
        (pod(), node("n1", pods="0"), "1 Too many pods"),
        (pod(affinity={"podAffinity": NEAR_DB}), node("n1"), "1 node(s) didn't match pod affinity rules"),
        (
            pod(topologySpreadConstraints=HARD_SPREAD),
            node("n1"),
            "1 node(s) didn't match pod topology spread constraints (missing required label)",
        ),
    ],
)
def test_why_a_node_will_not_do(subject: Pod, other: Node, reason: str) -> None:
    assert place(subject, cluster(other)).startswith(f"0/1 nodes are available: {reason}. preemption: 0/1 nodes")


@pytest.mark.parametrize(
    ("subject", "other"),
    [
        (pod(tolerations=[{"key": "gpu", "operator": "Exists"}]), node("n1", taints=[TAINT])),
        (
            pod(tolerations=[{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]),
            node("n1", unschedulable=True),
        ),
        (pod(nodeSelector={"disk": "ssd"}, affinity={"nodeAffinity": SSD}), node("n1", labels={"disk": "ssd"})),
        (pod(requests={"cpu": "4", "memory": "8Gi"}), node("n1")),
        (pod(), node("n1", taints=[{**TAINT, "effect": "PreferNoSchedule"}])),
        (
            pod(
                affinity={
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {
                            "nodeSelectorTerms": [
                                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}
                            ]
                        }
                    }
                }
            ),
            node("n1"),
        ),
    ],
)
def test_where_it_fits(subject: Pod, other: Node) -> None:
    assert place(subject, cluster(other)) == "n1"


def test_the_whole_message() -> None:
    crowd = cluster(node("n1", cpu="1"), node("n2", taints=[TAINT]), node("n3", cpu="1"))
    assert place(pod(requests={"cpu": "2"}), crowd) == (
        "0/3 nodes are available: 1 node(s) had untolerated taint {gpu: yes}, 2 Insufficient cpu. "
        "preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, "
        "2 No preemption victims found for incoming pod."
    )
    assert place(pod(), cluster()) == "no nodes available to schedule pods"


def test_host_ports_are_one_per_node() -> None:
    taken = cluster(node("n1"), running={"n1": [pod("a", port=8080)]})
    assert "didn't have free ports for the requested pod ports" in place(pod("b", port=8080), taken)
    assert place(pod("b", port=8081), taken) == "n1"
    taken.remove(key_of(pod("a")))
    assert place(pod("b", port=8080), taken) == "n1"


def test_what_runs_counts_and_what_has_gone_does_not() -> None:
    full = cluster(node("n1"), running={"n1": [pod("a", requests={"cpu": "3"})]})
    assert "Insufficient cpu" in place(pod("b", requests={"cpu": "2"}), full)
    full.forget(key_of(pod("a")))
    assert place(pod("b", requests={"cpu": "2"}), full) == "n1"


def test_a_failed_bind_takes_back_only_what_the_api_has_not_confirmed() -> None:
    made = cluster(node("n1"), node("n2"))
    made.assume(PodInfo(pod("a")), "n1")
    made.confirm(pod("a", nodeName="n2"))
    made.forget(key_of(pod("a")))
    assert [len(info.pods) for info in made.nodes] == [0, 1]


def test_replicas_are_spread() -> None:
    on = cluster(node("n1"), node("n2"), node("n3"))
    by = framework(on)
    for number in range(9):
        subject = PodInfo(pod(f"web-{number}", owner="web"))
        chosen = by.decide(subject).node
        assert chosen is not None
        on.assume(subject, chosen.name)
    assert [len(info.pods) for info in on.nodes] == [3, 3, 3]


def test_zones_are_evened_out_first_where_asked_to() -> None:
    running = {"n1": [pod("a", labels={"app": "web"})]}
    on = cluster(node("n1", "east"), node("n2", "east"), node("n3", "west"), running=running)
    subject = pod("b", labels={"app": "web"}, topologySpreadConstraints=HARD_SPREAD)
    assert place(subject, on) == "n3"
    on.remove_node("n3")
    assert place(subject, on) == "n2", "one zone alone cannot be uneven"


def test_the_emptier_node_is_preferred() -> None:
    running = {"n1": [pod("a", requests={"cpu": "2", "memory": "4Gi"})]}
    assert place(pod("b", requests={"cpu": "1"}), cluster(node("n1"), node("n2"), running=running)) == "n2"


def test_preferences() -> None:
    two = cluster(node("n1", taints=[{**TAINT, "effect": "PreferNoSchedule"}]), node("n2"))
    assert place(pod(), two) == "n2"
    wish = {"weight": 50, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}}
    attracted = pod(affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [wish]}})
    assert place(attracted, cluster(node("n1"), node("n2", labels={"disk": "x"}), node("n3"))) == "n2"


def test_together_and_apart() -> None:
    on = cluster(node("n1"), node("n2"), running={"n2": [pod("db")]})
    assert place(pod("web", affinity={"podAffinity": NEAR_DB}), on) == "n2"
    assert place(pod("web", affinity={"podAntiAffinity": NEAR_DB}), on) == "n1"
    alone = pod("db", affinity={"podAffinity": NEAR_DB})
    assert place(alone, cluster(node("n1"))) == "n1", "the first of its group has nobody to be near"


def test_one_that_wants_no_other_around_keeps_later_ones_off() -> None:
    loner = pod("loner", affinity={"podAntiAffinity": NEAR_DB})
    on = cluster(node("n1"), running={"n1": [loner]})
    assert "didn't satisfy existing pods anti-affinity rules" in place(pod("db"), on)


def test_equal_nodes_take_turns() -> None:
    by = framework(cluster(node("n1"), node("n2"), node("n3")))
    chosen = [by.decide(PodInfo(pod())).node for _ in range(6)]
    assert sorted(info.name for info in chosen if info) == ["n1", "n1", "n2", "n2", "n3", "n3"]


@pytest.mark.parametrize(("count", "enough"), [(10, 10), (100, 100), (120, 100), (1000, 420), (5000, 500)])
def test_large_clusters_are_sampled(count: int, enough: int) -> None:
    assert nodes_to_find(count) == enough


def test_requests_of_init_containers_and_sidecars() -> None:
    def container(cpu: str, **more: str) -> dict[str, Any]:
        return {"name": "c", "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}, **more}

    body = {
        "containers": [container("500m"), container("250m")],
        "initContainers": [container("2"), container("100m", restartPolicy="Always"), container("1950m")],
    }
    asked = pod_requests(msgspec.convert({"spec": body}, Pod)).asked
    assert asked == {"cpu": 2050, "memory": 3 * GI}, "the last init container runs beside the sidecar"


def test_a_container_without_requests_counts_something_for_scoring_only() -> None:
    found = pod_requests(pod())
    assert found.asked == {}
    assert found.scored == {"cpu": 100, "memory": 200 * 2**20}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, node("n1"), [Change.NODE_ADDED]),
        (node("n1"), node("n1"), []),
        (node("n1"), node("n1", cpu="8"), [Change.NODE_ALLOCATABLE]),
        (node("n1"), node("n1", unschedulable=True), [Change.NODE_TAINTS]),
        (node("n1"), node("n1", labels={"disk": "ssd"}), [Change.NODE_LABELS]),
        (node("n1"), annotated(node("n1")), [Change.NODE_ANNOTATIONS]),
        (conditioned("True", "1"), conditioned("True", "2"), []),
        (conditioned("True", "1"), conditioned("False", "2"), [Change.NODE_CONDITIONS]),
    ],
)
def test_what_of_a_node_is_worth_another_attempt(before: Node | None, after: Node, expected: list[Change]) -> None:
    assert list(node_changes(before, after)) == expected
