"""What keeps the served kinds in step with the CustomResourceDefinitions in the store.

It follows the store like any watcher, so it makes no difference who wrote a definition, or when: before this process
began, through another API server, or a moment ago.  A definition's kinds are served before its status says so.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import NamedTuple

import orjson

from knet.api.resources import CUSTOMRESOURCEDEFINITIONS
from knet.api.schema import Struct, Type
from knet.apiserver import deleting, updating
from knet.apiserver.context import Context, Selectable, now
from knet.apiserver.custom.definition import FINALIZER
from knet.apiserver.custom.kinds import CustomKind, kinds_of, selectable_fields
from knet.apiserver.custom.status import Row, decide, is_true, put
from knet.apiserver.kind import Kind
from knet.apiserver.options import DeleteOptions
from knet.apiserver.routes import Target
from knet.apiserver.status import StatusError
from knet.store import Gone, Object, Record

log = logging.getLogger(__name__)

#: seconds a wait for the next change may last; only shutting down depends on it
_PATIENCE = 3600.0


class _Served(NamedTuple):
    """What is served of a definition: ``told`` is what it was made from, ``stored`` reaches all its objects."""

    told: bytes
    kinds: list[Kind]
    stored: CustomKind | None


_NOTHING = _Served(b"", [], None)


class Definitions:
    """Serves what definitions define."""

    def __init__(self, context: Context, selectable: Selectable) -> None:
        self._context = context
        self._selectable = selectable
        self._kind = context.kinds[CUSTOMRESOURCEDEFINITIONS]
        self._metadata = _metadata_type(self._kind.type)
        self._served: dict[str, _Served] = {}
        self._cleanups: dict[str, asyncio.Task[None]] = {}
        self._revision = 0

    def load(self) -> None:
        """Serve what was established before; called before the first request."""
        listing = self._context.store.list(self._kind.collection)
        self._revision = listing.revision
        for record in listing.records:
            value = record.decode()
            if is_true(value, "Established"):
                self._serve(value, record.revision)

    async def run(self) -> None:
        """Follow the definitions for as long as the server runs."""
        cursor = self._context.store.watch(self._kind.collection, self._revision)
        await self._reconcile()
        try:
            while True:
                try:
                    events = await cursor.next(_PATIENCE)
                except Gone:
                    listing = self._context.store.list(self._kind.collection)
                    cursor = self._context.store.watch(self._kind.collection, listing.revision)
                    events = []
                for event in events:
                    if event.type == "DELETED":
                        self._withdraw(event.record.decode()["metadata"]["name"])
                await self._reconcile()
        finally:
            for task in self._cleanups.values():
                task.cancel()

    async def _reconcile(self) -> None:
        """Bring every definition's kinds and status up to date; names go to who asked first."""
        records = self._context.store.list(self._kind.collection).records
        names = {record.decode()["metadata"]["name"] for record in records}
        for name in set(self._served) - names:
            self._withdraw(name)
        values = {record.key: record.decode() for record in records}
        for record in sorted(records, key=lambda record: _age(values[record.key])):
            try:
                await self._settle(record, values)
            except StatusError as error:
                # somebody else changes it at this moment: that change will bring us here again
                log.info("%s: %s", record.key, error)
            except Exception:
                log.exception("cannot serve %s", record.key)

    async def _settle(self, record: Record, values: dict[str, Object]) -> None:
        value = values[record.key]
        others = [other for key, other in values.items() if key != record.key]
        status = decide(value, others, now())
        decided = {**value, "status": status}
        values[record.key] = decided
        if is_true(decided, "Established"):
            self._serve(decided, record.revision)
        if status != value.get("status"):

            def change(current: Object) -> None:
                current["status"] = {**decide(current, others, now())}

            await updating.rewrite(self._context, self._target(value), change)
        name = value["metadata"]["name"]
        if "deletionTimestamp" in value["metadata"] and FINALIZER in value["metadata"].get("finalizers", ()):
            self._terminate(name, value)

    def _target(self, value: Object) -> Target:
        return Target(self._kind, "", value["metadata"]["name"])

    def _serve(self, value: Object, revision: int) -> None:
        """Serve a definition's versions; nothing happens unless its spec or its names have changed."""
        name = value["metadata"]["name"]
        told = orjson.dumps([value["metadata"]["uid"], value["spec"], value["status"]["acceptedNames"]])
        before = self._served.get(name, _NOTHING)
        if told == before.told:
            return
        kinds = kinds_of(value, self._metadata, revision)
        added = self._context.kinds.replace(before.kinds, [kind for kind in kinds if kind.served])
        self._served[name] = _Served(told, added, kinds[0])
        collection = f"/registry/{value['spec']['group']}/{value['spec']['names']['plural']}/"
        if self._selectable.show(collection, selectable_fields(added)):
            for record in self._context.store.list(collection).records:
                record.attributes = self._selectable(collection, record.decode())
        if before.kinds:
            self._context.store.wake(collection)

    def _withdraw(self, name: str) -> None:
        """A definition has gone, and its kinds with it."""
        task = self._cleanups.pop(name, None)
        if task is not None:
            task.cancel()
        served = self._served.pop(name, _NOTHING)
        self._context.kinds.replace(served.kinds, ())
        if served.stored is not None:
            self._context.store.wake(served.stored.collection)

    def _terminate(self, name: str, value: Object) -> None:
        kind = self._served.get(name, _NOTHING).stored
        if kind is not None:
            kind.life.terminating = True
        if name not in self._cleanups:
            task = asyncio.create_task(self._clean_up(value, kind))
            self._cleanups[name] = task
            task.add_done_callback(_report)

    async def _clean_up(self, value: Object, kind: CustomKind | None) -> None:
        """Delete all instances, wait until their own finalizers let them go, then let the definition go."""
        target = self._target(value)
        if kind is None:
            row = Row("Terminating", "False", "NeverEstablished", "resource was never established")
        else:
            row = Row("Terminating", "True", "InstanceDeletionInProgress", "CustomResource deletion is in progress")
            await self._tell(target, row)
            await self._delete_instances(kind)
            row = Row("Terminating", "False", "InstanceDeletionCompleted", "removed all instances")
        await self._tell(target, row, done=True)

    async def _tell(self, target: Target, row: Row, done: bool = False) -> None:
        def change(current: Object) -> None:
            status = current.setdefault("status", {})
            status["conditions"] = put(status.get("conditions") or [], row, now())
            if done:
                metadata = current["metadata"]
                metadata["finalizers"] = [name for name in metadata.get("finalizers", ()) if name != FINALIZER]

        await updating.rewrite(self._context, target, change)

    async def _delete_instances(self, kind: CustomKind) -> None:
        store = self._context.store
        while True:
            listing = store.list(kind.collection)
            if not listing.records:
                return
            cursor = store.watch(kind.collection, listing.revision)
            for record in listing.records:
                metadata = record.decode()["metadata"]
                if "deletionTimestamp" in metadata:
                    continue
                one = Target(kind, metadata.get("namespace", ""), metadata["name"])
                try:
                    await deleting.remove(self._context, one, DeleteOptions())
                except StatusError as error:
                    if error.code not in (404, 409):
                        raise
            while store.list(kind.collection).records and not await cursor.next(_PATIENCE):
                pass


def _metadata_type(type_: Type) -> Type:
    assert isinstance(type_, Struct)
    return type_.fields["metadata"]


def _age(value: Mapping[str, Object]) -> tuple[bool, str, str]:
    """Those that have their names first, then by creation."""
    metadata = value["metadata"]
    return not is_true(dict(value), "NamesAccepted"), metadata["creationTimestamp"], metadata["name"]


def _report(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("the instances of a custom resource could not be deleted", exc_info=error)
