"""Elements of nftables' sets and maps in the kernel's own words: written in one batch, dumped as they were written.

libnftables takes 20 µs for an element, the kernel 2; a kube-proxy writes 30,000.  So an element is composed here once,
as the bytes of its netlink attribute (linux/netfilter/nf_tables.h), and stays these bytes: the kernel dumps the very
same ones, and whether it holds what it should is a comparison of two dictionaries.
"""

import contextlib
import errno
import functools
import socket
import struct
import sys
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import NamedTuple

from knet.kernel.netlink import NetlinkError
from knet.kernel.netlink_packing import (
    DONE,
    ERROR,
    HEADER,
    NESTED,
    attribute,
    attributes,
    messages,
    netfilter_socket,
)

_SUBSYSTEM = 10 << 8  # NFNL_SUBSYS_NFTABLES
_BATCH_BEGIN, _BATCH_END = 16, 17  # NFNL_MSG_BATCH_*
_DELTABLE, _GETCHAIN, _GETRULE, _GETSET = (_SUBSYSTEM | number for number in (2, 4, 7, 10))
_CHAIN_NAME = 3
#: what of a set and of a chain changes with who uses them: NFTA_SET_COUNT; NFTA_CHAIN_USE, …_COUNTERS
_SET_VARIABLE, _CHAIN_VARIABLE = (20,), (6, 8)
_ANONYMOUS, _MAP = 1, 8  # NFT_SET_*
_NEWSETELEM, _GETSETELEM, _DELSETELEM, _NEWGEN, _GETGEN = (_SUBSYSTEM | number for number in (12, 13, 14, 15, 16))
_REQUEST, _ACK, _DUMP, _CREATE = 1, 4, 0x300, 0x400
_SO_SNDBUFFORCE = 32
#: all of a batch goes in one send(2); the answers of a batch that is refused come at once, too
_BUFFER = 64 << 20
#: bytes of elements in one message
_ROOM = 0xF000

_FAMILY = struct.Struct("=BBH")  # nfgenmsg; the last is big-endian
_ATTRIBUTE = struct.Struct("=HH")
#: the headers of an element, of its key and of the key's value
_ELEMENT = struct.Struct("=HHHHHH")
#: the headers of an element's value and of what is in it
_VALUE = struct.Struct("=HHHH")
#: the header of an element's comment: an attribute, and in it user space's own kind of attribute, number 0
_COMMENT = struct.Struct("=HHBB")
_PADDING = tuple(bytes(-length % 4) for length in range(4))
_VERDICTS = {"goto": -4, "jump": -3, "drop": 0, "accept": 1}
_VERDICT_NAMES = {number: name for name, number in _VERDICTS.items()}

#: bytes of elements by their keys' bytes
Elements = Mapping[bytes, bytes]


class Container(NamedTuple):
    """A set or map: NFPROTO_*, its table and its name, and how long its keys are in bytes, each part padded to 4."""

    family: int
    table: str
    name: str
    key_length: int


def element(key: bytes, data: bytes = b"", remark: bytes = b"") -> bytes:
    """An element: its key's bytes, padded; what `verdict` or `value` made of its value; what `comment` made of one."""
    length = len(key)
    size = _ELEMENT.size + length + len(data) + len(remark)
    return _ELEMENT.pack(size, 1 | NESTED, 8 + length, 1 | NESTED, 4 + length, 1) + key + data + remark


@functools.cache
def verdict(text: str) -> bytes:
    """The value in a verdict map: ``drop``, ``goto CHAIN``, …"""
    name, _, chain = text.partition(" ")
    code = attribute(1, struct.pack(">i", _VERDICTS[name]))
    target = attribute(2, chain.encode() + b"\0") if chain else b""
    return attribute(2 | NESTED, attribute(2 | NESTED, code + target))


def value(data: bytes) -> bytes:
    """The value in a map of plain values, padded."""
    return _VALUE.pack(8 + len(data), 2 | NESTED, 4 + len(data), 1) + data


