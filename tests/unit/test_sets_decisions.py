"""What DaemonSets and StatefulSets decide: pure tables."""

from typing import Any

import msgspec
import pytest

from knet.api.objects import Node, Pod
from knet.api.workloads import DaemonSet, StatefulSet
from knet.controllers.daemonset import rolling
from knet.controllers.daemonset.eligible import judge
from knet.controllers.daemonset.placement import node_of, plan
from knet.controllers.daemonset.pods import new_pod
from knet.controllers.deployment.bounds import Bounds
from knet.controllers.revisions import HASH_LABEL
from knet.controllers.statefulset.decide import decide
from knet.controllers.statefulset.identity import new_pod as new_member
from knet.controllers.statefulset.identity import ordinal_of


def daemons(**spec: Any) -> DaemonSet:
    template = {"spec": spec.pop("pod", {})}
    value = {"metadata": {"name": "agent", "uid": "d"}, "spec": {"template": template, **spec}}
    return msgspec.convert(value, DaemonSet)


def node(name: str = "n1", labels: Any = None, **spec: Any) -> Node:
    return msgspec.convert({"metadata": {"name": name, "labels": labels or {}}, "spec": spec}, Node)


def pod(name: str, where: str = "n1", revision: str = "new", ready: bool = True, **more: Any) -> Pod:
    metadata = {
        "name": name,
        "uid": name,
        "labels": {HASH_LABEL: revision},
        "deletionTimestamp": "2026-03-01T11:00:00Z" if more.get("deleting") else None,
        "creationTimestamp": more.get("made", "2026-03-01T10:00:00Z"),
    }
    status = {"phase": more.get("phase", "Running"), "conditions": [{"type": "Ready", "status": str(ready)}]}
    return msgspec.convert({"metadata": metadata, "spec": {"nodeName": where}, "status": status}, Pod)


def taint(effect: str, key: str = "gpu") -> dict[str, str]:
    return {"key": key, "effect": effect}


@pytest.mark.parametrize(
    ("spec", "where", "run", "stay"),
    [
        ({}, node(), True, True),
        ({}, node(taints=[taint("NoSchedule")]), False, True),
        ({}, node(taints=[taint("NoExecute")]), False, False),
        ({}, node(taints=[taint("PreferNoSchedule")]), True, True),
        ({}, node(unschedulable=True), True, True),
        ({}, node(taints=[taint("NoExecute", "node.kubernetes.io/unreachable")]), True, True),
        ({"nodeSelector": {"disk": "ssd"}}, node(), False, False),
        ({"nodeSelector": {"disk": "ssd"}}, node(labels={"disk": "ssd"}), True, True),
        ({"nodeName": "n2"}, node(), False, False),
        ({"tolerations": [{"operator": "Exists"}]}, node(taints=[taint("NoExecute")]), True, True),
    ],
)
def test_where_a_daemon_may_run(spec: Any, where: Node, run: bool, stay: bool) -> None:
    assert judge(daemons(pod=spec))(where) == (run, stay)


def test_a_daemons_pod_is_bound_by_affinity_and_read_back() -> None:
    body = new_pod(daemons(pod={"containers": []}), "n7", "abc")
    assert node_of(msgspec.convert(body, Pod)) == "n7"
    assert body["metadata"]["labels"] == {HASH_LABEL: "abc"}


def test_placement() -> None:
    placed = {
        "n1": [pod("a", made="2026-03-01T09:00:00Z"), pod("b")],
        "n2": [pod("c", "n2", phase="Failed", ready=False)],
        "n4": [pod("d", "n4")],
    }
    nodes = [node("n1"), node("n2"), node("n3"), node("n4", taints=[taint("NoExecute")])]
    wanted = plan(nodes, placed, judge(daemons()), lambda pods: pods[:1])
    assert wanted.create == ["n3"]
    assert [row.name for row in wanted.delete] == ["b", "d"]
    assert [row.name for row in wanted.failed] == ["c"]


@pytest.mark.parametrize(
    ("limits", "pods", "delete", "surge"),
    [
        # one may be unavailable: one old pod goes
        (Bounds(0, 1), [pod("a", "n1", "old"), pod("b", "n2", "old")], ["a"], []),
        # one is unavailable already
        (Bounds(0, 1), [pod("a", "n1", "new", False), pod("b", "n2", "old")], [], []),
        # an old pod that serves nobody costs nothing
        (Bounds(0, 1), [pod("a", "n1", "old", False), pod("b", "n2", "old")], ["a"], []),
        # beside each other: a new one on so many nodes at a time
        (Bounds(1, 0), [pod("a", "n1", "old"), pod("b", "n2", "old")], [], ["n1"]),
        (Bounds(1, 0), [pod("a", "n1", "old"), pod("x", "n1", "new", False), pod("b", "n2", "old")], [], []),
        (Bounds(1, 0), [pod("x", "n1", "new"), pod("b", "n2", "old")], [], ["n2"]),
    ],
)
def test_a_step_of_a_rolling_update(limits: Bounds, pods: list[Pod], delete: list[str], surge: list[str]) -> None:
    placed: dict[str, list[Pod]] = {}
    for row in pods:
        placed.setdefault(row.spec.nodeName, []).append(row)
    step = rolling.step(limits, placed, lambda row: row.metadata.labels[HASH_LABEL] == "new", lambda row: row.ready)
    assert ([row.name for row in step.delete], step.surge) == (delete, surge)


