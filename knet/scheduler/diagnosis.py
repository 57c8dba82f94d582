"""Why a pod fits nowhere, in upstream's words: the text of FailedScheduling and of the PodScheduled condition.

``0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {key: value}. preemption: 0/3 nodes are
available: 1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling.``
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from knet.scheduler.plugin import Rejection

NO_NODES = "no nodes available to schedule pods"


@dataclass
class Diagnosis:
    """What an attempt has found out about ``total`` nodes.

    ``refused``: by node.  ``others`` holds for the nodes that were not looked at one by one; where ``whole`` is set it
    is what pre_filter had against the pod itself.  ``plugins`` are those that refused anything.  ``addition`` is what
    post_filter has to say.
    """

    total: int
    refused: dict[str, Rejection] = field(default_factory=dict)
    others: Rejection | None = None
    whole: bool = False
    plugins: set[str] = field(default_factory=set)
    addition: str = ""

    def of(self, node: str) -> Rejection | None:
        return self.refused.get(node, self.others)

    @property
    def message(self) -> str:
        if not self.total:
            return NO_NODES
        if self.whole and self.others is not None:
            text = f"0/{self.total} nodes are available: {', '.join(self.others.reasons)}."
        else:
            text = availability(self.total, self.refused, self.others)
        return f"{text} {self.addition}" if self.addition else text


def availability(total: int, refused: Mapping[str, Rejection], others: Rejection | None) -> str:
    """How many nodes will not do for which reason, rows in the order of their text."""
    counts = Counter(reason for refusal in refused.values() for reason in refusal.reasons)
    left = total - len(refused)
    for reason in others.reasons if others is not None and left else ():
        counts[reason] += left
    return _sentence(total, counts.items())


def _sentence(total: int, counts: Iterable[tuple[str, int]]) -> str:
    rows = sorted(f"{count} {reason}" for reason, count in counts)
    return f"0/{total} nodes are available: {', '.join(rows)}." if rows else f"0/{total} nodes are available:"
