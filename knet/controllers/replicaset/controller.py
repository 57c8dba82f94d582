"""The ReplicaSet loop: claim the pods, create or delete the difference, write the status.

A ReplicationController is the same but for its name and the form of its selector, so it is the same loop.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import repeat
from typing import Generic, TypeVar

from knet.api.objects import KubeObject, LabelSelector, Pod, ReplicaSet
from knet.api.workloads import ReplicationController
from knet.client import Controller, Index, Informer, Key, NotFound, Result
from knet.controllers.claims import controller_uid, index_values
from knet.controllers.context import Context
from knet.controllers.offspring import Failure, Offspring
from knet.controllers.pods import active, pod_from_template
from knet.controllers.replicaset.ranking import pods_to_delete
from knet.controllers.replicaset.status import calculate, unchanged

R = TypeVar("R", ReplicaSet, ReplicationController)

#: most pods created or deleted by one pass (upstream's BurstReplicas)
BURST = 500
#: seconds between two passes over one ReplicaSet: a hundred pods becoming ready are a handful of status writes
REST = 0.01


def build(context: Context) -> Controller:
    """The controller of ReplicaSets."""
    return _build(context, ReplicaSet, "replicaset-controller", lambda row: row.spec.selector)


def build_replication(context: Context) -> Controller:
    """The controller of ReplicationControllers."""
    source = "replication-controller"
    return _build(context, ReplicationController, source, lambda row: LabelSelector(matchLabels=row.spec.selector))


def _build(context: Context, cls: type[R], source: str, selector_of: Callable[[R], LabelSelector]) -> Controller:
    reconciler = ReplicaSetReconciler(context, cls, source, selector_of)
    controller = Controller(cls.resource.singular, reconciler, workers=5, rest=REST)
    reconciler.pods.subscribe(controller)
    return controller


class ReplicaSetReconciler(Generic[R]):
    """Keeps the number of active pods of each object of the kind at spec.replicas."""

    def __init__(self, context: Context, cls: type[R], source: str, selector_of: Callable[[R], LabelSelector]) -> None:
        self._client = context.client
        self._cls: type[R] = cls
        self._sets: Informer[R] = context.informers.of(cls)
        self._set_index: Index[R] = Index(self._sets, index_values)
        self.pods: Offspring[R] = Offspring(context, cls, source, selector_of, _as_counted)

    async def reconcile(self, key: Key) -> Result | None:
        replica_set = self._sets.get(*key)
        if replica_set is None:
            self.pods.forget(key)
            return None
        settled = self.pods.settled(key)
        pods = await self.pods.claimed(replica_set, active)
        failure = None
        if settled and not replica_set.deleting:
            failure = await self._manage(key, replica_set, pods)
        result = await self._write_status(replica_set, pods, failure, settled)
        if failure is not None:
            raise failure.error  # the status has told it; now the key is retried
        return result

    async def _manage(self, key: Key, replica_set: R, pods: list[Pod]) -> Failure | None:
        missing = replica_set.spec.replicas - len(pods)
        if missing > 0:
            body = pod_from_template(replica_set.spec.template, replica_set)
            return await self.pods.create(key, replica_set, repeat(body, min(missing, BURST)))
        if missing < 0:
            count = min(-missing, BURST)
            doomed = pods_to_delete(pods, self._family(replica_set), count, datetime.now(UTC))
            return await self.pods.delete(key, replica_set, doomed)
        return None

    def _family(self, replica_set: R) -> list[Pod]:
        """The pods of all ReplicaSets of the same Deployment."""
        owner = controller_uid(replica_set)
        sets: list[KubeObject] = list(self._set_index.get(("owner", owner))) if owner else [replica_set]
        return [pod for row in sets for pod in self.pods.of(row.uid)]

    async def _write_status(
        self, replica_set: R, pods: list[Pod], failure: Failure | None, settled: bool
    ) -> Result | None:
        """Say what there is.  Only who knows all his pods has ``observed`` the size that is asked for: Deployments rely
        on it."""
        counted = calculate(replica_set, pods, failure, datetime.now(UTC))
        if not settled:
            counted.status["observedGeneration"] = replica_set.status.observedGeneration
        if not unchanged(replica_set, counted.status):
            patch = {
                "metadata": {"resourceVersion": replica_set.metadata.resourceVersion},
                "status": counted.status,
            }
            try:
                written = await self._client.patch(self._cls, replica_set.name, patch, replica_set.namespace, "status")
            except NotFound:
                return None
            self._sets.assume(written)
        return None if counted.recheck_after is None else Result(counted.recheck_after)


def _as_counted(pod: Pod) -> tuple[object, ...]:
    """All of a pod that a ReplicaSet's pass looks at."""
    meta = pod.metadata
    return pod.deleting, pod.status.phase, pod.ready, meta.labels, meta.ownerReferences
