"""Garbage collection of custom resources: a collector per definition, started and stopped as definitions come and go.

Whether a definition is gone or merely serves nothing makes the difference: with it all its objects are gone, and what
they owned goes too; an object that is not served now may be served again, so what it owns stays.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from knet.api.extensions import CustomResourceDefinition
from knet.api.objects import KubeObject
from knet.api.resources import Resource
from knet.client import Informer, Key
from knet.controllers.classes import metadata_class

if TYPE_CHECKING:
    from knet.controllers.garbage.controller import GarbageCollector

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Running:
    row: Resource
    informer: Informer[Any]
    tasks: list["asyncio.Task[None]"]

    def stop(self) -> list[KubeObject]:
        """End it; the objects it knew."""
        for task in self.tasks:
            task.cancel()
        return list(self.informer.list())


class CustomCollectors:
    """The reconciler of definitions."""

    def __init__(self, collector: "GarbageCollector", definitions: Informer[CustomResourceDefinition]) -> None:
        self._collector = collector
        self._definitions = definitions
        self._running: dict[str, _Running] = {}

    async def reconcile(self, key: Key) -> None:
        """Have the right collector for a definition."""
        wanted, have = self._collector.kinds.of(key.name), self._running.get(key.name)
        if have is not None and have.row == wanted:
            return
        known = have.stop() if have is not None else []
        self._running.pop(key.name, None)
        if wanted is not None:
            self._running[key.name] = self._begin(wanted, known)
            return
        deleted = self._definitions.get(*key) is None
        for row in known:
            if deleted:
                self._collector.gone(row)
            else:
                self._collector.graph.remove(row.uid)
        if deleted:
            self._collector.judge_orphans()

    def _begin(self, row: Resource, known: list[KubeObject]) -> _Running:
        """Follow a kind; ``known`` is what another version of it has shown."""
        cls = metadata_class(row)
        informer: Informer[Any] = Informer(self._collector.client, cls)
        controller = self._collector.collect(row, cls, informer)
        tasks = [
            asyncio.create_task(work) for work in (informer.run(), controller.run(), self._compare(informer, known))
        ]
        for task in tasks:
            task.add_done_callback(_report)
        return _Running(row, informer, tasks)

    async def _compare(self, informer: Informer[Any], known: list[KubeObject]) -> None:
        """What went before the kind was followed, or between two versions of it, was no event."""
        await informer.synced.wait()
        for old in known:
            new = informer.get(old.namespace, old.name)
            if new is None or new.uid != old.uid:
                self._collector.gone(old)
        self._collector.judge_orphans()


def _report(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("the collector of a custom kind ended", exc_info=error)
