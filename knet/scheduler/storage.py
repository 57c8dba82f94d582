"""Claims, volumes and classes as the scheduler sees them, with what it has decided about them and not yet seen done."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from knet.api.node_selection import term
from knet.api.storage import CSINode, PersistentVolume, PersistentVolumeClaim, StorageClass
from knet.client import Key, key_of
from knet.scheduler.node import NodeInfo

#: on a claim: the binder has finished with it; where its volume is wanted
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
WAIT_FOR_FIRST_CONSUMER = "WaitForFirstConsumer"


class Storage:
    """Kept by the informers.

    ``promised``: volume → the claim that a pod on its way will have bound to it; ``selected``: claim → the node that
    such a pod has chosen.
    """

    def __init__(self) -> None:
        self.claims: dict[Key, PersistentVolumeClaim] = {}
        self.volumes: dict[str, PersistentVolume] = {}
        self.classes: dict[str, StorageClass] = {}
        self.drivers: dict[str, CSINode] = {}
        self.promised: dict[str, Key] = {}
        self.selected: dict[Key, str] = {}
        self._watchers: set[asyncio.Event] = set()

    def keep(self, old: Any, new: Any) -> None:
        """Take over a change of any of these kinds."""
        row: Any = new if new is not None else old
        rows: dict[Any, Any]
        key: Any = row.name
        match row:
            case PersistentVolumeClaim():
                rows, key = self.claims, key_of(row)
            case PersistentVolume():
                rows = self.volumes
            case StorageClass():
                rows = self.classes
            case _:
                rows = self.drivers
        if new is not None:
            rows[key] = new
        else:
            rows.pop(key, None)
        for watcher in self._watchers:
            watcher.set()

    @contextmanager
    def watched(self) -> Iterator[asyncio.Event]:
        """An event that every change sets; who waits for it clears it first."""
        watcher = asyncio.Event()
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.remove(watcher)

    def claim(self, namespace: str, name: str) -> PersistentVolumeClaim | None:
        return self.claims.get(Key(namespace, name))

    def class_of(self, claim: PersistentVolumeClaim) -> StorageClass | None:
        return self.classes.get(claim.spec.storageClassName or "")

    def node_of(self, claim: PersistentVolumeClaim) -> str:
        """The node that was selected for a claim whose volume is still to be made; "" for none."""
        return self.selected.get(key_of(claim)) or claim.metadata.annotations.get(SELECTED_NODE, "")


def is_bound(claim: PersistentVolumeClaim) -> bool:
    """Whether the binder has finished with it."""
    return bool(claim.spec.volumeName) and BIND_COMPLETED in claim.metadata.annotations


def reachable(volume: PersistentVolume, node: NodeInfo) -> bool:
    """Whether a volume's node affinity lets this node have it."""
    affinity = volume.spec.nodeAffinity
    if affinity is None:
        return True
    return any(term(row)(node.name, node.labels) for row in affinity.required.nodeSelectorTerms)
