"""The Deployment loop: the story of one pass.

Claim the ReplicaSets; if paused or scaled, only sizes move; otherwise make the ReplicaSet of the current template
and take the strategy's next step; then write the status.
"""

from datetime import UTC, datetime

from msgspec.structs import replace

from knet.api.objects import Deployment, Pod, ReplicaSet
from knet.api.selectors import from_label_selector
from knet.client import (
    Controller,
    Index,
    Key,
    NotFound,
    Result,
    key_of,
)
from knet.controllers.claims import claim, index_values, settle
from knet.controllers.conditions import set_condition
from knet.controllers.context import Context
from knet.controllers.deployment import progress
from knet.controllers.deployment.effects import Effects
from knet.controllers.deployment.family import Family, family_of
from knet.controllers.deployment.recreate import old_pods_running, plan_stop
from knet.controllers.deployment.rolling import plan_rolling
from knet.controllers.deployment.scaling import Scale, is_scaling_event, plan_scaling
from knet.controllers.deployment.status import calculate

#: seconds between two passes over one Deployment
REST = 0.01


def build(context: Context) -> Controller:
    reconciler = DeploymentReconciler(context)
    controller = Controller("deployment", reconciler, workers=5, rest=REST)
    reconciler.subscribe(controller)
    return controller


class DeploymentReconciler:
    """Moves the sizes of ReplicaSets until all pods are of the current template."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._events = context.recorder("deployment-controller")
        self._effects = Effects(context, self._events)
        self._deployments = context.informers.of(Deployment)
        self._sets = context.informers.of(ReplicaSet)
        self._deployment_index = Index(self._deployments, lambda row: (row.namespace,))
        self._set_index = Index(self._sets, index_values)
        self._pod_index = Index(context.informers.of(Pod), index_values)
        self._pods = context.informers.of(Pod)

    # ---- from changes to keys --------------------------------------------------------------------------------

    def subscribe(self, controller: Controller) -> None:
        def deployment_changed(old: Deployment | None, new: Deployment | None) -> None:
            changed = new or old
            assert changed is not None
            controller.enqueue(key_of(changed))

        def set_changed(old: ReplicaSet | None, new: ReplicaSet | None) -> None:
            for key in {key for row in (old, new) if row is not None for key in self._keys_of(row)}:
                controller.enqueue(key)

        def pod_changed(old: Pod | None, new: Pod | None) -> None:
            # Recreate waits for the last old pod to be gone; nothing else here looks at pods
            if old is not None and new is None and (key := self._recreating(old)) is not None:
                controller.enqueue(key)

        self._deployments.subscribe(deployment_changed)
        self._sets.subscribe(set_changed)
        self._pods.subscribe(pod_changed)

    def _keys_of(self, row: ReplicaSet) -> list[Key]:
        owner = row.controller()
        if owner is not None:
            return [Key(row.namespace, owner.name)] if owner.kind == "Deployment" else []
        return [
            key_of(deployment)
            for deployment in self._deployment_index.get(row.namespace)
            if from_label_selector(deployment.spec.selector).matches(row.metadata.labels)
        ]

    def _recreating(self, pod: Pod) -> Key | None:
        owner = pod.controller()
        holder = self._sets.get(pod.namespace, owner.name) if owner is not None else None
        top = holder.controller() if holder is not None else None
        found = self._deployments.get(pod.namespace, top.name) if top is not None else None
        return key_of(found) if found is not None and found.spec.strategy.type == "Recreate" else None

    # ---- the pass --------------------------------------------------------------------------------------------

    async def reconcile(self, key: Key) -> Result | None:
        deployment = self._deployments.get(*key)
        if deployment is None:
            return None
        if not deployment.spec.selector.matchLabels and not deployment.spec.selector.matchExpressions:
            await self._refuse(deployment)
            return None
        try:
            return await self._pass(family_of(deployment, await self._claimed(deployment)))
        except NotFound:  # deleted under our hands
            return None

    async def _pass(self, family: Family) -> Result | None:
        if family.deployment.deleting:
            await self._write_counts(family)
            return None
        family = await self._note_pause(family)
        if family.deployment.spec.paused or is_scaling_event(family.deployment, family.sets):
            await self._resize_only(family)
            return None
        if family.deployment.spec.strategy.type == "Recreate":
            return await self._recreate(family)
        return await self._roll(family)

    async def _resize_only(self, family: Family) -> None:
        family = await self._effects.sync_new(family, create=False)
        family = await self._effects.scale(family, plan_scaling(family.deployment, family.new, family.old))
        if family.deployment.spec.paused:
            await self._effects.clean_up(family)
        await self._write_counts(family)

    async def _roll(self, family: Family) -> Result | None:
        family = await self._effects.sync_new(family, create=True)
        assert family.new is not None
        scales = plan_rolling(family.deployment, family.new, family.old)
        family = await self._effects.scale(family, scales)
        return await self._finish(family, moved=bool(scales))

    async def _recreate(self, family: Family) -> Result | None:
        family = await self._effects.sync_new(family, create=False)
        if stops := plan_stop(family.old):
            return await self._finish(await self._effects.scale(family, stops), moved=True)
        pods = [pod for row in family.sets for pod in self._pod_index.get(("owner", row.uid))]
        if old_pods_running(family.new, family.old, pods):
            return await self._finish(family, moved=True)
        family = await self._effects.sync_new(family, create=True)
        assert family.new is not None
        wanted = family.deployment.spec.replicas
        starts = [Scale(family.new, wanted)] if family.new.spec.replicas != wanted else []
        return await self._finish(await self._effects.scale(family, starts), moved=bool(starts))

    async def _finish(self, family: Family, moved: bool) -> Result | None:
        """Status with its judgement of progress; clean-up once nothing moves any more."""
        now = datetime.now(UTC)
        counts = calculate(family.deployment, family.new, family.old, now)
        if not moved and progress.complete(family.deployment, counts):
            await self._effects.clean_up(family)
        status = progress.with_progress(family.deployment, family.new, family.old, counts, now)
        await self._effects.write_status(family.deployment, status)
        wait = progress.recheck_after(family.deployment, status, now)
        return None if wait is None else Result(wait)

    async def _claimed(self, deployment: Deployment) -> list[ReplicaSet]:
        candidates = [
            *self._set_index.get(("owner", deployment.uid)),
            *self._set_index.get(("orphan", deployment.namespace)),
        ]
        claims = claim(deployment, from_label_selector(deployment.spec.selector), candidates)
        return await settle(self._client, deployment, claims, self._sets)

    async def _refuse(self, deployment: Deployment) -> None:
        if deployment.status.observedGeneration < deployment.metadata.generation:
            message = "This deployment is selecting all pods. A non-empty selector is required."
            self._events.event(deployment, "Warning", "SelectingAll", message)
            observed = replace(deployment.status, observedGeneration=deployment.metadata.generation)
            await self._effects.write_status(deployment, observed)

    async def _note_pause(self, family: Family) -> Family:
        noted = progress.pause_condition(family.deployment, datetime.now(UTC))
        if noted is None:
            return family
        rows = set_condition(family.deployment.status.conditions, noted)
        status = replace(family.deployment.status, conditions=rows)
        return family._replace(deployment=await self._effects.write_status(family.deployment, status))

    async def _write_counts(self, family: Family) -> None:
        counts = calculate(family.deployment, family.new, family.old, datetime.now(UTC))
        await self._effects.write_status(family.deployment, counts)
