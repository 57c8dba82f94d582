"""The scheduling loop: next pod, decide, assume, bind in the background, tell."""

import asyncio
import logging
import time
from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any

from knet.api.exposition import Distribution, Family
from knet.api.objects import KubeObject, Namespace, Node, Pod, Service
from knet.api.policy import PodDisruptionBudget
from knet.api.storage import CSINode, PersistentVolume, PersistentVolumeClaim, StorageClass
from knet.client import ApiError, Client, EventRecorder, Key, NotFound, SharedInformers, Unavailable, key_of
from knet.kernel.recorder import record
from knet.scheduler.binding import Placement
from knet.scheduler.cluster import Cluster
from knet.scheduler.framework import Decision, Framework
from knet.scheduler.hints import Change, node_changes
from knet.scheduler.metrics import Metrics
from knet.scheduler.news import News
from knet.scheduler.plugin import PluginError, Refused, running
from knet.scheduler.pod import PodInfo
from knet.scheduler.queue import SchedulingQueue, Waiting, Waits

log = logging.getLogger(__name__)

#: kinds that decide where volumes can be had, and what their changes are called
STORAGE: Mapping[type[KubeObject], Change] = {
    PersistentVolumeClaim: Change.CLAIM,
    PersistentVolume: Change.VOLUME,
    StorageClass: Change.STORAGE_CLASS,
    CSINode: Change.CSI_NODE,
}


