"""Label selectors, in both notations: the query string of lists and the LabelSelector of specs.

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from knet.api.objects import LabelSelector

_NAME = r"(?:[A-Za-z0-9.\-]+/)?[A-Za-z0-9]?[A-Za-z0-9._\-]*"
_KEY = r"(?:[A-Za-z0-9.\-]+/)?[A-Za-z0-9][A-Za-z0-9._\-]*"
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s*\(([^()]*)\)")
_EQUALITY = re.compile(rf"({_KEY})\s*(==|=|!=)\s*({_NAME})")
_EXISTS = re.compile(rf"(!?)\s*({_KEY})")
#: a comma ends a requirement, unless it stands between parentheses
_COMMA = re.compile(r"\([^()]*\)|(,)")


@dataclass(frozen=True)
class Requirement:
    """``key operator values``; operator is In, NotIn, Exists, DoesNotExist, Gt or Lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """NotIn and DoesNotExist hold where the key is absent, as upstream."""
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value in self.values
            case "NotIn":
                return value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
            case "Gt" | "Lt":  # node affinity only: both sides integers
                try:
                    have, bound = int(value or ""), int(self.values[0])
                except (ValueError, IndexError):
                    return False
                return have > bound if self.operator == "Gt" else have < bound
        raise ValueError(f"{self.operator!r} is not a valid label selector operator")


@dataclass(frozen=True)
class Selector:
    """All requirements have to hold; none at all selects everything, ``nothing`` selects nothing."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str]) -> bool:
        if self.nothing:
            return False
        return all(requirement.matches(labels) for requirement in self.requirements)


EVERYTHING = Selector()
NOTHING = Selector(nothing=True)


def parse(text: str) -> Selector:
    """``a=b,c!=d,e in (x,y),f,!g`` as a Selector; ValueError with what could not be parsed."""
    requirements = []
    for part in _parts(text) if text.strip() else ():
        if match := _SET.fullmatch(part):
            key, operator, values = match.groups()
            choices = tuple(value.strip() for value in values.split(","))
            requirements.append(Requirement(key, "In" if operator == "in" else "NotIn", choices))
        elif match := _EQUALITY.fullmatch(part):
            key, operator, value = match.groups()
            requirements.append(Requirement(key, "NotIn" if operator == "!=" else "In", (value,)))
        elif (match := _EXISTS.fullmatch(part)) and match[2]:
            requirements.append(Requirement(match[2], "DoesNotExist" if match[1] else "Exists"))
        else:
            raise ValueError(f"unable to parse requirement: found {part!r}")
    return Selector(tuple(requirements))


def _parts(text: str) -> Iterator[str]:
    start = 0
    for match in _COMMA.finditer(text):
        if match[1]:
            yield text[start : match.start()].strip()
            start = match.end()
    yield text[start:].strip()


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
