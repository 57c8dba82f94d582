"""Generic ephemeral volumes: the claim behind one is made for its pod, and goes with it.

https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/#generic-ephemeral-volumes
"""

from knet.api.objects import Pod, Volume, owner_reference
from knet.api.storage import PersistentVolumeClaim
from knet.client import AlreadyExists, ApiError, Controller, Key, Result, key_of
from knet.controllers.context import Context

#: what of a template's metadata the claim gets
_COPIED = ("labels", "annotations")


def build(context: Context) -> Controller:
    reconciler = EphemeralVolumes(context)
    controller = Controller("ephemeral-volume", reconciler)
    reconciler.subscribe(controller)
    return controller


class EphemeralVolumes:
    """Keys are pods with such volumes."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._events = context.recorder("ephemeral-volume")
        self._pods = context.informers.of(Pod)
        self._claims = context.informers.of(PersistentVolumeClaim)

    def subscribe(self, controller: Controller) -> None:
        def pod_changed(old: Pod | None, new: Pod | None) -> None:
            if new is not None and old is None and _volumes(new):
                controller.enqueue(key_of(new))

        def claim_changed(old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> None:
            holder = old.controller() if old is not None and new is None else None
            if old is not None and holder is not None and holder.kind == "Pod":
                controller.enqueue(Key(old.namespace, holder.name))

        self._pods.subscribe(pod_changed)
        self._claims.subscribe(claim_changed)

    async def reconcile(self, key: Key) -> Result | None:
        pod = self._pods.get(*key)
        if pod is None or pod.deleting:
            return None
        for volume in _volumes(pod):
            await self._ensure(pod, volume)
        return None

    async def _ensure(self, pod: Pod, volume: Volume) -> None:
        name = volume.claim_of(pod.name)
        there = self._claims.get(pod.namespace, name)
        if there is not None:
            holder = there.controller()
            if holder is None or holder.uid != pod.uid:
                owner = f'PVC "{pod.namespace}/{name}" was not created for pod "{pod.namespace}/{pod.name}"'
                self._complain(pod, volume, f"{owner} (pod is not owner)")
            return
        assert volume.ephemeral is not None
        template = volume.ephemeral.volumeClaimTemplate
        metadata = {key: value for key, value in (template.get("metadata") or {}).items() if key in _COPIED}
        metadata |= {"name": name, "ownerReferences": [owner_reference(pod)]}
        try:
            made = await self._client.create(
                PersistentVolumeClaim, {"metadata": metadata, "spec": template.get("spec") or {}}, pod.namespace
            )
        except AlreadyExists:
            return
        except ApiError as error:
            self._complain(pod, volume, f"create PVC {name}: {error}")
            raise
        self._claims.assume(made)

    def _complain(self, pod: Pod, volume: Volume, why: str) -> None:
        self._events.event(pod, "Warning", "FailedBinding", f"ephemeral volume {volume.name}: {why}")


def _volumes(pod: Pod) -> list[Volume]:
    return [volume for volume in pod.spec.volumes if volume.ephemeral is not None]
