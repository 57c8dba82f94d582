"""The counts of a Deployment, summed over its ReplicaSets, and its Available condition."""

from datetime import datetime

from msgspec.structs import replace

from knet.api.objects import JSON, Condition, Deployment, DeploymentStatus, ReplicaSet
from knet.client.events import rfc3339
from knet.controllers.conditions import conditions_json, set_condition
from knet.controllers.deployment.bounds import bounds


def calculate(deployment: Deployment, new: ReplicaSet | None, old: list[ReplicaSet], now: datetime) -> DeploymentStatus:
    """The status as the ReplicaSets have it; Progressing and ReplicaFailure are left as they were."""
    everyone = [*old, *([new] if new is not None else [])]
    available = sum(row.status.availableReplicas for row in everyone)
    status = replace(
        deployment.status,
        observedGeneration=deployment.metadata.generation,
        replicas=sum(row.status.replicas for row in everyone),
        updatedReplicas=new.status.replicas if new is not None else 0,
        readyReplicas=sum(row.status.readyReplicas for row in everyone),
        availableReplicas=available,
        unavailableReplicas=max(0, sum(row.spec.replicas for row in everyone) - available),
    )
    return replace(status, conditions=set_condition(status.conditions, _availability(deployment, available, now)))


def _availability(deployment: Deployment, available: int, now: datetime) -> Condition:
    enough = available >= deployment.spec.replicas - bounds(deployment).unavailable
    moment = rfc3339(now)
    return Condition(
        type="Available",
        status="True" if enough else "False",
        reason="MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
        message=f"Deployment {'has' if enough else 'does not have'} minimum availability.",
        lastTransitionTime=moment,
        lastUpdateTime=moment,
    )


def status_json(status: DeploymentStatus) -> JSON:
    """As a merge patch: zero counts are null, since Go's omitempty leaves them out."""
    return {
        "observedGeneration": status.observedGeneration,
        "replicas": status.replicas or None,
        "updatedReplicas": status.updatedReplicas or None,
        "readyReplicas": status.readyReplicas or None,
        "availableReplicas": status.availableReplicas or None,
        "unavailableReplicas": status.unavailableReplicas or None,
        "collisionCount": status.collisionCount,
        "conditions": conditions_json(status.conditions) or None,
    }
