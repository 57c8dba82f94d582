"""The contract between the API server and its store.

Keys are paths like ``/registry/pods/default/web-1``; a *collection* is the part up to and including the resource
(``/registry/pods/``).  Values are Kubernetes objects.  The store alone knows the revision of a write, so the store
stamps it into ``metadata.resourceVersion`` and encodes the object, once: the same bytes go to the disk, to every
GET and LIST and to every watcher.

Nothing but those bytes is kept.  A parsed Pod costs seven times its text in memory, while parsing it takes about
6 µs and yields a private copy which the caller may change, so `Record.decode` stands in for a deep copy too.  What
selectors ask for is extracted once, at the write, into `Attributes`.

What is kept by the hundred thousand is no business of the garbage collector (``gc=False``): it refers to no cycle, and
looking it through would halt everything for a tenth of a second.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import msgspec
import orjson

#: a Kubernetes object as plain JSON data
Object = dict[str, Any]


class Attributes(msgspec.Struct, frozen=True, gc=False):
    """What label and field selectors can see of an object."""

    labels: Mapping[str, str]
    fields: Mapping[str, str]


#: derives the attributes of an object stored in the given collection
AttributesOf = Callable[[str, Object], Attributes]


class Record(msgspec.Struct, eq=False, gc=False):
    """One object at one revision: shared by the cache, the history and all readers, none of whom changes it."""

    key: str
    revision: int
    data: bytes
    attributes: Attributes

    def decode(self) -> Object:
        """A fresh copy of the object, the caller's to change."""
        value: Object = orjson.loads(self.data)
        return value


def encoded(value: Object) -> bytes:
    """An object's bytes for keeping: the encoder leaves them in a buffer up to twice as large."""
    return bytes(memoryview(orjson.dumps(value)))


class Event(msgspec.Struct, eq=False, gc=False):
    """One write as watchers see it; ``record.revision`` is the revision of the write, also of a deletion."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    record: Record
    #: the state before; None for ADDED.  Selectors need it: an object that stops matching is DELETED to a watcher.
    previous: Record | None
    #: in whose name, in the writer's own terms; None where nobody said (with etcd: before it is acknowledged)
    by: object = None


@dataclass(frozen=True, slots=True)
class Listing:
    """A consistent snapshot, in the order of the keys, or a page of it."""

    revision: int
    records: list[Record]
    #: how many more there are after this page
    remaining: int = 0


class Conflict(Exception):
    """The key is not at the revision that the write was based on; read again and decide anew."""


class Gone(Exception):
    """The history asked for has been compacted; ``oldest`` is the first revision still known."""

    def __init__(self, requested: int, oldest: int) -> None:
        super().__init__(f"too old resource version: {requested} ({oldest})")
        self.requested = requested
        self.oldest = oldest


class Unavailable(Exception):
    """The write could not be made durable (disk full, store closed, etcd away).

    Nothing has changed, unless it was etcd whose answer got lost: then what it has done is visible soon.
    """


class Watch(Protocol):
    """A place in the history of one collection; it costs nothing while nobody asks for the next events."""

    async def next(self, timeout: float) -> list[Event]:
        """The events since the last call, waiting up to ``timeout`` seconds for the first; [] if none came.

        Of very many the earliest come first and the others at the next call, so that a reader who is slow holds few.

        Raises Gone when the reader was so slow that events it has not seen were compacted.
        """
        ...

    @property
    def revision(self) -> int:
        """Everything up to and including this revision has been delivered (what a bookmark may promise)."""
        ...

    @property
    def lapsed(self) -> bool:
        """The next call of `next` will raise Gone."""
        ...


class Past(NamedTuple):
    """An event, and when it became visible (CLOCK_MONOTONIC, seconds)."""

    at: float
    event: Event


class Store(Protocol):
    """What any store offers.  All methods belong to one event loop; reads answer at once, from memory."""

    @property
    def revision(self) -> int:
        """The revision of the latest visible write."""
        ...

    @property
    def trouble(self) -> str:
        """Why writes fail at the moment, "" if they do not."""
        ...

    def get(self, key: str) -> Record | None:
        """The latest visible state of a key."""
        ...

    def changed(self, collection: str) -> int:
        """The revision of the latest visible write to a collection: while it stays the same, so does the content."""
        ...

    def list(self, prefix: str, revision: int = 0, after: str = "", limit: int = 0) -> Listing:
        """The records below a prefix (a collection, or a collection and a namespace), now or as of a revision.

        Of these only those after the key ``after``, and not more than ``limit`` (0: all).
        Raises Gone where that revision has been compacted.
        """
        ...

    def watch(self, collection: str, revision: int) -> Watch:
        """Follow a collection from after the revision, be it in the future; raises Gone where that part is lost."""
        ...

    def history(self, since: float = 0.0, revision: int = 0) -> Sequence[Past]:
        """What is still known of the writes to all collections, from a time on and after a revision, in order."""
        ...

    def wake(self, collection: str) -> None:
        """End the waits for the next events of a collection, with none: what it holds is no longer served."""
        ...

    async def reach(self, revision: int) -> None:
        """Wait until that revision is visible."""
        ...

    async def write(self, key: str, value: Object, expected: int, *, delete: bool = False, by: object = None) -> Record:
        """Store an object, or delete it (``value`` is then its last state), and return it as stored.

        ``expected`` is the revision the decision was based on, 0 for "must not exist"; Conflict otherwise.
        Returns when the write is durable and visible.  ``value`` is stamped and belongs to the store from then on.
        ``by`` is kept with the event, as long as that is.
        """
        ...

    async def run(self) -> None:
        """What the store does by itself, for as long as it is open; raises what makes it impossible to go on."""
        ...

    async def close(self) -> None:
        """Finish the writes under way and release the database."""
        ...
