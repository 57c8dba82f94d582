"""Is the kubelet still there? Its heartbeats are Lease renewals; their absence is all that a dead node says.

Upstream looks at every node each node-monitor-period.  Here each node has its own deadline, moved on by every
heartbeat that the watch brings, so an idle cluster costs nothing and a silence is noticed the moment it is long
enough.  Only our own clock counts: renewTime is compared for change, never with now.
"""

import asyncio
from datetime import UTC, datetime

from msgspec.structs import replace

from knet.api.names import NODE_LEASE_NAMESPACE
from knet.api.objects import Condition, Lease, Node, Pod, condition
from knet.client import ApiError, Controller, Index, Key, NotFound, Result, Unavailable, key_of
from knet.client.events import rfc3339
from knet.controllers.batch import all_at_once
from knet.controllers.conditions import Conditions, conditions_json, put_condition
from knet.controllers.context import Context
from knet.controllers.pods import ready_condition

#: what the kubelet reports and nobody knows once it is silent
_REPORTED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
#: --node-startup-grace-period (60 s) in terms of --node-monitor-grace-period (40 s): for nodes that never reported
_STARTUP_FACTOR = 1.5


def build(context: Context) -> Controller:
    reconciler = NodeHealth(context)
    controller = Controller("node-lifecycle", reconciler)
    reconciler.subscribe(controller)
    return controller


def silenced(conditions: Conditions, now: datetime) -> Conditions:
    """The conditions of a node whose kubelet is silent; the same tuple if they say so already."""
    moment = rfc3339(now)
    for kind in _REPORTED:
        current = condition(conditions, kind)
        if current is None:
            row = Condition(
                type=kind,
                status="Unknown",
                reason="NodeStatusNeverUpdated",
                message="Kubelet never posted node status.",
                lastTransitionTime=moment,
            )
        elif current.status != "Unknown":
            row = replace(
                current,
                status="Unknown",
                reason="NodeStatusUnknown",
                message="Kubelet stopped posting node status.",
                lastTransitionTime=moment,
            )
        else:
            continue
        conditions = put_condition(conditions, row)
    return conditions


class NodeHealth:
    """Keys are nodes, reconciled when they come and go and when their deadline is over."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._events = context.recorder("node-controller")
        self._nodes = context.informers.of(Node)
        self._leases = context.informers.of(Lease)
        self._pods_by_node = Index(context.informers.of(Pod), lambda pod: (pod.spec.nodeName,))
        self._grace = context.timing.node_monitor_grace_period
        self._heartbeats: dict[str, float] = {}
        #: nodes whose kubelet has itself reported that it is not ready any more; told to their pods once
        self._fallen: set[str] = set()

    def subscribe(self, controller: Controller) -> None:
        def node_changed(old: Node | None, new: Node | None) -> None:
            if new is None:
                assert old is not None
                self._heartbeats.pop(old.name, None)
                self._fallen.discard(old.name)
                self._events.event(old, "Normal", "RemovingNode", _told(old, "Removing Node {} from Controller"))
                return
            if old is None:
                self._beat(new.name)
                self._events.event(new, "Normal", "RegisteredNode", _told(new, "Registered Node {} in Controller"))
                controller.enqueue(key_of(new))
            elif _last_heartbeat(old) != _last_heartbeat(new):
                self._beat(new.name)
            if old is not None and old.ready != new.ready:
                (self._fallen.add if old.ready else self._fallen.discard)(new.name)
                controller.enqueue(key_of(new))

        def lease_changed(old: Lease | None, new: Lease | None) -> None:
            if new is not None and new.namespace == NODE_LEASE_NAMESPACE:
                self._beat(new.name)

        self._nodes.subscribe(node_changed)
        self._leases.subscribe(lease_changed)

    def _beat(self, node: str) -> None:
        self._heartbeats[node] = _now()

    async def reconcile(self, key: Key) -> Result | None:
        node = self._nodes.get(*key)
        if node is None:
            return None
        ready = condition(node.status.conditions, "Ready")
        grace = self._grace if ready is not None else self._grace * _STARTUP_FACTOR
        left = self._heartbeats.get(node.name, _now()) + grace - _now()
        if left <= 0 and (ready is None or ready.status != "Unknown"):
            if await self._alive_after_all(node):
                left = grace
            else:
                await self._silence(node)
                self._fallen.add(node.name)
        if node.name in self._fallen or (ready is not None and ready.status == "Unknown"):
            await self._mark_pods_not_ready(node.name)
            self._fallen.discard(node.name)
        return Result(left if left > 0 else grace)

    async def _alive_after_all(self, node: Node) -> bool:
        """Ask the server itself: the watch may be what is silent. If nobody answers, nothing is known about the node.

        (An API server that was away for a while could take no heartbeats; each node then gets a whole grace period.)
        """
        known = self._leases.get(NODE_LEASE_NAMESPACE, node.name)
        try:
            lease = await self._client.get(Lease, node.name, NODE_LEASE_NAMESPACE)
        except NotFound:
            return False
        except (Unavailable, ApiError):
            self._beat(node.name)
            raise
        renewed = known is None or lease.spec.renewTime != known.spec.renewTime
        if renewed:
            self._beat(node.name)
        return renewed

    async def _silence(self, node: Node) -> None:
        conditions = silenced(node.status.conditions, datetime.now(UTC))
        patch = {
            "metadata": {"resourceVersion": node.metadata.resourceVersion},
            "status": {"conditions": conditions_json(conditions)},
        }
        try:
            written = await self._client.patch(Node, node.name, patch, subresource="status")
        except NotFound:
            return
        self._nodes.assume(written)
        if node.ready:
            message = f"Node {node.name} status is now: NodeNotReady"
            self._events.event(node, "Normal", "NodeNotReady", message)

    async def _mark_pods_not_ready(self, node: str) -> None:
        """Take the node's pods out of Services: their own kubelet cannot, and nobody can tell how they are."""
        up = [pod for pod in self._pods_by_node.get(node) if not pod.finished and _claims_to_be_up(pod)]
        error = await all_at_once([self._mark_not_ready(pod) for pod in up])
        if error is not None:
            raise error

    async def _mark_not_ready(self, pod: Pod) -> None:
        row = ready_condition(pod)
        assert row is not None
        down = replace(row, status="False", lastTransitionTime=rfc3339())
        status = {"conditions": conditions_json(put_condition(pod.status.conditions, down))}
        patch = {"metadata": {"resourceVersion": pod.metadata.resourceVersion}, "status": status}
        try:
            await self._client.patch(Pod, pod.name, patch, pod.namespace, "status")
        except NotFound:
            return
        self._events.event(pod, "Warning", "NodeNotReady", "Node is not ready")


def _claims_to_be_up(pod: Pod) -> bool:
    row = ready_condition(pod)
    return row is not None and row.status != "False"


def _told(node: Node, what: str) -> str:
    return f"Node {node.name} event: {what.format(node.name)}"


def _last_heartbeat(node: Node) -> str | None:
    row = condition(node.status.conditions, "Ready")
    return row.lastHeartbeatTime if row is not None else None


def _now() -> float:
    return asyncio.get_running_loop().time()
