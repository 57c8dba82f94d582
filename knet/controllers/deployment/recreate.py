"""The Recreate strategy: the old generation ends before the new one begins, as the two would not bear each other."""

from collections.abc import Iterable

from knet.api.objects import Pod, ReplicaSet
from knet.controllers.deployment.scaling import Scale, active_sets, by_age


def plan_stop(old: list[ReplicaSet]) -> list[Scale]:
    """All old ReplicaSets to nothing."""
    return [Scale(row, 0) for row in active_sets(by_age(old))]


def old_pods_running(new: ReplicaSet | None, old: Iterable[ReplicaSet], pods: Iterable[Pod]) -> bool:
    """Whether any pod of an earlier generation may still do something; one that is terminating may.

    ``pods`` are those of all ReplicaSets of the Deployment.
    """
    if any(row.status.replicas > 0 for row in old):
        return True
    for pod in pods:
        owner = pod.controller()
        if new is not None and owner is not None and owner.uid == new.uid:
            continue
        if not pod.finished:
            return True
    return False
