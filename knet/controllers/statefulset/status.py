"""The status of a StatefulSet, counted from its pods."""

from collections.abc import Callable, Iterable, Set

from knet.api.objects import JSON, Pod
from knet.api.workloads import StatefulSet
from knet.controllers.revisions import HASH_LABEL, History


def calculate(
    stateful_set: StatefulSet,
    pods: Iterable[Pod],
    doomed: Set[str],
    current: str,
    history: History,
    available: Callable[[Pod], bool],
) -> JSON:
    """``current`` is the name of the revision that is left; when no pod is of it any more, the update is over.

    ``doomed`` are the pods (uid) that have just been deleted: they count towards no revision any more, or their
    successors would be made of the one that is left.
    """
    rows = list(pods)
    update = history.current.name
    of = [pod.metadata.labels.get(HASH_LABEL) for pod in rows if not pod.deleting and pod.uid not in doomed]
    counts = {
        "replicas": len(rows),
        "readyReplicas": sum(pod.ready for pod in rows),
        "availableReplicas": sum(map(available, rows)),
        "currentReplicas": of.count(current),
        "updatedReplicas": of.count(update),
    }
    rolling = stateful_set.spec.updateStrategy.type == "RollingUpdate"
    if rolling and counts["updatedReplicas"] == counts["readyReplicas"] == counts["replicas"]:
        current, counts["currentReplicas"] = update, counts["updatedReplicas"]
    return {
        "observedGeneration": stateful_set.metadata.generation,
        **{key: counts[key] or None for key in ("readyReplicas", "currentReplicas", "updatedReplicas")},
        "replicas": counts["replicas"],
        "availableReplicas": counts["availableReplicas"],
        "currentRevision": current,
        "updateRevision": update,
        "collisionCount": history.collisions or 0,
    }


def unchanged(stateful_set: StatefulSet, status: JSON) -> bool:
    """Whether the object says all this already."""
    have = stateful_set.status
    return all((getattr(have, key) or None) == (value or None) for key, value in status.items())
