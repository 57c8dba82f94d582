"""VolumeZone: volumes labelled with a zone or region are had by nodes of that zone or region."""

from typing import Any

from knet.scheduler.cluster import Cluster
from knet.scheduler.hints import Change
from knet.scheduler.node import NodeInfo
from knet.scheduler.plugin import SKIP, Plugin, Rejection
from knet.scheduler.pod import PodInfo

_REJECTION = Rejection(("node(s) had no available volume zone",), final=True)

LABELS = (
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
)
#: between the zones of a volume that several have
_AND = "__"


class VolumeZone(Plugin):
    helped_by = frozenset({Change.CLAIM, Change.VOLUME, Change.STORAGE_CLASS, Change.NODE_ADDED, Change.NODE_LABELS})

    def pre_filter(self, pod: PodInfo, cluster: Cluster) -> Any:
        """The labels that a node has to have, with the values allowed."""
        rows = []
        for name in pod.claims:
            claim = cluster.storage.claim(pod.namespace, name)
            volume = cluster.storage.volumes.get(claim.spec.volumeName) if claim is not None else None
            if volume is not None:
                labels = volume.metadata.labels
                rows += [(label, set(labels[label].split(_AND))) for label in LABELS if label in labels]
        return rows or SKIP

    def filter(self, rows: list[tuple[str, set[str]]], pod: PodInfo, node: NodeInfo) -> Rejection | None:
        """A node that says nothing of zones at all may have any volume."""
        if not any(label in node.labels for label in LABELS):
            return None
        return None if all(node.labels.get(label) in allowed for label, allowed in rows) else _REJECTION
