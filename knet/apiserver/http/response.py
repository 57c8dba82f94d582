"""What a handler can answer, and how heads are written."""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from functools import lru_cache
from http import HTTPStatus
from typing import Protocol

JSON = "application/json"
#: Cache-Control of whatever says nothing else, as upstream (WithCacheControl)
PRIVATE = "no-cache, private"

#: what may not stand in a header field: it would end it, and begin another
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

Fields = Iterable[tuple[str, str]]


class Response:
    """A complete answer; ``cache`` is its Cache-Control."""

    __slots__ = ("body", "cache", "content_type", "headers", "status")

    def __init__(
        self,
        body: bytes = b"",
        status: int = 200,
        content_type: str = JSON,
        headers: Fields = (),
        cache: str = PRIVATE,
    ) -> None:
        self.body = body
        self.status = status
        self.content_type = content_type
        self.headers = list(headers)
        self.cache = cache


class Streamed:
    """An answer that comes bit by bit: the head goes out at once, then whatever ``source`` yields.

    ``length`` is its size in bytes where that is known; a source that yields less ends the connection.

    The source is closed when it has ended and when the client has gone.  While the client does not read, it is not
    asked for more; ``lapsed`` then says, about once a second, whether what waits has become worthless, and the client
    is dropped.
    """

    __slots__ = ("content_type", "headers", "lapsed", "length", "source", "status")
    cache = PRIVATE

    def __init__(
        self,
        source: AsyncGenerator[bytes, None],
        status: int = 200,
        content_type: str = JSON,
        headers: Fields = (),
        lapsed: Callable[[], bool] = lambda: False,
        length: int | None = None,
    ) -> None:
        self.source = source
        self.status = status
        self.content_type = content_type
        self.headers = list(headers)
        self.lapsed = lapsed
        self.length = length


class Pipe(Protocol):
    """A byte stream in both directions."""

    async def read(self) -> bytes:
        """The next bytes; b"" at the end.  ConnectionError."""
        ...

    async def write(self, data: bytes) -> None:
        """Send, waiting while the other side does not read.  ConnectionError."""
        ...

    def close(self) -> None:
        """Send what has been written, then hang up."""
        ...


class Upgraded:
    """The end of HTTP on this connection: 101 with these fields, then ``carry`` has its bytes."""

    __slots__ = ("carry", "headers")

    def __init__(self, headers: Fields, carry: Callable[[Pipe], Awaitable[None]]) -> None:
        self.headers = list(headers)
        self.carry = carry


Answer = Response | Streamed | Upgraded


@lru_cache(maxsize=512)
def opening(status: int, content_type: str, cache: str) -> bytes:
    """The status line and the fields that most answers have."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    lines = [f"HTTP/1.1 {status} {phrase}", f"Cache-Control: {cache}"]
    if content_type:
        lines.append(f"Content-Type: {clean(content_type)}")
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1")


def fields(headers: Fields) -> bytes:
    """Header fields on the wire."""
    return b"".join(f"{name}: {clean(value)}\r\n".encode() for name, value in headers)


def clean(value: str) -> str:
    """A field's value without what would end the field."""
    return _CONTROL.sub(" ", value)
