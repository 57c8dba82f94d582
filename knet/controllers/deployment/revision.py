"""Revisions: the number a ReplicaSet bears, what `kubectl rollout history` and `undo` read, and their clean-up.

The current template always has the highest number.  Going back to an old template does not revive its old number:
the ReplicaSet gets a new one and remembers the former ones in its revision-history annotation.
"""

from collections.abc import Iterable, Mapping

from knet.api.names import (
    DESIRED_REPLICAS_ANNOTATION,
    LAST_APPLIED_ANNOTATION,
    MAX_REPLICAS_ANNOTATION,
    REVISION_ANNOTATION,
    REVISION_HISTORY_ANNOTATION,
)
from knet.api.objects import Deployment, ReplicaSet
from knet.controllers.deployment.bounds import bounds

#: math.MaxInt32, upstream's way of saying "keep all" and "never"
UNLIMITED = 2**31 - 1
#: characters of revision-history beyond which the oldest numbers are dropped
_HISTORY_LENGTH = 2000

#: annotations of a Deployment that are not copied to its ReplicaSets
_OWN = frozenset(
    {
        LAST_APPLIED_ANNOTATION,
        REVISION_ANNOTATION,
        REVISION_HISTORY_ANNOTATION,
        DESIRED_REPLICAS_ANNOTATION,
        MAX_REPLICAS_ANNOTATION,
        "deprecated.deployment.rollback.to",
    }
)


def revision_of(row: ReplicaSet) -> int:
    """Its revision; 0 where it has none or nonsense."""
    text = row.metadata.annotations.get(REVISION_ANNOTATION, "")
    return int(text) if text.isdecimal() else 0


def next_revision(old: Iterable[ReplicaSet]) -> int:
    return max((revision_of(row) for row in old), default=0) + 1


def size_annotations(deployment: Deployment) -> dict[str, str]:
    """What a ReplicaSet notes whenever it is sized: of how many, so that `scaling` can tell a change and its share."""
    replicas = deployment.spec.replicas
    return {
        DESIRED_REPLICAS_ANNOTATION: str(replicas),
        MAX_REPLICAS_ANNOTATION: str(replicas + bounds(deployment).surge),
    }


def annotations_for_new(
    deployment: Deployment, current: Mapping[str, str], revision: int, exists: bool
) -> dict[str, str]:
    """The annotations that the ReplicaSet of the current template lacks or has otherwise; {} if it is up to date."""
    wanted = {name: value for name, value in deployment.metadata.annotations.items() if name not in _OWN}
    had = current.get(REVISION_ANNOTATION, "")
    if not had.isdecimal() or int(had) < revision:
        wanted[REVISION_ANNOTATION] = str(revision)
        if had:
            wanted[REVISION_HISTORY_ANNOTATION] = _appended(current.get(REVISION_HISTORY_ANNOTATION, ""), had)
    if not exists:
        wanted |= size_annotations(deployment)
    return {name: value for name, value in wanted.items() if current.get(name) != value}


def _appended(history: str, revision: str) -> str:
    numbers = [*(number for number in history.split(",") if number), revision]
    while len(text := ",".join(numbers)) > _HISTORY_LENGTH:
        numbers.pop(0)
    return text


def superfluous(deployment: Deployment, old: Iterable[ReplicaSet]) -> list[ReplicaSet]:
    """Old ReplicaSets beyond revisionHistoryLimit, oldest revision first; never one that has or expects pods."""
    limit = deployment.spec.revisionHistoryLimit
    alive = sorted((row for row in old if not row.deleting), key=revision_of)
    if limit == UNLIMITED or len(alive) <= limit:
        return []
    return [row for row in alive[: len(alive) - limit] if _empty(row)]


def _empty(row: ReplicaSet) -> bool:
    observed = row.metadata.generation <= row.status.observedGeneration
    return observed and not row.status.replicas and not row.spec.replicas
