"""PersistentVolumes, claims, StorageClasses and CSIDrivers (pkg/apis/{core,storage}/v1/defaults.go)."""

from knet.store import Object


def default_volume(value: Object) -> None:
    """A PersistentVolume: kept when its claim goes, with a file system on it."""
    spec = value.setdefault("spec", {})
    spec["persistentVolumeReclaimPolicy"] = spec.get("persistentVolumeReclaimPolicy") or "Retain"
    spec.setdefault("volumeMode", "Filesystem")
    if (path := spec.get("hostPath")) is not None:
        path.setdefault("type", "")


def default_claim(value: Object) -> None:
    """A PersistentVolumeClaim."""
    default_claim_spec(value.setdefault("spec", {}))


def default_claim_spec(spec: Object) -> None:
    """What is claimed: a file system."""
    spec.setdefault("volumeMode", "Filesystem")


def default_storage_class(value: Object) -> None:
    """A StorageClass: volumes go with their claims, and come as soon as they are claimed."""
    value.setdefault("reclaimPolicy", "Delete")
    value.setdefault("volumeBindingMode", "Immediate")


def default_csi_driver(value: Object) -> None:
    """A CSIDriver."""
    spec = value.setdefault("spec", {})
    for key, item in (
        ("attachRequired", True),
        ("podInfoOnMount", False),
        ("storageCapacity", False),
        ("fsGroupPolicy", "ReadWriteOnceWithFSType"),
        ("volumeLifecycleModes", ["Persistent"]),
        ("requiresRepublish", False),
        ("seLinuxMount", False),
    ):
        spec.setdefault(key, item)
