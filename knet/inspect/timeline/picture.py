"""A timeline as one HTML file that needs nothing else: a lane for each actor, a mark for each event, the list below.

The page (``picture.html``) is XHTML, too, so that a test can read it; its script filters, zooms and finds marks' lines.
"""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib.resources import files
from string import Template

from knet.inspect.timeline.event import KINDS, Event, moment, short, since, spelled


def picture(events: Sequence[Event], gaps: Sequence[str], offset: int) -> str:
    """The file's content; ``offset`` is CLOCK_REALTIME minus the events' clock."""
    begin = events[0].at if events else 0
    span = max(events[-1].at - begin, 1) if events else 1
    kinds = [kind for kind in KINDS if any(row.kind == kind for row in events)]
    page = Template((files(__package__) / "picture.html").read_text())
    return page.substitute(
        title="knet timeline",
        summary=escape(_summary(events, offset, span)),
        gaps="\n".join(f"<p>{escape(sentence)}</p>" for sentence in gaps),
        legend="\n".join(map(_box, kinds)),
        colours="\n".join(f".{kind} {{ --colour: var(--{kind}); }}" for kind in KINDS),
        lanes="\n".join(_lanes(list(enumerate(events)), begin, span)),
        rows="\n".join(_row(number, row, begin) for number, row in enumerate(events)),
        span=f"{span / 1e9:.9f}",
    )


def _summary(events: Sequence[Event], offset: int, span: int) -> str:
    if not events:
        return "nothing happened"
    return f"{len(events)} events in {spelled(span)}, from {moment(events[0].at + offset)}"


def _box(kind: str) -> str:
    box = f'<input type="checkbox" value="{kind}" checked="checked" />'
    return f'<label class="kind {kind}" title="{escape(KINDS[kind])}">{box}{kind}</label>'


def _lanes(events: Sequence[tuple[int, Event]], begin: int, span: int) -> Iterator[str]:
    """First those who are nowhere in particular, in order of their first events, then machine by machine, by name."""
    by_machine: dict[str, dict[str, list[tuple[int, Event]]]] = {"": {}}
    for number, event in events:
        by_machine.setdefault(event.machine, {}).setdefault(event.actor, []).append((number, event))
    for machine in sorted(by_machine):
        if machine:
            yield f'<div class="machine"><b>{escape(machine)}</b></div>'
        lanes = by_machine[machine]
        for actor, found in sorted(lanes.items()) if machine else lanes.items():
            marks = "".join(_mark(*pair, begin, span) for pair in found)
            name = escape(actor.partition("@")[0])
            yield f'<div class="lane"><b title="{name}">{name}</b><div class="marks">{marks}</div></div>'


def _mark(number: int, event: Event, begin: int, span: int) -> str:
    end, start = event.at - begin, max(event.at - event.duration - begin, 0)
    if (end - start) * 1000 < span:  # it would not be seen
        place, took = f"left:{100 * end / span:.4f}%", ""
    else:
        place, took = f"left:{100 * start / span:.4f}%;width:{100 * (end - start) / span:.4f}%", " took"
    text = escape(" · ".join(filter(None, (since(end).strip(), *_cells(event)))))
    return f'<i class="{event.kind}{took}" data-n="{number}" style="{place}" title="{text}"></i>'


def _row(number: int, event: Event, begin: int) -> str:
    actor, about, text, tail = map(escape, _cells(event))
    everything = escape(" ".join(event.objects))
    cells = (("at", since(event.at - begin).strip()), (f"actor {event.kind}", actor), ("", about), ("", text))
    columns = "".join(f'<td class="{kind}">{cell}</td>' for kind, cell in (*cells, ("tail", tail)))
    return f'<tr data-n="{number}" data-kind="{event.kind}" title="{everything}">{columns}</tr>'


def _cells(event: Event) -> Iterable[str]:
    """Actor, object, text, and revision or duration."""
    by = f", by {event.user}" if event.by_somebody else ""
    numbers = (f"rev {event.revision}" if event.revision else "", spelled(event.duration) if event.duration else "")
    about = short(event.objects[0]) if event.objects else ""
    return event.actor, about, event.text + by, ", ".join(filter(None, numbers))
