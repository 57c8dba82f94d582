"""Storage object in use protection: what is in use stays until it no longer is, whoever deletes it.

The finalizers are set on creation (admission) and by us where they are missing; they go when the last user goes.
https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection
"""

from collections.abc import Callable
from typing import Generic

from knet.api.local_volumes import CLAIM_FINALIZER, VOLUME_FINALIZER
from knet.api.objects import K, Pod
from knet.api.storage import PersistentVolume, PersistentVolumeClaim
from knet.client import Client, Controller, Index, Informer, Key, NotFound, Result, key_of
from knet.controllers.context import Context
from knet.controllers.volumes.binder import claims_of


def build_claim_protection(context: Context) -> Controller:
    """A claim is in use while a pod that names it has not ended."""
    claims, pods = context.informers.of(PersistentVolumeClaim), context.informers.of(Pod)
    users = Index(pods, lambda pod: () if pod.finished else claims_of(pod))
    guard = Guard(context.client, claims, CLAIM_FINALIZER, lambda claim: bool(users.get(key_of(claim))))
    controller = Controller("pvc-protection", guard)
    guard.subscribe(controller)

    def pod_changed(old: Pod | None, new: Pod | None) -> None:
        for key in {key for pod in (old, new) if pod is not None for key in claims_of(pod)}:
            controller.enqueue(key)

    pods.subscribe(pod_changed)
    return controller


def build_volume_protection(context: Context) -> Controller:
    """A volume is in use while it is bound."""
    volumes = context.informers.of(PersistentVolume)
    guard = Guard(context.client, volumes, VOLUME_FINALIZER, lambda volume: volume.status.phase == "Bound")
    controller = Controller("pv-protection", guard)
    guard.subscribe(controller)
    return controller


class Guard(Generic[K]):
    """Keys are the protected objects; ``in_use`` asks the caches."""

    def __init__(self, client: Client, rows: Informer[K], finalizer: str, in_use: Callable[[K], bool]) -> None:
        self._client = client
        self._rows = rows
        self._finalizer = finalizer
        self._in_use = in_use

    def subscribe(self, controller: Controller) -> None:
        def changed(old: K | None, new: K | None) -> None:
            if new is not None and (new.deleting or self._finalizer not in new.metadata.finalizers):
                controller.enqueue(key_of(new))

        self._rows.subscribe(changed)

    async def reconcile(self, key: Key) -> Result | None:
        row = self._rows.get(*key)
        if row is None:
            return None
        guarded = self._finalizer in row.metadata.finalizers
        if row.deleting and guarded and not self._in_use(row):
            await self._write(row, [name for name in row.metadata.finalizers if name != self._finalizer])
        elif not row.deleting and not guarded:
            await self._write(row, [*row.metadata.finalizers, self._finalizer])
        return None

    async def _write(self, row: K, finalizers: list[str]) -> None:
        patch = {"metadata": {"resourceVersion": row.metadata.resourceVersion, "finalizers": finalizers}}
        try:
            await self._client.patch(type(row), row.name, patch, row.namespace)
        except NotFound:
            return
