"""What has changed in the cluster, in the terms in which plugins say what can help a pod they rejected (KEP-4247)."""

from collections.abc import Iterator
from enum import Enum

from knet.api.objects import Node


class Change(Enum):
    """Upstream's ClusterEvents, as far as a plugin could ask for them."""

    NODE_ADDED = "NodeAdd"
    NODE_REMOVED = "NodeDelete"
    NODE_ALLOCATABLE = "UpdateNodeAllocatable"
    NODE_LABELS = "UpdateNodeLabel"
    NODE_TAINTS = "UpdateNodeTaint"
    NODE_ANNOTATIONS = "UpdateNodeAnnotation"
    NODE_CONDITIONS = "UpdateNodeCondition"
    POD_ADDED = "AssignedPodAdd"
    POD_LABELS = "AssignedPodUpdate"
    POD_SCALED_DOWN = "UpdatePodScaleDown"
    POD_REMOVED = "AssignedPodDelete"
    CLAIM = "PvcAddOrUpdate"
    VOLUME = "PvAddOrUpdate"
    STORAGE_CLASS = "StorageClassAddOrUpdate"
    CSI_NODE = "CSINodeAddOrUpdate"


def node_changes(old: Node | None, new: Node) -> Iterator[Change]:
    """What of a node has changed as far as scheduling goes; a heartbeat yields nothing."""
    if old is None:
        yield Change.NODE_ADDED
        return
    if old.status.allocatable != new.status.allocatable:
        yield Change.NODE_ALLOCATABLE
    if old.metadata.labels != new.metadata.labels:
        yield Change.NODE_LABELS
    if (old.spec.taints, old.spec.unschedulable) != (new.spec.taints, new.spec.unschedulable):
        yield Change.NODE_TAINTS
    if old.metadata.annotations != new.metadata.annotations:
        yield Change.NODE_ANNOTATIONS
    if _conditions(old) != _conditions(new):
        yield Change.NODE_CONDITIONS


def _conditions(node: Node) -> dict[str, str]:
    """Without the times, which change with every heartbeat."""
    return {row.type: row.status for row in node.status.conditions}
