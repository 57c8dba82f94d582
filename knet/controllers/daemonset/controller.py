"""The DaemonSet loop: a pod on each node that may run one, of the present template, and none elsewhere."""

import asyncio
from datetime import UTC, datetime, timedelta

from knet.api.objects import Node, Pod
from knet.api.workloads import DaemonSet
from knet.client import Controller, Key, NotFound, Result, key_of
from knet.controllers.context import Context
from knet.controllers.daemonset import rolling
from knet.controllers.daemonset.eligible import judge
from knet.controllers.daemonset.placement import by_node, plan
from knet.controllers.daemonset.pods import new_pod
from knet.controllers.daemonset.status import calculate, unchanged
from knet.controllers.offspring import Failure, Offspring
from knet.controllers.pods import available_in
from knet.controllers.revisions import HASH_LABEL, History, Revisions

#: most pods created or deleted by one pass (BurstReplicas)
BURST = 250
#: seconds: a daemon that fails is made anew at once, then after growing pauses (failedPodsBackoff: 1 s … 15 min)
FAILED = (1.0, 900.0)
#: seconds between two passes over one DaemonSet
REST = 0.01


def build(context: Context) -> Controller:
    reconciler = DaemonSetReconciler(context)
    controller = Controller("daemonset", reconciler, workers=2, rest=REST)
    reconciler.subscribe(controller)
    return controller


class DaemonSetReconciler:
    """One pod on every eligible node."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._sets = context.informers.of(DaemonSet)
        self._nodes = context.informers.of(Node)
        self._revisions: Revisions[DaemonSet] = Revisions(context)
        self._pods = Offspring(context, DaemonSet, "daemonset-controller", lambda row: row.spec.selector, _as_counted)
        #: (DaemonSet's uid, node) → failures so far, and when the last was answered
        self._failures: dict[tuple[str, str], tuple[int, float]] = {}

    def subscribe(self, controller: Controller) -> None:
        """A node that comes, goes or changes in what placement looks at concerns all DaemonSets."""

        def node_changed(old: Node | None, new: Node | None) -> None:
            if old is None or new is None or _as_placed(old) != _as_placed(new):
                for row in self._sets.list():
                    controller.enqueue(key_of(row))

        self._pods.subscribe(controller)
        self._nodes.subscribe(node_changed)

    async def reconcile(self, key: Key) -> Result | None:
        daemon_set = self._sets.get(*key)
        if daemon_set is None:
            self._pods.forget(key)
            return None
        selector = daemon_set.spec.selector
        if daemon_set.deleting or not (selector.matchLabels or selector.matchExpressions):
            return None
        try:
            return await self._pass(key, daemon_set)
        except NotFound:  # deleted under our hands
            return None

    async def _pass(self, key: Key, daemon_set: DaemonSet) -> Result | None:
        settled = self._pods.settled(key)
        spec = daemon_set.spec
        pods = await self._pods.claimed(daemon_set)
        history = await self._revisions.sync(daemon_set, spec.selector, spec.template, daemon_set.status.collisionCount)
        look = _Look(daemon_set, pods, list(self._nodes.list()), history, datetime.now(UTC))
        failure, wait = None, look.recheck()
        if settled:
            failure, pause = await self._place(key, daemon_set, look)
            wait = min((value for value in (wait, pause) if value is not None), default=None)
        status = calculate(
            daemon_set, look.nodes, look.placed, look.eligible, look.is_new, look.available, history.collisions
        )
        if not unchanged(daemon_set, status):
            patch = {"metadata": {"resourceVersion": daemon_set.metadata.resourceVersion}, "status": status}
            written = await self._client.patch(DaemonSet, daemon_set.name, patch, daemon_set.namespace, "status")
            self._sets.assume(written)
        live = {pod.metadata.labels.get(HASH_LABEL, "") for pod in pods}
        names = [row.name for row in history.earlier if row.metadata.labels.get(HASH_LABEL) in live]
        await self._revisions.truncate(history, names, spec.revisionHistoryLimit)
        if failure is not None:
            raise failure.error  # the Event has told it; now the key is retried
        return None if wait is None else Result(wait)

    async def _place(self, key: Key, daemon_set: DaemonSet, look: "_Look") -> tuple[Failure | None, float | None]:
        """Create and delete; the first refusal, and when to look again at a daemon that keeps failing."""
        wanted = plan(look.nodes, look.placed, look.eligible, look.kept)
        failed, pause = self._failed(daemon_set, wanted.failed)
        delete, create = [*wanted.delete, *failed], wanted.create
        if daemon_set.spec.updateStrategy.type == "RollingUpdate" and not (delete or create):
            step = look.step()
            delete, create = step.delete, step.surge
        # deletions first, creations in the next pass: so a surge is never larger than it may be
        failure = None
        if delete:
            failure = await self._pods.delete(key, daemon_set, delete[:BURST])
        elif create:
            digest = look.history.current.metadata.labels[HASH_LABEL]
            bodies = [new_pod(daemon_set, node, digest) for node in create[:BURST]]
            failure = await self._pods.create(key, daemon_set, bodies)
        return failure, pause

    def _failed(self, daemon_set: DaemonSet, pods: list[Pod]) -> tuple[list[Pod], float | None]:
        """The failed pods whose pause is over, and how long it is until the next one's is."""
        now = asyncio.get_running_loop().time()
        ready: list[Pod] = []
        waits: list[float] = []
        for pod in pods:
            place = daemon_set.uid, pod.spec.nodeName
            times, since = self._failures.get(place, (0, now - FAILED[1]))
            left = since + min(FAILED[0] * 2.0 ** min(times - 1, 30), FAILED[1]) - now if times else 0
            if left > 0:
                waits.append(left)
                continue
            self._failures[place] = times + 1, now
            ready.append(pod)
            where = f"{pod.namespace}/{pod.name} on node {pod.spec.nodeName}"
            text = f"Found failed daemon pod {where}, will try to kill it"
            self._pods.events.event(daemon_set, "Warning", "FailedDaemonPod", text)
        return ready, min(waits, default=None)


