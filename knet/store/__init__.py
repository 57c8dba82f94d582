"""Where the API server keeps its objects: etcd's contract on an embedded database.

One revision counter orders every write; a write may demand the revision it is based on; a watch delivers, in
order and without gaps, everything after a revision, or says that this revision is too old.  `interface` is the
contract, `state` the part that lives in memory (reads and watches never touch the disk), `sqlite` the part that
makes writes durable before anybody hears of them.
"""

from knet.store.interface import Attributes, Conflict, Event, Gone, Listing, Object, Record, Store, Unavailable, Watch
from knet.store.sqlite import SqliteStore

__all__ = [
    "Attributes",
    "Conflict",
    "Event",
    "Gone",
    "Listing",
    "Object",
    "Record",
    "SqliteStore",
    "Store",
    "Unavailable",
    "Watch",
]
