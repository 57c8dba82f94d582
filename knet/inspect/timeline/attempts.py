"""Connections from their packets: who asked for what, where it was sent, and what came of it.  Pure.

NAT changes addresses and ports but never a SYN's sequence number, by which the same packet is known on each machine,
and by the number after it its answers.  So what a client asked for (a Service) and what it got (an endpoint) belong
together without a look at any rule.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from knet.inspect.timeline.segments import ACK, DATAGRAM, FIN, RST, SYN, End, Segment

#: what came of a connection
ACCEPTED, REFUSED, UNREACHABLE, UNANSWERED, CUT = "accepted", "refused", "unreachable", "unanswered", "cut"
#: nanoseconds without an answer after which nobody is going to answer any more; TCP tries again after a second
PATIENCE = 500_000_000
#: nanoseconds after which the same sequence number is somebody else's
_AGE = 60_000_000_000
#: connections that are kept; of more the oldest quarter is forgotten
LIMIT = 200_000


@dataclass(slots=True)
class Attempt:
    """A connection that somebody tried to open; or a datagram, of which nobody knows what comes of it."""

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
    datagram: bool = False

    def outcome(self, now: int) -> str:
        """What had come of it by then; "" where that is open."""
        if self.answer == ACCEPTED:
            return CUT if self.reset and not self.closed else ACCEPTED
        return self.answer or (UNANSWERED if now - self.at > PATIENCE and not self.datagram else "")


class Attempts:
    """Joins segments, which come in the order of their times."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.all: list[Attempt] = []
        self.forgotten = 0
        """how many there were before those"""
        self._limit = limit
        self._by_number: dict[int, Attempt] = {}
        self._by_ends: dict[tuple[End, End], Attempt] = {}

    def add(self, segments: Iterable[Segment]) -> "Attempts":
        for row in segments:
            if row.unreachable:
                about = self._of(row) if row.flags & DATAGRAM else self._by_number.get(row.seq)
                self._answer(about, row, UNREACHABLE, row.by)
            elif row.flags & SYN and row.flags & ACK:
                self._answer(self._by_number.get(row.ack - 1 & 0xFFFFFFFF), row, ACCEPTED, row.source.address)
            elif row.flags & (SYN | DATAGRAM):
                self._asked(row)
            elif row.flags & RST:
                self._reset(row)
            elif row.flags & FIN and (found := self._of(row)) and not found.closed:
                found.closed = row.at
        return self

    def _asked(self, row: Segment) -> None:
        found = self._by_number.get(row.seq)
        if found is None or row.at - found.at > _AGE:
            if len(self.all) == self._limit:
                self._forget()
            found = Attempt(row.at, row.source, row.destination, row.destination, row.machine)
            found.datagram = bool(row.flags & DATAGRAM)
            self._by_number[row.seq] = found
            self.all.append(found)
        self._by_ends[row.source, row.destination] = found
        if row.destination != found.sent_to and row.destination != found.asked:
            found.sent_to, found.machine = row.destination, row.machine

    def _forget(self) -> None:
        old = self._limit // 4
        gone = set(map(id, self.all[:old]))
        del self.all[:old]
        self.forgotten += old
        self._by_number = {key: row for key, row in self._by_number.items() if id(row) not in gone}
        self._by_ends = {key: row for key, row in self._by_ends.items() if id(row) not in gone}

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
