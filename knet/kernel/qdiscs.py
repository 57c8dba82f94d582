"""Queueing disciplines that make a cable out of a veth: bandwidth, delay, jitter, loss.

A link's *sending* end is shaped, as in Mininet, so a cable that behaves the same both ways is shaped at both ends::

    tbf 5:   rate, when there is one          (sch_tbf; bytes wait here, at most `queue` packets of them)
     └ netem 10:   delay, jitter, loss …      (sch_netem; missing in some kernels of cloud machines)

Times go to the kernel in nanoseconds, rates in bytes per second; here they are seconds and bits per second.
"""

from dataclasses import dataclass
from typing import Any

from knet.kernel.netlink import Netlink, NetlinkError
from knet.kernel.netlink_wire import DUMP, REPLACE, Request, compose, nested, values
from knet.kernel.rtnl import LINKLAYER_ETHERNET, nla, rtnl, sched_netem, sched_tbf, tcmsg

_TBF, _NETEM_CHILD, _TBF_CLASS = 5 << 16, 0x10 << 16, 5 << 16 | 1


class _TbfOptions(nla):  # type: ignore[misc]
    """pyroute2's know no 64-bit rate and want a table of 256 rates, which kernels need no longer (since Linux 3.8)."""

    nla_map = ((1, "TCA_TBF_PARMS", "parms"), (4, "TCA_TBF_RATE64", "uint64"), (6, "TCA_TBF_BURST", "uint32"))

    class parms(nla):  # type: ignore[misc]
        fields = sched_tbf.options.tbf_parms.fields


class _NetemOptions(nla):  # type: ignore[misc]
    """pyroute2's know delays in the ticks of old, of which 32 bits are 4 minutes."""

    fields = sched_netem.options.fields
    nla_map = (
        (1, "TCA_NETEM_CORR", "netem_corr"),
        (3, "TCA_NETEM_REORDER", "netem_reorder"),
        (4, "TCA_NETEM_CORRUPT", "netem_corrupt"),
        (10, "TCA_NETEM_LATENCY64", "uint64"),
        (11, "TCA_NETEM_JITTER64", "uint64"),
    )
    netem_corr, netem_reorder, netem_corrupt = (
        sched_netem.options.netem_corr,
        sched_netem.options.netem_reorder,
        sched_netem.options.netem_corrupt,
    )


class _Message(tcmsg.tcmsg):  # type: ignore[misc]
    def get_plugin(self, plug: str, *arguments: Any, **named: Any) -> Any:
        own = {"tbf": _TbfOptions, "netem": _NetemOptions}.get(self.get_attr("TCA_KIND"))
        return own if own and plug == "options" else super().get_plugin(plug, *arguments, **named)


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
    loss_correlation: float = 0.0
    """how much the fate of a packet decides that of the next one, 0 to 1"""
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
    parent = rtnl.TC_H_ROOT
    if wanted.rate:
        found.append(_new(interface, index, _TBF, parent, "tbf", _tbf_options(wanted)))
        parent = _TBF_CLASS
    if wanted.needs_netem:
        found.append(_new(interface, index, _NETEM_CHILD, parent, "netem", _netem_options(wanted)))
    elif wanted.queue:
        found.append(_new(interface, index, _NETEM_CHILD, parent, "pfifo", {"limit": wanted.queue}))
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
        index, what = netlink.index(interface), f"qdisc del dev {interface} root"
        netlink.send(compose(_Message, rtnl.RTM_DELQDISC, what, index=index, parent=rtnl.TC_H_ROOT))


def list_qdiscs(netlink: Netlink, interface: str) -> list[Qdisc]:
    """The disciplines of an interface, the root first.  The kernel's default one has the handle "0:"."""
    index = netlink.index(interface)
    found = []
    for message in netlink.dump(compose(_Message, rtnl.RTM_GETQDISC, "qdisc show", modifiers=DUMP, index=index)):
        if message["index"] != index:
            continue
        kind, statistics = values(message, "TCA_KIND", "TCA_STATS2")
        sent, queue = values(statistics, "TCA_STATS_BASIC", "TCA_STATS_QUEUE")
        handle, parent = f"{message['handle'] >> 16:x}:", _parent_text(message["parent"])
        found.append(Qdisc(interface, kind, handle, parent, sent["packets"], queue["drops"], queue["qlen"]))
    return found


def create(interface: str, index: int, kind: str) -> Request:
    """Put a discipline that needs no options at the root."""
    return _new(interface, index, 1 << 16, rtnl.TC_H_ROOT, kind, None)


def _parent_text(parent: int) -> str:
    return "root" if parent == rtnl.TC_H_ROOT else f"{parent >> 16:x}:{parent & 0xFFFF:x}"


def _new(interface: str, index: int, handle: int, parent: int, kind: str, options: dict[str, Any] | None) -> Request:
    return compose(
        _Message,
        rtnl.RTM_NEWQDISC,
        f"qdisc add dev {interface} {kind}",
        modifiers=REPLACE,
        attrs=[("TCA_KIND", kind), ("TCA_OPTIONS", options)],
        index=index,
        handle=handle,
        parent=parent,
    )


def _tbf_options(wanted: Impairment) -> dict[str, Any]:
    """A bucket of 10 ms of the rate, as tc(8)'s manual advises for a timer of 100 Hz, and never less than two frames;
    a queue of so many full frames."""
    per_second = max(1, round(wanted.rate / 8))
    parms = {
        "rate___reserved": LINKLAYER_ETHERNET,  # the kernel's name for that byte is linklayer
        "rate": min(per_second, 0xFFFFFFFF),
        "limit": min((wanted.queue or DEFAULT_QUEUE) * _FRAME, 0xFFFFFFFF),
    }
    return nested(
        ("TCA_TBF_PARMS", parms),
        ("TCA_TBF_BURST", max(2 * _FRAME, per_second // 100)),
        ("TCA_TBF_RATE64", per_second if per_second > 0xFFFFFFFF else None),
    )


def _netem_options(wanted: Impairment) -> dict[str, Any]:
    chances = {"loss": _chance(wanted.loss), "duplicate": _chance(wanted.duplicate)}
    corrupt, reorder, correlation = map(_chance, (wanted.corrupt, wanted.reorder, wanted.loss_correlation))
    return {
        "limit": wanted.queue or DEFAULT_QUEUE,
        "gap": 1 if reorder else 0,  # without it netem delays every packet, whatever the probability
        **chances,
        **nested(
            ("TCA_NETEM_CORR", {"loss_corr": correlation} if correlation else None),
            ("TCA_NETEM_LATENCY64", round(wanted.delay * 1e9)),
            ("TCA_NETEM_JITTER64", round(wanted.jitter * 1e9)),
            ("TCA_NETEM_CORRUPT", {"prob_corrupt": corrupt} if corrupt else None),
            ("TCA_NETEM_REORDER", {"prob_reorder": reorder} if reorder else None),
        ),
    }


def _chance(probability: float) -> int:
    return min(round(probability * 0xFFFFFFFF), 0xFFFFFFFF)
