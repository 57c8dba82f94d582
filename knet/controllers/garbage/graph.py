"""Who owns whom, over all kinds of the registry.

An owner that some object names and no informer shows is virtual: it may be gone, or its own watch may just lag
behind its dependents'.  Only the server can tell, and `controller` asks it.
"""

from typing import NamedTuple

from knet.api import resources
from knet.api.names import FOREGROUND_FINALIZER
from knet.api.objects import KubeObject, OwnerReference
from knet.api.resources import Resource

#: events are many and own nothing (upstream ignores them too)
IGNORED = frozenset({resources.EVENTS})


class Node(NamedTuple):
    """One object in the graph."""

    resource: Resource
    namespace: str
    name: str
    uid: str
    owners: tuple[OwnerReference, ...]
    finalizers: tuple[str, ...]
    deleting: bool

    @property
    def deleting_dependents(self) -> bool:
        """In foreground deletion: waits for its dependents to go first."""
        return self.deleting and FOREGROUND_FINALIZER in self.finalizers

    def blocks(self, owner_uid: str) -> bool:
        """Whether that owner, in foreground deletion, has to wait for this object."""
        return any(owner.uid == owner_uid and owner.blockOwnerDeletion for owner in self.owners)


def node_of(row: KubeObject) -> Node:
    meta = row.metadata
    return Node(row.resource, meta.namespace, meta.name, meta.uid, meta.ownerReferences, meta.finalizers, row.deleting)


class Graph:
    """All objects by uid, and the uids of the dependents of each owner, present or virtual."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._dependents: dict[str, dict[str, None]] = {}

    def get(self, uid: str) -> Node | None:
        return self._nodes.get(uid)

    def dependents(self, uid: str) -> list[Node]:
        return [self._nodes[dependent] for dependent in self._dependents.get(uid, ())]

    def orphans(self) -> list[Node]:
        """The dependents of virtual owners."""
        virtual = [uid for uid in self._dependents if uid not in self._nodes]
        return [node for uid in virtual for node in self.dependents(uid)]

    def put(self, node: Node) -> None:
        self._unlink(node.uid)
        self._nodes[node.uid] = node
        for owner in node.owners:
            self._dependents.setdefault(owner.uid, {})[node.uid] = None

    def remove(self, uid: str) -> None:
        self._unlink(uid)
        self._nodes.pop(uid, None)

    def _unlink(self, uid: str) -> None:
        known = self._nodes.get(uid)
        for owner in known.owners if known is not None else ():
            rows = self._dependents.get(owner.uid, {})
            rows.pop(uid, None)
            if not rows:
                self._dependents.pop(owner.uid, None)
