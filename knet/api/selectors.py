"""Label selectors: what all notations mean.  (That of query strings is read in `knet.api.label_selector`.)

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from knet.api.objects import LabelSelector

#: decides about the labels (or the fields) of an object
Test = Callable[[Mapping[str, str]], bool]


def _in(key: str, values: tuple[str, ...]) -> Test:
    if len(values) == 1:
        only = values[0]
        return lambda labels: labels.get(key) == only
    return lambda labels: labels.get(key) in values


def _not_in(key: str, values: tuple[str, ...]) -> Test:
    return lambda labels: labels.get(key) not in values


def _exists(key: str, _: tuple[str, ...]) -> Test:
    return lambda labels: key in labels


def _absent(key: str, _: tuple[str, ...]) -> Test:
    return lambda labels: key not in labels


def _compared(sign: int) -> Callable[[str, tuple[str, ...]], Test]:
    """Both sides integers; what is none is neither more nor less."""

    def made(key: str, values: tuple[str, ...]) -> Test:
        def test(labels: Mapping[str, str]) -> bool:
            try:
                return sign * int(labels.get(key, "")) > sign * int(values[0])
            except (ValueError, IndexError):
                return False

        return test

    return made


#: operator → what makes a test of a key and values.  Made once, because a list asks of every object
_TESTS: Mapping[str, Callable[[str, tuple[str, ...]], Test]] = {
    "In": _in,
    "NotIn": _not_in,
    "Exists": _exists,
    "DoesNotExist": _absent,
    "Gt": _compared(1),
    "Lt": _compared(-1),
}


@dataclass(frozen=True)
class Requirement:
    """``key operator values``; operator is In, NotIn, Exists, DoesNotExist, Gt or Lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    @cached_property
    def matches(self) -> Test:
        """NotIn and DoesNotExist hold where the key is absent, as upstream; ValueError for another operator."""
        if self.operator not in _TESTS:
            raise ValueError(f"{self.operator!r} is not a valid label selector operator")
        return _TESTS[self.operator](self.key, self.values)


@dataclass(frozen=True)
class Selector:
    """All requirements have to hold; none at all selects everything, ``nothing`` selects nothing."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    @cached_property
    def tests(self) -> tuple[Test, ...]:
        """One for each requirement."""
        return tuple(requirement.matches for requirement in self.requirements)

    def matches(self, labels: Mapping[str, str]) -> bool:
        if self.nothing:
            return False
        return all(test(labels) for test in self.tests)


EVERYTHING = Selector()
NOTHING = Selector(nothing=True)


def from_label_selector(selector: LabelSelector | None) -> Selector:
    """A spec's selector.  None selects nothing, an empty one everything, as upstream defines it."""
    if selector is None:
        return NOTHING
    return Selector(
        tuple(Requirement(key, "In", (value,)) for key, value in selector.matchLabels.items())
        + tuple(Requirement(row.key, row.operator, row.values) for row in selector.matchExpressions)
    )


def from_labels(labels: Mapping[str, str]) -> Selector:
    """The plain map of a Service; an empty map selects nothing there."""
    return Selector(tuple(Requirement(key, "In", (value,)) for key, value in labels.items())) if labels else NOTHING
