"""NodeVolumeLimits: a node has no more volumes of a CSI driver than its CSINode says it can."""

from typing import Any

from knet.scheduler.cluster import Cluster
from knet.scheduler.hints import Change
from knet.scheduler.node import NodeInfo
from knet.scheduler.plugin import SKIP, Handle, Plugin, Rejection
from knet.scheduler.pod import PodInfo
from knet.scheduler.storage import Storage

_REJECTION = Rejection(("node(s) exceed max volume count",))


class NodeVolumeLimits(Plugin):
    helped_by = frozenset({Change.CSI_NODE, Change.NODE_ADDED, Change.POD_REMOVED, Change.CLAIM})

    def __init__(self) -> None:
        self._storage = Storage()

    def setup(self, handle: Handle, args: dict[str, Any]) -> None:
        self._storage = handle.cluster.storage

    def pre_filter(self, pod: PodInfo, cluster: Cluster) -> Any:
        """(driver, volume) of all its claims."""
        return (self._volumes(pod) if self._storage.drivers and pod.claims else None) or SKIP

    def filter(self, volumes: set[tuple[str, str]], pod: PodInfo, node: NodeInfo) -> Rejection | None:
        limits = self._storage.drivers.get(node.name)
        if limits is None:
            return None
        there = {row for other in node.pods.values() if other.claims for row in self._volumes(other)}
        for driver in limits.spec.drivers:
            most = driver.allocatable.count if driver.allocatable is not None else None
            after = sum(name == driver.name for name, _ in there | volumes)
            new = any(name == driver.name for name, _ in volumes - there)
            if most is not None and new and after > most:
                return _REJECTION
        return None

    def _volumes(self, pod: PodInfo) -> set[tuple[str, str]]:
        """A claim without a volume counts as one of its class's provisioner."""
        found = set()
        for name in pod.claims:
            claim = self._storage.claim(pod.namespace, name)
            volume = self._storage.volumes.get(claim.spec.volumeName) if claim is not None else None
            if volume is not None:
                if volume.spec.csi is not None:
                    found.add((volume.spec.csi.driver, volume.spec.csi.volumeHandle))
            elif claim is not None and (kind := self._storage.class_of(claim)) is not None:
                found.add((kind.provisioner, f"{claim.namespace}/{claim.name}"))
        return found
