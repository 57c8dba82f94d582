"""The kinds that are served, now: the rows of the source, and those that come and go with custom resources.

Whoever derives something from all kinds (discovery, OpenAPI, caches of handlers) subscribes; requests find their kind
in `by_plural`, a plain dictionary.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from knet.api.resources import Resource
from knet.apiserver.kind import Kind


class Registry(Mapping[Resource, Kind]):
    """Registry row → kind.  A kind that is there from the start stays; no other can take its place."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._kinds = {kind.resource: kind for kind in kinds}
        #: (group, version, plural) → kind
        self.by_plural = {_plural(kind): kind for kind in self._kinds.values()}
        self._listeners: list[Callable[[], None]] = []

    def __getitem__(self, resource: Resource) -> Kind:
        return self._kinds[resource]

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)

    def replace(self, old: Iterable[Kind], new: Iterable[Kind]) -> list[Kind]:
        """Serve some kinds instead of others; those that are served now, without names that are taken."""
        for kind in old:
            kind.life.over = True
            del self._kinds[kind.resource]
            del self.by_plural[_plural(kind)]
        added = [kind for kind in new if _plural(kind) not in self.by_plural]
        for kind in added:
            self._kinds[kind.resource] = kind
            self.by_plural[_plural(kind)] = kind
        for listener in self._listeners:
            listener()
        return added

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Have a function called after every change."""
        self._listeners.append(listener)


def _plural(kind: Kind) -> tuple[str, str, str]:
    return kind.resource.group, kind.resource.version, kind.resource.plural
