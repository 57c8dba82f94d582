"""The state of links, as values: for ``knet link``, the control socket and the shell."""

from collections.abc import Mapping
from dataclasses import dataclass, field

UP, DOWN, STANDBY, NO_CARRIER = "up", "down", "standby", "no carrier"


#: how a machine is: it runs; all its processes are stopped and it is silent; it has no processes and no carrier
RUNNING, PAUSED, OFF = "running", "paused", "off"


class LinkError(Exception):
    """A change of a link or a machine that cannot be made, in one line."""


@dataclass(frozen=True)
class Sending:
    """One end of a link, and what becomes of the packets that it sends."""

    node: str
    interface: str
    options: Mapping[str, str | int | float] = field(default_factory=dict)
    """the link options in force (`knet.underlay.impairment.OPTIONS`)"""
    impairment: str = ""
    """the same in words"""
    packets: int = 0
    """that came out of this end"""
    bytes: int = 0
    dropped: int = 0
    """by the queueing disciplines of this end: loss, and queues that were full"""
    waiting: int = 0
    """packets in its queue at this moment"""


@dataclass(frozen=True)
class LinkState:
    """A link at this moment."""

    ends: tuple[Sending, Sending]
    state: str
    """"up"; "down": the cable is cut; "standby": the spanning tree keeps it in reserve; "no carrier": a machine has set
    its own interface down"""
    mtu: int
    declared: bool
    """whether it is as the topology declares it"""

    @property
    def name(self) -> str:
        return f"{self.ends[0].node}–{self.ends[1].node}"

    @property
    def up(self) -> bool:
        return self.state == UP

    @property
    def impairment(self) -> str:
        """In words: once if both directions are alike, else with arrows."""
        there, back = (end.impairment for end in self.ends)
        return there if there == back else f"→ {there or 'free'} ← {back or 'free'}"

    def __str__(self) -> str:
        return " · ".join(word for word in (self.name, self.state, self.impairment) if word)
