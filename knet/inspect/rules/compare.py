"""What of a machine's kernel is one object's, and what of it is not as expected.  Pure.

Expected is what is in a machine's picture (`knet.inspect.explain.picture`) because of the object: what would not be
there without it and, of a Service, what would be there if it were the only one (chains that several share).  What the
kernel holds beyond all that is expected of it, and that bears the object's name or addresses, is a leftover, or
somebody's who wrote it by hand.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from knet.api.objects import Pod
from knet.client.controller import Key
from knet.errors import KnetError
from knet.inspect.explain.agreement import agreeing
from knet.inspect.explain.difference import ADDED, NEW, difference
from knet.inspect.explain.explain import Subject
from knet.inspect.explain.kernel import Held, Kernel
from knet.inspect.explain.narrowing import behind, narrowed
from knet.inspect.explain.objects import find, only, settled, without_object
from knet.inspect.explain.picture import Picture, Section, picture
from knet.inspect.explain.spelling import meaning
from knet.inspect.rules.known import Known
from knet.inspect.world import World

PRESENT, MISSING, UNEXPECTED = "present", "missing", "unexpected"
#: kinds that machines have rules of
KINDS = ("Service", "Pod", "NetworkPolicy", "Node")


class Line(NamedTuple):
    text: str
    state: str = PRESENT


class Rows(NamedTuple):
    """The lines of an object in a section, which may be `MISSING` as a whole; what machines have in common or not."""

    section: Section
    lines: tuple[Line, ...]
    state: str = PRESENT


Counters = Mapping[str, int]


@dataclass(frozen=True)
class Part:
    """What these machines have alike; ``counters`` are theirs by machine, for each line of each section."""

    machines: tuple[str, ...]
    rows: tuple[Rows, ...]
    counters: Mapping[tuple[str, Section], tuple[Counters, ...]]

    def counted(self, section: Section, place: int) -> dict[str, Counters]:
        """By machine, what a line has counted."""
        found = {machine: self.counters[machine, section][place] for machine in self.machines}
        return {machine: counters for machine, counters in found.items() if counters}


@dataclass(frozen=True)
class Rules:
    subject: Subject
    parts: tuple[Part, ...]
    silent: tuple[str, ...] = ()
    """machines that are off"""

    def wrong(self, state: str) -> dict[str, int]:
        """By machine, how many lines are `MISSING`, or `UNEXPECTED`."""
        found: Counter[str] = Counter()
        for part in self.parts:
            number = sum(line.state == state for rows in part.rows for line in rows.lines)
            number += sum(rows.state == state and not rows.lines for rows in part.rows)
            found.update(dict.fromkeys(part.machines, number))
        return {machine: number for machine, number in found.items() if number}


def rules_of(world: World, subject: Subject, kernels: Mapping[str, Kernel], silent: tuple[str, ...] = ()) -> Rules:
    """Of an object of a world; KnetError for a kind that there are no rules of."""
    if subject.kind not in KINDS:
        raise KnetError(
            f"no machine has rules of a {subject.kind} itself: ask for a {', a '.join(KINDS[:-1])} or a Node"
        )
    if find(world, subject.kind, subject.key) is None:
        raise KnetError(f"{subject} has just gone")
    known = Known.of(world, subject)
    world = _relevant(world, subject)
    found: dict[str, list[Rows]] = {}
    counters: dict[tuple[str, Section], tuple[Counters, ...]] = {}
    for node, kernel in kernels.items():
        expected = picture(world, node)
        without = picture(world.once(("without", subject), partial(_without, world, subject)), node)
        own = _own(world, subject, node, without, known)
        for section in dict.fromkeys((*own, *kernel)):
            rows = own.get(section, ()), expected.get(section), kernel.get(section, ())
            pairs = list(_compared(section, *rows, section in without, known))
            if pairs or section in own:
                state = PRESENT if section in kernel else MISSING
                found.setdefault(node, []).append(Rows(section, tuple(line for line, _ in pairs), state))
                counters[node, section] = tuple(counted for _, counted in pairs)
    parts = (Part(machines, rows, counters) for machines, rows in agreeing(found))
    return Rules(subject, tuple(parts), silent)


def _relevant(world: World, subject: Subject) -> World:
    """Without the Services that have nothing to do with the object."""
    if subject.kind in ("NetworkPolicy", "Node"):
        return only(world, ())
    its = {subject.key} if subject.kind == "Service" else behind(world, _addresses(world.pods[subject.key]))
    return narrowed([world], its)[0]


def _addresses(pod: Pod) -> set[str]:
    return {row.ip for row in pod.status.podIPs}


def _own(world: World, subject: Subject, node: str, without: Picture, known: Known) -> Picture:
    """What is expected on a machine because of the object."""
    whole = subject.kind in ("Service", "NetworkPolicy")
    found: dict[Section, Counter[str]] = {}
    for change in difference(without, picture(world, node)):
        if change.what == NEW and not change.lines:
            found[change.section] = Counter()
        for line in change.lines:
            if line.sign == ADDED and (whole or change.what == NEW or known.line(change.section, line.text)):
                found.setdefault(change.section, Counter())[line.text] += 1
    if subject.kind == "Service":
        for section, lines in _alone(world, subject.key, node).items():
            found[section] = found.get(section, Counter()) | Counter(lines)
    drawn = picture(world, node)
    return {section: tuple(_picked(drawn[section], found[section])) for section in drawn if section in found}


def _without(world: World, subject: Subject) -> World:
    return settled(world, without_object(world, subject.kind, subject.key))


def _alone(world: World, key: Key, node: str) -> Picture:
    """What is there of a Service if it is the only one, and is there as it is."""
    none = world.once("no Services", lambda: only(world, ()))
    alone = world.once(("alone", key), lambda: only(world, (key,)))
    drawn, empty = picture(alone, node), picture(none, node)
    found = {}
    for section, lines in drawn.items():
        left = Counter(lines) - Counter(empty.get(section, ()))
        common = left & Counter(picture(world, node).get(section, ()))
        if common:
            found[section] = tuple(common.elements())
    return found


def _picked(lines: Iterable[str], wanted: Counter[str]) -> Iterator[str]:
    """Of a section's lines those that are wanted, in its order."""
    left = wanted.copy()
    for line in lines:
        if left[line]:
            left[line] -= 1
            yield line


def _compared(
    section: Section,
    own: tuple[str, ...],
    expected: tuple[str, ...] | None,
    held: tuple[Held, ...],
    shared: bool,
    known: Known,
) -> Iterator[tuple[Line, Counters]]:
    """The object's lines of a section, in the kernel's order, with what they count; then those that are missing.

    Of a section that is there without the object, too (``shared``), only lines about it can be too many.
    """
    if not own and not (known.section(section, held) if expected is None else shared):
        return
    wanted = Counter(meaning(section, line) for line in own)
    others = Counter(meaning(section, line) for line in expected or ()) - wanted
    for row in held:
        said = meaning(section, row.text)
        if wanted[said]:
            wanted[said] -= 1
            yield Line(row.text), row.counters
        elif others[said]:
            others[said] -= 1
        elif not shared or known.line(section, row.text):
            yield Line(row.text, UNEXPECTED), row.counters
    for line in own:
        if wanted[said := meaning(section, line)]:
            wanted[said] -= 1
            yield Line(line, MISSING), {}
