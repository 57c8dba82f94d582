"""Queueing disciplines that make a cable out of a veth: bandwidth, delay, jitter, loss.

A link's *sending* end is shaped, as in Mininet, so a cable that behaves the same both ways is shaped at both ends::

    tbf 5:   rate, when there is one          (sch_tbf; bytes wait here, at most `queue` packets of them)
     └ netem 10:   delay, jitter, loss …      (sch_netem; missing in some kernels of cloud machines)

Times go to the kernel in nanoseconds, rates in bytes per second; here they are seconds and bits per second.
"""

import struct
from dataclasses import dataclass

from knet.kernel import netlink_wire as wire
from knet.kernel.netlink import Netlink, NetlinkError
from knet.kernel.netlink_wire import NLM_F_CREATE, NLM_F_REPLACE, Request

RTM_NEWQDISC, RTM_DELQDISC, RTM_GETQDISC = 36, 37, 38
TCA_KIND, TCA_OPTIONS, TCA_STATS2 = 1, 2, 7
TCA_STATS_BASIC, TCA_STATS_QUEUE = 1, 3
TCA_TBF_PARMS, TCA_TBF_RATE64, TCA_TBF_BURST = 1, 4, 6
TCA_NETEM_CORRUPT, TCA_NETEM_REORDER, TCA_NETEM_LATENCY64, TCA_NETEM_JITTER64 = 4, 3, 10, 11
_TC_H_ROOT = 0xFFFFFFFF
_LINKLAYER_ETHERNET = 1
_REPLACE = NLM_F_CREATE | NLM_F_REPLACE
#: struct tcmsg: family, (pad), interface, handle, parent, info
_TCMSG = struct.Struct("=BxxxiIII")
#: struct tc_ratespec: cell log, link layer, overhead, cell alignment, smallest packet, bytes per second
_RATESPEC = struct.Struct("=BBHhHI")
#: struct tc_netem_qopt: latency, limit (packets), loss, gap, duplicate, jitter; probabilities of 2**32
_NETEM = struct.Struct("=IIIIII")

_TBF, _NETEM_CHILD, _TBF_CLASS = 5 << 16, 0x10 << 16, 5 << 16 | 1

#: what netem and pfifo hold when nobody says otherwise: the transmit queue of an Ethernet device
DEFAULT_QUEUE = 1000
#: a packet on a slow link, as large as an Ethernet frame gets
_FRAME = 1514


@dataclass(frozen=True)
class Impairment:
    """What one direction of a cable does to packets.  All zero: nothing, the kernel's default queue."""

    rate: float = 0.0
    """bits per second; 0 is unlimited"""
    delay: float = 0.0
    """seconds"""
    jitter: float = 0.0
    """seconds, on either side of the delay"""
    loss: float = 0.0
    """probability, 0 to 1"""
    duplicate: float = 0.0
    corrupt: float = 0.0
    reorder: float = 0.0
    """probability that a packet overtakes; has an effect only together with a delay"""
    queue: int = 0
    """packets that wait at most; 0 is `DEFAULT_QUEUE`"""

    @property
    def needs_netem(self) -> bool:
        return any((self.delay, self.jitter, self.loss, self.duplicate, self.corrupt, self.reorder))


@dataclass(frozen=True)
class Qdisc:
    """A queueing discipline as the kernel reports it."""

    interface: str
    kind: str
    handle: str
    """as in ``tc``: "5:" """
    parent: str
    """"root" or a class, "5:1" """
    packets: int = 0
    """sent"""
    dropped: int = 0
    waiting: int = 0
    """packets in the queue now"""


def requests(interface: str, index: int, wanted: Impairment) -> list[Request]:
    """The messages that put ``wanted`` in force on an interface that has no shaping yet.  Pure."""
    found: list[Request] = []
    parent = _TC_H_ROOT
    if wanted.rate:
        found.append(_request(interface, index, _TBF, parent, "tbf", _tbf_options(wanted)))
        parent = _TBF_CLASS
    if wanted.needs_netem:
        found.append(_request(interface, index, _NETEM_CHILD, parent, "netem", _netem_options(wanted)))
    elif wanted.queue:
        options = struct.pack("=I", wanted.queue)
        found.append(_request(interface, index, _NETEM_CHILD, parent, "pfifo", options))
    return found


def apply(netlink: Netlink, interface: str, wanted: Impairment) -> None:
    """Replace whatever shapes the interface.  NetlinkError (ENOENT) where the kernel lacks the discipline; the
    interface then has no shaping at all."""
    index = netlink.index(interface)
    clear(netlink, interface)
    try:
        netlink.send(*requests(interface, index, wanted))
    except NetlinkError:
        clear(netlink, interface)
        raise


