"""The ReplicaSet loop: claim the pods, create or delete the difference, write the status."""

import asyncio
from datetime import UTC, datetime

from knet.api.objects import KubeObject, Pod, ReplicaSet
from knet.api.selectors import from_label_selector
from knet.client import ApiError, Controller, Index, Key, NotFound, Result, Unavailable, key_of
from knet.controllers.batch import all_at_once, slow_start
from knet.controllers.claims import claim, controller_uid, index_values, settle
from knet.controllers.context import Context
from knet.controllers.expectations import Expectations
from knet.controllers.pods import active, pod_from_template
from knet.controllers.replicaset.ranking import pods_to_delete
from knet.controllers.replicaset.status import Failure, calculate, unchanged

#: most pods created or deleted by one pass (upstream's BurstReplicas)
BURST = 500
#: seconds between two passes over one ReplicaSet: a hundred pods becoming ready are a handful of status writes
REST = 0.01


def build(context: Context) -> Controller:
    reconciler = ReplicaSetReconciler(context)
    controller = Controller("replicaset", reconciler, workers=5, rest=REST)
    reconciler.subscribe(controller)
    return controller


class ReplicaSetReconciler:
    """Keeps the number of active pods of each ReplicaSet at spec.replicas."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._events = context.recorder("replicaset-controller")
        self._sets = context.informers.of(ReplicaSet)
        self._pods = context.informers.of(Pod)
        self._set_index = Index(self._sets, lambda row: (("namespace", row.namespace), *index_values(row)))
        self._pod_index = Index(self._pods, index_values)
        self._expectations = Expectations()

    # ---- from changes to keys --------------------------------------------------------------------------------

    def subscribe(self, controller: Controller) -> None:
        def set_changed(old: ReplicaSet | None, new: ReplicaSet | None) -> None:
            changed = new or old
            assert changed is not None
            controller.enqueue(key_of(changed))

        def pod_changed(old: Pod | None, new: Pod | None) -> None:
            self._tick_off(old, new)
            if old is not None and new is not None and _as_counted(old) == _as_counted(new):
                return
            for key in {key for pod in (old, new) if pod is not None for key in self._keys_of(pod)}:
                controller.enqueue(key)

        self._sets.subscribe(set_changed)
        self._pods.subscribe(pod_changed)

    def _tick_off(self, old: Pod | None, new: Pod | None) -> None:
        """Tell the expectations; a pod that is marked for deletion has left already (it may linger for its grace)."""
        pod = new or old
        assert pod is not None
        owner = pod.controller()
        if owner is None or owner.kind != "ReplicaSet":
            return
        key = Key(pod.namespace, owner.name)
        if old is None:
            self._expectations.creation_seen(key)
        if new is None or new.deleting:
            self._expectations.deletion_seen(key, pod.uid)

    def _keys_of(self, pod: Pod) -> list[Key]:
        """The ReplicaSet that controls the pod, or for an orphan all that might adopt it."""
        owner = pod.controller()
        if owner is not None:
            holder = self._sets.get(pod.namespace, owner.name)
            return [key_of(holder)] if holder is not None and holder.uid == owner.uid else []
        return [
            key_of(row)
            for row in self._set_index.get(("namespace", pod.namespace))
            if from_label_selector(row.spec.selector).matches(pod.metadata.labels)
        ]

    # ---- the pass --------------------------------------------------------------------------------------------

    async def reconcile(self, key: Key) -> Result | None:
        replica_set = self._sets.get(*key)
        if replica_set is None:
            self._expectations.forget(key)
            return None
        ready_to_act = self._expectations.satisfied(key, _now())
        pods = await self._claimed(replica_set)
        failure = None
        if ready_to_act and not replica_set.deleting:
            failure = await self._manage(key, replica_set, pods)
        result = await self._write_status(replica_set, pods, failure)
        if failure is not None:
            raise failure.error  # the status has told it; now the key is retried
        return result

    async def _claimed(self, replica_set: ReplicaSet) -> list[Pod]:
        candidates = [
            *self._pod_index.get(("owner", replica_set.uid)),
            *self._pod_index.get(("orphan", replica_set.namespace)),
        ]
        claims = claim(replica_set, from_label_selector(replica_set.spec.selector), filter(active, candidates))
        return await settle(self._client, replica_set, claims, self._pods)

    async def _manage(self, key: Key, replica_set: ReplicaSet, pods: list[Pod]) -> Failure | None:
        missing = replica_set.spec.replicas - len(pods)
        if missing > 0:
            return await self._create(key, replica_set, min(missing, BURST))
        if missing < 0:
            return await self._delete(key, replica_set, pods, min(-missing, BURST))
        return None

    async def _create(self, key: Key, replica_set: ReplicaSet, count: int) -> Failure | None:
        body = pod_from_template(replica_set.spec.template, replica_set)

        async def create() -> None:
            try:
                pod = await self._client.create(Pod, body, replica_set.namespace)
            except (ApiError, Unavailable) as error:
                if not _namespace_terminating(error):
                    self._events.event(replica_set, "Warning", "FailedCreate", f"Error creating: {error}")
                raise
            self._events.event(replica_set, "Normal", "SuccessfulCreate", f"Created pod: {pod.name}")

        self._expectations.expect_creations(key, count, _now())
        outcome = await slow_start(count, create)
        self._expectations.creation_seen(key, count - outcome.done)
        if outcome.error is None or _namespace_terminating(outcome.error):
            return None
        return Failure("FailedCreate", outcome.error)

    async def _delete(self, key: Key, replica_set: ReplicaSet, pods: list[Pod], count: int) -> Failure | None:
        doomed = pods_to_delete(pods, self._family(replica_set), count, datetime.now(UTC))

        async def delete(pod: Pod) -> None:
            try:
                await self._client.delete(Pod, pod.name, pod.namespace, uid=pod.uid)
            except NotFound:
                self._expectations.deletion_seen(key, pod.uid)
                return
            except (ApiError, Unavailable) as error:
                self._expectations.deletion_seen(key, pod.uid)
                self._events.event(replica_set, "Warning", "FailedDelete", f"Error deleting: {error}")
                raise
            self._events.event(replica_set, "Normal", "SuccessfulDelete", f"Deleted pod: {pod.name}")

        self._expectations.expect_deletions(key, (pod.uid for pod in doomed), _now())
        error = await all_at_once([delete(pod) for pod in doomed])
        return None if error is None else Failure("FailedDelete", error)

    def _family(self, replica_set: ReplicaSet) -> list[Pod]:
        """The pods of all ReplicaSets of the same Deployment."""
        owner = controller_uid(replica_set)
        sets: list[KubeObject] = list(self._set_index.get(("owner", owner))) if owner else [replica_set]
        return [pod for row in sets for pod in self._pod_index.get(("owner", row.uid))]

    async def _write_status(self, replica_set: ReplicaSet, pods: list[Pod], failure: Failure | None) -> Result | None:
        counted = calculate(replica_set, pods, failure, datetime.now(UTC))
        if not unchanged(replica_set, counted.status):
            patch = {
                "metadata": {"resourceVersion": replica_set.metadata.resourceVersion},
                "status": counted.status,
            }
            try:
                written = await self._client.patch(ReplicaSet, replica_set.name, patch, replica_set.namespace, "status")
            except NotFound:
                return None
            self._sets.assume(written)
        return None if counted.recheck_after is None else Result(counted.recheck_after)


def _as_counted(pod: Pod) -> tuple[object, ...]:
    """All of a pod that a ReplicaSet's pass looks at."""
    meta = pod.metadata
    return pod.deleting, pod.status.phase, pod.ready, meta.labels, meta.ownerReferences


def _namespace_terminating(error: Exception) -> bool:
    """A namespace on its way out refuses new pods; that is no failure to tell of."""
    return isinstance(error, ApiError) and error.code == 403 and "because it is being terminated" in error.message


def _now() -> float:
    return asyncio.get_running_loop().time()
