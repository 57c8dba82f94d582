"""The kernel's layer-4 load balancer (IPVS): virtual servers, and the real servers behind them.

Spoken over generic netlink (linux/ip_vs.h) and not by ipvsadm(8), which reads everything anew for each command.  The
messages have few attributes and there may be tens of thousands of them, so they are packed here: 5 µs each, where
pyroute2 takes 200.
"""

import errno
import socket
import struct
from collections.abc import Mapping
from typing import NamedTuple

from knet.kernel.netlink import Netlink, NetlinkError
from knet.kernel.netlink_packing import NESTED, attribute, attributes
from knet.kernel.netlink_wire import DUMP, Request, family
from knet.kernel.rtnl import netlink as protocol

_GENERIC, _CONTROLLER = 16, 16  # NETLINK_GENERIC, GENL_ID_CTRL
_GET_FAMILY, _FAMILY_ID, _FAMILY_NAME = 3, 1, 2
_SERVICE, _DEST = 1, 2
_PERSISTENT, _SCHED_2 = 0x0001, 0x0010
_HEADER = struct.Struct("=IHHIIBBH")


class Server(NamedTuple):
    """Where a virtual server is: an IPPROTO_*, an address, a port."""

    protocol: int
    address: str
    port: int

    def __str__(self) -> str:
        option = {socket.IPPROTO_TCP: "-t", socket.IPPROTO_UDP: "-u"}.get(self.protocol, "--sctp-service")
        return f"{option} {_joined(self.address, self.port)}"


class Scheduling(NamedTuple):
    """How a virtual server chooses; ``persistence``: for so many seconds a client stays with its real server."""

    scheduler: str = "rr"
    persistence: int = 0

    def __str__(self) -> str:
        kept = f" -p {self.persistence}" if self.persistence else ""
        return f"-s {self.scheduler}{kept}" + (" -b flag-2" if self.scheduler == "mh" else "")


class Real(NamedTuple):
    """A real server; packets to it are translated ("masquerading")."""

    address: str
    port: int

    def __str__(self) -> str:
        return _joined(self.address, self.port)


class State(NamedTuple):
    """A real server's weight, 0 for one that gets no new connections, and how many connections it has."""

    weight: int = 1
    connections: int = 0


class Held(NamedTuple):
    """A virtual server as the kernel has it."""

    scheduling: Scheduling
    reals: Mapping[Real, State]


class Change(NamedTuple):
    """One command, printed as ``ipvsadm -R`` takes it."""

    verb: str
    """A, E, D: a virtual server; a, e, d: a real one of it"""
    server: Server
    scheduling: Scheduling = Scheduling()
    real: Real = Real("", 0)
    weight: int = 1

    def __str__(self) -> str:
        what = f"-{self.verb} {self.server}"
        if self.verb in "AE":
            return f"{what} {self.scheduling}"
        if self.verb == "D":
            return what
        return f"{what} -r {self.real}" + (f" -m -w {self.weight}" if self.verb in "ae" else "")


class Ipvs(Netlink):
    """A socket to IPVS in the calling thread's network namespace; NetlinkError (ENOENT) where the kernel has none."""

    def __init__(self) -> None:
        self._sequence = 0
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, _GENERIC)
        try:
            self._socket.bind((0, 0))
            name = attribute(_FAMILY_NAME, b"IPVS\0")
            found = _attributes(self.get(_request(_CONTROLLER, _GET_FAMILY, "IPVS", name)).body)
        except OSError:
            self._socket.close()
            raise
        (self._family,) = struct.unpack("=H", found[_FAMILY_ID])

    def __enter__(self) -> "Ipvs":
        return self

    def held(self) -> dict[Server, Held]:
        """All virtual servers of the namespace with their real ones."""
        found = {}
        for answer in self.dump(_request(self._family, _COMMANDS["list"], "ipvsadm -L", modifiers=DUMP)):
            server, scheduling = _parsed_server(_attributes(_attributes(answer.body)[_SERVICE]))
            if server is not None:
                found[server] = Held(scheduling, self.reals(server))
        return found

    def reals(self, server: Server) -> dict[Real, State]:
        """The real servers of a virtual one; none where it is gone."""
        what = f"ipvsadm -L {server}"
        request = _request(self._family, _COMMANDS["list reals"], what, _named(server), modifiers=DUMP)
        return dict(_parsed_real(_attributes(_attributes(answer.body)[_DEST])) for answer in self.dump(request))

    def carry_out(self, changes: list[Change]) -> None:
        """In this order.  NetlinkError for the first that the kernel refuses, once the others are done."""
        self.send(*(self._composed(change) for change in changes))

    def _composed(self, change: Change) -> Request:
        body = _named(change.server, change.scheduling if change.verb in "AE" else None)
        if change.verb in "aed":
            body += attribute(_DEST | NESTED, _real(change.real, change.weight))
        return _request(self._family, _COMMANDS[change.verb], f"ipvsadm {change}", body)


