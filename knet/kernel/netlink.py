"""rtnetlink: one socket per network namespace, for life.

A socket belongs to the namespace it was opened in, wherever the process goes afterwards, so one process works on as
many namespaces as it holds sockets.  The kernel answers a request before send(2) returns; therefore nothing here is
asynchronous: a batch of ten messages costs what the kernel needs for them plus a few microseconds.

What is said over the socket is built by `links`, `addresses`, `routes`, `neighbours` and `qdiscs`.
"""

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Sequence
from types import TracebackType

from knet.kernel.namespaces import Namespaces, entered
from knet.kernel.netlink_wire import (
    HEADER,
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    Reply,
    Request,
    attributes,
    string,
)

_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10  # an acknowledgement need not repeat the request
_NETLINK_EXT_ACK = 11  # an error comes with a sentence
_NETLINK_GET_STRICT_CHK = 12  # a dump obeys the filter in its request
_NLMSGERR_ATTR_MSG = 1
_NLM_F_DUMP_INTR = 0x10
_SIOCGIFNAME = 0x8910
_SIOCGIFINDEX = 0x8933

#: acknowledgements wait in the socket's buffer (208 KiB, about 1 KiB each) until the whole batch is sent
_BATCH = 64


class NetlinkError(OSError):
    """The kernel refused a request: ``errno``, and in words what was tried and why it was refused."""

    def __init__(self, number: int, what: str, explanation: str = "") -> None:
        super().__init__(number, f"{what}: {explanation or os.strerror(number)}")
        self.what = what


class Netlink:
    """A route netlink socket of one network namespace.  Not to be shared between threads.

    ``netns`` is an open descriptor of the namespace (/proc/PID/ns/net), None for the calling thread's own; it is not
    kept.  The socket itself keeps the namespace alive until `close`.
    """

    def __init__(self, netns: int | None = None) -> None:
        if netns is None:
            self._socket = _open()
        else:
            with entered(Namespaces({"net": netns})):
                self._socket = _open()
        self._sequence = 0

    def __enter__(self) -> "Netlink":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def send(self, *requests: Request) -> None:
        """Carry out ``requests`` in order, in as few system calls as possible.

        This is no transaction: the kernel goes on after a failure.  Raises the first `NetlinkError` when all are done,
        so that a message which failed only because an earlier one did is never the one that is reported.
        """
        for start in range(0, len(requests), _BATCH):
            self._send_batch(requests[start : start + _BATCH])

    def _send_batch(self, requests: Sequence[Request]) -> None:
        first = self._sequence + 1
        self._sequence += len(requests)
        flags = NLM_F_REQUEST | NLM_F_ACK
        self._socket.send(
            b"".join(
                HEADER.pack(16 + len(request.body), request.type, request.flags | flags, first + place, 0)
                + request.body
                + bytes(-len(request.body) % 4)
                for place, request in enumerate(requests)
            )
        )
        failure: NetlinkError | None = None
        waiting = len(requests)
        while waiting:
            for kind, _flags, sequence, body in _messages(self._socket.recv(65536)):
                if kind != NLMSG_ERROR or not first <= sequence < first + len(requests):
                    continue  # the answer to a dump that was interrupted by an exception
                waiting -= 1
                failure = failure or _error(body, requests[sequence - first].what)
        if failure:
            raise failure

    def get(self, request: Request) -> Reply:
        """The single object that ``request`` asks for; NetlinkError (ENODEV, ENOENT …) where there is none."""
        self._sequence += 1
        body = request.body
        header = HEADER.pack(16 + len(body), request.type, request.flags | NLM_F_REQUEST, self._sequence, 0)
        self._socket.send(header + body)
        while True:
            for kind, _flags, sequence, answer in _messages(self._socket.recv(65536)):
                if sequence != self._sequence:
                    continue
                if kind != NLMSG_ERROR:
                    return Reply(kind, answer)
                failure = _error(answer, request.what)
                if failure:
                    raise failure

    def dump(self, request: Request) -> list[Reply]:
        """All objects that match ``request``; asked for again where the kernel says that they changed meanwhile."""
        while True:
            replies = self._dump(request)
            if replies is not None:
                return replies

    def _dump(self, request: Request) -> list[Reply] | None:
        self._sequence += 1
        header = HEADER.pack(
            16 + len(request.body), request.type, request.flags | NLM_F_REQUEST | NLM_F_DUMP, self._sequence, 0
        )
        self._socket.send(header + request.body)
        replies: list[Reply] = []
        interrupted = False
        while True:
            for kind, flags, sequence, body in _messages(self._socket.recv(65536)):
                if sequence != self._sequence:
                    continue
                interrupted |= bool(flags & _NLM_F_DUMP_INTR)
                if kind in (NLMSG_DONE, NLMSG_ERROR):
                    # both begin with an error number; that of a finished dump is 0
                    failure = _error(body, request.what)
                    if failure:
                        raise failure
                    return None if interrupted else replies
                replies.append(Reply(kind, body))

    def index(self, name: str) -> int:
        """The index of the interface ``name``; NetlinkError (ENODEV) where there is none."""
        try:
            answer = fcntl.ioctl(self._socket, _SIOCGIFINDEX, struct.pack("=16si20x", name.encode(), 0))
        except OSError as error:
            raise NetlinkError(error.errno or 0, f"interface {name}") from None
        return int(struct.unpack_from("=i", answer, 16)[0])

    def name(self, index: int) -> str:
        """The name of the interface ``index``; "if7", as ``ip`` prints it, for one that has just gone."""
        try:
            answer = fcntl.ioctl(self._socket, _SIOCGIFNAME, struct.pack("=16si20x", b"", index))
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
            return f"if{index}"
        return string(answer[:16].split(b"\0")[0])


def _open() -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    opened.bind((0, 0))
    for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK):
        opened.setsockopt(_SOL_NETLINK, option, 1)
    return opened


def _messages(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """The (type, flags, sequence number, body) of each message in one datagram."""
    found = []
    start = 0
    while start + 16 <= len(data):
        size, kind, flags, sequence, _port = HEADER.unpack_from(data, start)
        found.append((kind, flags, sequence, data[start + 16 : start + size]))
        start += (size + 3) & ~3
    return found


def _error(body: bytes, what: str) -> NetlinkError | None:
    """The failure that an acknowledgement reports, if it reports one."""
    number = -int(struct.unpack_from("=i", body)[0]) if len(body) >= 4 else 0
    if number == 0:
        return None
    # struct nlmsgerr: the number, then the header of the request; the sentence comes after it
    return NetlinkError(number, what, string(attributes(body, 20).get(_NLMSGERR_ATTR_MSG)))
