"""A timeline as a value: text, JSON and a picture are ways to look at it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import msgspec

from knet.api.objects import JSON
from knet.inspect.timeline.blame import Blame
from knet.inspect.timeline.event import Event, moment, ordered, realtime_offset, since
from knet.inspect.timeline.grouping import WINDOW, Line, grouped
from knet.inspect.timeline.picture import picture


@dataclass(frozen=True)
class Timeline:
    """``gaps`` are sentences about what nobody can tell; ``offset`` is CLOCK_REALTIME minus the events' clock."""

    events: tuple[Event, ...] = ()
    gaps: tuple[str, ...] = ()
    offset: int = field(default_factory=realtime_offset)
    blame: Blame | None = None
    """who dropped requests, where a pod has ended"""

    @property
    def begin(self) -> int:
        """The first event's stamp, from which offsets count."""
        return self.events[0].at if self.events else 0

    def with_events(self, more: Iterable[Event]) -> "Timeline":
        """The same with events of somebody else among its own."""
        return replace(self, events=tuple(ordered(self.events, more)))

    def rows(self, every: bool = False) -> list[Line]:
        """What is alike together, or ``every`` event by itself."""
        return grouped(self.events, 0 if every else WINDOW)

    def text(self, every: bool = False) -> str:
        """For people."""
        rows = self.rows(every)
        said = self.blame.sentences if self.blame else ()
        return "\n".join((*("  ".join(row).rstrip() for row in cells(rows, self.begin)), *said, *self.gaps, ""))

    def html(self) -> str:
        """A picture, as a file that needs nothing else."""
        said = self.blame.sentences if self.blame else ()
        return picture(self.events, (*said, *self.gaps), self.offset)

    def json(self) -> str:
        """A line for each event, then the report on dropped requests, then a line for each gap."""
        said = [msgspec.json.encode({"blame": self.blame}).decode() + "\n"] if self.blame else []
        return "".join((*(plain(event, self.offset) for event in self.events), *said, *map(gap, self.gaps)))


def plain(event: Event, offset: int) -> str:
    """An event as a line of JSON; ``time`` is its stamp as people have it."""
    row: JSON = {"time": moment(event.at + offset), **msgspec.to_builtins(event)}
    return msgspec.json.encode(row).decode() + "\n"


def gap(sentence: str) -> str:
    """A gap, likewise."""
    return msgspec.json.encode({"gap": sentence}).decode() + "\n"


#: characters of an object's name and of a text for which there is room in a column
_ROOM = (44, 64)


def cells(rows: Iterable[Line], begin: int, widths: tuple[int, int, int] = (0, 0, 0)) -> Iterator[tuple[str, ...]]:
    """Offset, actor, object, what it was, revision and duration, padded; ``widths`` of the middle three at least."""
    lines = list(rows)
    texts = [_text(row) for row in lines]
    actor = max((widths[0], *(len(row.actors) for row in lines)))
    about = max((widths[1], *(min(len(row.objects), _ROOM[0]) for row in lines)))
    wide = max((widths[2], *(min(len(text), _ROOM[1]) for text in texts)))
    for row, text in zip(lines, texts, strict=True):
        tail = ", ".join(filter(None, (row.revisions, row.durations)))
        yield since(row.first.at - begin), f"{row.actors:<{actor}}", f"{row.objects:<{about}}", f"{text:<{wide}}", tail


def _text(line: Line) -> str:
    return line.text + (f", by {line.first.user}" if line.first.by_somebody else "")
