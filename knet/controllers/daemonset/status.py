"""The status of a DaemonSet, counted by nodes."""

from collections.abc import Callable, Iterable, Mapping

from knet.api.objects import JSON, Node, Pod
from knet.api.workloads import DaemonSet
from knet.controllers.daemonset.eligible import Eligible


def calculate(
    daemon_set: DaemonSet,
    nodes: Iterable[Node],
    placed: Mapping[str, list[Pod]],
    eligible: Callable[[Node], Eligible],
    is_new: Callable[[Pod], bool],
    available: Callable[[Pod], bool],
    collisions: int | None,
) -> JSON:
    """Of several pods on a node the oldest counts; zeros that Go would leave out are null."""
    desired = current = misplaced = ready = updated = usable = 0
    for node in nodes:
        pods = sorted(placed.get(node.name, []), key=lambda pod: (pod.metadata.creationTimestamp or "", pod.uid))
        if not eligible(node).run:
            misplaced += bool(pods)
            continue
        desired += 1
        current += bool(pods)
        ready += any(pod.ready for pod in pods)
        usable += any(available(pod) for pod in pods)
        updated += any(is_new(pod) for pod in pods)
    return {
        "observedGeneration": daemon_set.metadata.generation,
        "desiredNumberScheduled": desired,
        "currentNumberScheduled": current,
        "numberMisscheduled": misplaced,
        "numberReady": ready,
        "updatedNumberScheduled": updated or None,
        "numberAvailable": usable or None,
        "numberUnavailable": (desired - usable) or None,
        "collisionCount": collisions,
    }


def unchanged(daemon_set: DaemonSet, status: JSON) -> bool:
    """Whether the object says all this already."""
    have = daemon_set.status
    return all((getattr(have, key) or None) == (value or None) for key, value in status.items())
