"""From a plan and a seed to what begins and ends when: the same seed, the same schedule.  Pure.

Each fault has dice of its own, thrown in the order of its occurrences: one that is added at the end of a plan, or
changed, changes nothing of the others.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from knet.cluster.faults.plan import Fault, Plan


@dataclass(frozen=True)
class Occurrence:
    """A fault at some targets for some time; an instant one ends when it begins."""

    fault: Fault
    number: int
    """in the order in which they begin, from 1"""
    begins: float
    ends: float
    """seconds since the start of the run"""
    targets: tuple[str, ...]


@dataclass(frozen=True)
class Event:
    at: float
    begins: bool
    occurrence: Occurrence


@dataclass(frozen=True)
class Schedule:
    seed: int
    events: tuple[Event, ...]
    end: float


def schedule(plan: Plan, seed: int) -> Schedule:
    """All events of a run in their order; of those at the same time what ends is before what begins."""
    met = [
        meeting
        for place, fault in enumerate(plan.faults)
        for meeting in _meetings(fault, plan, random.Random(f"{seed}/{place}"))
    ]
    met.sort(key=lambda meeting: meeting.begins)
    end = plan.duration
    if end is None:
        end = max((meeting.begins + (meeting.lasts or 0) for meeting in met), default=0.0)
    events = []
    for number, (fault, begins, lasts, targets) in enumerate(met, start=1):
        occurrence = Occurrence(fault, number, begins, end if lasts is None else min(begins + lasts, end), targets)
        events.append(Event(occurrence.begins, True, occurrence))
        if not fault.instant:
            events.append(Event(occurrence.ends, False, occurrence))
    events.sort(key=lambda event: (event.at, event.begins, event.occurrence.number))
    return Schedule(seed, tuple(events), end)


class _Meeting(NamedTuple):
    fault: Fault
    begins: float
    lasts: float | None
    """None: until the end"""
    targets: tuple[str, ...]


def _meetings(fault: Fault, plan: Plan, dice: random.Random) -> Iterator[_Meeting]:
    for begins in _times(fault, plan, dice):
        lasts = 0.0 if fault.instant else None
        if fault.lasts:
            lasts = round(dice.uniform(*fault.lasts), 3)
        targets = fault.targets
        if fault.pick:
            chosen = set(dice.sample(range(len(targets)), fault.pick))
            targets = tuple(target for place, target in enumerate(targets) if place in chosen)
        yield _Meeting(fault, begins, lasts, targets)


def _times(fault: Fault, plan: Plan, dice: random.Random) -> Iterator[float]:
    bounds = [bound for bound in (fault.until, plan.duration) if bound is not None]
    last = min(bounds, default=float("inf"))
    if fault.at:
        yield from fault.at
        return
    mean = fault.every or fault.random

    def interval() -> float:
        return fault.every or round(dice.expovariate(1 / mean), 3)

    at = interval() if fault.start is None else fault.start
    while at < last:
        yield round(at, 3)
        at += interval()
