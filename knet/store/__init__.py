"""Where the API server keeps its objects: etcd's contract, on an embedded database or on etcd itself.

One revision counter orders every write; a write may demand the revision it is based on; a watch delivers, in
order and without gaps, everything after a revision, or says that this revision is too old.  `interface` is the
contract, `state` the part that lives in memory (reads and watches never touch the disk), `sqlite` and `etcd` the
parts that make writes durable before anybody hears of them.
"""

from pathlib import Path

from knet.store.interface import (
    Attributes,
    AttributesOf,
    Conflict,
    Event,
    Gone,
    Listing,
    Object,
    Past,
    Record,
    Store,
    Unavailable,
    Watch,
)
from knet.store.sqlite import SqliteStore


async def opened(where: str, attributes_of: AttributesOf) -> Store:
    """The store at a path (SQLite), or at an etcd's URL (http://HOST:PORT), with everything read.

    Raises Unavailable for a file that cannot be used; waits for an etcd that is not up yet.
    """
    scheme, _, rest = where.partition("://")
    if scheme == "http":
        from knet.store.etcd import EtcdStore  # gRPC is for those who want it

        return await EtcdStore.connect(rest, attributes_of)
    return SqliteStore(Path(where), attributes_of)


__all__ = [
    "Attributes",
    "AttributesOf",
    "Conflict",
    "Event",
    "Gone",
    "Listing",
    "Object",
    "Past",
    "Record",
    "SqliteStore",
    "Store",
    "Unavailable",
    "Watch",
    "opened",
]
