"""Which packets the kernel hands over: filter expressions of pcap-filter(7) as classic BPF programs.

libpcap compiles an expression, as for tcpdump; what is added here looks into tunnels.  Flannel's packets between
machines are VXLAN, so ``tcp port 80`` would match on cni0 and miss the very same packets on the machine's eth0.  A
program is therefore tried twice: on the packet, and on what is inside if it is VXLAN, by the same instructions with
each offset moved by what is around it::

    program on the packet:  matches → take it, else ↓
    is it VXLAN over IPv4?  no → ↓;  program, 50 bytes further on:  matches → take it, else ↓
    is it VXLAN over IPv6?  no → ↓;  program, 70 bytes further on:  matches → take it, else leave it
"""

import ctypes
import functools
import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

#: all of a packet, with what the kernel has put together for TSO (libpcap's MAXIMUM_SNAPLEN)
WHOLE = 262_144
VXLAN_PORT = 8472

_ETHERNET = 1  # DLT_EN10MB
_UNKNOWN_NETMASK = 0xFFFFFFFF
_SO_ATTACH_FILTER = 26
_LONGEST = 4096  # BPF_MAXINSNS
_LD_H, _LD_B, _LD_LENGTH = 0x28, 0x30, 0x80  # two bytes or one at an offset; the packet's length
_JA, _JEQ, _JGE, _RET = 0x05, 0x15, 0x35, 0x06
_CLASS, _MODE = 0x07, 0xE0
_LOADS, _AT_OFFSET = (0, 1), (0x20, 0x40, 0xA0)  # LD, LDX; ABS, IND, MSH
_ANCILLARY = 0xFFFFF000  # from here on offsets are negative: what the kernel knows of a packet, not what is in it


class FilterError(ValueError):
    """An expression that cannot be compiled, in libpcap's words."""


class Instruction(NamedTuple):
    """struct sock_filter: jumps are relative to the next instruction."""

    code: int
    jt: int
    jf: int
    k: int


Program = tuple[Instruction, ...]
_NO = Instruction(_RET, 0, 0, 0)


@functools.cache
def program(expression: str = "", unless: str = "", length: int = WHOLE) -> Program:
    """What takes packets that match ``expression`` ("": all) and not ``unless`` ("": none), on the outside or inside of
    VXLAN; the first ``length`` bytes of them.  FilterError, and OSError where libpcap is missing.
    """
    taken = _tried_inside(_compiled(expression)) if expression else (Instruction(_RET, 0, 0, WHOLE),)
    left = _tried_inside(_compiled(unless)) if unless else (_NO,)
    found = _then(_answering(left, 0, 1), _answering(taken, length, 0), on=1)
    if len(found) > _LONGEST:
        raise FilterError("the expression is too long for the kernel")
    return found


def attach(sock: socket.socket, what: Program) -> None:
    """Have a socket receive only what a program takes."""
    rows = (_Instruction * len(what))(*(_Instruction(*row) for row in what))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(what), ctypes.addressof(rows)))


# ---- programs of programs ------------------------------------------------------------------------------------------

#: the outside of a tunnelled packet: a load, a test and a value that has to pass it (the length first: to load what is
#: not there ends a program); and where the packet inside begins
_OUTSIDES = tuple(
    (
        (
            (Instruction(_LD_LENGTH, 0, 0, 0), _JGE, inside + 14),
            (Instruction(_LD_H, 0, 0, 12), _JEQ, ethertype),
            (Instruction(_LD_B, 0, 0, protocol), _JEQ, socket.IPPROTO_UDP),
            (Instruction(_LD_H, 0, 0, inside - 14), _JEQ, VXLAN_PORT),
        ),
        inside,
    )
    for ethertype, protocol, inside in ((0x0800, 23, 14 + 20 + 8 + 8), (0x86DD, 20, 14 + 40 + 8 + 8))
)


def _tried_inside(tried: Program) -> Program:
    """The program on a packet and, where that is not taken, on what is inside."""
    whole = tried
    for checks, offset in _OUTSIDES:
        whole = _then(whole, _then(_checking(checks), _moved(tried, offset), on=1))
    return whole


def _checking(checks: Sequence[tuple[Instruction, int, int]]) -> Program:
    """Takes what passes all checks."""
    rows: list[Instruction] = []
    for left, (load, test, value) in zip(reversed(range(len(checks))), checks, strict=True):
        rows += [load, Instruction(test, 0, 2 * left + 1, value)]
    return (*rows, Instruction(_RET, 0, 0, WHOLE), _NO)


def _then(first: Program, second: Program, on: int = 0) -> Program:
    """Where the first program leaves a packet (``on`` 0) or takes it (1), the second decides."""
    rows = [
        Instruction(_JA, 0, 0, len(first) - index - 1) if _decides(row) and bool(row.k) == bool(on) else row
        for index, row in enumerate(first)
    ]
    return (*rows, *second)


def _answering(decided: Program, taken: int, left: int) -> Program:
    """The same decisions with other answers: so many bytes of what it takes, and of what it leaves."""
    return tuple(row._replace(k=taken if row.k else left) if _decides(row) else row for row in decided)


def _moved(tried: Program, offset: int) -> Program:
    """The same program for a packet that begins ``offset`` bytes later."""
    return tuple(
        row._replace(k=row.k + offset)
        if row.code & _CLASS in _LOADS and row.code & _MODE in _AT_OFFSET and row.k < _ANCILLARY
        else row
        for row in tried
    )


def _decides(row: Instruction) -> bool:
    return row.code == _RET


# ---- libpcap -------------------------------------------------------------------------------------------------------


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint32), ("rows", ctypes.POINTER(_Instruction)))


@functools.cache
def _libpcap() -> ctypes.PyDLL:
    """Holding the interpreter's lock: its compiler is not safe for threads."""
    library = ctypes.PyDLL("libpcap.so.0.8")
    library.pcap_open_dead.restype = ctypes.c_void_p
    library.pcap_geterr.restype = ctypes.c_char_p
    return library


def _compiled(expression: str) -> Program:
    library = _libpcap()
    handle = ctypes.c_void_p(library.pcap_open_dead(_ETHERNET, WHOLE))
    made = _Program()
    try:
        if library.pcap_compile(handle, ctypes.byref(made), expression.encode(), 1, ctypes.c_uint32(_UNKNOWN_NETMASK)):
            reason = library.pcap_geterr(handle).decode(errors="replace")
            raise FilterError(reason)
        rows = tuple(Instruction(row.code, row.jt, row.jf, row.k) for row in made.rows[: made.length])
        library.pcap_freecode(ctypes.byref(made))
        return rows
    finally:
        library.pcap_close(handle)
