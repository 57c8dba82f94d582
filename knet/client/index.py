"""Objects of an informer's cache found by something other than their name: owner, label, node."""

from collections.abc import Callable, Hashable, Iterable
from typing import Generic

from knet.api.objects import K
from knet.client.informer import Informer


class Index(Generic[K]):
    """Kept current by the informer's changes; ``values`` says under which values an object is to be found."""

    def __init__(self, informer: Informer[K], values: Callable[[K], Iterable[Hashable]]) -> None:
        self._values = values
        self._rows: dict[Hashable, dict[tuple[str, str], K]] = {}
        informer.subscribe(self._change)

    def get(self, value: Hashable) -> list[K]:
        """The objects under a value, a snapshot; none is an empty list."""
        return list(self._rows.get(value, {}).values())

    def _change(self, old: K | None, new: K | None) -> None:
        after = set(self._values(new)) if new is not None else set()
        if old is not None:
            for value in set(self._values(old)) - after:
                rows = self._rows[value]
                del rows[old.namespace, old.name]
                if not rows:
                    del self._rows[value]
        if new is not None:
            for value in after:
                self._rows.setdefault(value, {})[new.namespace, new.name] = new
