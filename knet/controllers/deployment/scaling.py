"""A change of spec.replicas: shared out over the ReplicaSets that have pods.

In mid-rollout both generations are serving, and a doubling of the Deployment must not throw all new pods onto the
one that is just being tried out (or withdrawn): each gets its share, so the risk stays in proportion.
"""

from collections.abc import Iterable
from typing import NamedTuple

from knet.api.names import DESIRED_REPLICAS_ANNOTATION, MAX_REPLICAS_ANNOTATION
from knet.api.objects import Deployment, ReplicaSet
from knet.controllers.deployment.bounds import bounds


class Scale(NamedTuple):
    """Bring a ReplicaSet to a size (it may have it already: then only its annotations are brought up to date)."""

    replica_set: ReplicaSet
    replicas: int


def by_age(sets: Iterable[ReplicaSet]) -> list[ReplicaSet]:
    """Oldest first; the name decides among those of one second."""
    return sorted(sets, key=lambda row: (row.metadata.creationTimestamp or "", row.name))


def active_sets(sets: Iterable[ReplicaSet]) -> list[ReplicaSet]:
    return [row for row in sets if row.spec.replicas > 0]


def observed(row: ReplicaSet) -> bool:
    """Whether its status tells of the size that it has now, and not of one that it had before.

    Worked example: a ReplicaSet of 9 is cut down to 4 and, by a rollback, wanted to be 9 again before it has said a
    word.  Its status still boasts of 9 available pods; whoever believes it takes all others away, and 4 are left.
    """
    return row.status.observedGeneration >= row.metadata.generation


def available_of(row: ReplicaSet) -> int:
    """Its available pods: one that has just been made smaller may still report more than it is going to have."""
    return min(row.status.availableReplicas, row.spec.replicas)


def is_scaling_event(deployment: Deployment, sets: Iterable[ReplicaSet]) -> bool:
    """Whether spec.replicas has changed since some ReplicaSet was last sized."""
    return any(
        desired is not None and desired != deployment.spec.replicas
        for desired in (_annotation(row, DESIRED_REPLICAS_ANNOTATION) for row in active_sets(sets))
    )


def plan_scaling(deployment: Deployment, new: ReplicaSet | None, old: list[ReplicaSet]) -> list[Scale]:
    """The sizes that follow from spec.replicas without going on with the rollout.

    Each ReplicaSet with pods is in it, also one that keeps its size: when its annotations are up to date the scaling is
    over.  Upstream leaves such a one out, so a Deployment of 5 that is scaled to 3 just when the last ReplicaSet with
    pods has 3 never goes on with its rollout.
    """
    everyone = [*old, *([new] if new is not None else [])]
    running = active_sets(everyone)
    if len(running) <= 1:
        newest_old = by_age(old)[-1] if old else None
        single = running[0] if running else new or newest_old
        return [] if single is None else [Scale(single, deployment.spec.replicas)]
    if new is not None and _saturated(deployment, new):
        return [Scale(row, 0) for row in active_sets(by_age(old))]
    if deployment.spec.strategy.type == "RollingUpdate":
        return _in_proportion(deployment, running)
    return [Scale(row, row.spec.replicas) for row in running]


def _saturated(deployment: Deployment, new: ReplicaSet) -> bool:
    """The new ReplicaSet is at full size and all of it available: the old ones are only leftovers."""
    desired = _annotation(new, DESIRED_REPLICAS_ANNOTATION)
    wanted = deployment.spec.replicas
    return observed(new) and new.spec.replicas == desired == wanted == new.status.availableReplicas


def _in_proportion(deployment: Deployment, running: list[ReplicaSet]) -> list[Scale]:
    """Share out what is to be added (or taken) by size, the rounding's remainder to the largest.

    Worked example: 10 replicas, surge 3, in mid-rollout old 8 and new 5; scaled to 20 the total becomes 23, so 10
    are added: old 8·23/13 = 14.15 → +6, new 5·23/13 = 8.85 → +4.
    """
    allowed = deployment.spec.replicas + bounds(deployment).surge if deployment.spec.replicas else 0
    to_add = allowed - sum(row.spec.replicas for row in running)
    # largest first; among equals the newest gets the extra pod and the oldest loses it
    ordered = by_age(running)
    if to_add > 0:
        ordered.reverse()
    ordered.sort(key=lambda row: -row.spec.replicas)
    sizes: list[int] = []
    added = 0
    for row in ordered:
        share = _share(row, deployment, to_add, added)
        sizes.append(row.spec.replicas + share)
        added += share
    if to_add:
        sizes[0] = max(0, sizes[0] + to_add - added)
    return [Scale(row, size) for row, size in zip(ordered, sizes, strict=True)]


def _share(row: ReplicaSet, deployment: Deployment, to_add: int, added: int) -> int:
    if not to_add or to_add == added:
        return 0
    fraction, left = _fraction(row, deployment), to_add - added
    return min(fraction, left) if to_add > 0 else max(fraction, left)


def _fraction(row: ReplicaSet, deployment: Deployment) -> int:
    """The change that keeps this ReplicaSet's part of the whole, rounded half away from zero."""
    size = row.spec.replicas
    if not deployment.spec.replicas:
        return -size
    before = _annotation(row, MAX_REPLICAS_ANNOTATION) or deployment.status.replicas
    if not before:
        return 0
    scaled = size * (deployment.spec.replicas + bounds(deployment).surge)
    return (2 * scaled + before) // (2 * before) - size


def _annotation(row: ReplicaSet, name: str) -> int | None:
    text = row.metadata.annotations.get(name, "")
    return int(text) if text.lstrip("-").isdecimal() else None
