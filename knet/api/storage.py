"""Claims, volumes and classes as their readers in knet need them: see `knet.api.objects`."""

from msgspec import field

from knet.api import resources
from knet.api.objects import (
    JSON,
    Condition,
    HostPathVolume,
    KubeObject,
    LabelSelector,
    NodeSelector,
    ObjectReference,
    Part,
)


class ClaimSpec(Part, frozen=True, kw_only=True):
    accessModes: tuple[str, ...] = ()
    #: None: the default class; "": no class, only volumes without one
    storageClassName: str | None = None
    volumeName: str = ""
    volumeMode: str = "Filesystem"
    selector: LabelSelector | None = None
    resources: JSON = field(default_factory=dict)


class ClaimStatus(Part, frozen=True, kw_only=True):
    phase: str = ""
    capacity: dict[str, str] = field(default_factory=dict)
    allocatedResources: dict[str, str] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()


class PersistentVolumeClaim(KubeObject, frozen=True, kw_only=True):
    resource = resources.PERSISTENTVOLUMECLAIMS
    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()


class VolumeNodeAffinity(Part, frozen=True, kw_only=True):
    required: NodeSelector = NodeSelector()


class LocalVolume(Part, frozen=True, kw_only=True):
    path: str = ""


class VolumeSpec(Part, frozen=True, kw_only=True):
    capacity: dict[str, str] = field(default_factory=dict)
    accessModes: tuple[str, ...] = ()
    storageClassName: str = ""
    claimRef: ObjectReference | None = None
    persistentVolumeReclaimPolicy: str = "Retain"
    volumeMode: str = "Filesystem"
    nodeAffinity: VolumeNodeAffinity | None = None
    hostPath: HostPathVolume | None = None
    local: LocalVolume | None = None


class VolumeStatus(Part, frozen=True, kw_only=True):
    phase: str = ""
    reason: str = ""
    message: str = ""


class PersistentVolume(KubeObject, frozen=True, kw_only=True):
    resource = resources.PERSISTENTVOLUMES
    spec: VolumeSpec = VolumeSpec()
    status: VolumeStatus = VolumeStatus()


class StorageClass(KubeObject, frozen=True, kw_only=True):
    resource = resources.STORAGECLASSES
    provisioner: str = ""
    reclaimPolicy: str = "Delete"
    volumeBindingMode: str = "Immediate"