def clear(netlink: Netlink, interface: str) -> None:
    """Back to the kernel's default queue."""
    if any(found.parent == "root" and found.handle != "0:" for found in list_qdiscs(netlink, interface)):
        body = _TCMSG.pack(0, netlink.index(interface), 0, _TC_H_ROOT, 0)
        netlink.send(Request(RTM_DELQDISC, 0, body, f"qdisc del dev {interface} root"))


def list_qdiscs(netlink: Netlink, interface: str) -> list[Qdisc]:
    """The disciplines of an interface, the root first.  The kernel's default one has the handle "0:"."""
    index = netlink.index(interface)
    replies = netlink.dump(Request(RTM_GETQDISC, 0, _TCMSG.pack(0, index, 0, 0, 0), "qdisc show"))
    found = []
    for reply in replies:
        _family, on, handle, parent, _info = _TCMSG.unpack_from(reply.body)
        if on != index:
            continue
        attributes = wire.attributes(reply.body, _TCMSG.size)
        statistics = wire.attributes(attributes.get(TCA_STATS2, b""))
        # struct gnet_stats_basic: bytes (64 bits), packets; gnet_stats_queue: packets waiting, bytes, dropped, …
        packets = struct.unpack_from("=QI", statistics[TCA_STATS_BASIC])[1]
        waiting, _bytes, dropped = struct.unpack_from("=III", statistics[TCA_STATS_QUEUE])
        kind = wire.string(attributes.get(TCA_KIND))
        handle_text = f"{handle >> 16:x}:"
        found.append(Qdisc(interface, kind, handle_text, _parent_text(parent), packets, dropped, waiting))
    return found


def create(interface: str, index: int, kind: str) -> Request:
    """Put a discipline that needs no options at the root."""
    return _request(interface, index, 1 << 16, _TC_H_ROOT, kind, b"")


def _parent_text(parent: int) -> str:
    return "root" if parent == _TC_H_ROOT else f"{parent >> 16:x}:{parent & 0xFFFF:x}"


def _request(interface: str, index: int, handle: int, parent: int, kind: str, options: bytes) -> Request:
    body = _TCMSG.pack(0, index, handle, parent, 0) + wire.text(TCA_KIND, kind)
    body += wire.attribute(TCA_OPTIONS, options) if options else b""
    return Request(RTM_NEWQDISC, _REPLACE, body, f"qdisc add dev {interface} {kind}")


def _tbf_options(wanted: Impairment) -> bytes:
    """A bucket of 10 ms of the rate, as tc(8)'s manual advises for a timer of 100 Hz, and never less than two frames;
    a queue of so many full frames."""
    per_second = max(1, round(wanted.rate / 8))
    burst = max(2 * _FRAME, per_second // 100)
    limit = min((wanted.queue or DEFAULT_QUEUE) * _FRAME, 0xFFFFFFFF)
    rate = _RATESPEC.pack(0, _LINKLAYER_ETHERNET, 0, 0, 0, min(per_second, 0xFFFFFFFF))
    peak = bytes(_RATESPEC.size)
    parts = [
        wire.attribute(TCA_TBF_PARMS, rate + peak + struct.pack("=III", limit, 0, 0)),
        wire.u32(TCA_TBF_BURST, burst),
    ]
    if per_second > 0xFFFFFFFF:
        parts.append(wire.u64(TCA_TBF_RATE64, per_second))
    return b"".join(parts)


def _netem_options(wanted: Impairment) -> bytes:
    parts = [
        _NETEM.pack(0, wanted.queue or DEFAULT_QUEUE, _chance(wanted.loss), 0, _chance(wanted.duplicate), 0),
        wire.u64(TCA_NETEM_LATENCY64, round(wanted.delay * 1e9)),
        wire.u64(TCA_NETEM_JITTER64, round(wanted.jitter * 1e9)),
    ]
    if wanted.corrupt:
        parts.append(wire.attribute(TCA_NETEM_CORRUPT, struct.pack("=II", _chance(wanted.corrupt), 0)))
    if wanted.reorder:
        parts.append(wire.attribute(TCA_NETEM_REORDER, struct.pack("=II", _chance(wanted.reorder), 0)))
    return b"".join(parts)


def _chance(probability: float) -> int:
    return min(round(probability * 0xFFFFFFFF), 0xFFFFFFFF)
