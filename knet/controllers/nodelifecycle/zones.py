"""How fast nodes may be emptied: a zone in trouble is emptied slowly or not at all, a cluster in trouble never.

When every node looks dead, it is more likely that we are cut off.
https://kubernetes.io/docs/concepts/architecture/nodes/#rate-limits-on-eviction
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from enum import Enum

from knet.api.names import NOT_READY_TAINT, UNREACHABLE_TAINT
from knet.api.objects import Node
from knet.api.timing import Timing

#: --unhealthy-zone-threshold, and the number of bad nodes that a zone may always have
UNHEALTHY, FEW = 0.55, 2
#: --large-cluster-size-threshold
LARGE = 50

#: the taints in question
DRIVING = (NOT_READY_TAINT, UNREACHABLE_TAINT)
REGION, ZONE = "topology.kubernetes.io/region", "topology.kubernetes.io/zone"


class Verdict(Enum):
    """What may become of the taints that drive pods off a node: new ones set, old ones kept, or all taken back."""

    DRIVE = "drive"
    WAIT = "wait"
    RELENT = "relent"


def zone_of(node: Node) -> str:
    """A node's zone; "" for those that name none, which form one."""
    region, zone = (node.metadata.labels.get(key, "") for key in (REGION, ZONE))
    return f"{region}:{zone}" if region or zone else ""


def rates(nodes: Iterable[Node], timing: Timing) -> dict[str, float]:
    """By zone, how many nodes a second may be emptied; an empty dict where no zone has a ready node."""
    ready: dict[str, list[bool]] = defaultdict(list)
    for node in nodes:
        ready[zone_of(node)].append(node.ready)
    if not any(any(rows) for rows in ready.values()):
        return {}
    return {zone: _rate(rows, timing) for zone, rows in ready.items()}


def _rate(ready: list[bool], timing: Timing) -> float:
    bad = ready.count(False)
    partly = bad < len(ready) and bad > FEW and bad / len(ready) >= UNHEALTHY
    if not partly:  # nearly whole, or lost altogether: then there are other zones for its pods
        return timing.node_eviction_rate
    return timing.secondary_node_eviction_rate if len(ready) > LARGE else 0.0


class Limiter:
    """Grants one node after the other, in each zone at its rate."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._free_at: dict[str, float] = {}

    def ask(self, node: Node, nodes: Iterable[Node]) -> tuple[Verdict, float]:
        """Whether a silent node may be emptied now, and if not, in how many seconds to ask again (0: on news)."""
        found = rates(nodes, self._timing)
        if not found:
            return Verdict.RELENT, 0.0
        if any(taint.key in DRIVING and taint.effect == "NoExecute" for taint in node.spec.taints):
            return Verdict.WAIT, 0.0  # it has been granted
        zone, now = zone_of(node), asyncio.get_running_loop().time()
        rate = found.get(zone, 0.0)
        if not rate:
            return Verdict.WAIT, 0.0
        wait = self._free_at.get(zone, now) - now
        if wait > 0:
            return Verdict.WAIT, wait
        self._free_at[zone] = now + 1 / rate
        return Verdict.DRIVE, 0.0
