"""Messages between the processes of one cluster: JSON in SOCK_SEQPACKET datagrams, descriptors beside them.

Sequenced packets keep message boundaries, so there is no framing, no partial read and no event loop needed: one
send, one receive.  `Message` is what the supervisor tells whoever brought it up; requests and answers of the
control socket are plain dicts, looked up in one table (`knet.cluster.control`).
"""

import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from knet.api.objects import JSON
from knet.cluster.errors import KnetError

MAX_MESSAGE = 1 << 17
#: largest answer that goes as a packet, whatever the kernel's buffers are
MAX_PACKET = 1 << 16
MAX_FDS = 16

#: a request in, an answer and descriptors out; the descriptors stay the handler's
Handler = Callable[[JSON], tuple[JSON, list[int]]]


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Progress of ``up``: a step with what it made, then ``ready`` or ``error``; ``seconds`` since the start.

    A ``breakdown`` is an error whose cause is in the logs rather than in the request.
    """

    step: str = ""
    text: str = ""
    seconds: float = 0.0
    pid: int = 0
    ready: bool = False
    error: str = ""
    breakdown: bool = False


_decoder = msgspec.json.Decoder(Message)


def pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def pretty(answer: JSON | list[JSON]) -> str:
    """An answer as indented JSON, for people and jq."""
    return msgspec.json.format(msgspec.json.encode(answer)).decode() + "\n"


def tell(to: socket.socket, message: Message) -> None:
    to.send(msgspec.json.encode(message))


def hear(source: socket.socket) -> Message | None:
    """The next message; None at the end."""
    try:
        data = source.recv(MAX_MESSAGE)
    except ConnectionResetError:
        return None
    return _decoder.decode(data) if data else None


def listen(path: Path) -> socket.socket:
    """A control socket that only root can connect to."""
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.bind(str(path))
    path.chmod(0o600)
    sock.listen(64)
    return sock


def _pack(answer: JSON, fds: Sequence[int]) -> tuple[bytes, list[int]]:
    """An answer as one packet.  What is too large for that goes through memory, as one descriptor more."""
    data = msgspec.json.encode(answer)
    if len(data) <= MAX_PACKET:
        return data, list(fds)
    memory = os.memfd_create("answer", os.MFD_CLOEXEC)
    with open(memory, "wb", closefd=False) as file:
        file.write(data)
    return b"", [*fds, memory]


def _unpack(data: bytes, fds: Sequence[int]) -> tuple[JSON, list[int]]:
    if data:
        return msgspec.json.decode(data), list(fds)
    *others, memory = fds
    with open(memory, "rb") as file:
        file.seek(0)
        return msgspec.json.decode(file.read()), others


def request(path: Path | str, message: JSON, timeout: float = 10) -> tuple[JSON, list[int]]:
    """Ask a cluster's supervisor; its answer and the descriptors that came with it.

    Raises KnetError with the supervisor's own words if it refuses, or if nobody answers.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(timeout)
        try:
            sock.connect(str(path))
            sock.send(msgspec.json.encode(message))
            data, fds, _, _ = socket.recv_fds(sock, MAX_MESSAGE, MAX_FDS)
        except OSError as error:
            raise KnetError(f"the supervisor does not answer on {path} ({error})") from None
    if not data and not fds:
        raise KnetError(f"the supervisor closed {path} without an answer")
    answer, others = _unpack(data, fds)
    if "error" in answer:
        raise KnetError(str(answer["error"]))
    return answer, others


def serve_one(listener: socket.socket, handle: Handler) -> None:
    """Accept one connection, answer its one request. A client that says nothing is dropped after a second."""
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(1)
        try:
            data = connection.recv(MAX_MESSAGE)
            if not data:
                return
            answer, fds = handle(msgspec.json.decode(data))
            packet, passed = _pack(answer, fds)
            try:
                socket.send_fds(connection, [packet], passed)
            finally:
                for memory in passed[len(fds) :]:
                    os.close(memory)
        except (OSError, msgspec.DecodeError):
            return  # the client left, or was none of ours; nothing was changed
