"""The scheduling loop: next pod, decide, assume, bind in the background, tell."""

import asyncio
import logging

from knet.api.objects import Namespace, Node, Pod, condition
from knet.client import ApiError, Client, EventRecorder, Key, NotFound, SharedInformers, Unavailable, key_of
from knet.client.client import STRATEGIC
from knet.client.events import rfc3339
from knet.scheduler.cluster import Cluster
from knet.scheduler.framework import Decision, Framework, Profile
from knet.scheduler.hints import Change, node_changes
from knet.scheduler.messages import unschedulable
from knet.scheduler.queue import SchedulingQueue, Waiting

log = logging.getLogger(__name__)

#: binds under way together: the API server is one process, more only queue there
CONCURRENT_BINDS = 16


class Scheduler:
    """Places the pods that ask for it by ``schedulerName``."""

    def __init__(
        self,
        client: Client,
        informers: SharedInformers,
        events: EventRecorder,
        profile: Profile,
        backoff: tuple[float, float],
        name: str,
    ) -> None:
        self._client = client
        self._events = events
        self._name = name
        self._framework = Framework(profile)
        self._cluster = Cluster()
        self._queue = SchedulingQueue({plugin.name: plugin.helped_by for plugin in profile.filters}, backoff)
        self._gate = asyncio.Semaphore(CONCURRENT_BINDS)
        self._pods = informers.of(Pod)
        self._pods.subscribe(self._pod_changed)
        informers.of(Node).subscribe(self._node_changed)
        informers.of(Namespace).subscribe(self._namespace_changed)

    # ---- what changes ----------------------------------------------------------------------------------------

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        changed = new or old
        assert changed is not None
        key = key_of(changed)
        if old is not None and new is not None and old.uid != new.uid:
            self._pod_changed(old, None)
            old = None
        if new is None or new.finished:
            self._queue.remove(key)
            if self._cluster.remove(key):
                self._queue.woken_by(Change.POD_REMOVED)
        elif new.spec.nodeName:
            self._queue.remove(key)
            self._cluster.confirm(new)
            if old is None or not old.spec.nodeName:
                self._queue.woken_by(Change.POD_ADDED)
            elif old.metadata.labels != new.metadata.labels:
                self._queue.woken_by(Change.POD_LABELS)
        elif new.deleting:
            self._queue.remove(key)
        elif new.spec.schedulerName == self._name and self._cluster.node_of(key) is None:
            self._queue.add(new)

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if new is None:
            assert old is not None
            self._cluster.remove_node(old.name)
            return
        changes = list(node_changes(old, new))
        if not changes:
            return
        self._cluster.set_node(new)
        for change in changes:
            self._queue.woken_by(change)

    def _namespace_changed(self, old: Namespace | None, new: Namespace | None) -> None:
        if new is not None:
            self._cluster.namespaces[new.name] = new.metadata.labels
        elif old is not None:
            self._cluster.namespaces.pop(old.name, None)

    # ---- the loop --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                waiting = await self._queue.pop()
                self._schedule(waiting, group)
                await asyncio.sleep(0)  # binds and events get their turn between decisions

    def _schedule(self, waiting: Waiting, group: asyncio.TaskGroup) -> None:
        pod = waiting.pod
        decision = self._framework.decide(pod, self._cluster)
        if decision.node is not None:
            self._cluster.assume(pod, decision.node.name)
            group.create_task(self._bind(waiting, decision.node.name))
            return
        rejected_by = frozenset(name for name, _ in decision.rejections.values())
        self._queue.put_to_sleep(waiting, rejected_by)
        group.create_task(self._tell(pod, decision, len(self._cluster.nodes)))

    async def _bind(self, waiting: Waiting, node: str) -> None:
        pod = waiting.pod
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        try:
            async with self._gate:
                await self._client.raw("POST", Pod.resource.path(pod.namespace, pod.name, "binding"), body)
        except (ApiError, Unavailable) as error:
            self._take_back(waiting, key_of(pod), error)
            return
        self._queue.remove(key_of(pod))
        self._events.event(pod, "Normal", "Scheduled", f"Successfully assigned {key_of(pod)} to {node}")

    def _take_back(self, waiting: Waiting, key: Key, error: Exception) -> None:
        self._cluster.forget(key)
        if isinstance(error, NotFound):
            self._queue.remove(key)
            return
        log.warning("binding %s: %s", key, error)
        self._events.event(waiting.pod, "Warning", "FailedScheduling", f"binding rejected: {error}")
        self._queue.retry(waiting)
        self._queue.woken_by(Change.POD_REMOVED)

    async def _tell(self, pod: Pod, decision: Decision, total: int) -> None:
        """Say why, as an Event and in the pod's PodScheduled condition."""
        message = unschedulable(total, (rejection for _, rejection in decision.rejections.values()))
        self._events.event(pod, "Warning", "FailedScheduling", message)
        current = condition(pod.status.conditions, "PodScheduled")
        if current is not None and (current.reason, current.message) == ("Unschedulable", message):
            return
        row = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastProbeTime": None,
            "lastTransitionTime": rfc3339(),
        }
        if current is not None and current.status == "False" and current.lastTransitionTime:
            row["lastTransitionTime"] = current.lastTransitionTime
        patch = {"metadata": {"uid": pod.uid}, "status": {"conditions": [row]}}
        try:
            async with self._gate:
                await self._client.patch(Pod, pod.name, patch, pod.namespace, "status", kind=STRATEGIC)
        except (ApiError, Unavailable) as error:
            log.info("condition of %s not written: %s", key_of(pod), error)