class Scheduler:
    """Places the pods that ask for one of its profiles by ``schedulerName``; all see one cluster and one queue."""

    def __init__(
        self,
        client: Client,
        informers: SharedInformers,
        events: Mapping[str, EventRecorder],
        frameworks: Mapping[str, Framework],
        cluster: Cluster,
        waits: Waits,
    ) -> None:
        self._frameworks = frameworks
        self._cluster = cluster
        self._news = News(client, events)
        plugins = {plugin.name: plugin for framework in frameworks.values() for plugin in framework.plugins}
        self._queue = SchedulingQueue(plugins, waits, self._sort_key, self._gate)
        self.metrics = Metrics()
        self._tasks: asyncio.TaskGroup | None = None
        self._binding: dict[Key, asyncio.Task[None]] = {}
        informers.of(Pod).subscribe(self._pod_changed)
        informers.of(Node).subscribe(self._node_changed)
        informers.of(Namespace).subscribe(self._namespace_changed)
        informers.of(Service).subscribe(lambda old, new: _keep(cluster.services, old, new))
        informers.of(PodDisruptionBudget).subscribe(lambda old, new: _keep(cluster.budgets, old, new))
        for kind, change in STORAGE.items():
            informers.of(kind).subscribe(partial(self._storage_changed, change))

    # ---- what changes ----------------------------------------------------------------------------------------

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        changed = new or old
        assert changed is not None
        key = key_of(changed)
        if old is not None and new is not None and old.uid != new.uid:
            self._pod_changed(old, None)
            old = None
        if new is None or new.finished:
            self._gone(key, changed)
        elif new.spec.nodeName:
            self._bound(key, old, new)
        elif new.deleting:
            self._gone(key, changed)
        elif new.spec.schedulerName in self._frameworks and self._cluster.home(key) is None:
            self._queue.add(new)
            self._follow_nomination(key, old, new)

    def _gone(self, key: Key, pod: Pod) -> None:
        self._queue.remove(key)
        if (task := self._binding.get(key)) is not None:
            task.cancel()
        was_nominated = bool(self._cluster.nomination(key))
        self._cluster.withdraw(key)
        if self._cluster.remove(key) or was_nominated:
            self._queue.woken_by(Change.POD_REMOVED, pod, None)

    def _bound(self, key: Key, old: Pod | None, new: Pod) -> None:
        self._queue.remove(key)
        self._cluster.withdraw(key)
        self._cluster.confirm(new)
        if old is None or not old.spec.nodeName:
            self._queue.woken_by(Change.POD_ADDED, None, new)
            return
        if old.metadata.labels != new.metadata.labels:
            self._queue.woken_by(Change.POD_LABELS, old, new)
        if old.spec.containers != new.spec.containers:
            self._queue.woken_by(Change.POD_SCALED_DOWN, old, new)

    def _follow_nomination(self, key: Key, old: Pod | None, new: Pod) -> None:
        """Somebody else, or a scheduler before us, has written or taken back a nomination."""
        node = new.status.nominatedNodeName
        if (old.status.nominatedNodeName if old is not None else "") != node:
            waiting = self._queue.get(key)
            assert waiting is not None
            self._cluster.nominate(waiting.pod, node)

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if new is None:
            assert old is not None
            self._cluster.remove_node(old.name)
            self._queue.woken_by(Change.NODE_REMOVED, old, None)
            return
        self._cluster.set_node(new)
        for change in node_changes(old, new):
            self._queue.woken_by(change, old, new)

    def _namespace_changed(self, old: Namespace | None, new: Namespace | None) -> None:
        if new is not None:
            self._cluster.namespaces[new.name] = new.metadata.labels
        elif old is not None:
            self._cluster.namespaces.pop(old.name, None)

    def _storage_changed(self, change: Change, old: KubeObject | None, new: KubeObject | None) -> None:
        self._cluster.storage.keep(old, new)
        if new is not None:
            self._queue.woken_by(change, old, new)

    # ---- the queue's questions -------------------------------------------------------------------------------

    def _sort_key(self, pod: PodInfo, since: float) -> Any:
        """All profiles sort alike (upstream insists on that): by the first QueueSort plugin there is."""
        for plugin, sort_key in next(iter(self._frameworks.values())).having("sort_key"):
            try:
                return sort_key(pod, since)
            except Exception:
                log.exception("plugin %s could not sort %s", plugin.name, pod.key)
        return -pod.priority, since

    def _gate(self, pod: PodInfo) -> str:
        for plugin, pre_enqueue in self._frameworks[pod.spec.schedulerName].having("pre_enqueue"):
            try:
                with running(plugin, "pre_enqueue"):
                    if pre_enqueue(pod) is not None:
                        return plugin.name
            except PluginError as error:
                self._news.failed(pod, error)
                return plugin.name
        return ""

    # ---- the loop --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._tasks = group
            while True:
                waiting = await self._queue.pop()
                self._schedule(waiting)
                await asyncio.sleep(0)  # binds and events get their turn between decisions

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        assert self._tasks is not None
        return self._tasks.create_task(work)

    def _tell(self, waiting: Waiting, news: Coroutine[Any, Any, None]) -> None:
        """Tell in the background, but in order: what is said of one attempt before what is said of the next."""
        before = waiting.telling

        async def in_turn() -> None:
            if before is not None:
                await before
            await news

        waiting.telling = self._start(in_turn())

    def families(self) -> list[Family | Distribution]:
        """What /metrics tells."""
        return self.metrics.families(self._queue.pending())

    def _schedule(self, waiting: Waiting) -> None:
        began = time.perf_counter()
        result = self._attempt(waiting)
        self.metrics.attempted(waiting.pod.spec.schedulerName, result, time.perf_counter() - began)

    def _attempt(self, waiting: Waiting) -> str:
        """Decide upon a pod, and carry on in the background; what came of it, in one of upstream's words."""
        pod = waiting.pod
        framework = self._frameworks[pod.spec.schedulerName]
        try:
            decision = framework.decide(pod)
            if decision.node is None:
                self._fits_nowhere(waiting, framework, decision)
                return "unschedulable"
            assert decision.cycle is not None
            placement = Placement(framework, decision.cycle, decision.node)
            placement.reserve()
        except Refused as refusal:
            self._queue.put_to_sleep(waiting, frozenset({refusal.plugin}))
            self._tell(waiting, self._news.unschedulable(waiting.pod, str(refusal), None))
            return "unschedulable"
        except PluginError as error:
            self._queue.retry(waiting)
            self._tell(waiting, self._news.broken(waiting.pod, error))
            return "error"
        else:
            self._cluster.withdraw(pod.key)
            self._cluster.assume(pod, decision.node.name)
            scores = decision.scores or "the only one that fits"
            record("kube-scheduler", "binding", (pod.pod.ref,), "→ %s (%s)", decision.node.name, scores)
            self._binding[pod.key] = task = self._start(self._bind(waiting, placement))
            task.add_done_callback(partial(self._ended, waiting, placement))
            return "scheduled"

    def _fits_nowhere(self, waiting: Waiting, framework: Framework, decision: Decision) -> None:
        pod, diagnosis = waiting.pod, decision.diagnosis
        nomination = framework.nomination(decision)
        diagnosis.addition = nomination.message
        self._queue.put_to_sleep(waiting, frozenset(diagnosis.plugins))
        if nomination.node is not None:
            self._cluster.nominate(pod, nomination.node)
        if nomination.victims:
            self.metrics.preemptions += 1
            assert nomination.node
            self._start(self._make_room(waiting, nomination.node, nomination.victims))
        self._tell(waiting, self._news.unschedulable(pod, diagnosis.message, nomination.node))

    # ---- in the background -----------------------------------------------------------------------------------

    async def _bind(self, waiting: Waiting, placement: Placement) -> None:
        pod, node = waiting.pod, placement.node.name
        try:
            if waiting.telling is not None:  # what was said of earlier attempts must not come after this
                await waiting.telling
            await placement.bind()
        except (ApiError, Unavailable, Refused, PluginError) as error:
            self._take_back(waiting, placement)
            if isinstance(error, NotFound):
                self._queue.remove(pod.key)
            elif isinstance(error, Refused):
                self._tell(waiting, self._news.unschedulable(pod, str(error), None))
            else:
                self._tell(waiting, self._news.broken(pod, error))
        else:
            self._queue.remove(pod.key)
            self._news.scheduled(pod, node)
            try:
                placement.bound()
            except PluginError as error:
                self._news.failed(pod, error)

    def _ended(self, waiting: Waiting, placement: Placement, task: asyncio.Task[None]) -> None:
        """A binding cycle is over; where the pod was deleted meanwhile, perhaps before it began."""
        if self._binding.get(waiting.pod.key) is task:
            del self._binding[waiting.pod.key]
        if task.cancelled():
            self._take_back(waiting, placement)

    def _take_back(self, waiting: Waiting, placement: Placement) -> None:
        try:
            placement.unreserve()
        except PluginError as error:
            self._news.failed(waiting.pod, error)
        self._cluster.forget(waiting.pod.key)
        if self._queue.get(waiting.pod.key) is waiting:
            self._cluster.nominate(waiting.pod, waiting.pod.status.nominatedNodeName)
        self._queue.retry(waiting)
        self._queue.woken_by(Change.POD_REMOVED, waiting.pod.pod, None)

    async def _make_room(self, waiting: Waiting, node: str, victims: tuple[PodInfo, ...]) -> None:
        """Delete the victims, gracefully; pods of lower priority nominated to the node look for another."""
        pod = waiting.pod
        info = self._cluster.node(node)
        lower = [row for row in info.nominated.values() if row.priority < pod.priority] if info is not None else []
        for row in lower:
            self._cluster.withdraw(row.key)
            self._queue.wake(row.key)
        try:
            await self._news.preempt(pod, node, [row for row in victims if not row.likeness.deleting])
            await self._news.withdraw_nominations(lower)
        except (ApiError, Unavailable) as error:
            log.warning("preempting for %s on %s: %s", pod.key, node, error)
            self._queue.wake(pod.key)


def _keep(rows: dict[Key, Any], old: Any, new: Any) -> None:
    if new is not None:
        rows[key_of(new)] = new
    elif old is not None:
        rows.pop(key_of(old), None)
