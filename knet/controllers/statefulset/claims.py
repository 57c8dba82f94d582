"""The claims of a StatefulSet's pods: made before the pod, kept or removed after it as the set's policy says.

https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#persistentvolumeclaim-retention (KEP-1847)
"""

from knet.api.objects import JSON, Pod
from knet.api.storage import PersistentVolumeClaim
from knet.api.workloads import StatefulSet
from knet.client import AlreadyExists, ApiError, EventRecorder, NotFound
from knet.controllers.context import Context
from knet.controllers.statefulset.identity import claim_name, claim_owner, new_claim, pod_name


class Claims:
    """Makes claims, and keeps their owners as the retention policy wants them."""

    def __init__(self, context: Context, events: EventRecorder) -> None:
        self._client = context.client
        self._claims = context.informers.of(PersistentVolumeClaim)
        self._events = events

    async def ensure(self, stateful_set: StatefulSet, ordinal: int) -> None:
        """The claims of an ordinal exist; ApiError where one cannot be made."""
        for template in stateful_set.spec.volumeClaimTemplates:
            name = claim_name(template, stateful_set, ordinal)
            if self._claims.get(stateful_set.namespace, name) is not None:
                continue
            what = f"Claim {name} Pod {pod_name(stateful_set, ordinal)} in StatefulSet {stateful_set.name}"
            body = new_claim(stateful_set, template, ordinal, self._owners(stateful_set, None))
            try:
                made = await self._client.create(PersistentVolumeClaim, body, stateful_set.namespace)
            except AlreadyExists:
                continue
            except ApiError as error:
                self._events.event(stateful_set, "Warning", "FailedCreate", f"create {what} failed error: {error}")
                raise
            self._claims.assume(made)
            self._events.event(stateful_set, "Normal", "SuccessfulCreate", f"create {what} success")

    async def settle(self, stateful_set: StatefulSet, ordinal: int, condemned: Pod | None) -> None:
        """The owners of an ordinal's claims are those that the policy asks for; ``condemned``: the pod is to go."""
        for template in stateful_set.spec.volumeClaimTemplates:
            claim = self._claims.get(stateful_set.namespace, claim_name(template, stateful_set, ordinal))
            if claim is None or claim.deleting:
                continue
            ours = {stateful_set.uid, *([condemned.uid] if condemned is not None else [])}
            kept = [row for row in claim.metadata.ownerReferences if row.uid not in ours and row.kind != "Pod"]
            wanted = self._owners(stateful_set, condemned)
            have = {row.uid for row in claim.metadata.ownerReferences}
            if have == {row.uid for row in kept} | {row["uid"] for row in wanted}:
                continue
            rows = [{"apiVersion": row.apiVersion, "kind": row.kind, "name": row.name, "uid": row.uid} for row in kept]
            patch = {"metadata": {"resourceVersion": claim.metadata.resourceVersion, "ownerReferences": rows + wanted}}
            try:
                written = await self._client.patch(PersistentVolumeClaim, claim.name, patch, claim.namespace)
            except NotFound:
                continue
            self._claims.assume(written)

    def _owners(self, stateful_set: StatefulSet, condemned: Pod | None) -> list[JSON]:
        """One at most: an object goes when the last of its owners has gone."""
        policy = stateful_set.spec.persistentVolumeClaimRetentionPolicy
        if policy.whenScaled == "Delete" and condemned is not None:
            return [claim_owner(condemned)]
        return [claim_owner(stateful_set)] if policy.whenDeleted == "Delete" else []
