"""The API server's history as events: who wrote what."""

from collections.abc import AsyncIterator
from typing import Any

import orjson

from knet.client import Client
from knet.inspect.timeline import changes
from knet.inspect.timeline.event import Event
from knet.inspect.timeline.relations import Relations

PATH = "/debug/history"
#: what others tell better, or nobody wants to know: Events (`knet.kernel.recorder` has them), the slices' shadows
SILENT = ("/registry/events/", "/registry/leases/", "/registry/services/endpoints/")
_NODE_USER = "system:node:"


def lines(client: Client, since: int, follow: bool = False) -> AsyncIterator[bytes]:
    """Writes from a stamp on, in order, for `History`; with ``follow`` it goes on for ever.  Unavailable, ApiError."""
    params = {"since": str(since), "without": ",".join(SILENT)} | ({"follow": "true"} if follow else {})
    return client.lines(PATH, params)


class History:
    """Makes events of the lines of `knet.apiserver.history`; remembers each object, and whose it is."""

    def __init__(self, relations: Relations) -> None:
        self._relations = relations
        self._known: dict[str, Any] = {}

    def event(self, line: bytes) -> Event | None:
        """What a line tells; None where it is no news."""
        row = orjson.loads(line)
        value = row["object"]
        name = changes.ref_of(value)
        previous = row.get("previous", self._known.get(name)) if row["type"] != "ADDED" else None
        self._known[name] = value
        self._relations.learn(value)
        phrases = changes.told(row["type"], value, previous)
        if not phrases:
            return None
        return Event(
            at=row["at"],
            actor=actor(row.get("user", ""), row.get("manager", ""), name),
            kind="write",
            objects=(name, *dict.fromkeys(changes.concerned(value, previous))),
            text=", ".join(phrases),
            revision=int(value["metadata"]["resourceVersion"]),
            user=row.get("user", ""),
            args=phrases,
        )


def actor(user: str, manager: str, written: str) -> str:
    """Who it was, in short: ``kubelet@n1``, ``flanneld@n1`` (of its own Node), ``kubectl`` (whichever its command)."""
    if user.startswith(_NODE_USER):
        return f"kubelet@{user.removeprefix(_NODE_USER)}"
    name = "kubectl" if manager.startswith("kubectl-") else manager or user or "somebody"
    if name == "flanneld" and written.startswith("node/"):
        return f"flanneld@{written.removeprefix('node/')}"
    return name
