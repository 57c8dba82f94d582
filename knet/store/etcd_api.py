"""The five calls of etcd's v3 API that a store needs, over gRPC.

https://etcd.io/docs/v3.4/dev-guide/api_reference_v3/ has the messages; their field numbers are those of rpc.proto and
kv.proto.  They are encoded here, by hand: generated classes would bring the protobuf runtime for a dozen fields.
gRPC's own JSON gateway was the alternative, but base64 and HTTP/1.1 cost more than this whole call (50 µs of CPU).
"""

from collections.abc import AsyncGenerator
from typing import NamedTuple

import grpc
import grpc.aio

from knet.api.wire import encode, fields

#: ms between attempts to reach an etcd that is down (gRPC's defaults of 1 and 120 s suit a larger world)
_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
)
#: Compare.CompareTarget MOD; Compare.CompareResult EQUAL is 0, the default
_MOD = 2


class Compacted(Exception):
    """The revision asked for is no longer kept."""


class Failed(Exception):
    """etcd could not be asked, or refused; ``retry`` where the same question may be answered later."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        super().__init__(error.details() or error.code().name)
        self.retry = error.code() not in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED)


class KeyValue(NamedTuple):
    """A key at one revision; a deleted one has no value."""

    key: str
    revision: int
    value: bytes


class Range(NamedTuple):
    """An answer to a read: etcd's revision, what was found, and whether there is more beyond the limit."""

    revision: int
    kvs: list[KeyValue]
    more: bool


class Changes(NamedTuple):
    """A message of a watch, whole revisions only: (is it a deletion, what)."""

    revision: int
    events: list[tuple[bool, KeyValue]]
    #: not 0: the watch has ended, for what it should begin with was compacted up to here
    compacted: int


class Swap(NamedTuple):
    """An answer to a compare-and-swap: whether it happened, and etcd's revision (if so, that of the change)."""

    happened: bool
    revision: int


class Etcd:
    """A connection to one etcd; it mends itself.  Every call raises Failed, and those about old revisions Compacted."""

    def __init__(self, target: str) -> None:
        """``target``: host:port."""
        self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        self._range = self._channel.unary_unary("/etcdserverpb.KV/Range")
        self._txn = self._channel.unary_unary("/etcdserverpb.KV/Txn")
        self._compact = self._channel.unary_unary("/etcdserverpb.KV/Compact")
        self._watch = self._channel.stream_stream("/etcdserverpb.Watch/Watch")

    async def connected(self) -> None:
        """Wait until etcd answers on its socket."""
        await self._channel.channel_ready()

    async def close(self) -> None:
        """End all calls."""
        await self._channel.close()

    async def range(self, start: str, end: str, revision: int = 0, limit: int = 0, count_only: bool = False) -> Range:
        """The keys from ``start`` up to, not including, ``end``, now or as of a revision."""
        request = encode(1, start) + encode(2, end) + encode(3, limit) + encode(4, revision) + encode(9, count_only)
        at, kvs, more = 0, [], False
        for number, value in fields(await _answer(self._range(request))):
            if number == 1:
                at = _header(value)
            elif number == 2:
                kvs.append(_key_value(value))
            elif number == 3:
                more = bool(value)
        return Range(at, kvs, more)

    async def swap(self, key: str, expected: int, value: bytes | None, timeout: float) -> Swap:
        """Put a value, or delete the key (None), if it is at the expected revision (0: not there)."""
        compare = encode(2, _MOD) + encode(3, key) + encode(6, expected)
        change = encode(3, encode(1, key)) if value is None else encode(2, encode(1, key) + encode(2, value))
        request = encode(1, compare) + encode(2, change)
        answer = dict(fields(await _answer(self._txn(request, timeout=timeout))))
        return Swap(bool(answer.get(2)), _header(answer[1]))

    async def compact(self, revision: int) -> None:
        """Forget what was before the revision; Compacted if somebody has done so already."""
        await _answer(self._compact(encode(1, revision)))

    async def watch(self, start: str, end: str, revision: int) -> AsyncGenerator[Changes, None]:
        """All changes of a range of keys from the revision on; ends when etcd ends it."""
        create = encode(1, start) + encode(2, end) + encode(3, revision)
        call = self._watch()
        try:
            await call.write(encode(1, create))
            while (message := await call.read()) is not grpc.aio.EOF:
                yield _changes(message)
            raise grpc.aio.AioRpcError(await call.code(), await call.initial_metadata(), await call.trailing_metadata())
        except grpc.aio.AioRpcError as error:
            raise Failed(error) from None
        finally:
            call.cancel()


async def _answer(call: grpc.aio.UnaryUnaryCall[bytes, bytes]) -> bytes:
    try:
        answer: bytes = await call
        return answer
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.OUT_OF_RANGE:
            raise Compacted from None
        raise Failed(error) from None


def _bytes(value: int | bytes) -> bytes:
    assert isinstance(value, bytes)
    return value


def _header(value: int | bytes) -> int:
    """The revision in a ResponseHeader."""
    return next((int(found) for number, found in fields(_bytes(value)) if number == 3), 0)


def _key_value(value: int | bytes) -> KeyValue:
    key, revision, content = b"", 0, b""
    for number, found in fields(_bytes(value)):
        if number == 1:
            key = _bytes(found)
        elif number == 3:
            revision = int(found)
        elif number == 5:
            content = _bytes(found)
    return KeyValue(key.decode(errors="replace"), revision, content)


def _changes(message: bytes) -> Changes:
    revision, events, compacted = 0, [], 0
    for number, value in fields(message):
        if number == 1:
            revision = _header(value)
        elif number == 5:
            compacted = int(value)
        elif number == 11:
            is_deletion, key_value = False, b""
            for event_number, found in fields(_bytes(value)):
                if event_number == 1:
                    is_deletion = bool(found)
                elif event_number == 2:
                    key_value = _bytes(found)
            events.append((is_deletion, _key_value(key_value)))
    return Changes(revision, events, compacted)
