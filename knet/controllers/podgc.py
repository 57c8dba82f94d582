"""Pods that nobody else will ever remove: of a node that is gone, terminating without a node, finished by the thousand.

upstream: podgc/gc_controller.go, which looks every 20 s; here the events that make a pod such one wake us.
"""

from collections.abc import Iterable

from knet.api.objects import Node, Pod, Taint
from knet.client import Controller, Index, Key, NotFound, Result, key_of
from knet.controllers.conditions import conditions_json, disruption_target, set_condition
from knet.controllers.context import Context

#: --terminated-pod-gc-threshold
TERMINATED_THRESHOLD = 12500
OUT_OF_SERVICE_TAINT = "node.kubernetes.io/out-of-service"


def build(context: Context) -> Controller:
    reconciler = PodGc(context)
    controller = Controller("pod-garbage-collector", reconciler, workers=4)
    reconciler.subscribe(controller)
    return controller


def superfluous(finished: Iterable[Pod], threshold: int = TERMINATED_THRESHOLD) -> list[Pod]:
    """The oldest finished pods beyond the threshold (Jobs keep theirs for their logs, but not for ever)."""
    rows = sorted(finished, key=lambda pod: (pod.metadata.creationTimestamp or "", pod.name))
    return rows[: max(0, len(rows) - threshold)]


def out_of_service(taints: Iterable[Taint]) -> bool:
    """The operator has vouched that the machine is off: its pods can be deleted without its kubelet (KEP-2268)."""
    return any(taint.key == OUT_OF_SERVICE_TAINT for taint in taints)


class PodGc:
    """Keys are pods. A pod whose Node is not there gets one node-monitor-grace-period: the Node may be made anew."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._pods = context.informers.of(Pod)
        self._nodes = context.informers.of(Node)
        self._by_node = Index(self._pods, lambda pod: (pod.spec.nodeName,))
        self._finished = Index(self._pods, lambda pod: (pod.finished,))
        self._quarantine = context.timing.node_monitor_grace_period
        self._suspects: set[Key] = set()

    def subscribe(self, controller: Controller) -> None:
        def pod_changed(old: Pod | None, new: Pod | None) -> None:
            if new is None:
                assert old is not None
                self._suspects.discard(key_of(old))
            elif old is None or _concern(old) != _concern(new):
                controller.enqueue(key_of(new))

        def node_changed(old: Node | None, new: Node | None) -> None:
            changed = new or old
            assert changed is not None
            if new is None or out_of_service(new.spec.taints):
                for pod in self._by_node.get(changed.name):
                    controller.enqueue(key_of(pod))

        self._pods.subscribe(pod_changed)
        self._nodes.subscribe(node_changed)

    async def reconcile(self, key: Key) -> Result | None:
        pod = self._pods.get(*key)
        if pod is None:
            return None
        if not pod.spec.nodeName:
            if pod.deleting:
                await self._force_delete(pod, "PodGC: unscheduled and terminating")
            return None
        node = self._nodes.get("", pod.spec.nodeName)
        if node is None:
            return await self._orphaned(key, pod)
        self._suspects.discard(key)
        if pod.deleting and not node.ready and out_of_service(node.spec.taints):
            await self._force_delete(pod, "PodGC: node is out of service")
        elif pod.finished:
            for old in superfluous(self._finished.get(True)):
                await self._force_delete(old, "PodGC: too many terminated pods")
        return None

    async def _orphaned(self, key: Key, pod: Pod) -> Result | None:
        if key not in self._suspects:
            self._suspects.add(key)
            return Result(self._quarantine)
        self._suspects.discard(key)
        try:
            await self._client.get(Node, pod.spec.nodeName)
        except NotFound:
            await self._force_delete(pod, "PodGC: node no longer exists")
        return None

    async def _force_delete(self, pod: Pod, why: str) -> None:
        """Nobody is there to confirm the end: the phase is set for those who count it, and the object removed."""
        try:
            if not pod.finished:
                row = disruption_target("DeletionByPodGC", why)
                conditions = set_condition(pod.status.conditions, row)
                status = {"phase": "Failed", "conditions": conditions_json(conditions)}
                await self._client.patch(Pod, pod.name, {"status": status}, pod.namespace, "status")
            await self._client.delete(Pod, pod.name, pod.namespace, grace_period=0, uid=pod.uid)
        except NotFound:
            return


def _concern(pod: Pod) -> tuple[object, ...]:
    return pod.spec.nodeName, pod.deleting, pod.finished
