"""Label selectors: what all notations mean.  (That of query strings is read in `knet.api.label_selector`.)

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

from collections.abc import Mapping
from dataclasses import dataclass

from knet.api.objects import LabelSelector


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
            case "Gt" | "Lt":  # both sides integers
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
