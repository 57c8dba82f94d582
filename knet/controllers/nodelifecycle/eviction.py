"""Taint-based eviction: pods leave a node with NoExecute taints, at once or when their tolerationSeconds are over.

https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-based-evictions
"""

import asyncio
from collections.abc import Iterable

from knet.api.objects import Node, Pod, Taint, Toleration
from knet.api.taints import tolerates
from knet.client import Controller, Index, Key, NotFound, Result, key_of
from knet.controllers.conditions import conditions_json, disruption_target, set_condition
from knet.controllers.context import Context


def build(context: Context) -> Controller:
    reconciler = TaintEviction(context)
    controller = Controller("taint-eviction", reconciler, workers=8)
    reconciler.subscribe(controller)
    return controller


def eviction_delay(taints: Iterable[Taint], tolerations: Iterable[Toleration]) -> float | None:
    """Seconds that a pod may stay from the moment of the taints on; None: as long as it likes.

    Every NoExecute taint has to be tolerated, or it goes at once; of limited tolerations the shortest counts.
    """
    tolerations = list(tolerations)
    limits: list[int] = []
    for taint in taints:
        if taint.effect != "NoExecute":
            continue
        matching = [row for row in tolerations if tolerates(row, taint)]
        if not matching:
            return 0
        limits += [row.tolerationSeconds for row in matching if row.tolerationSeconds is not None]
    return max(0, min(limits)) if limits else None


class TaintEviction:
    """Keys are pods. The clock of a pod starts when we first see its node tainted, as upstream's does."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._events = context.recorder("taint-eviction-controller")
        self._nodes = context.informers.of(Node)
        self._pods = context.informers.of(Pod)
        self._by_node = Index(self._pods, lambda pod: (pod.spec.nodeName,))
        self._since: dict[Key, float] = {}

    def subscribe(self, controller: Controller) -> None:
        def node_changed(old: Node | None, new: Node | None) -> None:
            if new is not None and (_driving(old) != _driving(new)):
                for pod in self._by_node.get(new.name):
                    controller.enqueue(key_of(pod))

        def pod_changed(old: Pod | None, new: Pod | None) -> None:
            if new is None:
                assert old is not None
                self._since.pop(key_of(old), None)
            elif new.spec.nodeName and (old is None or old.spec.nodeName != new.spec.nodeName):
                controller.enqueue(key_of(new))

        self._nodes.subscribe(node_changed)
        self._pods.subscribe(pod_changed)

    async def reconcile(self, key: Key) -> Result | None:
        pod = self._pods.get(*key)
        node = self._nodes.get("", pod.spec.nodeName) if pod is not None else None
        if pod is None or pod.deleting or node is None:
            return None
        delay = eviction_delay(node.spec.taints, pod.spec.tolerations)
        if delay is None:
            if self._since.pop(key, None) is not None:
                message = f"Cancelling deletion of Pod {key}"
                self._events.event(pod, "Normal", "TaintManagerEviction", message)
            return None
        now = asyncio.get_running_loop().time()
        left = self._since.setdefault(key, now) + delay - now
        if left > 0:
            return Result(left)
        await self._evict(key, pod)
        return None

    async def _evict(self, key: Key, pod: Pod) -> None:
        self._events.event(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {key}")
        row = disruption_target("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")
        status = {"conditions": conditions_json(set_condition(pod.status.conditions, row))}
        patch = {"metadata": {"resourceVersion": pod.metadata.resourceVersion}, "status": status}
        try:
            await self._client.patch(Pod, pod.name, patch, pod.namespace, "status")
            await self._client.delete(Pod, pod.name, pod.namespace, uid=pod.uid)
        except NotFound:
            return


def _driving(node: Node | None) -> set[tuple[str, str]]:
    if node is None:
        return set()
    return {(taint.key, taint.value) for taint in node.spec.taints if taint.effect == "NoExecute"}
