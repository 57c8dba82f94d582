"""What the handlers of one API server share."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from knet.api.timing import Timing
from knet.apiserver.addresses import Allocations
from knet.apiserver.admission import Admission
from knet.apiserver.authorization import Authorizer
from knet.apiserver.kind import Kind
from knet.apiserver.registry import Registry
from knet.store import Attributes, Object, Store

#: upstream's alphabet for generated names: no vowels, so no words; nothing that looks like something else
NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


@dataclass(frozen=True)
class Context:
    """One server's store, kinds and allocations."""

    store: Store
    kinds: Registry
    #: what subresources exchange and nobody stores (Scale, Binding, …), by kind
    auxiliary: Mapping[str, Kind]
    timing: Timing
    allocations: Allocations = field(repr=False)
    admission: Admission = field(repr=False)
    authorizer: Authorizer = field(repr=False)


def now() -> str:
    """The time as ``metav1.Time`` has it: RFC 3339, UTC, whole seconds."""
    return timestamp(int(time.time()))


@lru_cache(maxsize=4)
def timestamp(seconds: int) -> str:
    """A Unix time in RFC 3339; thousands of objects share a second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Selectable:
    """Derives what selectors see (`knet.store.Attributes`) from the objects of each collection."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._fields = {kind.collection: kind.strategy.fields for kind in kinds if kind.resource.stored}

    def show(self, collection: str, fields: Mapping[str, Callable[[Object], str]]) -> bool:
        """Have other fields of a collection derived from now on; whether that is a change."""
        changed = bool(fields or self._fields.get(collection))
        self._fields[collection] = fields
        return changed

    def __call__(self, collection: str, value: Object) -> Attributes:
        """Called by the store at every write."""
        metadata = value["metadata"]
        fields = {"metadata.name": metadata["name"], "metadata.namespace": metadata.get("namespace", "")}
        for label, read in self._fields.get(collection, {}).items():
            fields[label] = read(value)
        return Attributes(metadata.get("labels") or {}, fields)
