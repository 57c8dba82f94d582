"""What the objects of the namespaces with quotas cost, kept true to the caches."""

import time
from collections.abc import Callable
from typing import Any

import msgspec

from knet.api import resources
from knet.api.objects import KubeObject
from knet.api.quota import UNCOUNTED, Charge, Meter, Tally, meter_of
from knet.api.resources import Resource
from knet.client import Informer, SharedInformers
from knet.controllers.classes import class_of


class Usage:
    """One tally for each kind and namespace in which somebody is interested."""

    def __init__(self, informers: SharedInformers, changed: Callable[[Meter, str], None]) -> None:
        """``changed`` is told of each kind and namespace whose sums have changed."""
        self._changed = changed
        self._informers: dict[Resource, Informer[Any]] = {}
        self._tallies: dict[str, dict[Resource, Tally]] = {}
        for row in resources.STORED:
            if row.namespaced and row not in UNCOUNTED:
                informer = self._informers[row] = informers.of(class_of(row))
                informer.subscribe(self._object_changed)

    def _object_changed(self, old: KubeObject | None, new: KubeObject | None) -> None:
        changed = new or old
        assert changed is not None
        tally = self._tallies.get(changed.namespace, {}).get(changed.resource)
        if tally is not None and tally.put(changed.name, self._charge(new) if new is not None else None):
            self._changed(meter_of(changed.resource), changed.namespace)

    def _charge(self, row: KubeObject) -> Charge:
        return meter_of(row.resource).measure(msgspec.to_builtins(row), time.time())

    def kinds(self, counted: Callable[[Meter], Any]) -> list[Resource]:
        """The kinds for whose meters something holds."""
        return [row for row in self._informers if counted(meter_of(row))]

    def tally(self, row: Resource, namespace: str) -> Tally:
        """The sums of one kind in one namespace, followed from now on."""
        tallies = self._tallies.setdefault(namespace, {})
        found = tallies.get(row)
        if found is None or found.due <= time.time():
            objects = self._informers[row].list(namespace)
            found = tallies[row] = Tally((each.name, self._charge(each)) for each in objects)
        return found

    def forget(self, namespace: str) -> None:
        """The namespace has no quota any longer."""
        self._tallies.pop(namespace, None)
