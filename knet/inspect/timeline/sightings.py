"""Packets worth a line among the events: the first one that took a new way, and those that nobody took.  Pure."""

import ipaddress
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence

from knet.api.families import host_port
from knet.inspect.timeline.attempts import CUT, PATIENCE, REFUSED, UNANSWERED, UNREACHABLE, Attempt
from knet.inspect.timeline.event import Event, short
from knet.inspect.timeline.facts import Facts
from knet.inspect.timeline.segments import End

_WORDS = {REFUSED: "RST", UNREACHABLE: "unreachable", UNANSWERED: "no answer", CUT: "reset in the middle"}


class Sightings:
    """Of connections to some objects: the first packet to each endpoint that is new, and all that came to nothing.

    May be asked again and again while both events and connections become more; nothing is told twice.
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._fresh: set[bytes] = set()
        self._events = 0
        self._coming: deque[Attempt] = deque()
        self._open: list[Attempt] = []

    def look(
        self, attempts: Sequence[Attempt], events: Sequence[Event], names: Collection[str], now: int
    ) -> Iterator[Event]:
        """What has happened until ``now``, by all events since the beginning, and attempts that it has not seen yet."""
        self._fresh |= set(_added(events[self._events :]))
        self._events = len(events)
        self._coming += attempts
        while self._coming and self._coming[0].at <= now:
            row = self._coming.popleft()
            to, asked = self._facts.owner(row.sent_to.address), self._facts.owner(row.asked.address)
            if (to in names or asked in names) and not self._facts.probes(row):
                self._open.append(row)
                if row.sent_to.address in self._fresh and to.startswith("pod/"):
                    self._fresh.remove(row.sent_to.address)
                    yield self._event(row, row.at, f"first {_what(row)} to {self._way(row)}", "first")
        still = []
        for row in self._open:
            outcome = row.outcome(now)
            if outcome in _WORDS:
                at = {CUT: row.reset, UNANSWERED: row.at + PATIENCE}.get(outcome, row.answered)
                yield self._event(row, at, f"{_what(row)} to {self._way(row)}: {_WORDS[outcome]}", outcome)
            elif not row.closed and (not row.datagram or now - row.at < PATIENCE):
                still.append(row)
        self._open = still

    def _event(self, row: Attempt, at: int, text: str, what: str) -> Event:
        owners = (self._facts.owner(end.address) for end in (row.sent_to, row.asked, row.source))
        ends = (_text(end) for end in (row.source, row.asked, row.sent_to))
        about = tuple(dict.fromkeys(name for name in owners if name))
        return Event(at=at, actor=f"packet@{row.machine}", kind="packet", objects=about, text=text, args=(what, *ends))

    def _way(self, row: Attempt) -> str:
        """Whereto, how, and from whom: by name alone, because a client's port is new each time."""
        by_way_of = f" by way of {_text(row.asked)}" if row.asked != row.sent_to else ""
        owner = self._facts.owner(row.source.address)
        who = short(owner).removeprefix("node/") if owner else str(ipaddress.ip_address(row.source.address))
        return f"{_text(row.sent_to)}{by_way_of}, from {who}"


def _what(row: Attempt) -> str:
    return "datagram" if row.datagram else "SYN"


def _added(events: Iterable[Event]) -> Iterator[bytes]:
    for row in events:
        if row.kind == "write" and row.objects[0].startswith("endpointslice/"):
            for phrase in row.args:
                if str(phrase).startswith("+"):
                    yield ipaddress.ip_address(str(phrase)[1:].split()[0]).packed


def _text(end: End) -> str:
    return host_port(str(ipaddress.ip_address(end.address)), end.port)
