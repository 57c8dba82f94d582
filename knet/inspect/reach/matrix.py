"""Each pair of ends: what was predicted, what was observed, whether that is the same; ends that are alike.  Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from knet.inspect.inventory import Spot
from knet.inspect.predict.verdicts import Verdict
from knet.inspect.reach.ends import End, Ends
from knet.inspect.reach.rounds import Observation

REACHED, NO_WAY, BY_CHANCE, DIFFERS, ITSELF = ".", "x", "~", "!", "-"


@dataclass(frozen=True)
class Pair:
    """What becomes of a packet from one end to another."""

    source: End
    destination: End
    predicted: Verdict
    observed: Observation[Spot]
    why: str = ""
    """of a disagreement: the routes and objects from which the prediction follows"""
    culprit: str = ""
    """… and who says that he dropped it"""

    @property
    def agrees(self) -> bool:
        """Where chance chooses among endpoints that differ, whatever happens."""
        return self.predicted.some or self.predicted.reached == self.observed.reached

    @property
    def sign(self) -> str:
        if not self.agrees:
            return DIFFERS
        return BY_CHANCE if self.predicted.some else REACHED if self.observed.reached else NO_WAY

    @property
    def expectation(self) -> str:
        """What was predicted, in words."""
        if not self.predicted.reached:
            return f"no way: {self.predicted.text}"
        return f"reached{self.why and f', by {self.why}'}"

    @property
    def experience(self) -> str:
        """What was observed, in words."""
        return f"{self.observed}{self.culprit and f'; {self.culprit}'}"

    def json(self) -> dict[str, Any]:
        found = self.observed
        return {
            "source": str(self.source),
            "destination": str(self.destination),
            "address": self.destination.address,
            "port": self.destination.port,
            "agrees": self.agrees,
            "predicted": {
                "reached": self.predicted.reached,
                "outcome": self.predicted.outcome,
                "culprit": self.predicted.culprit,
                "text": self.expectation,
                "byChance": self.predicted.some,
                "because": [str(cause) for cause in self.predicted.because],
            },
            "observed": {
                "reached": found.reached,
                "text": self.experience,
                "arrivedAt": {str(spot): seen for spot, seen in found.arrived.items()},
                "answer": found.answer.what if found.answer else "",
                "answeredBy": found.answer.address if found.answer else "",
                "seconds": round(found.seconds, 6),
                "tries": found.tries,
            },
        }


class Group(NamedTuple):
    """Ends that are alike: in the matrix each of them has the same row and column."""

    number: int
    members: tuple[End, ...]

    @property
    def name(self) -> str:
        """``default/web-6c9f-* (3)``, ``n1, n2``: pods of a controller by its name, others by their own."""
        families: dict[str, list[End]] = {}
        for end in self.members:
            families.setdefault(f"{end.owner.namespace}/{end.group}-*" if end.group else str(end), []).append(end)
        words = [str(rows[0]) if len(rows) == 1 else f"{name} ({len(rows)})" for name, rows in families.items()]
        more = [f"and {len(words) - _SHOWN} more"] if len(words) > _SHOWN + 1 else words[_SHOWN:]
        return ", ".join((*words[:_SHOWN], *more))


#: names of a group that are shown
_SHOWN = 3


@dataclass(frozen=True)
class Reach:
    """Who can talk to whom, and where that is not what was to be expected."""

    ends: Ends
    pairs: Sequence[Pair]
    what: str
    """``tcp/80``"""
    seconds: float = 0.0
    notes: Sequence[str] = field(default=())
    """what could not be looked at"""

    @cached_property
    def disagreements(self) -> list[Pair]:
        return [pair for pair in self.pairs if not pair.agrees]

    @cached_property
    def _signs(self) -> Mapping[tuple[End, End], str]:
        return {(pair.source, pair.destination): pair.sign for pair in self.pairs}

    def sign(self, source: End, destination: End) -> str:
        """`REACHED` …; `ITSELF` of what was not tried."""
        return self._signs.get((source, destination), ITSELF)

    @cached_property
    def groups(self) -> list[Group]:
        """All ends, alike ones together, in their order."""
        found: list[list[End]] = []
        for end in self.ends.destinations:
            for members in found:
                if self._alike(members[0], end):
                    members.append(end)
                    break
            else:
                found.append([end])
        return [Group(number, tuple(members)) for number, members in enumerate(found, 1)]

    def between(self, source: Group, destination: Group) -> str:
        """The sign that all pairs of two groups have."""
        return next((self.sign(a, b) for a in source.members[:2] for b in destination.members[:2] if a != b), ITSELF)

    def _alike(self, a: End, b: End) -> bool:
        if (a.spot is None) != (b.spot is None) or bool(a.owner.namespace) != bool(b.owner.namespace):
            return False
        rows = (self.sign(a, end) == self.sign(b, end) for end in self.ends.destinations if end not in (a, b))
        columns = (self.sign(end, a) == self.sign(end, b) for end in self.ends.sources if end not in (a, b))
        return self.sign(a, b) == self.sign(b, a) and all(rows) and all(columns)

    def __str__(self) -> str:
        """As `knet reach` prints it."""
        from knet.inspect.reach.text import plain  # which is made of this

        return plain(self)

    def json(self) -> dict[str, Any]:
        """All of it, for programs."""
        return {
            "probe": self.what,
            "seconds": round(self.seconds, 3),
            "disagreements": len(self.disagreements),
            "notes": list(self.notes),
            "pairs": [pair.json() for pair in (*self.disagreements, *(row for row in self.pairs if row.agrees))],
        }


def alike(pairs: Iterable[Pair], key: Callable[[Pair], object]) -> list[list[Pair]]:
    """Pairs with equal keys together, in their order."""
    found: dict[object, list[Pair]] = {}
    for pair in pairs:
        found.setdefault(key(pair), []).append(pair)
    return list(found.values())
