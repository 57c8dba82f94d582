"""The binder: claims and volumes point at each other, and both say so in their phase.

A binding is four writes, volume first; each is conditional on what was read, and a binder that died between two of
them finds out from the objects where to go on.  upstream: pkg/controller/volume/persistentvolume/pv_controller.go.
"""

from knet.api.local_volumes import PROVISIONED_BY
from knet.api.objects import JSON, Pod
from knet.api.storage import PersistentVolume, PersistentVolumeClaim, StorageClass
from knet.api.volume_matching import best, mismatch, points_at
from knet.client import Controller, Index, Key, NotFound, Result, key_of
from knet.controllers.context import Context

BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
STORAGE_PROVISIONER = "volume.kubernetes.io/storage-provisioner"
WAIT_FOR_FIRST_CONSUMER = "WaitForFirstConsumer"


def build(context: Context) -> list[Controller]:
    """One loop over claims and one over volumes, each with one worker: two claims must not choose one volume."""
    claim_binder, volume_binder = ClaimBinder(context), VolumeBinder(context)
    claims = Controller("persistentvolume-binder claims", claim_binder, workers=1)
    volumes = Controller("persistentvolume-binder volumes", volume_binder, workers=1)
    claim_binder.subscribe(claims)
    volume_binder.subscribe(volumes)
    return [claims, volumes]


class Writes:
    """Conditional patches of what was read, which the caches know at once."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._claims = context.informers.of(PersistentVolumeClaim)
        self._volumes = context.informers.of(PersistentVolume)

    async def claim(self, claim: PersistentVolumeClaim, patch: JSON, subresource: str = "") -> PersistentVolumeClaim:
        """Raises Conflict where somebody else wrote since."""
        body = _conditional(patch, claim.metadata.resourceVersion)
        written = await self._client.patch(PersistentVolumeClaim, claim.name, body, claim.namespace, subresource)
        self._claims.assume(written)
        return written

    async def volume(self, volume: PersistentVolume, patch: JSON, subresource: str = "") -> PersistentVolume:
        """Raises Conflict where somebody else wrote since."""
        body = _conditional(patch, volume.metadata.resourceVersion)
        written = await self._client.patch(PersistentVolume, volume.name, body, "", subresource)
        self._volumes.assume(written)
        return written

    async def phase(self, volume: PersistentVolume, phase: str, message: str = "") -> PersistentVolume:
        """Let a volume's status say this, if it does not yet."""
        if (volume.status.phase, volume.status.message) == (phase, message):
            return volume
        return await self.volume(volume, {"status": {"phase": phase, "message": message or None}}, "status")


def _conditional(patch: JSON, resource_version: str) -> JSON:
    return {**patch, "metadata": {**patch.get("metadata", {}), "resourceVersion": resource_version}}


