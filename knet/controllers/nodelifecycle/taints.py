"""Taints that follow from a node's state, so that scheduling and eviction need to look at taints only.

https://kubernetes.io/docs/reference/node/node-status/#condition
"""

from collections.abc import Iterable

from knet.api.names import NOT_READY_TAINT, UNREACHABLE_TAINT, UNSCHEDULABLE_TAINT
from knet.api.objects import JSON, Node, Taint, condition
from knet.client import Controller, Key, NotFound, Result, key_of
from knet.client.events import rfc3339
from knet.controllers.context import Context
from knet.controllers.nodelifecycle.zones import Limiter, Verdict

#: condition, its status → the taint's key, and whether pods that run there are driven off too
_BY_CONDITION: dict[tuple[str, str], tuple[str, bool]] = {
    ("Ready", "False"): (NOT_READY_TAINT, True),
    ("Ready", "Unknown"): (UNREACHABLE_TAINT, True),
    ("MemoryPressure", "True"): ("node.kubernetes.io/memory-pressure", False),
    ("DiskPressure", "True"): ("node.kubernetes.io/disk-pressure", False),
    ("PIDPressure", "True"): ("node.kubernetes.io/pid-pressure", False),
    ("NetworkUnavailable", "True"): ("node.kubernetes.io/network-unavailable", False),
}
#: the keys that are ours to add and remove; all others are the operator's
OURS = frozenset({UNSCHEDULABLE_TAINT, *(key for key, _ in _BY_CONDITION.values())})


def build(context: Context) -> Controller:
    reconciler = NodeTaints(context)
    controller = Controller("node-taints", reconciler)
    nodes = context.informers.of(Node)

    def node_changed(old: Node | None, new: Node | None) -> None:
        if new is not None and desired(new) is not None:
            controller.enqueue(key_of(new))
        if old is None or new is None or old.ready != new.ready:  # others' zones may be better or worse off by that
            for node in nodes.list():
                if not node.ready:
                    controller.enqueue(key_of(node))

    nodes.subscribe(node_changed)
    return controller


def desired(node: Node, verdict: Verdict = Verdict.DRIVE) -> list[Taint] | None:
    """All taints the node should have, the operator's first; None if it has them. New ones have no timeAdded yet."""
    wanted = set(_implied(node))
    had = {(taint.key, taint.effect) for taint in node.spec.taints}
    if verdict is not Verdict.DRIVE:
        driving = {pair for pair in wanted if pair[1] == "NoExecute"}
        wanted -= driving if verdict is Verdict.RELENT else driving - had
    stale = {pair for pair in had if pair[0] in OURS and pair not in wanted}
    missing = sorted(wanted - had)
    if not stale and not missing:
        return None
    kept = [taint for taint in node.spec.taints if (taint.key, taint.effect) not in stale]
    return kept + [Taint(key=key, effect=effect) for key, effect in missing]


def _implied(node: Node) -> Iterable[tuple[str, str]]:
    if node.spec.unschedulable:
        yield UNSCHEDULABLE_TAINT, "NoSchedule"
    for (kind, status), (key, evicts) in _BY_CONDITION.items():
        row = condition(node.status.conditions, kind)
        if row is not None and row.status == status:
            yield key, "NoSchedule"
            if evicts:
                yield key, "NoExecute"


class NodeTaints:
    """Writes spec.taints, conditional on the revision seen: the list is the operator's as well as ours."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._nodes = context.informers.of(Node)
        self._limiter = Limiter(context.timing)

    async def reconcile(self, key: Key) -> Result | None:
        node = self._nodes.get(*key)
        if node is None:
            return None
        verdict, wait = Verdict.DRIVE, 0.0
        if _would_drive(node):
            verdict, wait = self._limiter.ask(node, self._nodes.list())
        taints = desired(node, verdict)
        if taints is not None:
            await self._write(node, taints)
        return Result(wait) if wait else None

    async def _write(self, node: Node, taints: list[Taint]) -> None:
        patch = {
            "metadata": {"resourceVersion": node.metadata.resourceVersion},
            "spec": {"taints": [_json(taint, rfc3339()) for taint in taints] or None},
        }
        try:
            self._nodes.assume(await self._client.patch(Node, node.name, patch))
        except NotFound:
            return


def _would_drive(node: Node) -> bool:
    """Whether pods would be driven off by what is not there yet, or are by what may have to be taken back."""
    return any(effect == "NoExecute" for _, effect in _implied(node))


def _json(taint: Taint, now: str) -> JSON:
    row: JSON = {"key": taint.key, "effect": taint.effect}
    if taint.value:
        row["value"] = taint.value
    if added := taint.timeAdded or (now if taint.key in OURS else None):
        row["timeAdded"] = added
    return row
