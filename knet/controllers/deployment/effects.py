"""What a pass writes: ReplicaSets made and sized, revisions noted, statuses, and the Events that tell of them.

Every write is conditional on the revision that was decided upon and is read back into the cache at once, so the next
decision, in this pass or the next, is never made on the past.
"""

from datetime import UTC, datetime

from msgspec.structs import replace

from knet.api.names import REVISION_ANNOTATION
from knet.api.objects import JSON, Deployment, DeploymentStatus, ReplicaSet, condition
from knet.client import AlreadyExists, ApiError, EventRecorder, NotFound
from knet.controllers.conditions import conditions_json, set_condition
from knet.controllers.context import Context
from knet.controllers.deployment import progress
from knet.controllers.deployment.family import Family, new_replica_set
from knet.controllers.deployment.revision import (
    annotations_for_new,
    next_revision,
    revision_of,
    size_annotations,
    superfluous,
)
from knet.controllers.deployment.scaling import Scale
from knet.controllers.deployment.status import status_json
from knet.controllers.deployment.template import same_template


class Effects:
    """Carries out what the pure modules have decided."""

    def __init__(self, context: Context, events: EventRecorder) -> None:
        self._client = context.client
        self._events = events
        self._deployments = context.informers.of(Deployment)
        self._sets = context.informers.of(ReplicaSet)

    async def sync_new(self, family: Family, create: bool) -> Family:
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
                await self.write_status(deployment, replace(deployment.status, collisionCount=collisions))
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
            await self.write_status(deployment, replace(deployment.status, conditions=rows))

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

    async def scale(self, family: Family, scales: list[Scale]) -> Family:
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

    async def clean_up(self, family: Family) -> None:
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

    async def write_status(self, deployment: Deployment, status: DeploymentStatus) -> Deployment:
        if status == deployment.status:
            return deployment
        return await self._patch_status(deployment, {"status": status_json(status)})

    async def _patch_status(self, deployment: Deployment, patch: JSON) -> Deployment:
        metadata = {**patch.get("metadata", {}), "resourceVersion": deployment.metadata.resourceVersion}
        body = {**patch, "metadata": metadata}
        written = await self._client.patch(Deployment, deployment.name, body, deployment.namespace, "status")
        self._deployments.assume(written)
        return written
