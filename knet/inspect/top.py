"""What the links carry: from two looks at their counters.  Pure."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from knet.underlay.state import LinkState


class LinkRate(NamedTuple):
    """One direction of a link in an interval."""

    sender: str
    receiver: str
    state: str
    packets: float
    """a second"""
    bits: float
    """a second"""
    dropped: float
    """packets a second, by the sending end's queue: loss, and a queue that was full"""
    waiting: int
    """packets in that queue at the end"""
    bandwidth: float = 0.0
    """bits a second that the link is limited to; 0: it is not"""
    impairment: str = ""

    @property
    def used(self) -> float | None:
        """The part of its bandwidth; None where it has all there is."""
        return self.bits / self.bandwidth if self.bandwidth else None

    @property
    def name(self) -> str:
        """``n1 → s1``"""
        return f"{self.sender} → {self.receiver}"

    def json(self) -> dict[str, Any]:
        return {
            "from": self.sender,
            "to": self.receiver,
            "state": self.state,
            "packetsPerSecond": round(self.packets, 1),
            "bitsPerSecond": round(self.bits),
            "droppedPerSecond": round(self.dropped, 1),
            "waiting": self.waiting,
            "bandwidth": round(self.bandwidth),
            "used": None if self.used is None else round(self.used, 4),
            "impairment": self.impairment,
        }


def link_rates(before: Iterable[LinkState], after: Sequence[LinkState], seconds: float) -> list[LinkRate]:
    """Both directions of all links, that with the most bits first.  A link that is new counts from nothing."""
    earlier = {end.interface: end for link in before for end in link.ends}
    rows = []
    for link in after:
        for sender, receiver in (link.ends, link.ends[::-1]):
            was = earlier.get(sender.interface)
            packets, octets, dropped = (
                max(0, now - then) / seconds  # a machine that was booted anew counts from nothing
                for now, then in (
                    (sender.packets, was.packets if was else 0),
                    (sender.bytes, was.bytes if was else 0),
                    (sender.dropped, was.dropped if was else 0),
                )
            )
            bandwidth = 1e6 * float(sender.options.get("bw", 0))
            rows.append(
                LinkRate(
                    *(sender.node, receiver.node, link.state, packets, 8 * octets, dropped),
                    *(sender.waiting, bandwidth, sender.impairment),
                )
            )
    return sorted(rows, key=lambda row: (-row.bits, -row.packets))
