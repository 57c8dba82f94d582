"""The Deployment loop: the story of one pass.

Claim the ReplicaSets; if paused or scaled, only sizes move; otherwise make the ReplicaSet of the current template
and take the strategy's next step; then write the status.
"""

from datetime import UTC, datetime

from msgspec.structs import replace

from knet.api.names import REVISION_ANNOTATION
from knet.api.objects import JSON, Deployment, DeploymentStatus, Pod, ReplicaSet, condition
from knet.api.selectors import from_label_selector
from knet.client import (
    AlreadyExists,
    ApiError,
    Controller,
    Index,
    Key,
    NotFound,
    Result,
    key_of,
)
from knet.controllers.claims import claim, index_values, settle
from knet.controllers.conditions import conditions_json, set_condition
from knet.controllers.context import Context
from knet.controllers.deployment import progress
from knet.controllers.deployment.family import Family, family_of, new_replica_set
from knet.controllers.deployment.recreate import old_pods_running, plan_stop
from knet.controllers.deployment.revision import (
    annotations_for_new,
    next_revision,
    revision_of,
    size_annotations,
    superfluous,
)
from knet.controllers.deployment.rolling import plan_rolling
from knet.controllers.deployment.scaling import Scale, is_scaling_event, plan_scaling
from knet.controllers.deployment.status import calculate, status_json
from knet.controllers.deployment.template import same_template

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
        family = await self._sync_new(family, create=False)
        family = await self._scale(family, plan_scaling(family.deployment, family.new, family.old))
        if family.deployment.spec.paused:
            await self._clean_up(family)
        await self._write_counts(family)

    async def _roll(self, family: Family) -> Result | None:
        family = await self._sync_new(family, create=True)
        assert family.new is not None
        scales = plan_rolling(family.deployment, family.new, family.old)
        family = await self._scale(family, scales)
        return await self._finish(family, moved=bool(scales))

    async def _recreate(self, family: Family) -> Result | None:
        family = await self._sync_new(family, create=False)
        if stops := plan_stop(family.old):
            return await self._finish(await self._scale(family, stops), moved=True)
        pods = [pod for row in family.sets for pod in self._pod_index.get(("owner", row.uid))]
        if old_pods_running(family.new, family.old, pods):
            return await self._finish(family, moved=True)
        family = await self._sync_new(family, create=True)
        assert family.new is not None
        wanted = family.deployment.spec.replicas
        starts = [Scale(family.new, wanted)] if family.new.spec.replicas != wanted else []
        return await self._finish(await self._scale(family, starts), moved=bool(starts))

    async def _finish(self, family: Family, moved: bool) -> Result | None:
        """Status with its judgement of progress; clean-up once nothing moves any more."""
        now = datetime.now(UTC)
        counts = calculate(family.deployment, family.new, family.old, now)
        if not moved and progress.complete(family.deployment, counts):
            await self._clean_up(family)
        status = progress.with_progress(family.deployment, family.new, family.old, counts, now)
        await self._write_status(family.deployment, status)
        wait = progress.recheck_after(family.deployment, status, now)
        return None if wait is None else Result(wait)

    # ---- effects ---------------------------------------------------------------------------------------------

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
            await self._write_status(deployment, observed)

    async def _note_pause(self, family: Family) -> Family:
        noted = progress.pause_condition(family.deployment, datetime.now(UTC))
        if noted is None:
            return family
        rows = set_condition(family.deployment.status.conditions, noted)
        status = replace(family.deployment.status, conditions=rows)
        return family._replace(deployment=await self._write_status(family.deployment, status))

    async def _sync_new(self, family: Family, create: bool) -> Family:
        """The ReplicaSet of the current template made (if ``create``) or brought up to date, and the revision noted."""
        if family.new is None:
            if not create:
                return family
            return await self._note_revision(await self._make_new(family), progress.CREATED)
        deployment, new = family.deployment, family.new
        changes = annotations_for_new(deployment, new.metadata.annotations, next_revision(family.old), exists=True)
        patch: JSON = {"metadata": {"annotations": changes}} if changes else {}
        if new.spec.minReadySeconds != deployment.spec.minReadySeconds:
            patch["spec"] = {"minReadySeconds": deployment.spec.minReadySeconds}
        if patch:
            family = family.with_sizes([await self._write_set(new, patch)])
        return await self._note_revision(family, progress.FOUND)

    async def _make_new(self, family: Family) -> Family:
        deployment = family.deployment
        body = new_replica_set(family)
        name, size = body["metadata"]["name"], body["spec"]["replicas"]
        try:
            made = await self._client.create(ReplicaSet, body, deployment.namespace)
        except AlreadyExists:
            made = await self._client.get(ReplicaSet, name, deployment.namespace)
            holder = made.controller()
            ours = holder is not None and holder.uid == deployment.uid
            if not ours or not same_template(made.spec.template, deployment.spec.template):
                collisions = (deployment.status.collisionCount or 0) + 1
                await self._write_status(deployment, replace(deployment.status, collisionCount=collisions))
                raise
        except ApiError as error:
            await self._tell_failure(deployment, name, error)
            raise
        else:
            if size > 0:
                message = f"Scaled up replica set {name} from 0 to {size}"
                self._events.event(deployment, "Normal", "ScalingReplicaSet", message)
        self._sets.assume(made)
        return family._replace(new=made)

    async def _tell_failure(self, deployment: Deployment, name: str, error: ApiError) -> None:
        if error.code == 403 and "because it is being terminated" in error.message:
            return
        message = f'Failed to create new replica set "{name}": {error}'
        self._events.event(deployment, "Warning", "FailedCreate", message)
        if progress.has_deadline(deployment):
            row = progress.progressing("False", progress.CREATE_FAILED, message, datetime.now(UTC))
            rows = set_condition(deployment.status.conditions, row)
            await self._write_status(deployment, replace(deployment.status, conditions=rows))

    async def _note_revision(self, family: Family, reason: str) -> Family:
        """The Deployment bears its current revision, and says from the beginning that it is progressing."""
        deployment, new = family.deployment, family.new
        assert new is not None
        patch: JSON = {}
        revision = str(revision_of(new))
        if deployment.metadata.annotations.get(REVISION_ANNOTATION) != revision:
            patch["metadata"] = {"annotations": {REVISION_ANNOTATION: revision}}
        created = reason == progress.CREATED
        unknown = condition(deployment.status.conditions, progress.PROGRESSING) is None
        if progress.has_deadline(deployment) and (created or unknown):
            verb = "Created" if created else "Found"
            row = progress.progressing("True", reason, f'{verb} new replica set "{new.name}"', datetime.now(UTC))
            rows = set_condition(deployment.status.conditions, row)
            patch["status"] = {"conditions": conditions_json(rows)}
        if not patch:
            return family
        return family._replace(deployment=await self._patch_status(deployment, patch))

    async def _scale(self, family: Family, scales: list[Scale]) -> Family:
        deployment = family.deployment
        annotations = size_annotations(deployment)
        written = []
        for row, size in scales:
            changes = {name: text for name, text in annotations.items() if row.metadata.annotations.get(name) != text}
            if not changes and row.spec.replicas == size:
                continue
            written.append(
                await self._write_set(row, {"metadata": {"annotations": changes}, "spec": {"replicas": size}})
            )
            if row.spec.replicas != size:
                way = "up" if size > row.spec.replicas else "down"
                message = f"Scaled {way} replica set {row.name} from {row.spec.replicas} to {size}"
                self._events.event(deployment, "Normal", "ScalingReplicaSet", message)
        return family.with_sizes(written)

    async def _clean_up(self, family: Family) -> None:
        for row in superfluous(family.deployment, family.old):
            try:
                await self._client.delete(ReplicaSet, row.name, row.namespace, uid=row.uid)
            except NotFound:
                continue

    async def _write_set(self, row: ReplicaSet, patch: JSON) -> ReplicaSet:
        metadata = {**patch.get("metadata", {}), "resourceVersion": row.metadata.resourceVersion}
        written = await self._client.patch(ReplicaSet, row.name, {**patch, "metadata": metadata}, row.namespace)
        self._sets.assume(written)
        return written

    async def _write_counts(self, family: Family) -> None:
        counts = calculate(family.deployment, family.new, family.old, datetime.now(UTC))
        await self._write_status(family.deployment, counts)

    async def _write_status(self, deployment: Deployment, status: DeploymentStatus) -> Deployment:
        if status == deployment.status:
            return deployment
        return await self._patch_status(deployment, {"status": status_json(status)})

    async def _patch_status(self, deployment: Deployment, patch: JSON) -> Deployment:
        metadata = {**patch.get("metadata", {}), "resourceVersion": deployment.metadata.resourceVersion}
        body = {**patch, "metadata": metadata}
        written = await self._client.patch(Deployment, deployment.name, body, deployment.namespace, "status")
        self._deployments.assume(written)
        return written
