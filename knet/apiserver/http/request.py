"""Requests: what has arrived, decoded no further than somebody asks."""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from urllib.parse import parse_qsl

from knet.apiserver.user import User

#: a certificate's subject as `ssl.SSLSocket.getpeercert` gives it
Subject = tuple[tuple[tuple[str, str], ...], ...]

#: bytes of a body that are taken in before somebody reads it
AHEAD = 64 * 1024


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a connection; found out once, when it is made."""

    address: str
    #: whom the certificate stands for
    user: User | None


class Headers:
    """Header fields by case-insensitive name; of a repeated one the first counts, unless all are asked for."""

    __slots__ = ("_first", "raw")

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        #: as they came
        self.raw = raw
        self._first: dict[str, str] | None = None

    def get(self, name: str, default: str = "") -> str:
        """The first field of that name."""
        first = self._first
        if first is None:
            first = self._first = {}
            for key, value in self.raw:
                first.setdefault(key.decode("latin-1").lower(), value.decode("latin-1"))
        return first.get(name.lower(), default)

    def items(self) -> list[tuple[str, str]]:
        """Every field, as it came."""
        return [(key.decode("latin-1"), value.decode("latin-1")) for key, value in self.raw]

    def all(self, name: str) -> list[str]:
        """Every field of that name."""
        wanted = name.lower().encode("latin-1")
        return [value.decode("latin-1") for key, value in self.raw if key.lower() == wanted]

    def prefixed(self, prefix: bytes) -> list[tuple[str, str]]:
        """Every field whose name begins like that, the names in lower case as the prefix is."""
        size, raw = len(prefix), self.raw
        found = [row for row in raw if row[0][:size].lower() == prefix]
        return [(key.decode("latin-1").lower(), value.decode("latin-1")) for key, value in found]

    def has_token(self, name: str, token: str) -> bool:
        """Whether a comma-separated list, in one field or several, has that element."""
        wanted = token.lower()
        return any(part.strip().lower() == wanted for value in self.all(name) for part in value.split(","))


class BodyBroken(Exception):
    """What arrives is not framed as HTTP frames a body."""


class BodyTooLarge(Exception):
    """The body is longer than its reader takes."""


class Body:
    """What follows a request's (or response's) head, arriving while somebody reads it, or before.

    ``throttle`` is called whenever `full` may have changed: reading from the socket follows it.
    """

    __slots__ = (
        "_awaited",
        "_chunks",
        "_error",
        "_room",
        "_size",
        "_throttle",
        "_waiter",
        "discarded",
        "ended",
        "taken",
    )

    def __init__(self, throttle: Callable[[], None], awaited: Callable[[float], None]) -> None:
        """``awaited(seconds)`` is called when somebody begins to wait for the whole: by then it has to be there."""
        self._throttle = throttle
        self._awaited = awaited
        self._chunks: list[bytes] = []
        self._size = 0
        self._room = AHEAD
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        #: everything has arrived
        self.ended = False
        #: nobody wants it: it is taken in and dropped
        self.discarded = False
        #: what `read` has returned, for who tells of the request
        self.taken = b""

    @property
    def full(self) -> bool:
        """Nothing more is taken in until somebody reads."""
        return self._size > self._room

    @property
    def broken(self) -> bool:
        """It will never be complete."""
        return self._error is not None

    @property
    def waiting(self) -> bool:
        """Something has arrived that nobody has read."""
        return self._size > 0

    # ---- the side that receives ------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """The next bytes."""
        if self.discarded or not data:
            return
        self._chunks.append(data)
        self._size += len(data)
        if self._size > self._room:
            self._throttle()
        self._wake()

    def end(self) -> None:
        """That was all."""
        self.ended = True
        self._wake()

    def fail(self, error: Exception) -> None:
        """There will be no more, and it was not all."""
        if not self.ended:
            self._error = error
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # ---- the side that reads ---------------------------------------------------------------------------------

    async def read(self, limit: int, seconds: float = 60) -> bytes:
        """All of it; BodyTooLarge, BodyBroken, TimeoutError (does not come), ConnectionError (the sender hung up)."""
        if not self.ended:
            self._room = limit
            self._throttle()
            self._awaited(seconds)
        while not self.ended and self._size <= limit:
            await self._more()
        if self._size > limit:
            raise BodyTooLarge
        held = self._size > AHEAD  # all of it, before anybody read
        chunks, self._chunks, self._size = self._chunks, [], 0
        if held:
            self._throttle()
        self.taken = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        return self.taken

    async def some(self) -> bytes:
        """What has arrived since the last call, waiting for it; b"" at the end.  ConnectionError."""
        while not self._chunks:
            if self.ended:
                return b""
            self._awaited(inf)
            await self._more()
        chunks, self._chunks, self._size = self._chunks, [], 0
        self._throttle()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def discard(self) -> None:
        """Take in what still comes, and forget it."""
        self.discarded = True
        self._chunks.clear()
        self._size = 0
        self._throttle()

    async def _more(self) -> None:
        if self._error is not None:
            raise self._error
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None


class Request:
    """One request.  ``path`` and ``raw_query`` are percent-encoded, as they came."""

    __slots__ = (
        "_audit_id",
        "_query",
        "abandonable",
        "body",
        "headers",
        "keep_alive",
        "method",
        "minor",
        "path",
        "peer",
        "raw_query",
        "upgrade",
    )

    def __init__(
        self,
        method: str,
        path: str,
        raw_query: str,
        headers: Headers,
        body: Body,
        peer: Peer,
        *,
        minor: int = 1,
        keep_alive: bool = True,
        upgrade: bool = False,
    ) -> None:
        self.method = method
        self.path = path
        self.raw_query = raw_query
        self.headers = headers
        self.body = body
        self.peer = peer
        #: HTTP/1.minor; -1: another version, which is not answered
        self.minor = minor
        #: the connection may be used again
        self.keep_alive = keep_alive
        #: the client wants to go on in another protocol; bytes after this request belong to that one
        self.upgrade = upgrade
        #: set by a handler that may be cancelled when the client hangs up
        self.abandonable = False
        self._query: Mapping[str, str] | None = None
        self._audit_id = ""

    @property
    def query(self) -> Mapping[str, str]:
        """The query's parameters; of a repeated one the first counts, as upstream."""
        if self._query is None:
            found: dict[str, str] = {}
            for key, value in self.pairs() if self.raw_query else ():
                found.setdefault(key, value)
            self._query = found
        return self._query

    def pairs(self) -> list[tuple[str, str]]:
        """All of the query's parameters, in order."""
        return parse_qsl(self.raw_query, keep_blank_values=True)

    def all(self, key: str) -> list[str]:
        """All values of one parameter."""
        return [value for name, value in self.pairs() if name == key]

    @property
    def audit_id(self) -> str:
        """The id under which this request appears in logs: the client's (Audit-ID), or one of ours."""
        if not self._audit_id:
            self._audit_id = self.headers.get("audit-id") or _random_uuid()
        return self._audit_id


def _random_uuid() -> str:
    """Version 4, at a third of what `uuid.uuid4` costs: unique, not secret."""
    digits = f"{random.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
