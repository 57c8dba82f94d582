"""The StatefulSet loop: its pods by ordinal, the next step, the claims that belong to it, the status."""

from datetime import UTC, datetime, timedelta

from knet.api.objects import Pod
from knet.api.workloads import StatefulSet
from knet.client import Controller, Key, NotFound, Result
from knet.controllers.context import Context
from knet.controllers.offspring import Failure, Offspring, Words
from knet.controllers.pods import available_in
from knet.controllers.revisions import HASH_LABEL, History, Revisions, template_of
from knet.controllers.statefulset.claims import Claims
from knet.controllers.statefulset.decide import Steps, decide
from knet.controllers.statefulset.identity import new_pod, ordinal_of
from knet.controllers.statefulset.status import calculate, unchanged

_WORDS = Words(
    created="create Pod {pod} in StatefulSet {owner} successful",
    not_created="create Pod {pod} in StatefulSet {owner} failed error: {error}",
    deleted="delete Pod {pod} in StatefulSet {owner} successful",
    not_deleted="delete Pod {pod} in StatefulSet {owner} failed error: {error}",
)


def build(context: Context) -> Controller:
    reconciler = StatefulSetReconciler(context)
    controller = Controller("statefulset", reconciler, workers=5)
    reconciler.pods.subscribe(controller)
    return controller


class StatefulSetReconciler:
    """Keeps pods 0 … replicas − 1."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._sets = context.informers.of(StatefulSet)
        self._revisions: Revisions[StatefulSet] = Revisions(context)
        self.pods = Offspring(
            context, StatefulSet, "statefulset-controller", lambda row: row.spec.selector, _as_counted, _WORDS
        )
        self._claims = Claims(context, self.pods.events)

    async def reconcile(self, key: Key) -> Result | None:
        stateful_set = self._sets.get(*key)
        if stateful_set is None:
            self.pods.forget(key)
            return None
        selector = stateful_set.spec.selector
        if not (selector.matchLabels or selector.matchExpressions):
            return None
        try:
            return await self._pass(key, stateful_set)
        except NotFound:  # deleted under our hands
            return None

    async def _pass(self, key: Key, stateful_set: StatefulSet) -> Result | None:
        spec, status = stateful_set.spec, stateful_set.status
        settled = self.pods.settled(key)
        claimed = await self.pods.claimed(stateful_set, lambda pod: ordinal_of(stateful_set, pod.name) is not None)
        pods = {ordinal_of(stateful_set, pod.name) or 0: pod for pod in claimed}
        history = await self._revisions.sync(stateful_set, spec.selector, spec.template, status.collisionCount)
        names = {row.name for row in history.all}
        current = status.currentRevision if status.currentRevision in names else history.current.name
        now = datetime.now(UTC)

        def available(pod: Pod) -> bool:
            return not pod.deleting and available_in(pod, spec.minReadySeconds, now) == timedelta()

        failure, doomed = None, set[str]()
        if settled and not stateful_set.deleting:
            steps = decide(stateful_set, pods, history.current.name, available)
            failure = await self._take(key, stateful_set, pods, steps, history, current)
            if failure is None:
                doomed = {pod.uid for pod in (*steps.again, *steps.delete)}
        counted = calculate(stateful_set, claimed, doomed, current, history, available)
        if not unchanged(stateful_set, counted):
            patch = {"metadata": {"resourceVersion": stateful_set.metadata.resourceVersion}, "status": counted}
            written = await self._client.patch(StatefulSet, stateful_set.name, patch, stateful_set.namespace, "status")
            self._sets.assume(written)
        live = {pod.metadata.labels.get(HASH_LABEL, "") for pod in claimed} | {current}
        await self._revisions.truncate(history, live, spec.revisionHistoryLimit)
        if failure is not None:
            raise failure.error  # the Event has told it; now the key is retried
        waits = [left.total_seconds() for pod in claimed if (left := available_in(pod, spec.minReadySeconds, now))]
        return Result(min(waits)) if waits else None

    async def _take(
        self,
        key: Key,
        stateful_set: StatefulSet,
        pods: dict[int, Pod],
        steps: Steps,
        history: History,
        current: str,
    ) -> Failure | None:
        condemned = {pod.uid for pod in steps.delete if not _wanted(stateful_set, pod)}
        for ordinal, pod in pods.items():
            await self._claims.settle(stateful_set, ordinal, pod if pod.uid in condemned else None)
        if steps.again or steps.delete:
            return await self.pods.delete(key, stateful_set, [*steps.again, *steps.delete])
        old = next((row for row in history.all if row.name == current), history.current)
        bodies = []
        for ordinal, of_current in steps.create:
            await self._claims.ensure(stateful_set, ordinal)
            revision = old if of_current else history.current
            bodies.append(new_pod(stateful_set, template_of(revision), ordinal, revision.name))
        return await self.pods.create(key, stateful_set, bodies) if bodies else None


def _wanted(stateful_set: StatefulSet, pod: Pod) -> bool:
    start = stateful_set.spec.ordinals.start
    return ordinal_of(stateful_set, pod.name) in range(start, start + stateful_set.spec.replicas)


def _as_counted(pod: Pod) -> tuple[object, ...]:
    """All of a pod that a StatefulSet's pass looks at."""
    meta = pod.metadata
    return pod.deleting, pod.status.phase, pod.ready, meta.labels, meta.ownerReferences
