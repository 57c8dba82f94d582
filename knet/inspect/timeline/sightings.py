"""Packets worth a line among the events: the first one that took a new way, and those that nobody took.  Pure."""

import ipaddress
from collections.abc import Collection, Iterable, Iterator

from knet.inspect.timeline.attempts import ACCEPTED, CUT, REFUSED, UNANSWERED, UNREACHABLE, Attempt
from knet.inspect.timeline.event import Event, short
from knet.inspect.timeline.facts import Facts
from knet.inspect.timeline.segments import End

_WORDS = {REFUSED: "RST", UNREACHABLE: "unreachable", UNANSWERED: "no answer", CUT: "reset in the middle"}


def sightings(
    attempts: Iterable[Attempt], events: Iterable[Event], facts: Facts, names: Collection[str], now: int
) -> Iterator[Event]:
    """Of connections to these objects: the first SYN to each endpoint that is new by these events, and all that came to
    nothing."""
    fresh = set(_added(events))
    for row in attempts:
        to, asked = facts.owner(row.sent_to.address), facts.owner(row.asked.address)
        if (to not in names and asked not in names) or facts.probes(row):
            continue
        about = tuple(dict.fromkeys(name for name in (to, asked, facts.owner(row.source.address)) if name))
        way = f"{_text(row.sent_to)}{_by_way_of(row)}, from {_who(row.source, facts)}"
        if row.sent_to.address in fresh and to.startswith("pod/"):
            fresh.remove(row.sent_to.address)
            yield _event(row, row.at, about, f"first SYN to {way}", "first")
        outcome = row.outcome(now)
        if outcome not in ("", ACCEPTED):
            at = row.reset if outcome == CUT else row.answered or row.at
            yield _event(row, at, about, f"SYN to {way}: {_WORDS[outcome]}", outcome)


def _added(events: Iterable[Event]) -> Iterator[bytes]:
    for row in events:
        if row.kind == "write" and row.objects[0].startswith("endpointslice/"):
            for phrase in row.args:
                if str(phrase).startswith("+"):
                    yield ipaddress.ip_address(str(phrase)[1:].split()[0]).packed


def _event(row: Attempt, at: int, about: tuple[str, ...], text: str, what: str) -> Event:
    ends = (_text(end) for end in (row.source, row.asked, row.sent_to))
    return Event(at=at, actor=f"packet@{row.machine}", kind="packet", objects=about, text=text, args=(what, *ends))


def _by_way_of(row: Attempt) -> str:
    return f" by way of {_text(row.asked)}" if row.asked != row.sent_to else ""


def _who(end: End, facts: Facts) -> str:
    """A client by its name alone: its port is new each time."""
    owner = facts.owner(end.address)
    return short(owner).removeprefix("node/") if owner else str(ipaddress.ip_address(end.address))


def _text(end: End) -> str:
    address = ipaddress.ip_address(end.address)
    return f"[{address}]:{end.port}" if address.version == 6 else f"{address}:{end.port}"
