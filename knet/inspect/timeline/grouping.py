"""Lines that are alike become one: the pods of a ReplicaSet, the same rules on each machine.  Pure.

Alike are events of one kind that the same component did, on whichever machine, with the same words but for numbers,
addresses and names; they share a line where they came within `WINDOW` of the first, unless something else was told of
their objects in between: what becomes of an object is told in order.  JSON and the picture have every event.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from knet.inspect.timeline.event import Event, short, spelled

#: nanoseconds
WINDOW = 50_000_000
#: what may differ between texts that are alike: addresses, numbers, veth names and MAC addresses
_VARIABLE = re.compile(r"\b(?:[0-9a-f]{1,4}:){2,}[0-9a-f:]*|\bveth[0-9a-f]{8}\b|\d[\d./]*")
_PARTS = re.compile("[-/]")
#: how many names a line spells out, and characters of texts that differ
_SHOWN, _LONG = 8, 80


@dataclass
class Line:
    """Events that are told together, in order."""

    events: list[Event] = field(default_factory=list)

    @property
    def first(self) -> Event:
        return self.events[0]

    @property
    def actors(self) -> str:
        """``kube-proxy@n1, n2``"""
        component = self.first.actor.partition("@")[0]
        machines = list(dict.fromkeys(row.machine for row in self.events if row.machine))
        return f"{component}@{', '.join(machines)}" if machines else component

    @property
    def objects(self) -> str:
        """``pod/web-6c9f-{2xkqp,9mzt4}``"""
        return _braced(list(dict.fromkeys(short(row.objects[0]) for row in self.events if row.objects)))

    @property
    def text(self) -> str:
        """Two that differ, or that of the first and how many others have said something like it."""
        texts = list(dict.fromkeys(row.text for row in self.events))
        if len(texts) > 2 or sum(map(len, texts)) > _LONG:
            return f"{texts[0]} (and {len(texts) - 1} like it)" if texts[1:] else texts[0]
        return "; ".join(texts)

    @property
    def revisions(self) -> str:
        """``rev 814–816``, ``rev 814, 820``"""
        numbers = sorted(row.revision for row in self.events if row.revision)
        if not numbers:
            return ""
        if len(numbers) > 1 and numbers[-1] - numbers[0] == len(numbers) - 1:
            return f"rev {numbers[0]}–{numbers[-1]}"
        shown = ", ".join(map(str, numbers[:3])) + (", …" if len(numbers) > 3 else "")
        return f"rev {shown}"

    @property
    def durations(self) -> str:
        """``2 ms, 3 ms``; of many the least and the most"""
        found = [row.duration for row in self.events if row.duration]
        if len(found) > 3:
            return f"{spelled(min(found))} to {spelled(max(found))}"
        return ", ".join(map(spelled, found))


def grouped(events: Iterable[Event], window: int = WINDOW) -> list[Line]:
    """Lines in the order of their first events; a ``window`` of 0 leaves every event its own."""
    lines: list[Line] = []
    open_: dict[tuple[str, ...], int] = {}
    last: dict[str, int] = {}
    for event in events:
        shape = _shape(event)
        place = open_.get(shape, -1)
        late = any(last.get(name, -1) > place for name in event.objects)
        if place < 0 or late or event.at - lines[place].first.at >= window:
            place = open_[shape] = len(lines)
            lines.append(Line())
        lines[place].events.append(event)
        last.update(dict.fromkeys(event.objects, place))
    return lines


def _shape(event: Event) -> tuple[str, ...]:
    of = event.objects[0].partition("/")[0] if event.objects else ""
    return event.kind, event.actor.partition("@")[0], of, _VARIABLE.sub("#", event.text), event.user


def _braced(names: Sequence[str]) -> str:
    parts = [_PARTS.split(name)[-1] for name in names]
    heads = {name.removesuffix(part) for name, part in zip(names, parts, strict=True)}
    more = f",… {len(names)} in all" if len(names) > _SHOWN else ""
    if len(names) > 1 and len(heads) == 1:
        return f"{heads.pop()}{{{','.join(parts[:_SHOWN])}{more}}}"
    return ", ".join(names[:_SHOWN]) + more
