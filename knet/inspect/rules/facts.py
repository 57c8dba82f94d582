"""What the kernels say of an object that an explanation cannot know, in a line each.  Pure."""

from collections.abc import Iterable, Iterator, Mapping

from knet.inspect import conntrack
from knet.inspect.explain.explain import Subject
from knet.inspect.explain.kernel import Kernel
from knet.inspect.rules.compare import KINDS, MISSING, UNEXPECTED, rules_of
from knet.inspect.world import World
from knet.kernel.conntrack import Tracked

_REASONS = {MISSING: "is missing there", UNEXPECTED: "is there and not expected"}


def facts(
    world: World, subject: Subject, kernels: Mapping[str, Kernel], tables: Mapping[str, Iterable[Tracked]]
) -> Iterator[str]:
    """Where a kernel is not as expected, and how many connections it tracks."""
    if subject.kind in KINDS:
        rules = rules_of(world, subject, kernels)
        for state, reason in _REASONS.items():
            for machine, number in rules.wrong(state).items():
                yield f"{machine}'s kernel: {_of(number)} {reason}, see knet rules"
    if subject.kind in conntrack.KINDS:
        test = conntrack.of(world, subject.kind, subject.key)
        counts = {machine: sum(map(test, rows)) for machine, rows in tables.items()}
        if told := ", ".join(f"{machine} {count}" for machine, count in counts.items() if count):
            yield f"tracked connections: {told}, see knet conntrack --of"


def _of(number: int) -> str:
    return "1 line" if number == 1 else f"each of {number} lines"
