"""VolumeRestrictions: a claim for one pod only (ReadWriteOncePod) is used by one pod only."""

from typing import Any

from knet.client import Key
from knet.scheduler.cluster import Cluster
from knet.scheduler.hints import Change
from knet.scheduler.node import NodeInfo
from knet.scheduler.plugin import SKIP, Plugin, Rejection
from knet.scheduler.pod import PodInfo

_REJECTION = Rejection(
    ("node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode",)
)


class VolumeRestrictions(Plugin):
    helped_by = frozenset({Change.POD_REMOVED, Change.NODE_ADDED, Change.CLAIM})

    def pre_filter(self, pod: PodInfo, cluster: Cluster) -> Any:
        """The pod's claims of that kind, with who uses them now."""
        keys = [Key(pod.namespace, name) for name in pod.claims]
        exclusive = [
            key
            for key in keys
            if (claim := cluster.storage.claims.get(key)) is not None and "ReadWriteOncePod" in claim.spec.accessModes
        ]
        return (cluster, exclusive) if exclusive else SKIP

    def filter(self, state: tuple[Cluster, list[Key]], pod: PodInfo, node: NodeInfo) -> Rejection | None:
        """On whatever node: its user has to go first."""
        cluster, exclusive = state
        return _REJECTION if any(cluster.claim_users[key] for key in exclusive) else None
