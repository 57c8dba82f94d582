"""The frames of kubectl port-forward."""

import struct
import zlib

import pytest

from knet.kubelet.server.spdy import DICTIONARY, Connection, Data, Opened, Pinged, ProtocolError, Reset


class Peer:
    """The other side, as Go's spdystream writes: one compression context for all headers."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def syn_stream(self, stream: int, headers: dict[str, str], flags: int = 0) -> bytes:
        text = struct.pack("!I", len(headers))
        for name, value in headers.items():
            for word in (name, value):
                text += struct.pack("!I", len(word)) + word.encode()
        block = self._deflate.compress(text) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        body = struct.pack("!IIH", stream, 0, 0) + block
        return struct.pack("!HHI", 0x8003, 1, flags << 24 | len(body)) + body


def test_the_dictionary_is_spdy_3s() -> None:
    assert (len(DICTIONARY), zlib.adler32(DICTIONARY)) == (1423, 0xE3C6A7C2)


def test_streams_open_with_headers_and_share_one_compression_context() -> None:
    peer, connection = Peer(), Connection()
    first = peer.syn_stream(1, {"streamtype": "error", "port": "80", "requestid": "0"}, flags=1)
    second = peer.syn_stream(3, {"streamtype": "data", "port": "80", "requestid": "0"})
    assert connection.receive(first + second) == [
        Opened(1, {"streamtype": "error", "port": "80", "requestid": "0"}, True),
        Opened(3, {"streamtype": "data", "port": "80", "requestid": "0"}, False),
    ]


def test_frames_may_arrive_in_any_pieces() -> None:
    peer, connection = Peer(), Connection()
    stream = peer.syn_stream(1, {"a": "b"}) + Connection.data(1, b"hello") + Connection.data(1, b"", last=True)
    events = [event for byte in stream for event in connection.receive(bytes([byte]))]
    assert events == [Opened(1, {"a": "b"}, False), Data(1, b"hello", False), Data(1, b"", True)]


def test_resets_and_pings_are_told_and_the_rest_is_passed_over() -> None:
    ping = struct.pack("!HHII", 0x8003, 6, 4, 7)
    settings = struct.pack("!HHII", 0x8003, 4, 4, 0)
    assert Connection().receive(settings + ping + Connection.reset(5)) == [Pinged(ping), Reset(5)]


def test_replies_can_be_read_by_the_peer() -> None:
    frame = Connection().reply(9)
    version, kind, length, stream = struct.unpack_from("!HHII", frame)
    assert (version, kind, length & 0xFFFFFF, stream) == (0x8003, 2, len(frame) - 8, 9)
    assert zlib.decompressobj(zdict=DICTIONARY).decompress(frame[12:]) == b"\0\0\0\0"


@pytest.mark.parametrize(
    "nonsense",
    [
        struct.pack("!HHI", 0x8002, 1, 0),
        struct.pack("!HHI", 0x8003, 1, 12) + b"x" * 12,
        b"\xff" * 8,
    ],
)
def test_nonsense_is_refused(nonsense: bytes) -> None:
    with pytest.raises(ProtocolError):
        Connection().receive(nonsense + b"\0" * (1 << 24))
