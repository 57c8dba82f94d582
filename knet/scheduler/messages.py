"""Why a pod fits nowhere, in upstream's words: the text of FailedScheduling and of the PodScheduled condition.

``0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {key: value}. preemption: 0/3 nodes are
available: 1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling.``
"""

from collections import Counter
from collections.abc import Iterable

from knet.scheduler.framework import Rejection

NO_NODES = "no nodes available to schedule pods"
_NO_VICTIMS = "No preemption victims found for incoming pod"
_NO_HELP = "Preemption is not helpful for scheduling"


def unschedulable(total: int, rejections: Iterable[Rejection]) -> str:
    """The whole message. ``total`` counts all nodes."""
    if not total:
        return NO_NODES
    rejections = list(rejections)
    reasons = Counter(reason for rejection in rejections for reason in rejection.reasons)
    preemption = Counter(_NO_VICTIMS if rejection.evictable else _NO_HELP for rejection in rejections)
    return f"{_sentence(total, reasons)} preemption: {_sentence(total, preemption)}"


def _sentence(total: int, counts: Counter[str]) -> str:
    rows = sorted(f"{count} {reason}" for reason, count in counts.items())
    return f"0/{total} nodes are available: {', '.join(rows)}."
