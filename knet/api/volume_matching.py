"""Which volume a claim gets: the smallest that is large enough and all it asks for.

upstream: pkg/controller/volume/persistentvolume/index.go, component-helpers/storage/volume/pv_helpers.go.
"""

from collections.abc import Iterable

from knet.api.quantity import Quantity, quantity
from knet.api.selectors import from_label_selector
from knet.api.storage import PersistentVolume, PersistentVolumeClaim


def points_at(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """Whether the volume is kept for, or bound to, this very claim."""
    ref = volume.spec.claimRef
    return (
        ref is not None
        and (ref.namespace, ref.name) == (claim.namespace, claim.name)
        and (not ref.uid or ref.uid == claim.uid)
    )


def best(
    claim: PersistentVolumeClaim, volumes: Iterable[PersistentVolume], waits: bool = False
) -> PersistentVolume | None:
    """The volume for an unbound claim. ``waits``: its class waits for a pod, so only a volume kept for it will do."""
    fitting = [volume for volume in volumes if _fits(volume, claim)]
    kept = [volume for volume in fitting if points_at(volume, claim)]
    if kept:
        return min(kept, key=_size)
    if waits:
        return None
    free = [
        volume for volume in fitting if volume.spec.claimRef is None and volume.status.phase in ("Available", "Pending")
    ]
    return min(free, key=lambda volume: (_size(volume), volume.name), default=None)


def mismatch(volume: PersistentVolume, claim: PersistentVolumeClaim) -> str:
    """Why a volume that a claim names cannot be its own, in upstream's words; "" where it can."""
    if volume.spec.volumeMode != claim.spec.volumeMode:
        return "incompatible volumeMode"
    if _size(volume) < requested(claim):
        return "requested PV is too small"
    if volume.spec.storageClassName != (claim.spec.storageClassName or ""):
        return "storageClassName does not match"
    if not set(claim.spec.accessModes) <= set(volume.spec.accessModes):
        return "incompatible accessMode"
    return ""


def requested(claim: PersistentVolumeClaim) -> Quantity:
    """The capacity that a claim asks for."""
    return quantity((claim.spec.resources.get("requests") or {}).get("storage", 0))


def _fits(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    if volume.deleting or mismatch(volume, claim):
        return False
    selector = claim.spec.selector
    return selector is None or from_label_selector(selector).matches(volume.metadata.labels)


def _size(volume: PersistentVolume) -> Quantity:
    return quantity(volume.spec.capacity.get("storage", 0))