class ClaimBinder:
    """Keys are claims."""

    def __init__(self, context: Context) -> None:
        self._writes = Writes(context)
        self._events = context.recorder("persistentvolume-controller")
        self._claims = context.informers.of(PersistentVolumeClaim)
        self._volumes = context.informers.of(PersistentVolume)
        self._classes = context.informers.of(StorageClass)
        self._unbound = Index(self._claims, lambda claim: () if claim.spec.volumeName else (class_of(claim),))
        self._wanting = Index(self._claims, lambda claim: (claim.spec.volumeName,))
        self._of_class = Index(self._volumes, lambda volume: (volume.spec.storageClassName,))
        self._users = Index(context.informers.of(Pod), claims_of)

    def subscribe(self, controller: Controller) -> None:
        """A claim wakes itself; a volume wakes whom it is for, who names it, and who may be waiting for such a one."""

        def claim_changed(old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> None:
            if new is not None:
                controller.enqueue(key_of(new))

        def volume_changed(old: PersistentVolume | None, new: PersistentVolume | None) -> None:
            changed = new or old
            assert changed is not None
            waiting = [*self._wanting.get(changed.name), *self._unbound.get(changed.spec.storageClassName)]
            for key in {*kept_for(changed), *map(key_of, waiting)}:
                controller.enqueue(key)

        def class_changed(old: StorageClass | None, new: StorageClass | None) -> None:
            if new is not None:
                for claim in self._unbound.get(new.name):
                    controller.enqueue(key_of(claim))

        self._claims.subscribe(claim_changed)
        self._volumes.subscribe(volume_changed)
        self._classes.subscribe(class_changed)

    async def reconcile(self, key: Key) -> Result | None:
        claim = self._claims.get(*key)
        if claim is None or claim.deleting:
            return None
        if BIND_COMPLETED in claim.metadata.annotations:
            await self._bound_claim(claim)
        elif claim.spec.volumeName:
            await self._claim_of_a_name(claim)
        else:
            await self._open_claim(claim)
        return None

    async def _open_claim(self, claim: PersistentVolumeClaim) -> None:
        name = class_of(claim)
        kind = self._classes.get("", name) if name else None
        waits = (
            kind is not None
            and kind.volumeBindingMode == WAIT_FOR_FIRST_CONSUMER
            and SELECTED_NODE not in claim.metadata.annotations
        )
        volume = best(claim, self._of_class.get(name), waits)
        if volume is not None:
            await self._bind(claim, volume)
        elif waits:
            self._tell_whom_it_waits_for(claim)
        elif not name:
            text = "no persistent volumes available for this claim and no storage class is set"
            self._events.event(claim, "Normal", "FailedBinding", text)
        elif kind is None:
            text = f'storageclass.storage.k8s.io "{name}" not found'
            self._events.event(claim, "Warning", "ProvisioningFailed", text)
        elif kind.provisioner == "kubernetes.io/no-provisioner":
            text = "no volume plugin matched name: kubernetes.io/no-provisioner"
            self._events.event(claim, "Warning", "ProvisioningFailed", text)
        else:
            await self._ask_for_a_volume(claim, kind.provisioner)

    def _tell_whom_it_waits_for(self, claim: PersistentVolumeClaim) -> None:
        waiting = sorted(pod.name for pod in self._users.get(key_of(claim)) if not pod.spec.nodeName)
        if waiting:
            text = f"waiting for pod {waiting[0]} to be scheduled"
            self._events.event(claim, "Normal", "WaitForPodScheduled", text)
        else:
            text = "waiting for first consumer to be created before binding"
            self._events.event(claim, "Normal", "WaitForFirstConsumer", text)

    async def _ask_for_a_volume(self, claim: PersistentVolumeClaim, provisioner: str) -> None:
        """The annotation is the order; a provisioner carries it out and makes a volume that is kept for the claim."""
        if claim.metadata.annotations.get(STORAGE_PROVISIONER) != provisioner:
            annotations = {STORAGE_PROVISIONER: provisioner, f"volume.beta.{STORAGE_PROVISIONER[7:]}": provisioner}
            claim = await self._writes.claim(claim, {"metadata": {"annotations": annotations}})
        text = (
            f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the"
            " system administrator. If volume creation is delayed, please verify that the provisioner is running and"
            " correctly registered."
        )
        self._events.event(claim, "Normal", "ExternalProvisioning", text)

    async def _claim_of_a_name(self, claim: PersistentVolumeClaim) -> None:
        volume = self._volumes.get("", claim.spec.volumeName)
        if volume is None:
            return  # it may come
        if volume.spec.claimRef is None and (why := mismatch(volume, claim)):
            text = f'Cannot bind to requested volume "{volume.name}": {why}'
            self._events.event(claim, "Warning", "VolumeMismatch", text)
        elif volume.spec.claimRef is None or points_at(volume, claim):
            await self._bind(claim, volume)
        elif BOUND_BY_CONTROLLER in claim.metadata.annotations:
            text = f'volume "{volume.name}" already bound to a different claim.'
            self._events.event(claim, "Warning", "FailedBinding", text)

    async def _bound_claim(self, claim: PersistentVolumeClaim) -> None:
        name = claim.spec.volumeName
        volume = self._volumes.get("", name) if name else None
        if not name:
            text = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
            await self._lose(claim, "ClaimLost", text)
        elif volume is None:
            text = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
            await self._lose(claim, "ClaimLost", text)
        elif volume.spec.claimRef is None or points_at(volume, claim):
            await self._bind(claim, volume)
        else:
            text = "Two claims are bound to the same volume, this one is bound incorrectly"
            await self._lose(claim, "ClaimMisbound", text)

    async def _lose(self, claim: PersistentVolumeClaim, reason: str, text: str) -> None:
        if claim.status.phase != "Lost":
            await self._writes.claim(
                claim, {"status": {"phase": "Lost", "accessModes": None, "capacity": None}}, "status"
            )
            self._events.event(claim, "Warning", reason, text)

    async def _bind(self, claim: PersistentVolumeClaim, volume: PersistentVolume) -> None:
        """Whatever of the four writes is still to be done."""
        ref = volume.spec.claimRef
        if ref is None or not ref.uid:
            target: JSON = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": claim.namespace}
            target |= {"name": claim.name, "uid": claim.uid, "resourceVersion": claim.metadata.resourceVersion}
            patch: JSON = {"spec": {"claimRef": target}}
            if ref is None:
                patch["metadata"] = {"annotations": {BOUND_BY_CONTROLLER: "yes"}}
            volume = await self._writes.volume(volume, patch)
        await self._writes.phase(volume, "Bound")
        patch = {}
        if BIND_COMPLETED not in claim.metadata.annotations:
            patch = {"metadata": {"annotations": {BIND_COMPLETED: "yes"}}}
        if not claim.spec.volumeName:
            patch["metadata"]["annotations"][BOUND_BY_CONTROLLER] = "yes"
            patch["spec"] = {"volumeName": volume.name}
        if patch:
            claim = await self._writes.claim(claim, patch)
        if claim.status.phase != "Bound" or claim.status.capacity != volume.spec.capacity:
            status = {"phase": "Bound", "accessModes": volume.spec.accessModes, "capacity": volume.spec.capacity}
            await self._writes.claim(claim, {"status": status}, "status")


class VolumeBinder:
    """Keys are volumes."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._writes = Writes(context)
        self._events = context.recorder("persistentvolume-controller")
        self._claims = context.informers.of(PersistentVolumeClaim)
        self._volumes = context.informers.of(PersistentVolume)
        self._kept_for = Index(self._volumes, kept_for)

    def subscribe(self, controller: Controller) -> None:
        """A volume wakes itself; a claim wakes the volume it names and those that are kept for it."""

        def volume_changed(old: PersistentVolume | None, new: PersistentVolume | None) -> None:
            if new is not None:
                controller.enqueue(key_of(new))

        def claim_changed(old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> None:
            changed = new or old
            assert changed is not None
            for name in {row.spec.volumeName for row in (old, new) if row is not None} - {""}:
                controller.enqueue(Key("", name))
            for volume in self._kept_for.get(key_of(changed)):
                controller.enqueue(key_of(volume))

        self._volumes.subscribe(volume_changed)
        self._claims.subscribe(claim_changed)

    async def reconcile(self, key: Key) -> Result | None:
        volume = self._volumes.get(*key)
        if volume is None:
            return None
        ref = volume.spec.claimRef
        if ref is None:
            await self._writes.phase(volume, "Available")
            return None
        claim = self._claims.get(ref.namespace, ref.name)
        if claim is not None and claim.spec.volumeName == volume.name and points_at(volume, claim):
            await self._writes.phase(volume, "Bound")
        elif not ref.uid:
            await self._writes.phase(volume, "Available")
        elif claim is None or claim.uid != ref.uid:
            # the cache may be behind the binding that it shows half of
            if claim is None and await self._claim_is_there(volume):
                return None
            await self._reclaim(volume)
        elif claim.spec.volumeName and claim.spec.volumeName != volume.name:
            await self._let_go(volume)
        return None

    async def _claim_is_there(self, volume: PersistentVolume) -> bool:
        ref = volume.spec.claimRef
        assert ref is not None
        try:
            live = await self._client.get(PersistentVolumeClaim, ref.name, ref.namespace)
        except NotFound:
            return False
        return live.uid == ref.uid

    async def _let_go(self, volume: PersistentVolume) -> None:
        """Its claim has chosen another."""
        if PROVISIONED_BY in volume.metadata.annotations and volume.spec.persistentVolumeReclaimPolicy == "Delete":
            await self._reclaim(volume)
        elif BOUND_BY_CONTROLLER in volume.metadata.annotations:
            patch: JSON = {"metadata": {"annotations": {BOUND_BY_CONTROLLER: None}}, "spec": {"claimRef": None}}
            await self._writes.phase(await self._writes.volume(volume, patch), "Available")

    async def _reclaim(self, volume: PersistentVolume) -> None:
        """Retain: keep it as it is. Delete: whoever made it removes it. Recycle is not to be had here."""
        policy = volume.spec.persistentVolumeReclaimPolicy
        if policy == "Retain" or (policy == "Delete" and PROVISIONED_BY in volume.metadata.annotations):
            if volume.status.phase != "Failed":  # its provisioner tries again
                await self._writes.phase(volume, "Released")
            return
        reason, text = (
            (
                "VolumeFailedDelete",
                f'error getting deleter volume plugin for volume "{volume.name}": no volume plugin matched',
            )
            if policy == "Delete"
            else ("VolumeFailedRecycle", "No recycler plugin found for the volume!")
        )
        if volume.status.phase != "Failed":
            await self._writes.phase(volume, "Failed", text)
            self._events.event(volume, "Warning", reason, text)


def claims_of(pod: Pod) -> tuple[Key, ...]:
    """The claims that a pod's volumes name."""
    return tuple(Key(pod.namespace, name) for volume in pod.spec.volumes if (name := volume.claim_of(pod.name)))


def class_of(claim: PersistentVolumeClaim) -> str:
    """The name of a claim's class; "" for none."""
    return claim.spec.storageClassName or ""


def kept_for(volume: PersistentVolume) -> tuple[Key, ...]:
    """The claim that a volume is bound to or reserved for, if any."""
    ref = volume.spec.claimRef
    return (Key(ref.namespace, ref.name),) if ref is not None else ()
