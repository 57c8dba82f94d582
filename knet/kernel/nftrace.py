"""What rules do with packets that a rule marked by ``meta nftrace set 1``: each rule that matches, as it happens.

Every chain of nftables is told of, whoever made it; those of iptables are such chains, too, where iptables is
iptables-nft.  A packet's addresses come with the first message of each base chain.  Nothing says when it was; messages
of a packet come in order.

Spoken over nfnetlink (linux/netfilter/nf_tables.h), which multicasts traces to whoever listens.
"""

import errno
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

from knet.kernel.netlink_packing import DONE, ERROR, HEADER, attribute, attributes, messages, netfilter_socket

_GROUP_TRACE = 9  # NFNLGRP_NFTRACE
_SUBSYSTEM = 10 << 8  # NFNL_SUBSYS_NFTABLES
_TRACE, _GETCHAIN, _GETRULE = _SUBSYSTEM | 17, _SUBSYSTEM | 4, _SUBSYSTEM | 7
_NEWCHAIN, _NEWRULE = _SUBSYSTEM | 3, _SUBSYSTEM | 6
_REQUEST, _DUMP = 1, 0x300
_BUFFER = 4 << 20
#: struct nfgenmsg
_GENERAL = struct.Struct("=BBH")

#: NFPROTO_*
FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
_NUMBERS = {name: number for number, name in FAMILIES.items()}
#: NF_INET_*, NF_BR_*
_HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
#: NFTA_TRACE_*
_TABLE, _CHAIN, _RULE, _TYPE, _VERDICT, _ID, _LINK, _NETWORK, _TRANSPORT, _IN, _, _OUT = range(1, 13)
_POLICY = 16
_KINDS = {1: "policy", 2: "return", 3: "rule"}  # NFT_TRACETYPE_*
_VERDICTS = {0: "drop", 1: "accept", 2: "stolen", 3: "queue", -1: "continue", -3: "jump", -4: "goto", -5: "return"}


class Base(NamedTuple):
    """Where packets come from into a base chain; the kernel's own order is by priority."""

    hook: str
    kind: str
    """filter, nat or route"""
    priority: int


class Event(NamedTuple):
    """A rule that matched, or the end of a base chain."""

    packet: int
    """the kernel's number of the packet; the same packet may get another at another hook"""
    family: str
    table: str
    chain: str
    kind: str
    """rule, return or policy"""
    verdict: str
    """accept, drop, continue, return, ``jump CHAIN``, ``goto CHAIN``"""
    handle: int = 0
    network: bytes = b""
    """the packet's IP header, with the first event of a base chain"""
    transport: bytes = b""
    """the first 20 bytes of what follows it"""
    incoming: int = 0
    """indexes of the interfaces by which it came, and is to go, where they are known at the hook"""
    outgoing: int = 0


class Nftrace:
    """Listens in the calling thread's network namespace, until `close`; a file that can be selected."""

    def __init__(self) -> None:
        self._socket = netfilter_socket(_GROUP_TRACE, buffer=_BUFFER)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def read(self) -> list[Event]:
        """What has come, without waiting; of a flood that nobody could take some is missing."""
        found: list[Event] = []
        while True:
            try:
                datagram = self._socket.recv(1 << 17, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return found
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                continue
            found += [_event(message.body) for message in messages(datagram) if message.kind == _TRACE]


class Chains:
    """Asks the calling thread's network namespace for single chains: what an event's names and handles stand for."""

    def __init__(self) -> None:
        self._socket = netfilter_socket()

    def close(self) -> None:
        self._socket.close()

    def base(self, family: str, table: str, chain: str) -> Base | None:
        """None for a chain that is jumped to, and for one that has gone."""
        for kind, body in self._ask(_GETCHAIN, 0, family, attribute(1, _name(table)) + attribute(3, _name(chain))):
            if kind == _NEWCHAIN:
                found = dict(attributes(body))
                if 4 not in found:  # NFTA_CHAIN_HOOK
                    return None
                number, priority = (struct.unpack(">i", data)[0] for _, data in list(attributes(found[4]))[:2])
                return Base(_HOOKS[number], found.get(7, b"filter").rstrip(b"\0").decode(), priority)
        return None

    def handles(self, family: str, table: str, chain: str) -> list[int]:
        """The handles of a chain's rules, in the rules' order; none where it has gone."""
        found = []
        wanted = attribute(1, _name(table)) + attribute(2, _name(chain))
        for kind, body in self._ask(_GETRULE, _DUMP, family, wanted):
            if kind == _NEWRULE:
                found.append(int.from_bytes(dict(attributes(body))[3], "big"))
        return found

    def _ask(self, number: int, flags: int, family: str, body: bytes) -> Iterator[tuple[int, bytes]]:
        data = _GENERAL.pack(_NUMBERS[family], 0, 0) + body
        self._socket.send(HEADER.pack(HEADER.size + len(data), number, flags | _REQUEST, 0, 0) + data)
        while True:
            for answer in messages(self._socket.recv(1 << 17)):
                if answer.kind in (ERROR, DONE):
                    return
                yield answer.kind, answer.body[_GENERAL.size :]
                if not flags & _DUMP:
                    return


def _name(text: str) -> bytes:
    return text.encode() + b"\0"


def _event(body: bytes) -> Event:
    found = dict(attributes(body[_GENERAL.size :]))

    def number(kind: int) -> int:
        return int.from_bytes(found.get(kind, b""), "big")

    kind = _KINDS.get(number(_TYPE), "?")
    verdict = _verdict(found.get(_VERDICT, b""))
    if kind == "policy":
        verdict = _VERDICTS.get(number(_POLICY), "accept")
    return Event(
        number(_ID),
        FAMILIES.get(body[0], "?"),
        found.get(_TABLE, b"").rstrip(b"\0").decode(),
        found.get(_CHAIN, b"").rstrip(b"\0").decode(),
        kind,
        verdict,
        number(_RULE),
        found.get(_NETWORK, b""),
        found.get(_TRANSPORT, b""),
        number(_IN),
        number(_OUT),
    )


def _verdict(data: bytes) -> str:
    """NFTA_VERDICT_CODE, and the chain that a jump leads to."""
    found = dict(attributes(data))
    if 1 not in found:
        return ""
    code = struct.unpack(">i", found[1])[0]
    name = _VERDICTS.get(code, _VERDICTS.get(code & 0xFF, str(code)))
    return f"{name} {found[2].rstrip(bytes(1)).decode()}" if 2 in found else name
