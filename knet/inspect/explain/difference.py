"""From one picture to another, section by section.  Pure."""

import difflib
from collections.abc import Iterator
from typing import NamedTuple

from knet.inspect.explain.picture import Picture, Section

ADDED, REMOVED, SAME = "+", "-", " "
NEW, GONE, CHANGED = "new", "gone", "changed"
#: lines of a text around what is different
_CONTEXT = 3


class Line(NamedTuple):
    """``sign`` is `ADDED`, `REMOVED`, or `SAME` for a line that is only there to be read with the others."""

    sign: str
    text: str


class Change(NamedTuple):
    """What becomes of a section: it is `NEW`, `GONE` (as a whole) or `CHANGED`."""

    section: Section
    what: str
    lines: tuple[Line, ...]


def difference(before: Picture, after: Picture) -> list[Change]:
    """The sections that are not the same in both, in the order in which they are drawn."""
    found = []
    for section in dict.fromkeys((*before, *after)):
        old, new = before.get(section), after.get(section)
        if old == new:
            continue
        what = NEW if old is None else GONE if new is None else CHANGED
        lines = tuple(_lines(section, old or (), new or ()))
        if lines or what != CHANGED:
            found.append(Change(section, what, lines))
    return found


def _lines(section: Section, old: tuple[str, ...], new: tuple[str, ...]) -> Iterator[Line]:
    if not section.ordered:
        rows = [Line(REMOVED, row) for row in set(old) - set(new)] + [Line(ADDED, row) for row in set(new) - set(old)]
        yield from sorted(rows, key=lambda row: (row.text, row.sign != REMOVED))
        return
    context = _CONTEXT if section.kind == "nginx" else 0
    for group in difflib.SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(context):
        for tag, start, end, from_, to in group:
            if tag == "equal":
                yield from (Line(SAME, row) for row in old[start:end])
                continue
            yield from (Line(REMOVED, row) for row in old[start:end])
            yield from (Line(ADDED, row) for row in new[from_:to])
