"""The next step of a StatefulSet: pure, from the pods that are there.

OrderedReady takes one step at a time: a pod is made when all before it are available, removed when it is the last, and
replaced when all behind it are new and available.  Parallel makes and removes all at once, and still replaces in order.
https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#deployment-and-scaling-guarantees
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from knet.api.objects import Pod
from knet.api.workloads import StatefulSet
from knet.controllers.deployment.bounds import resolve
from knet.controllers.revisions import HASH_LABEL


class Steps(NamedTuple):
    """``create`` has ordinals, each with whether it is to be of the current (old) revision.

    ``again``: a pod that has ended is deleted, to be made anew under its name.
    """

    create: Sequence[tuple[int, bool]] = ()
    delete: Sequence[Pod] = ()
    again: Sequence[Pod] = ()


def decide(
    stateful_set: StatefulSet,
    pods: Mapping[int, Pod],
    update: str,
    available: Callable[[Pod], bool],
) -> Steps:
    """``pods`` by ordinal; ``update`` is the name of the revision aimed at.  No pod that is deleted is available."""
    spec = stateful_set.spec
    start = spec.ordinals.start
    wanted = range(start, start + spec.replicas)
    ordered = spec.podManagementPolicy != "Parallel"
    steps = _fill(stateful_set, pods, wanted, ordered, available)
    if steps is not None:
        return steps
    condemned = sorted((ordinal for ordinal in pods if ordinal not in wanted), reverse=True)
    if condemned:
        return _remove(pods, condemned, ordered, available)
    if spec.updateStrategy.type == "OnDelete":
        return Steps()
    return _replace(stateful_set, pods, wanted, update, available)


def _fill(
    stateful_set: StatefulSet,
    pods: Mapping[int, Pod],
    wanted: range,
    ordered: bool,
    available: Callable[[Pod], bool],
) -> Steps | None:
    """Make what is missing; None when every place is taken, and in order when every pod is available, too."""
    create: list[tuple[int, bool]] = []
    again: list[Pod] = []
    for ordinal in wanted:
        pod = pods.get(ordinal)
        if pod is None:
            create.append((ordinal, _of_current(stateful_set, ordinal)))
        elif pod.finished and not pod.deleting:
            again.append(pod)
        elif not ordered or available(pod):
            continue
        # in order: this one first.  A pod that never becomes available is waited for for ever, as upstream, whose
        # documentation (Forced rollback) tells to delete it by hand
        if ordered:
            return Steps(create, (), again)
    return Steps(create, (), again) if create or again else None


def _of_current(stateful_set: StatefulSet, ordinal: int) -> bool:
    """Whether a missing pod comes back as it was: below the partition, or not yet reached by the update."""
    strategy = stateful_set.spec.updateStrategy
    start = stateful_set.spec.ordinals.start
    if strategy.type != "RollingUpdate":
        return False
    if strategy.rollingUpdate.partition:
        return ordinal < start + strategy.rollingUpdate.partition
    return ordinal < start + stateful_set.status.currentReplicas


def _remove(
    pods: Mapping[int, Pod], condemned: Sequence[int], ordered: bool, available: Callable[[Pod], bool]
) -> Steps:
    """Those beyond the wanted number: the last one, unless it and one before it are not available (upstream waits)."""
    if not ordered:
        return Steps(delete=[pods[ordinal] for ordinal in condemned if not pods[ordinal].deleting])
    last = pods[condemned[0]]
    if last.deleting or (not available(last) and not all(available(pods[ordinal]) for ordinal in condemned[1:])):
        return Steps()
    return Steps(delete=[last])


def _replace(
    stateful_set: StatefulSet,
    pods: Mapping[int, Pod],
    wanted: range,
    update: str,
    available: Callable[[Pod], bool],
) -> Steps:
    """Pods of another revision from the last to the partition, not more than maxUnavailable at a time."""
    rolling = stateful_set.spec.updateStrategy.rollingUpdate
    allowed = 1
    if rolling.maxUnavailable is not None:
        allowed = max(resolve(rolling.maxUnavailable, stateful_set.spec.replicas, round_up=True), 1)
    doomed: list[Pod] = []
    unavailable = 0
    for ordinal in reversed(range(wanted.start + rolling.partition, wanted.stop)):
        pod = pods[ordinal]
        if pod.metadata.labels.get(HASH_LABEL) != update and not pod.deleting:
            doomed.append(pod)
            unavailable += 1
        elif not available(pod):
            unavailable += 1
        if unavailable >= allowed:
            break
    return Steps(delete=doomed)
