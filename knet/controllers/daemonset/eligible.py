"""On which nodes a DaemonSet's pods may run (upstream: NodeShouldRunDaemonPod)."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from knet.api.names import UNSCHEDULABLE_TAINT
from knet.api.node_selection import required
from knet.api.objects import Node, PodSpec, Taint
from knet.api.taints import tolerates
from knet.api.workloads import DaemonSet
from knet.controllers.daemonset.pods import with_tolerations

_UNSCHEDULABLE = Taint(key=UNSCHEDULABLE_TAINT, effect="NoSchedule")


class Eligible(NamedTuple):
    """``run``: a pod is to be made; ``stay``: one that runs is not to be taken away."""

    run: bool
    stay: bool


def judge(daemon_set: DaemonSet) -> Callable[[Node], Eligible]:
    """What to do on a node, for one look at all nodes."""
    spec = msgspec.convert(with_tolerations(daemon_set.spec.template.get("spec") or {}), PodSpec)
    matches = required(spec)

    def eligible(node: Node) -> Eligible:
        if spec.nodeName not in ("", node.name) or (matches and not matches(node.name, node.metadata.labels)):
            return Eligible(False, False)
        taints = [*node.spec.taints, *([_UNSCHEDULABLE] if node.spec.unschedulable else [])]
        repelled = [row for row in taints if not any(tolerates(toleration, row) for toleration in spec.tolerations)]
        return Eligible(
            run=not any(row.effect in ("NoSchedule", "NoExecute") for row in repelled),
            stay=not any(row.effect == "NoExecute" for row in repelled),
        )

    return eligible
