"""Which pods go first when there are too many (upstream: ActivePodsWithRanks).

The pod whose loss is felt least: one that runs nowhere yet, is not ready, is cheap by annotation, shares its node
with most siblings, has been ready for the shortest time, has crashed most, is youngest.
"""

import math
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from knet.api.objects import Pod
from knet.controllers.conditions import parse_time
from knet.controllers.pods import active, ready_since

#: users rank pods by hand with it; an integer, absent means 0
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"

_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


class Rank(NamedTuple):
    """Compared field by field; the smallest is deleted first."""

    assigned: bool
    phase: int
    ready: bool
    cost: int
    crowding: int
    ready_age: int
    restarts: int
    age: int
    uid: str


def _deletion_cost(pod: Pod) -> int:
    try:
        return int(pod.metadata.annotations.get(DELETION_COST, "0"))
    except ValueError:  # the API server lets any text pass; upstream reads nonsense as 0
        return 0


def _logarithmic(since: datetime | None, now: datetime) -> int:
    """Age in powers of two nanoseconds, so that nearly equal ages tie and chance (the uid) decides (KEP-2185)."""
    if since is None:
        return -2
    age = (now - since).total_seconds()
    return math.floor(math.log2(age * 1e9)) if age > 0 else -1


def rank(pod: Pod, siblings_on_node: int, now: datetime) -> Rank:
    """``siblings_on_node``: pods of the same owner's family on its node."""
    return Rank(
        assigned=bool(pod.spec.nodeName),
        phase=_PHASES.get(pod.status.phase, 0),
        ready=pod.ready,
        cost=_deletion_cost(pod),
        crowding=-siblings_on_node,
        ready_age=_logarithmic(ready_since(pod), now),
        restarts=-max((status.restartCount for status in pod.status.containerStatuses), default=0),
        age=_logarithmic(parse_time(pod.metadata.creationTimestamp), now),
        uid=pod.uid,
    )


def pods_to_delete(pods: list[Pod], family: Iterable[Pod], count: int, now: datetime) -> list[Pod]:
    """The ``count`` of ``pods`` to delete.

    ``family`` are the pods of all ReplicaSets of the same Deployment: an old pod beside two new ones on its node
    goes before one that is alone on another node.
    """
    if count >= len(pods):
        return list(pods)
    crowd = Counter(pod.spec.nodeName for pod in family if active(pod) and pod.spec.nodeName)
    return sorted(pods, key=lambda pod: rank(pod, crowd[pod.spec.nodeName], now))[:count]
