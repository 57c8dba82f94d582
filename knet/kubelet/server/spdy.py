"""SPDY/3.1 as kubectl speaks it (port-forward inside a WebSocket, old ones everything): frames in and out, no I/O.

Only what its Go library uses: streams with headers, data, half-closing, resets and pings; flow-control windows are
ignored by both sides.  https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/
"""

import struct
import zlib
from typing import NamedTuple

_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _PING = 1, 2, 3, 6
_VERSION = 3
_FIN = 0x01
_HEAD = struct.Struct("!II")

#: bytes of headers that are read
_HEADERS_SIZE = 64 * 1024
#: status of a stream that is refused (section 2.4.2)
CANCEL = 5

# The dictionary of section 2.6.10.1: words with their lengths in front, then plain text.
_NAMES = """
options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow
authorization cache-control connection content-base content-encoding content-language content-length content-location
content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match
if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range
referer retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method
get status
"""
_WORDS = (
    *_NAMES.split(),
    "200 OK",
    "version",
    "HTTP/1.1",
    "url",
    "public",
    "set-cookie",
    "keep-alive",
    "origin",
)
_TEXT = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative "
    "Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 "
    "Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec "
    "00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,"
    "application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset="
    "iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = b"".join(struct.pack("!I", len(word)) + word.encode() for word in _WORDS) + _TEXT.encode()


class ProtocolError(ConnectionError):
    """The peer speaks something else."""


class Opened(NamedTuple):
    """A new stream; header names are in lower case. ``last``: the peer will send nothing on it."""

    stream: int
    headers: dict[str, str]
    last: bool


class Data(NamedTuple):
    stream: int
    data: bytes
    last: bool


class Reset(NamedTuple):
    stream: int


class Pinged(NamedTuple):
    """To be answered with the same frame."""

    frame: bytes


Event = Opened | Data | Reset | Pinged


class Connection:
    """The server's end of a connection: `receive` turns bytes into events, the others make frames to send."""

    def __init__(self) -> None:
        self._buffer = b""
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def receive(self, data: bytes) -> list[Event]:
        """What the bytes received so far complete; raises ProtocolError."""
        self._buffer += data
        events: list[Event] = []
        while len(self._buffer) >= _HEAD.size:
            first, second = _HEAD.unpack_from(self._buffer)
            end = _HEAD.size + (second & 0xFFFFFF)
            if len(self._buffer) < end:
                break
            frame, self._buffer = self._buffer[:end], self._buffer[end:]
            try:
                event = self._event(first, second >> 24, frame)
            except struct.error as error:
                raise ProtocolError(f"frame: {error}") from error
            if event is not None:
                events.append(event)
        return events

    def _event(self, first: int, flags: int, frame: bytes) -> Event | None:
        body = frame[_HEAD.size :]
        if not first >> 31:
            return Data(first, body, bool(flags & _FIN))
        version, kind = first >> 16 & 0x7FFF, first & 0xFFFF
        if version != _VERSION:
            raise ProtocolError(f"SPDY version {version}")
        if kind == _SYN_STREAM:
            stream = struct.unpack_from("!I", body)[0] & 0x7FFFFFFF
            return Opened(stream, self._headers(body[10:]), bool(flags & _FIN))
        if kind == _RST_STREAM:
            return Reset(struct.unpack_from("!I", body)[0] & 0x7FFFFFFF)
        if kind == _PING:
            return Pinged(frame)
        return None  # settings, windows, farewells

    def _headers(self, block: bytes) -> dict[str, str]:
        try:
            text = self._inflate.decompress(block, _HEADERS_SIZE)
            (count,) = struct.unpack_from("!I", text)
            position, words = 4, []
            for _ in range(2 * count):
                (length,) = struct.unpack_from("!I", text, position)
                words.append(text[position + 4 : position + 4 + length].decode())
                position += 4 + length
        except (zlib.error, struct.error, UnicodeDecodeError) as error:
            raise ProtocolError(f"headers: {error}") from error
        return {name.lower(): value.split("\0")[0] for name, value in zip(words[::2], words[1::2], strict=True)}

    def reply(self, stream: int) -> bytes:
        """SYN_REPLY without headers: the stream is accepted."""
        block = self._deflate.compress(struct.pack("!I", 0)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return _control(_SYN_REPLY, struct.pack("!I", stream) + block)

    @staticmethod
    def data(stream: int, data: bytes, last: bool = False) -> bytes:
        return _HEAD.pack(stream, (_FIN if last else 0) << 24 | len(data)) + data

    @staticmethod
    def reset(stream: int) -> bytes:
        return _control(_RST_STREAM, struct.pack("!II", stream, CANCEL))


def _control(kind: int, body: bytes) -> bytes:
    return _HEAD.pack(1 << 31 | _VERSION << 16 | kind, len(body)) + body
