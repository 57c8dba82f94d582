"""What plugins make of the objects of a collection, made once and again only after the collection has changed.

Every Pod that is created is held against limit ranges, quotas, priority classes and webhooks, which hardly ever change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from knet.api.resources import Resource
from knet.store import Object

if TYPE_CHECKING:  # the context holds the plugins that read it
    from knet.apiserver.context import Context

T = TypeVar("T")


class Derived:
    """Results of pure functions of all objects of a kind, or of those of one namespace."""

    def __init__(self) -> None:
        #: by kind and function: the revision of the collection, and the results by namespace
        self._made: dict[tuple[Resource, Callable[..., Any]], tuple[int, dict[str, Any]]] = {}

    def get(self, context: Context, resource: Resource, make: Callable[[list[Object]], T], namespace: str) -> T:
        """The present result; shared, so not to be changed."""
        kind = context.kinds[resource]
        revision = context.store.changed(kind.collection)
        at, results = self._made.get((resource, make), (-1, {}))
        if at != revision:
            results = {}
            self._made[resource, make] = revision, results
        if namespace not in results:
            listing = context.store.list(kind.prefix(namespace))
            results[namespace] = make([record.decode() for record in listing.records])
        found: T = results[namespace]
        return found
