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


class CSIVolume(Part, frozen=True, kw_only=True):
    driver: str = ""
    volumeHandle: str = ""


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
    csi: CSIVolume | None = None


class VolumeStatus(Part, frozen=True, kw_only=True):
    phase: str = ""
    reason: str = ""
    message: str = ""


class PersistentVolume(KubeObject, frozen=True, kw_only=True):
    resource = resources.PERSISTENTVOLUMES
    spec: VolumeSpec = VolumeSpec()
    status: VolumeStatus = VolumeStatus()


class TopologyRequirement(Part, frozen=True, kw_only=True):
    key: str
    values: tuple[str, ...] = ()


class TopologyTerm(Part, frozen=True, kw_only=True):
    matchLabelExpressions: tuple[TopologyRequirement, ...] = ()


class StorageClass(KubeObject, frozen=True, kw_only=True):
    resource = resources.STORAGECLASSES
    provisioner: str = ""
    reclaimPolicy: str = "Delete"
    volumeBindingMode: str = "Immediate"
    allowedTopologies: tuple[TopologyTerm, ...] = ()


class DriverResources(Part, frozen=True, kw_only=True):
    count: int | None = None


class CSINodeDriver(Part, frozen=True, kw_only=True):
    name: str
    allocatable: DriverResources | None = None


class CSINodeSpec(Part, frozen=True, kw_only=True):
    drivers: tuple[CSINodeDriver, ...] = ()


class CSINode(KubeObject, frozen=True, kw_only=True):
    resource = resources.CSINODES
    spec: CSINodeSpec = CSINodeSpec()
