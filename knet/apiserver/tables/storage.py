"""Volumes, claims, and what describes storage."""

from collections.abc import Mapping

from knet.api import resources
from knet.api.resources import Resource
from knet.apiserver.tables.column import AGE, NAME, NONE, UNSET, Column, Columns, at, count, joined, phase, text, wide
from knet.store import Object

#: in the order in which they are printed
_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
_DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
#: where the class was said before there was a field for it
_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


def _modes(modes: list[str]) -> str:
    return ",".join(short for mode, short in _MODES.items() if mode in modes)


def _class(value: Object) -> str:
    annotations = value["metadata"].get("annotations", {})
    return str(annotations.get(_CLASS_ANNOTATION, value.get("spec", {}).get("storageClassName", "")))


def claim(value: Object) -> str:
    """``default/data``."""
    row = value.get("spec", {}).get("claimRef")
    return f"{row.get('namespace', '')}/{row.get('name', '')}" if row else ""


def claim_capacity(value: Object) -> str:
    """What the volume has, once there is one."""
    if not value.get("spec", {}).get("volumeName"):
        return ""
    return str(value.get("status", {}).get("capacity", {}).get("storage", "0"))


def claim_modes(value: Object) -> str:
    """How the volume may be used, once there is one."""
    return _modes(value.get("status", {}).get("accessModes", [])) if value.get("spec", {}).get("volumeName") else ""


def class_name(value: Object) -> str:
    """``standard (default)``."""
    annotations = value["metadata"].get("annotations", {})
    default = any(annotations.get(key) == "true" for key in _DEFAULT_CLASS)
    return f"{value['metadata'].get('name', '')}{' (default)' if default else ''}"


def token_requests(value: Object) -> str:
    """The audiences of the tokens that a driver wants."""
    rows = value.get("spec", {}).get("tokenRequests")
    return UNSET if rows is None else ",".join(row.get("audience", "") for row in rows)


_ATTRIBUTES = Column("VolumeAttributesClass", text("spec.volumeAttributesClassName", UNSET))
_VOLUME_MODE = wide("VolumeMode", text("spec.volumeMode", UNSET))

COLUMNS: Mapping[Resource, Columns] = {
    resources.PERSISTENTVOLUMES: (
        NAME,
        Column("Capacity", text("spec.capacity.storage", "0")),
        Column("Access Modes", lambda value: _modes(value.get("spec", {}).get("accessModes", []))),
        Column("Reclaim Policy", text("spec.persistentVolumeReclaimPolicy")),
        Column("Status", phase),
        Column("Claim", claim),
        Column("StorageClass", _class),
        _ATTRIBUTES,
        Column("Reason", text("status.reason")),
        AGE,
        _VOLUME_MODE,
    ),
    resources.PERSISTENTVOLUMECLAIMS: (
        NAME,
        Column("Status", phase),
        Column("Volume", text("spec.volumeName")),
        Column("Capacity", claim_capacity),
        Column("Access Modes", claim_modes),
        Column("StorageClass", _class),
        _ATTRIBUTES,
        AGE,
        _VOLUME_MODE,
    ),
    resources.STORAGECLASSES: (
        Column("Name", class_name, format="name"),
        Column("Provisioner", text("provisioner")),
        Column("ReclaimPolicy", text("reclaimPolicy", "Delete")),
        Column("VolumeBindingMode", text("volumeBindingMode", "Immediate")),
        Column("AllowVolumeExpansion", at("allowVolumeExpansion", False)),
        AGE,
    ),
    resources.VOLUMEATTACHMENTS: (
        NAME,
        Column("Attacher", text("spec.attacher"), format="name"),
        Column("PV", text("spec.source.persistentVolumeName")),
        Column("Node", text("spec.nodeName")),
        Column("Attached", at("status.attached", False), "boolean"),
        AGE,
    ),
    resources.CSINODES: (NAME, Column("Drivers", count("spec.drivers"), "integer"), AGE),
    resources.CSIDRIVERS: (
        NAME,
        Column("AttachRequired", at("spec.attachRequired", True), "boolean"),
        Column("PodInfoOnMount", at("spec.podInfoOnMount", False), "boolean"),
        Column("StorageCapacity", at("spec.storageCapacity", False), "boolean"),
        Column("TokenRequests", token_requests),
        Column("RequiresRepublish", at("spec.requiresRepublish", False), "boolean"),
        Column("Modes", joined("spec.volumeLifecycleModes", NONE)),
        AGE,
    ),
    resources.CSISTORAGECAPACITIES: (
        NAME,
        Column("StorageClassName", text("storageClassName")),
        Column("Capacity", text("capacity", UNSET)),
    ),
}