@pytest.mark.parametrize(
    ("surge", "pods", "names"),
    [
        (1, [pod("a", revision="old"), pod("x", ready=False)], ["x", "a"]),
        (1, [pod("a", revision="old"), pod("x")], ["x"]),
        (0, [pod("a", revision="old"), pod("x", ready=False)], ["a"]),
        (1, [pod("x", ready=False), pod("y", ready=False)], ["x"]),
    ],
)
def test_an_old_daemon_stays_beside_its_successor_until_that_is_available(
    surge: int, pods: list[Pod], names: list[str]
) -> None:
    def is_new(row: Pod) -> bool:
        return row.metadata.labels[HASH_LABEL] == "new"

    assert [row.name for row in rolling.kept(Bounds(surge, 0), pods, is_new, lambda row: row.ready)] == names


def stateful(replicas: int = 3, current: int = 0, **spec: Any) -> StatefulSet:
    value = {
        "metadata": {"name": "db", "uid": "s"},
        "spec": {"replicas": replicas, **spec},
        "status": {"currentReplicas": current},
    }
    return msgspec.convert(value, StatefulSet)


PARALLEL = {"podManagementPolicy": "Parallel"}
PARTITION = {"updateStrategy": {"rollingUpdate": {"partition": 2}}}


@pytest.mark.parametrize(
    ("owner", "pods", "create", "delete"),
    [
        (stateful(), {}, [(0, False)], []),
        (stateful(), {0: pod("db-0", ready=False)}, [], []),
        (stateful(), {0: pod("db-0")}, [(1, False)], []),
        (stateful(**PARALLEL), {1: pod("db-1")}, [(0, False), (2, False)], []),
        # scaling down waits for nobody that stays, but for those that go, one by one
        (stateful(1), {0: pod("db-0"), 1: pod("db-1"), 2: pod("db-2")}, [], ["db-2"]),
        (stateful(1), {0: pod("db-0"), 1: pod("db-1"), 2: pod("db-2", deleting=True)}, [], []),
        (stateful(1), {0: pod("db-0", ready=False), 1: pod("db-1")}, [], []),
        (stateful(1, **PARALLEL), {0: pod("db-0"), 1: pod("db-1"), 2: pod("db-2")}, [], ["db-2", "db-1"]),
        # an update: the last old one, when all behind it are available
        (stateful(2), {0: pod("db-0", revision="old"), 1: pod("db-1", revision="old")}, [], ["db-1"]),
        (stateful(2), {0: pod("db-0", revision="old"), 1: pod("db-1")}, [], ["db-0"]),
        (stateful(2, **PARALLEL), {0: pod("db-0", revision="old"), 1: pod("db-1", ready=False)}, [], []),
        (stateful(3, **PARTITION), {n: pod(f"db-{n}", revision="old") for n in range(3)}, [], ["db-2"]),
        (stateful(2, **PARTITION), {n: pod(f"db-{n}", revision="old") for n in range(2)}, [], []),
        # what the update has not reached comes back as it was
        (stateful(3, current=2), {1: pod("db-1", revision="old"), 2: pod("db-2")}, [(0, True)], []),
        (stateful(2, updateStrategy={"type": "OnDelete"}), {0: pod("db-0", revision="old"), 1: pod("db-1")}, [], []),
        (stateful(2, ordinals={"start": 5}), {5: pod("db-5")}, [(6, False)], []),
    ],
)
def test_the_next_step_of_a_stateful_set(
    owner: StatefulSet, pods: dict[int, Pod], create: list[tuple[int, bool]], delete: list[str]
) -> None:
    steps = decide(owner, pods, "new", lambda row: row.ready and not row.deleting)
    assert list(steps.create) == create
    assert [row.name for row in steps.delete] == delete


def test_a_member_has_its_claims_before_the_templates_volumes() -> None:
    owner = stateful(serviceName="db", volumeClaimTemplates=[{"metadata": {"name": "data"}, "spec": {}}])
    volumes = [{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]
    body = new_member(owner, {"spec": {"volumes": volumes}}, 1, "db-abc")
    assert body["metadata"]["name"] == body["spec"]["hostname"] == "db-1"
    assert body["spec"]["volumes"] == [
        {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-1"}},
        {"name": "tmp", "emptyDir": {}},
    ]
    assert (ordinal_of(owner, "db-1"), ordinal_of(owner, "other-1"), ordinal_of(owner, "db-x")) == (1, None, None)
