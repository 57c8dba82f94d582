"""The garbage collector's loops: one controller per kind, over one graph."""

from typing import Any

from knet.api import resources
from knet.api.extensions import CustomResourceDefinition
from knet.api.names import FOREGROUND_FINALIZER, ORPHAN_FINALIZER
from knet.api.objects import (
    JSON,
    KubeObject,
    OwnerReference,
)
from knet.api.resources import Resource
from knet.client import Client, Conflict, Controller, Informer, Invalid, Key, NotFound, key_of
from knet.controllers.classes import class_of, metadata_class
from knet.controllers.context import Context
from knet.controllers.garbage.custom import CustomCollectors
from knet.controllers.garbage.graph import IGNORED, Graph, Node, node_of
from knet.controllers.garbage.kinds import CustomKinds
from knet.controllers.garbage.verdict import Keep, OwnerState, verdict, without_owners


def build(context: Context) -> list[Controller]:
    collector = GarbageCollector(context)
    return [*collector.controllers.values(), collector.custom]


class GarbageCollector:
    """Keeps the graph and hands each object that may have to go to its kind's controller."""

    def __init__(self, context: Context) -> None:
        self.client = context.client
        self.events = context.recorder("garbage-collector-controller")
        self.graph = Graph()
        self.kinds = CustomKinds(context.informers)
        self.collectors: dict[Resource, Collector] = {}
        self.controllers: dict[Resource, Controller] = {}
        for row in resources.STORED:
            if row in IGNORED or not {"list", "watch", "delete"} <= set(row.verbs):
                continue
            cls = class_of(row)
            self.collect(row, cls, context.informers.of(cls))
        definitions = context.informers.of(CustomResourceDefinition)
        self.custom = Controller("garbage-collector custom kinds", CustomCollectors(self, definitions), workers=1)
        definitions.subscribe(self._defined)

    def _defined(self, old: CustomResourceDefinition | None, new: CustomResourceDefinition | None) -> None:
        if row := new or old:
            self.custom.enqueue(key_of(row))

    def collect(self, row: Resource, cls: type[KubeObject], informer: Informer[Any]) -> Controller:
        """Follow a kind; its controller, to be run."""
        collector = self.collectors[row] = Collector(self, cls, informer)
        controller = self.controllers[row] = Controller(f"garbage-collector {row.plural}", collector, workers=8)
        informer.subscribe(self._changed)
        return controller

    def _changed(self, old: KubeObject | None, new: KubeObject | None) -> None:
        if old is not None and (new is None or new.uid != old.uid):
            self.gone(old)
        if new is None:
            return
        if old is not None and new.uid == old.uid and _bonds(old) == _bonds(new):
            return
        node = node_of(new)
        self.graph.put(node)
        if node.deleting or any(self._suspicious(owner) for owner in node.owners):
            self.enqueue(node)

    def judge_orphans(self) -> None:
        """Ask again about all owners that no informer shows: there is news of a kind."""
        for node in self.graph.orphans():
            self.enqueue(node)

    def gone(self, old: KubeObject) -> None:
        """Its dependents may have to follow; owners that waited for it may go on."""
        dependents = self.graph.dependents(old.uid)
        self.graph.remove(old.uid)
        for dependent in dependents:
            self.enqueue(dependent)
        for owner in old.metadata.ownerReferences:
            waiting = self.graph.get(owner.uid)
            if waiting is not None and waiting.deleting_dependents:
                self.enqueue(waiting)

    def _suspicious(self, owner: OwnerReference) -> bool:
        known = self.graph.get(owner.uid)
        return known is None or known.deleting_dependents

    def enqueue(self, node: Node) -> None:
        controller = self.controllers.get(node.resource)
        if controller is not None:
            controller.enqueue(Key(node.namespace, node.name))


