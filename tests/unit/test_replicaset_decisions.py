"""ReplicaSets: whom to delete first, what to count, what to wait for, whose pod it is."""

from datetime import UTC, datetime, timedelta

import pytest

from knet.api.objects import (
    Condition,
    ContainerStatus,
    LabelSelector,
    Meta,
    OwnerReference,
    Pod,
    PodSpec,
    PodStatus,
    ReplicaSet,
    ReplicaSetSpec,
)
from knet.api.selectors import from_label_selector
from knet.client import ApiError, Key
from knet.client.events import rfc3339
from knet.controllers.claims import claim
from knet.controllers.expectations import TIMEOUT, Expectations
from knet.controllers.offspring import Failure
from knet.controllers.pods import pod_from_template
from knet.controllers.replicaset.ranking import pods_to_delete
from knet.controllers.replicaset.status import calculate

NOW = datetime(2025, 1, 1, 12, tzinfo=UTC)
KEY = Key("default", "web")


def ago(seconds: float) -> str:
    return rfc3339(NOW - timedelta(seconds=seconds))


def pod(
    name: str,
    node: str = "n1",
    phase: str = "Running",
    ready: float | None = 100,
    cost: str = "",
    restarts: int = 0,
    age: float = 1000,
    labels: dict[str, str] | None = None,
    owner: str = "",
) -> Pod:
    """``ready``: for so many seconds; None: not ready."""
    rows = ()
    if ready is not None:
        rows = (Condition(type="Ready", status="True", lastTransitionTime=ago(ready)),)
    reference = OwnerReference(kind="ReplicaSet", name=owner, uid=owner, controller=True)
    return Pod(
        metadata=Meta(
            name=name,
            uid=name,
            namespace="default",
            creationTimestamp=ago(age),
            labels=labels or {},
            annotations={"controller.kubernetes.io/pod-deletion-cost": cost} if cost else {},
            ownerReferences=(reference,) if owner else (),
        ),
        spec=PodSpec(nodeName=node),
        status=PodStatus(
            phase=phase, conditions=rows, containerStatuses=(ContainerStatus(name="c", restartCount=restarts),)
        ),
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (pod("a", node=""), pod("b", phase="Pending", ready=None)),
        (pod("a", phase="Pending", ready=None), pod("b", ready=None)),
        (pod("a", phase="Unknown"), pod("b", ready=None)),
        (pod("a", ready=None), pod("b", cost="-5")),
        (pod("a", cost="-5"), pod("b")),
        (pod("a", cost="nonsense"), pod("b", cost="1")),
        (pod("a", ready=1), pod("b", ready=500)),
        (pod("a", restarts=4), pod("b")),
        (pod("a", age=200), pod("b", age=2000)),
    ],
)
def test_the_pod_whose_loss_is_felt_least_goes_first(first: Pod, second: Pod) -> None:
    pods = [second, first]
    assert pods_to_delete(pods, pods, 1, NOW) == [first]


def test_of_equal_pods_one_on_the_crowded_node_goes() -> None:
    mine = [pod("a", node="n1"), pod("b", node="n2")]
    family = [*mine, pod("old", node="n2")]
    assert [row.name for row in pods_to_delete(mine, family, 1, NOW)] == ["b"]


def test_nearly_equal_ages_are_decided_by_chance() -> None:
    """Else the youngest node, where all pods are youngest, would be emptied by every scale-down."""
    pods = [pod("b", ready=100), pod("a", ready=101)]
    assert [row.name for row in pods_to_delete(pods, pods, 1, NOW)] == ["a"]


REPLICA_SET = ReplicaSet(
    metadata=Meta(name="web", namespace="default", uid="web", generation=3),
    spec=ReplicaSetSpec(
        replicas=3,
        selector=LabelSelector(matchLabels={"app": "web"}),
        template={"metadata": {"labels": {"app": "web", "v": "1"}}, "spec": {"containers": [{"name": "c"}]}},
        minReadySeconds=10,
    ),
)


def test_status_counts() -> None:
    full = {"app": "web", "v": "1"}
    pods = [pod("a", labels=full), pod("b", labels=full, ready=4), pod("c", labels={"app": "web"}, ready=None)]
    counted = calculate(REPLICA_SET, pods, None, NOW)
    assert counted.status == {
        "observedGeneration": 3,
        "replicas": 3,
        "fullyLabeledReplicas": 2,
        "readyReplicas": 2,
        "availableReplicas": 1,
        "conditions": None,
    }
    assert counted.recheck_after == 6, "b becomes available by the clock alone, no event tells"


def test_a_refusal_is_told_as_a_condition() -> None:
    error = ApiError(403, "Forbidden", "exceeded quota")
    counted = calculate(REPLICA_SET, [], Failure("FailedCreate", error), NOW)
    assert counted.status["conditions"] == [
        {
            "type": "ReplicaFailure",
            "status": "True",
            "reason": "FailedCreate",
            "message": "exceeded quota",
            "lastTransitionTime": ago(0),
        }
    ]


def test_a_new_pod_is_its_template_and_its_owner() -> None:
    body = pod_from_template(REPLICA_SET.spec.template, REPLICA_SET)
    assert body["metadata"]["generateName"] == "web-"
    assert body["metadata"]["labels"] == {"app": "web", "v": "1"}
    assert body["metadata"]["ownerReferences"][0]["uid"] == "web"
    assert body["spec"] == {"containers": [{"name": "c"}]}


def test_claims() -> None:
    web = {"app": "web"}
    mine, stray = pod("mine", labels=web, owner="web"), pod("stray", labels={"app": "db"}, owner="web")
    orphan, others = pod("orphan", labels=web), pod("others", labels=web, owner="other")
    claims = claim(
        REPLICA_SET, from_label_selector(REPLICA_SET.spec.selector), [mine, stray, orphan, others, pod("unrelated")]
    )
    assert claims == ([mine], [orphan], [stray])


def test_nothing_is_managed_until_all_that_was_asked_for_is_seen() -> None:
    expectations = Expectations()
    assert expectations.satisfied(KEY, 0)
    expectations.expect_creations(KEY, 2, now=0)
    expectations.creation_seen(KEY)
    assert not expectations.satisfied(KEY, 1)
    expectations.creation_seen(KEY)
    assert expectations.satisfied(KEY, 1)
    expectations.expect_deletions(KEY, ["a", "b"], now=1)
    expectations.deletion_seen(KEY, "a")
    expectations.deletion_seen(KEY, "a")
    assert not expectations.satisfied(KEY, 2), "the same deletion told twice is one"
    assert expectations.satisfied(KEY, 2 + TIMEOUT), "an event that never came does not block for ever"
