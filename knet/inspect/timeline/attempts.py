"""Connections from their packets: who asked for what, where it was sent, and what came of it.  Pure.

NAT changes addresses and ports but never a SYN's sequence number, by which the same packet is known on each machine,
and by the number after it its answers.  So what a client asked for (a Service) and what it got (an endpoint) belong
together without a look at any rule.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from knet.inspect.timeline.segments import ACK, FIN, RST, SYN, End, Segment

#: what came of a connection
ACCEPTED, REFUSED, UNREACHABLE, UNANSWERED, CUT = "accepted", "refused", "unreachable", "unanswered", "cut"
#: nanoseconds without an answer after which nobody is going to answer any more; TCP tries again after a second
PATIENCE = 500_000_000
#: nanoseconds after which the same sequence number is somebody else's
_AGE = 60_000_000_000
#: connections that are kept; further ones are counted
LIMIT = 200_000


@dataclass(slots=True)
class Attempt:
    """A connection that somebody tried to open."""

    at: int
    source: End
    """who asked, as seen first"""
    asked: End
    """for what, likewise: mostly a Service's address"""
    sent_to: End
    """where it was sent in the end: an endpoint"""
    machine: str
    """where that was decided: the first machine on which it was on its way there"""
    answered: int = 0
    """when the answer was seen first"""
    answer: str = ""
    """ACCEPTED, REFUSED or UNREACHABLE"""
    by: bytes = b""
    """whose answer: an address"""
    closed: int = 0
    reset: int = 0

    def outcome(self, now: int) -> str:
        """What had come of it by then; "" where that is open."""
        if self.answer == ACCEPTED:
            return CUT if self.reset and not self.closed else ACCEPTED
        return self.answer or (UNANSWERED if now - self.at > PATIENCE else "")


class Attempts:
    """Joins segments, which come in the order of their times."""

    def __init__(self) -> None:
        self.all: list[Attempt] = []
        self._by_number: dict[int, Attempt] = {}
        self._by_ends: dict[tuple[End, End], Attempt] = {}
        self.forgotten = 0

    def add(self, segments: Iterable[Segment]) -> "Attempts":
        for row in segments:
            if row.unreachable:
                self._answer(self._by_number.get(row.seq), row, UNREACHABLE, row.by)
            elif row.flags & SYN:
                if row.flags & ACK:
                    self._answer(self._by_number.get(row.ack - 1 & 0xFFFFFFFF), row, ACCEPTED, row.source.address)
                else:
                    self._asked(row)
            elif row.flags & RST:
                self._reset(row)
            elif row.flags & FIN and (found := self._of(row)) and not found.closed:
                found.closed = row.at
        return self

    def _asked(self, row: Segment) -> None:
        found = self._by_number.get(row.seq)
        if found is None or row.at - found.at > _AGE:
            if len(self.all) == LIMIT:
                self.forgotten += 1
                return
            found = Attempt(row.at, row.source, row.destination, row.destination, row.machine)
            self._by_number[row.seq] = found
            self.all.append(found)
        self._by_ends[row.source, row.destination] = found
        if row.destination != found.sent_to and row.destination != found.asked:
            found.sent_to, found.machine = row.destination, row.machine

    def _answer(self, found: Attempt | None, row: Segment, answer: str, by: bytes) -> None:
        if found is not None and not found.answer:
            found.answered, found.answer, found.by = row.at, answer, by

    def _reset(self, row: Segment) -> None:
        asked = self._by_number.get(row.ack - 1 & 0xFFFFFFFF) if row.flags & ACK else None
        if asked is not None and not asked.answer:
            self._answer(asked, row, REFUSED, row.source.address)
        elif (found := self._of(row)) and row.source == found.sent_to and not found.reset:
            found.reset = row.at  # by the endpoint: clients may end connections as they like

    def _of(self, row: Segment) -> Attempt | None:
        return self._by_ends.get((row.source, row.destination)) or self._by_ends.get((row.destination, row.source))
