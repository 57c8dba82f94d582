"""One kind, kept up to date by list and watch, handed to a subscriber change by change.

What `knet.client.informer` does, over a `Connection`.  While the API server is away, what was known stays known, for
however long; what keeps it from being newer is in ``trouble`` and, now and then, in the log.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar
from urllib.parse import urlencode

import msgspec

from knet.api.objects import K, KubeObject, Meta
from knet.dns.connection import Access, Connection, Refused

log = logging.getLogger(__name__)

T = TypeVar("T")

#: seconds between attempts to reach the API server: doubled from the first to the second
RETRY = (0.05, 2.0)
#: seconds after which trouble that lasts is in the log again
TELL_AGAIN = 30.0
_GONE = 410


class _List(msgspec.Struct, Generic[T]):
    metadata: Meta
    items: tuple[T, ...] | None = None


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Status(msgspec.Struct):
    code: int = 500
    message: str = ""


class Feed(Generic[K]):
    """Calls ``changed(old, new)`` for each change, with None for what is not there; ``synced`` after the first list."""

    def __init__(self, access: Access, cls: type[K], changed: Callable[[K | None, K | None], None]) -> None:
        self._access = access
        self._cls = cls
        self._changed = changed
        self._path = cls.resource.path()
        self._known: dict[tuple[str, str], K] = {}
        self._revision = ""
        self.synced = asyncio.Event()
        #: why there is no watch, in words; "" while there is one
        self.trouble = ""
        self._told = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        delay = RETRY[0]
        while True:
            try:
                connection = await Connection.open(self._access)
                try:
                    if not self._revision:
                        await self._list(connection)
                    while True:
                        async for line in _lines(connection.get(self._watch_path())):
                            self._apply(line)
                            delay = RETRY[0]
                            self.trouble = ""
                finally:
                    connection.close()
            except (OSError, Refused, msgspec.DecodeError) as error:
                if isinstance(error, Refused) and error.status == _GONE and self._revision:
                    self._revision = ""
                    continue
                self._failed(error)
                await asyncio.sleep(delay)
                delay = min(2 * delay, RETRY[1])

    def _failed(self, error: Exception) -> None:
        """As client-go's reflector words it; the same trouble is told again only after a while."""
        verb, kind = "watch" if self._revision else "list", self._cls.__name__
        trouble = f"failed to {verb} *{self._cls.resource.version}.{kind}: {str(error) or type(error).__name__}"
        now = time.monotonic()
        if trouble != self.trouble or now - self._told > TELL_AGAIN:
            log.warning("%s", trouble)
            self._told = now
        self.trouble = trouble

    def _watch_path(self) -> str:
        query = {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": self._revision}
        return f"{self._path}?{urlencode(query)}"

    async def _list(self, connection: Connection) -> None:
        body = b"".join([piece async for piece in connection.get(self._path)])
        listing = msgspec.json.decode(body, type=_List[self._cls])  # type: ignore[name-defined]
        fresh = {_key(row): row for row in listing.items or ()}
        for key in [key for key in self._known if key not in fresh]:
            self._put(key, None)
        for key, row in fresh.items():
            known = self._known.get(key)
            if known is None or known.metadata.resourceVersion != row.metadata.resourceVersion:
                self._put(key, row)
        self._revision = listing.metadata.resourceVersion
        self.synced.set()

    def _apply(self, line: bytes) -> None:
        event = msgspec.json.decode(line, type=_Event)
        if event.type == "ERROR":
            status = msgspec.json.decode(event.object, type=_Status)
            raise Refused(status.code, status.message.encode())
        row = msgspec.json.decode(event.object, type=self._cls)
        if event.type != "BOOKMARK":
            self._put(_key(row), None if event.type == "DELETED" else row)
        self._revision = row.metadata.resourceVersion

    def _put(self, key: tuple[str, str], new: K | None) -> None:
        old = self._known.pop(key, None)
        if new is not None:
            self._known[key] = new
        if old is not None or new is not None:
            self._changed(old, new)


def _key(row: KubeObject) -> tuple[str, str]:
    return row.namespace, row.name


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            if line:
                yield line