def available() -> bool:
    """Whether the kernel has IPVS."""
    try:
        Ipvs().close()
    except NetlinkError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    return True


# ---- on the wire: linux/ip_vs.h -------------------------------------------------------------------------------------

_COMMANDS = {"A": 1, "E": 2, "D": 3, "list": 4, "a": 5, "e": 6, "d": 7, "list reals": 8}
_AF, _PROTOCOL, _ADDRESS, _PORT, _SCHEDULER, _FLAGS, _TIMEOUT, _NETMASK = 1, 2, 3, 4, 6, 7, 8, 9
_R_ADDRESS, _R_PORT, _R_METHOD, _R_WEIGHT, _R_UPPER, _R_LOWER, _R_ACTIVE, _R_INACTIVE, _R_FAMILY = (*range(1, 9), 11)


class _Answer:
    """What `Netlink` makes of a message: here only its attributes are of interest."""

    def __init__(self, data: bytes) -> None:
        self.body = data[_HEADER.size :]

    def decode(self) -> None:
        """Nothing is left to be done."""


def _request(kind: int, command: int, what: str, body: bytes = b"", *, modifiers: int = 0) -> Request:
    flags = modifiers | protocol.NLM_F_REQUEST | protocol.NLM_F_ACK
    return Request(_Answer, _HEADER.pack(_HEADER.size + len(body), kind, flags, 0, 0, command, 1, 0) + body, what)


def _u16(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=H", value))


def _u32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def _attributes(data: bytes) -> dict[int, bytes]:
    return dict(attributes(data))


def _named(server: Server, scheduling: Scheduling | None = None) -> bytes:
    """The attribute that says which virtual server is meant, and how it is to choose."""
    af = family(server.address)
    body = _u16(_AF, af) + _u16(_PROTOCOL, server.protocol)
    body += attribute(_ADDRESS, _packed(server.address)) + attribute(_PORT, struct.pack("!H", server.port))
    if scheduling is not None:
        flags = (_PERSISTENT if scheduling.persistence else 0) | (_SCHED_2 if scheduling.scheduler == "mh" else 0)
        body += attribute(_SCHEDULER, scheduling.scheduler.encode() + b"\0")
        body += attribute(_FLAGS, struct.pack("=II", flags, 0xFFFFFFFF)) + _u32(_TIMEOUT, scheduling.persistence)
        body += _u32(_NETMASK, 0xFFFFFFFF if af == socket.AF_INET else 128)
    return attribute(_SERVICE | NESTED, body)


def _real(real: Real, weight: int) -> bytes:
    body = attribute(_R_ADDRESS, _packed(real.address)) + attribute(_R_PORT, struct.pack("!H", real.port))
    for kind, value in ((_R_METHOD, 0), (_R_WEIGHT, weight), (_R_UPPER, 0), (_R_LOWER, 0)):
        body += _u32(kind, value)
    return body + _u16(_R_FAMILY, family(real.address))


def _parsed_server(found: Mapping[int, bytes]) -> tuple[Server | None, Scheduling]:
    """None for one that is told by a firewall mark and not by its address: no kube-proxy makes such."""
    if _ADDRESS not in found:
        return None, Scheduling()
    (af,), (number,) = struct.unpack("=H", found[_AF]), struct.unpack("=H", found[_PROTOCOL])
    (flags, _mask), (seconds,) = struct.unpack("=II", found[_FLAGS]), struct.unpack("=I", found[_TIMEOUT])
    server = Server(number, _unpacked(af, found[_ADDRESS]), *struct.unpack("!H", found[_PORT]))
    name = found[_SCHEDULER].rstrip(b"\0").decode()
    return server, Scheduling(name, seconds if flags & _PERSISTENT else 0)


def _parsed_real(found: Mapping[int, bytes]) -> tuple[Real, State]:
    (af,) = struct.unpack("=H", found[_R_FAMILY])
    (port,) = struct.unpack("!H", found[_R_PORT])
    weight, active, inactive = (struct.unpack("=I", found[kind])[0] for kind in (_R_WEIGHT, _R_ACTIVE, _R_INACTIVE))
    return Real(_unpacked(af, found[_R_ADDRESS]), port), State(weight, active + inactive)


def _packed(address: str) -> bytes:
    """union nf_inet_addr"""
    return socket.inet_pton(family(address), address).ljust(16, b"\0")


def _unpacked(af: int, data: bytes) -> str:
    return socket.inet_ntop(af, data[: 4 if af == socket.AF_INET else 16])


def _joined(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
