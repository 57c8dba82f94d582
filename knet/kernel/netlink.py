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
from typing import Any

from knet.kernel.namespaces import Namespaces, entered
from knet.kernel.netlink_packing import HEADER, messages
from knet.kernel.netlink_wire import Request
from knet.kernel.rtnl import netlink as protocol

#: struct nlmsghdr: length, type, flags, sequence number, port; the kernel fills the port in
_SEQUENCE, _SEQUENCE_AT = struct.Struct("=I"), 8
_NETLINK_CAP_ACK = 10  # an acknowledgement need not repeat the request
_OPTIONS = (
    _NETLINK_CAP_ACK,
    protocol.NETLINK_EXT_ACK,  # an error comes with a sentence
    protocol.NETLINK_GET_STRICT_CHK,  # a dump obeys the filter in its request
)
_SIOCGIFNAME = 0x8910
_SIOCGIFINDEX = 0x8933

#: acknowledgements wait in the socket's buffer (208 KiB, about 1 KiB each) until the whole batch is sent
_BATCH = 64


class _Refusal(protocol.nlmsgerr):  # type: ignore[misc]
    """An acknowledgement as `_NETLINK_CAP_ACK` has it: of the request only the header is repeated."""

    fields = (*protocol.nlmsgerr.fields, ("request", f"{HEADER.size}s"))


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
        batch = b"".join(self._numbered(request) for request in requests)
        self._socket.send(batch)
        failure: NetlinkError | None = None
        waiting = len(requests)
        while waiting:
            for kind, flags, sequence, data in messages(self._socket.recv(65536)):
                if kind != protocol.NLMSG_ERROR or not first <= sequence < first + len(requests):
                    continue  # the answer to a dump that was interrupted by an exception
                waiting -= 1
                failure = failure or _error(kind, flags, data, requests[sequence - first].what)
        if failure:
            raise failure

    def get(self, request: Request) -> Any:
        """The single object that ``request`` asks for, read by the request's class; NetlinkError (ENODEV, ENOENT …)
        where there is none."""
        answers, _consistent = self._ask(request)
        return answers[0]

    def dump(self, request: Request) -> list[Any]:
        """All objects that match ``request``, each read by the request's class; asked for again where the kernel says
        that they changed meanwhile."""
        while True:
            answers, consistent = self._ask(request)
            if consistent:
                return answers

    def _ask(self, request: Request) -> tuple[list[Any], bool]:
        """The answers up to the end of the dump or to the acknowledgement, and whether they are of one moment."""
        self._socket.send(self._numbered(request))
        answers: list[Any] = []
        consistent = True
        while True:
            for kind, flags, sequence, data in messages(self._socket.recv(65536)):
                if sequence != self._sequence:
                    continue
                consistent &= not flags & protocol.NLM_F_DUMP_INTR
                if kind in (protocol.NLMSG_DONE, protocol.NLMSG_ERROR):
                    failure = _error(kind, flags, data, request.what)
                    if failure:
                        raise failure
                    return answers, consistent
                answer = request.kind(data)
                answer.decode()
                answers.append(answer)

    def _numbered(self, request: Request) -> bytes:
        self._sequence += 1
        data = bytearray(request.data)
        _SEQUENCE.pack_into(data, _SEQUENCE_AT, self._sequence)
        return bytes(data)

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
        return answer[:16].split(b"\0")[0].decode(errors="replace")


def _open() -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    opened.bind((0, 0))
    for option in _OPTIONS:
        opened.setsockopt(protocol.SOL_NETLINK, option, 1)
    return opened


def _error(kind: int, flags: int, data: bytes, what: str) -> NetlinkError | None:
    """The failure that an acknowledgement or the end of a dump reports, if it reports one: both begin with a number."""
    number = -int(struct.unpack_from("=i", data, HEADER.size)[0])
    if number == 0:
        return None
    if not flags & protocol.NLM_F_ACK_TLVS:
        return NetlinkError(number, what)
    message = (_Refusal if kind == protocol.NLMSG_ERROR else protocol.nlmsgerr)(data)
    message.decode()
    return NetlinkError(number, what, message.get_attr("NLMSGERR_ATTR_MSG", ""))
