"""StorageObjectInUseProtection: claims and volumes are born with the finalizer that keeps them while they are in use.

https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection
"""

from knet.api.local_volumes import CLAIM_FINALIZER, VOLUME_FINALIZER
from knet.apiserver.admission.request import Request


def claim(request: Request) -> None:
    """A PersistentVolumeClaim."""
    _protect(request, CLAIM_FINALIZER)


def volume(request: Request) -> None:
    """A PersistentVolume."""
    _protect(request, VOLUME_FINALIZER)


def _protect(request: Request, finalizer: str) -> None:
    metadata = request.new["metadata"]
    if finalizer not in metadata.get("finalizers", ()):
        metadata["finalizers"] = [*metadata.get("finalizers", ()), finalizer]