def comment(text: str) -> bytes:
    """What ``comment "text"`` adds to an element."""
    data = text.encode()[:127] + b"\0"
    return _COMMENT.pack(6 + len(data), 6, 0, len(data)) + data + _PADDING[len(data) + 2 & 3]


def key_of(one: bytes) -> bytes:
    """The key of an element."""
    length, _ = _ATTRIBUTE.unpack_from(one, 8)
    return one[_ELEMENT.size : _ELEMENT.size + length - 4]


def read(one: bytes) -> tuple[bytes, bytes | str | None, str]:
    """An element taken apart: key, plain value or verdict (None in a set), comment."""
    found: bytes | str | None = None
    remark = ""
    for number, data in attributes(one[4:]):
        if number == 2:
            [(kind, inner)] = attributes(data)
            found = inner if kind == 1 else _verdict_text(inner)
        elif number == 6:
            remark = data[2:].split(b"\0")[0].decode()
    return key_of(one), found, remark


def _verdict_text(data: bytes) -> str:
    parts = dict(attributes(data))
    name = _VERDICT_NAMES[struct.unpack(">i", parts[1])[0]]
    return f"{name} {parts[2].rstrip(bytes(1)).decode()}" if 2 in parts else name


class NftSocket:
    """A socket of the calling thread's network namespace.  Not to be shared between threads."""

    def __init__(self) -> None:
        self._socket = netfilter_socket(buffer=_BUFFER)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _BUFFER)
        self._sequence = 0

    def __enter__(self) -> "NftSocket":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def change(self, removed: Mapping[Container, Elements], added: Mapping[Container, Elements]) -> None:
        """Remove and add elements, all or none of them.

        NetlinkError where the kernel refuses: ENOENT for an element to remove, a set or a chain that is not there,
        EEXIST for one that is there with another value.
        """
        messages = [
            message
            for number, changes in ((_DELSETELEM, removed), (_NEWSETELEM, added))
            for container, elements in changes.items()
            for message in self._messages(number, container, elements)
        ]
        if messages:
            self._batch(messages, "elements of nftables' sets")

    def _batch(self, messages: list[bytes], what: str) -> None:
        """One transaction."""
        last = bytearray(messages[-1])
        last[6] |= _ACK  # not at the end of the batch: kernels before 6.10 would not answer there
        begin, end = (self._message(number, 0, b"", resource=_SUBSYSTEM >> 8) for number in (_BATCH_BEGIN, _BATCH_END))
        self._socket.send(b"".join((begin, *messages[:-1], last, end)))
        for body in list(self._acknowledgements()):  # all of them, before the first that is a refusal is raised
            _raise_failure(body, what)

    def _messages(self, number: int, container: Container, elements: Elements) -> Iterator[bytes]:
        """As many messages as it takes: the list of elements is one attribute, and that has no more than 64 KiB."""
        said = list(elements.values()) if number == _NEWSETELEM else [element(key) for key in elements]
        start, size = 0, 0
        for place, one in enumerate(said):
            if size + len(one) > _ROOM:
                yield self._list(number, container, said[start:place])
                start, size = place, 0
            size += len(one)
        if said:
            yield self._list(number, container, said[start:])

    def _list(self, number: int, container: Container, said: Iterable[bytes]) -> bytes:
        listed = attribute(3 | NESTED, b"".join(said))
        flags = _CREATE if number == _NEWSETELEM else 0
        return self._message(number, flags, _where(container) + listed, container.family)

    def dump(self, container: Container) -> dict[bytes, bytes]:
        """All elements of a set or map; NetlinkError (ENOENT) where there is none of that name."""
        found: dict[bytes, bytes] = {}
        self._socket.send(self._message(_GETSETELEM, _DUMP, _where(container), container.family))
        for kind, body in self._dumped():
            if kind == ERROR:
                _raise_failure(body, f"nft list set {container.table} {container.name}")
            for number, data in attributes(body[_FAMILY.size :]) if kind == _NEWSETELEM else ():
                if number == 3:
                    _split(data, container.key_length, found)
        return found

    def outline(self, family: int, table: str) -> dict[tuple[str, str], bytes]:
        """What is in a table besides elements: by ("chain", "set" or "map") and name, in bytes that are the same as
        long as it is, of a chain with its rules.  Empty where there is no such table."""
        found: dict[tuple[str, str], bytes] = {}
        wanted = table.encode() + b"\0"
        for request, variable in ((_GETSET, _SET_VARIABLE), (_GETCHAIN, _CHAIN_VARIABLE), (_GETRULE, ())):
            self._socket.send(self._message(request, _DUMP, attribute(1, wanted), family))
            for kind, body in self._dumped():
                if kind in (ERROR, DONE):
                    _raise_failure(body, f"nft list table {table}", errno.ENOENT)
                    continue
                parts = dict(attributes(body[_FAMILY.size :]))
                if parts[1] != wanted:
                    continue
                name = parts[_CHAIN_NAME if request == _GETCHAIN else 2].rstrip(b"\0").decode()
                if request == _GETSET:
                    flags = int.from_bytes(parts.get(3, b""), "big")
                    if flags & _ANONYMOUS:
                        continue  # a part of the rule that uses it
                    what = "map" if flags & _MAP else "set", name
                else:
                    what = "chain", name
                said = b"".join(attribute(number, data) for number, data in parts.items() if number not in variable)
                found[what] = found.get(what, b"") + said
        return found

    def generation(self) -> int:
        """The number of the ruleset's present state: every transaction, whoever's, adds one."""
        self._socket.send(self._message(_GETGEN, 0, b""))
        [message] = messages(self._socket.recv(1 << 16))
        return int.from_bytes(dict(attributes(message.body[_FAMILY.size :]))[1], "big")

    def remove_table(self, family: int, table: str) -> bool:
        """Remove a table with all that is in it; False where there is none."""
        name = attribute(1, table.encode() + b"\0")
        try:
            self._batch([self._message(_DELTABLE, 0, name, family)], f"nft delete table {table}")
        except NetlinkError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        return True

    def _message(self, number: int, flags: int, body: bytes, family: int = 0, resource: int = 0) -> bytes:
        self._sequence += 1
        size = HEADER.size + _FAMILY.size + len(body)
        head = HEADER.pack(size, number, flags | _REQUEST, self._sequence, 0)
        return head + _FAMILY.pack(family, 0, socket.htons(resource)) + body

    def _dumped(self) -> Iterator[tuple[int, bytes]]:
        while True:
            for message in messages(self._socket.recv(1 << 20)):
                yield message.kind, message.body
                if message.kind in (DONE, ERROR):
                    return

    def _acknowledgements(self) -> Iterator[bytes]:
        """All of them are there when send(2) returns: one for the last message, one for each that was refused."""
        yield from (message.body for message in messages(self._socket.recv(1 << 20)))
        with contextlib.suppress(BlockingIOError):
            while True:
                yield from (message.body for message in messages(self._socket.recv(1 << 20, socket.MSG_DONTWAIT)))


def _raise_failure(body: bytes, what: str, *expected: int) -> None:
    number = -struct.unpack_from("=i", body)[0] if len(body) >= 4 else 0
    if number and number not in expected:
        raise NetlinkError(number, what)


def _where(container: Container) -> bytes:
    return attribute(1, container.table.encode() + b"\0") + attribute(2, container.name.encode() + b"\0")


def _split(listed: bytes, key_length: int, found: dict[bytes, bytes]) -> None:
    """Cut a list of elements up, as fast as Python can."""
    start, end, at = 0, len(listed), _ELEMENT.size
    while start < end:
        size = int.from_bytes(listed[start : start + 2], sys.byteorder)
        one = listed[start : start + size]
        found[one[at : at + key_length]] = one
        start += (size + 3) & ~3