class _Look:
    """One look at nodes and pods, with the questions that placement, update and status ask of it."""

    def __init__(
        self, daemon_set: DaemonSet, pods: list[Pod], nodes: list[Node], history: History, now: datetime
    ) -> None:
        self.nodes = nodes
        self.placed = by_node(pods)
        self.eligible = judge(daemon_set)
        self.history = history
        self._pods = pods
        self._daemon_set = daemon_set
        self._now = now
        self._hash = history.current.metadata.labels[HASH_LABEL]
        self._wanted = [node.name for node in nodes if self.eligible(node).run]
        self._limits = rolling.bounds(daemon_set, len(self._wanted))

    def is_new(self, pod: Pod) -> bool:
        """Of the present template."""
        return pod.metadata.labels.get(HASH_LABEL) == self._hash

    def available(self, pod: Pod) -> bool:
        """Ready for minReadySeconds."""
        return self._left(pod) == timedelta()

    def _left(self, pod: Pod) -> timedelta | None:
        return available_in(pod, self._daemon_set.spec.minReadySeconds, self._now)

    def recheck(self) -> float | None:
        """Seconds until a pod that is ready becomes available."""
        return min((left.total_seconds() for pod in self._pods if (left := self._left(pod))), default=None)

    def kept(self, pods: list[Pod]) -> list[Pod]:
        """Of several pods on a node those that stay."""
        return rolling.kept(self._limits, pods, self.is_new, self.available)

    def step(self) -> rolling.Step:
        """The next step of a rolling update."""
        placed = {name: self.placed.get(name, []) for name in self._wanted}
        return rolling.step(self._limits, placed, self.is_new, self.available)


def _as_counted(pod: Pod) -> tuple[object, ...]:
    """All of a pod that a DaemonSet's pass looks at."""
    meta = pod.metadata
    return pod.deleting, pod.status.phase, pod.ready, meta.labels, meta.ownerReferences, pod.spec.nodeName


def _as_placed(node: Node) -> tuple[object, ...]:
    return node.metadata.labels, node.spec.taints, node.spec.unschedulable
