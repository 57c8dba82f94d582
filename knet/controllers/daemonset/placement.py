"""Which nodes lack their pod, and which pods are too many."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from knet.api.objects import Node, Pod
from knet.controllers.daemonset.eligible import Eligible


class Placement(NamedTuple):
    """``create`` names nodes; ``failed`` are pods that ended, to be deleted and made anew."""

    create: list[str]
    delete: list[Pod]
    failed: list[Pod]


def node_of(pod: Pod) -> str:
    """The node a daemon's pod is on, or is meant for as long as it is not bound."""
    if pod.spec.nodeName:
        return pod.spec.nodeName
    affinity = pod.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution
    for term in affinity.nodeSelectorTerms if affinity is not None else ():
        for row in term.matchFields:
            if row.key == "metadata.name" and row.operator == "In" and row.values:
                return row.values[0]
    return ""


def by_node(pods: Iterable[Pod]) -> dict[str, list[Pod]]:
    """Pods under the names of their nodes."""
    found: dict[str, list[Pod]] = {}
    for pod in pods:
        found.setdefault(node_of(pod), []).append(pod)
    return found


def plan(
    nodes: Iterable[Node],
    placed: Mapping[str, list[Pod]],
    eligible: Callable[[Node], Eligible],
    kept: Callable[[list[Pod]], list[Pod]],
) -> Placement:
    """What is missing or too many; ``kept`` says which of several pods of one node stay."""
    create: list[str] = []
    delete: list[Pod] = []
    failed: list[Pod] = []
    known = set()
    for node in nodes:
        known.add(node.name)
        present = placed.get(node.name, [])
        verdict = eligible(node)
        ended = [pod for pod in present if pod.status.phase == "Failed" and not pod.deleting]
        alive = [pod for pod in present if pod not in ended and not pod.deleting]
        if not verdict.stay:
            delete += alive + ended
            continue
        failed += ended
        if not present and verdict.run:
            create.append(node.name)
        elif len(alive) > 1:
            staying = {pod.uid for pod in kept(alive)}
            delete += [pod for pod in alive if pod.uid not in staying]
    # pods of nodes that are gone are the pod garbage collector's, but one that was never bound has no other
    delete += [
        pod
        for name, pods in placed.items()
        if name not in known
        for pod in pods
        if not pod.spec.nodeName and not pod.deleting
    ]
    return Placement(create, delete, failed)
