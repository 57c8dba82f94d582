"""Requests to the kernel: composed by pyroute2, and what it read in the answers.  No I/O.

A request says which of pyroute2's classes it is, what its fixed header holds and which attributes follow::

    compose(ifaddrmsg, rtnl.RTM_NEWADDR, "addr add …", family=AF_INET, prefixlen=24, index=2,
            attrs=[("IFA_LOCAL", "10.244.1.7"), …])

pyroute2 takes 30 µs for a message without attributes, 150 for an address or a route and 320 for a veth pair, where the
kernel takes about 800 for all that a pod needs.  What is said again and again is therefore composed once: `Template`.
"""

import functools
import re
import socket
import struct
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from knet.kernel.rtnl import netlink

CREATE = netlink.NLM_F_CREATE | netlink.NLM_F_EXCL
REPLACE = netlink.NLM_F_CREATE | netlink.NLM_F_REPLACE
DUMP = netlink.NLM_F_DUMP


class Request(NamedTuple):
    """One message to the kernel, not yet numbered."""

    kind: Any
    """pyroute2's class of the message, and of the answer"""
    data: bytes
    """the message, its header included"""
    what: str
    """the same in words, nearly as one would type it for ``ip``; an error begins with it"""


def compose(
    kind: Any, number: int, what: str, /, *, modifiers: int = 0, attrs: Iterable[tuple[str, Any]] = (), **fields: int
) -> Request:
    """A message of pyroute2's class ``kind`` and of the type ``number`` (RTM_*), to be acknowledged.

    ``modifiers`` are NLM_F_*, ``fields`` those of the fixed header; attributes that are None are left out.
    """
    message = kind()
    message.update(fields | nested(*attrs))
    message["header"] = {"type": number, "flags": modifiers | netlink.NLM_F_REQUEST | netlink.NLM_F_ACK}
    message.encode()
    return Request(kind, bytes(message.data), what)


def nested(*attrs: tuple[str, Any]) -> dict[str, Any]:
    """The value of an attribute that holds attributes; those that are None are left out."""
    return {"attrs": [attr for attr in attrs if attr[1] is not None]}


def values(message: Any, *names: str) -> tuple[Any, ...]:
    """The values of these attributes of an answer, or of an attribute that holds attributes; None for what is absent.

    In one pass, where pyroute2's ``get_attr`` walks over all attributes for each: 250 µs for an interface, not 480.
    """
    found: dict[str, Any] = dict.fromkeys(names)
    for attr in message["attrs"] if message else ():
        if attr.name in found:
            found[attr.name] = attr.value
    return tuple(found.values())


def family(address: str) -> int:
    """AF_INET or AF_INET6, by the look of an address or a prefix."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Template:
    """A request that is composed once and sent often, with other values of the same length each time.

    >>> up = Template(links.change(0x7E7E7E7E, up=True), index=0x7E7E7E7E)
    >>> netlink.send(up.fill(index=2))

    A placeholder is the value that the request was composed with; its form tells how it is packed (`_packing`) and
    it has to be found in the message.  2 µs a message, where composing takes 30 to 320.
    """

    def __init__(self, request: Request, **placeholders: str | int) -> None:
        self._request = request
        self._fields: list[tuple[str, str, Callable[[Any], bytes], list[slice]]] = []
        for name, placeholder in placeholders.items():
            pack = _packing(placeholder)
            packed = pack(placeholder)
            places = [slice(at, at + len(packed)) for at in range(0, len(request.data), 4)]
            places = [place for place in places if request.data[place] == packed]
            if not places:
                raise ValueError(f"{request.what}: holds no {placeholder}")
            self._fields.append((name, str(placeholder), pack, places))

    def fill(self, **given: str | int) -> Request:
        """The request with these values; KeyError where one is missing, ValueError where one is longer or shorter."""
        data, what = bytearray(self._request.data), self._request.what
        for name, placeholder, pack, places in self._fields:
            packed = pack(given[name])
            what = what.replace(placeholder, str(given[name]))
            for place in places:
                if len(packed) != place.stop - place.start:
                    raise ValueError(f"{what}: {given[name]} is not of the length of {placeholder}")
                data[place] = packed
        return Request(self._request.kind, bytes(data), what)


def _packing(value: str | int) -> Callable[[Any], bytes]:
    """How values of this form stand in a message: an index or a descriptor, a MAC, an address, a name."""
    if isinstance(value, int):
        return struct.Struct("=I").pack
    if re.fullmatch(r"(..:){5}..", value):
        return lambda mac: bytes.fromhex(mac.replace(":", ""))
    if re.fullmatch(r"\d+\.\d+\.\d+\.\d+", value):
        return socket.inet_aton
    if ":" in value:
        return functools.partial(socket.inet_pton, socket.AF_INET6)
    return str.encode