class Collector:
    """The reconciler of one kind."""

    def __init__(self, collector: GarbageCollector, cls: type[KubeObject], informer: Informer[Any]) -> None:
        self._collector = collector
        self._client: Client = collector.client
        self._graph = collector.graph
        self._cls = cls
        self._informer = informer

    async def reconcile(self, key: Key) -> None:
        row = self._informer.get(*key)
        if row is None:
            return
        node = node_of(row)
        try:
            if node.deleting:
                await self._finish_deletion(row, node)
            elif node.owners:
                await self._judge(row, node)
        except NotFound:  # gone meanwhile
            return

    async def _finish_deletion(self, row: KubeObject, node: Node) -> None:
        dependents = self._graph.dependents(node.uid)
        if ORPHAN_FINALIZER in node.finalizers:
            for dependent in dependents:
                await self._collector.collectors[dependent.resource].release(dependent, node.uid)
            await self._remove_finalizer(row, ORPHAN_FINALIZER)
        elif node.deleting_dependents:
            blocking = [dependent for dependent in dependents if dependent.blocks(node.uid)]
            if not blocking:
                await self._remove_finalizer(row, FOREGROUND_FINALIZER)
            for dependent in dependents:
                self._collector.enqueue(dependent)

    async def _judge(self, row: KubeObject, node: Node) -> None:
        owners = {owner.uid: await self._state(node, owner) for owner in node.owners}
        decided = verdict(node, owners, self._graph.dependents(node.uid))
        if isinstance(decided, Keep):
            if decided.drop:
                await self._write_owners(row, without_owners(node.owners, decided.drop))
            return
        if decided.unblock:
            rows = without_owners(node.owners, ())
            for reference in rows:
                reference.pop("blockOwnerDeletion", None)
            row = await self._write_owners(row, rows)
        await self._client.delete(
            self._cls,
            node.name,
            node.namespace,
            propagation=decided.propagation,
            uid=node.uid,
            # guards against a cache that does not show yet how somebody took the owner out
            resource_version=row.metadata.resourceVersion,
        )

    async def _state(self, node: Node, owner: OwnerReference) -> OwnerState:
        known = self._graph.get(owner.uid)
        if known is not None and not known.deleting_dependents:
            return OwnerState.SOLID
        if known is not None:
            return OwnerState.WAITING
        return await self._ask(node, owner)

    async def _ask(self, node: Node, owner: OwnerReference) -> OwnerState:
        """Look a virtual owner up.  A kind that nobody serves here may be served again: what it owns is kept."""
        row = resources.by_kind(owner.apiVersion, owner.kind)
        row = row or self._collector.kinds.by_kind(owner.apiVersion, owner.kind)
        if row is None:
            return OwnerState.SOLID
        if row.namespaced and not node.namespace:
            self._tell_bad_reference(node, owner)
            return OwnerState.SOLID
        namespace = node.namespace if row.namespaced else ""
        try:
            live = await self._client.get(metadata_class(row), owner.name, namespace)
        except NotFound:
            return OwnerState.ABSENT
        if live.uid != owner.uid:
            return OwnerState.ABSENT
        waiting = live.deleting and FOREGROUND_FINALIZER in live.metadata.finalizers
        return OwnerState.WAITING if waiting else OwnerState.SOLID

    def _tell_bad_reference(self, node: Node, owner: OwnerReference) -> None:
        message = (
            f"ownerRef [{owner.apiVersion}/{owner.kind}, namespace: {node.namespace}, name: {owner.name}, "
            f"uid: {owner.uid}] does not exist in namespace {node.namespace!r}"
        )
        found = self._informer.get(node.namespace, node.name)
        if found is not None:
            self._collector.events.event(found, "Warning", "OwnerRefInvalidNamespace", message)

    async def release(self, dependent: Node, owner_uid: str) -> None:
        """Take one owner out of a dependent of this kind, and know of it before the owner is gone."""
        owners = without_owners(dependent.owners, (owner_uid,))
        patch = {"metadata": {"uid": dependent.uid, "ownerReferences": owners or None}}
        try:
            written = await self._client.patch(self._cls, dependent.name, patch, dependent.namespace)
        except (NotFound, Conflict, Invalid):  # gone, or another by that name: nothing to release
            return
        self._informer.assume(written)

    async def _write_owners(self, row: KubeObject, owners: list[dict[str, object]]) -> KubeObject:
        metadata: JSON = {"resourceVersion": row.metadata.resourceVersion, "ownerReferences": owners or None}
        written = await self._client.patch(self._cls, row.name, {"metadata": metadata}, row.namespace)
        self._informer.assume(written)
        return written

    async def _remove_finalizer(self, row: KubeObject, finalizer: str) -> None:
        rest = [name for name in row.metadata.finalizers if name != finalizer]
        metadata: JSON = {"resourceVersion": row.metadata.resourceVersion, "finalizers": rest or None}
        await self._client.patch(self._cls, row.name, {"metadata": metadata}, row.namespace)


def _bonds(row: KubeObject) -> tuple[object, ...]:
    """All of an object that the collector looks at."""
    return row.metadata.ownerReferences, row.metadata.finalizers, row.deleting
