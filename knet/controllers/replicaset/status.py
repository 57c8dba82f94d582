"""The status of a ReplicaSet, counted from its pods."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from knet.api.objects import JSON, Condition, Pod, ReplicaSet
from knet.api.workloads import ReplicationController
from knet.client.events import rfc3339
from knet.controllers.conditions import Conditions, conditions_json, set_condition, without
from knet.controllers.offspring import Failure
from knet.controllers.pods import available_in

Replicated = ReplicaSet | ReplicationController


class Counted(NamedTuple):
    """The new status, and in how many seconds a ready pod becomes available (None: no pod is waiting for that)."""

    status: JSON
    recheck_after: float | None


def calculate(replica_set: Replicated, pods: list[Pod], failure: Failure | None, now: datetime) -> Counted:
    """Count active pods; zero counts are null so that a merge patch clears them, as Go's omitempty leaves them out."""
    template_labels = (replica_set.spec.template.get("metadata") or {}).get("labels") or {}
    waits = [available_in(pod, replica_set.spec.minReadySeconds, now) for pod in pods]
    pending = [wait.total_seconds() for wait in waits if wait]
    status: JSON = {
        "observedGeneration": replica_set.metadata.generation,
        "replicas": len(pods),
        "fullyLabeledReplicas": sum(_carries(pod, template_labels) for pod in pods) or None,
        "readyReplicas": sum(wait is not None for wait in waits) or None,
        "availableReplicas": sum(wait is not None and not wait for wait in waits) or None,
        "conditions": conditions_json(_conditions(replica_set.status.conditions, failure, now)) or None,
    }
    return Counted(status, min(pending) if pending else None)


def _carries(pod: Pod, labels: Mapping[str, str]) -> bool:
    return labels.items() <= pod.metadata.labels.items()


def _conditions(current: Conditions, failure: Failure | None, now: datetime) -> Conditions:
    if failure is None:
        return without(current, "ReplicaFailure")
    row = Condition(
        type="ReplicaFailure",
        status="True",
        reason=failure.reason,
        message=str(failure.error),
        lastTransitionTime=rfc3339(now),
    )
    return set_condition(current, row)


def unchanged(replica_set: Replicated, status: JSON) -> bool:
    """Whether the object says all this already."""
    have = replica_set.status
    return status == {
        "observedGeneration": have.observedGeneration,
        "replicas": have.replicas,
        "fullyLabeledReplicas": have.fullyLabeledReplicas or None,
        "readyReplicas": have.readyReplicas or None,
        "availableReplicas": have.availableReplicas or None,
        "conditions": conditions_json(have.conditions) or None,
    }
