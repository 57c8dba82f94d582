"""/debug/history: who wrote what, and when, as far back as watches could begin; for `knet timeline`.

Each line is a write: ``at`` (CLOCK_MONOTONIC, nanoseconds, when it became visible), ``type``, ``user`` and ``manager``
where they are known, ``collection``, ``object`` as stored and, unless an earlier line has it, ``previous``, as it was.
With ``since`` (such a stamp) the lines begin there; with ``follow=true`` they go on as writes are made; the collections
in ``without``, between commas, are left out.

The path is no resource, so RBAC lets nobody read it but those who may get all nonResourceURLs: cluster-admin.
"""

import asyncio
from collections.abc import AsyncGenerator, Container, Iterable, Iterator

import orjson

from knet.apiserver.http import Request, Streamed
from knet.apiserver.options import flag, integer
from knet.apiserver.user import Writer
from knet.store import Past, Store
from knet.store.state import collection_of

PATH = "/debug/history"
#: bytes of lines that are sent together
GATHERED = 64 * 1024
#: seconds for which writes gather before they are sent; by then etcd has acknowledged them, and is known who wrote them
PAUSE = 0.1


def answer(store: Store, request: Request) -> Streamed:
    """The page; StatusError 400 for a ``since`` that is no number."""
    since = integer(request.query, "since") / 1e9
    without = frozenset(request.query.get("without", "").split(","))
    found = pieces(store, since, flag(request.query, "follow"), without)
    return Streamed(found, content_type="application/x-ndjson")


async def pieces(store: Store, since: float, follow: bool, without: Container[str] = ()) -> AsyncGenerator[bytes, None]:
    """Lines, gathered to what is worth a write."""
    seen: dict[str, int] = {}
    revision = 0
    while True:
        found, revision = store.history(since, revision), store.revision
        rows = ((past, collection_of(past.event.record.key)) for past in found)
        for piece in _gathered(_line(past, name, seen) for past, name in rows if name not in without):
            yield piece
            await asyncio.sleep(0)  # other requests have their turn
        if not follow:
            return
        await store.reach(revision + 1)
        await asyncio.sleep(PAUSE)


def _gathered(lines: Iterable[bytes]) -> Iterator[bytes]:
    piece: list[bytes] = []
    size = 0
    for line in lines:
        piece.append(line)
        size += len(line)
        if size > GATHERED:
            yield b"".join(piece)
            piece, size = [], 0
    if piece:
        yield b"".join(piece)


def _line(past: Past, collection: str, seen: dict[str, int]) -> bytes:
    """``seen``: the revision of each key's latest line."""
    event = past.event
    record, previous = event.record, event.previous
    head = {"at": round(past.at * 1e9), "type": event.type, "collection": collection}
    if isinstance(event.by, Writer):
        head |= {"user": event.by.user.name, "manager": event.by.manager}
    parts = [orjson.dumps(head)[:-1], b',"object":', record.data]
    if previous is not None and seen.get(record.key) != previous.revision:
        parts += [b',"previous":', previous.data]
    seen[record.key] = record.revision
    return b"".join((*parts, b"}\n"))
