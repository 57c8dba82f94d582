"""What of a node's resources would be used with one more pod on it, for the scores that weigh that."""

from collections.abc import Iterable
from typing import NamedTuple

from knet.scheduler.node import NodeInfo
from knet.scheduler.pod import PodInfo


class Resource(NamedTuple):
    name: str
    weight: int


def resources_of(given: Iterable[tuple[str, int]]) -> tuple[Resource, ...]:
    """Those to reckon with; cpu and memory alike where none are given."""
    return tuple(Resource(*row) for row in given) or (Resource("cpu", 1), Resource("memory", 1))


def after(pod: PodInfo, node: NodeInfo, name: str) -> int | None:
    """Of cpu and memory, a container that requests nothing counts as something; None: not the pod's business."""
    if name == "cpu":
        return node.scored_cpu + pod.scored[0]
    if name == "memory":
        return node.scored_memory + pod.scored[1]
    return requested_after(pod, node, name)


def requested_after(pod: PodInfo, node: NodeInfo, name: str) -> int | None:
    """By what was requested alone; an extended resource that the pod does not ask for counts as not there."""
    asked = pod.requests.get(name, 0)
    if not asked and "/" in name:
        return None
    return node.requested.get(name, 0) + asked
