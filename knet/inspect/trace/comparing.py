"""What was observed beside what was predicted: causes for each hop, and disagreements.  Pure."""

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from knet.inspect.trace.evidence import DELIVERED, Prediction
from knet.inspect.trace.hops import Hop, Key, differences

#: of which not each is seen, or told of in advance: rules that let pass, and where tracing them was not wanted
_OPTIONAL = ("filter",)


class Finding(NamedTuple):
    """A disagreement."""

    at: int
    """the number of the observed hop that it is about, from 0; what is missing should follow this one"""
    text: str
    ends: bool = False
    """it is about how the trace ended"""


@dataclass(frozen=True)
class Compared:
    hops: tuple[Hop, ...]
    """the observed ones, with their causes"""
    findings: tuple[Finding, ...]
    following: Hop | None = None
    """what was predicted to come after the last of them"""


def compared(observed: Sequence[Hop], prediction: Prediction, outcome: str) -> Compared:
    """Hops of one event are found by their keys, in order."""
    waiting: defaultdict[Key, deque[int]] = defaultdict(deque)
    for number, hop in enumerate(prediction.hops):
        waiting[hop.key].append(number)
    hops: list[Hop] = []
    findings: list[Finding] = []
    seen: dict[int, int] = {}
    for at, hop in enumerate(observed):
        rows = waiting[hop.key]
        if not rows:
            hops.append(hop)
            if hop.kind not in (*_OPTIONAL, "drop", "reject"):
                findings.append(Finding(at, "not expected"))
            continue
        number = rows.popleft()
        seen[number] = at
        expected = prediction.hops[number]
        hops.append(replace(hop, because=expected.because or hop.because))
        findings += [Finding(at, str(row)) for row in differences(hop, expected)]
    last = max(seen, default=-1)
    if outcome == prediction.outcome != DELIVERED:  # how far it gets before it ends as it has to is nobody's business
        ended = seen.get(last, -1)
        findings = [row for row in findings if row.at <= ended]
    missing = [number for number in range(last) if number not in seen] if last >= 0 else []
    findings += [_missing(prediction.hops, number, seen) for number in missing if _counts(prediction.hops[number])]
    rest = [hop for hop in prediction.hops[last + 1 :] if _counts(hop)]
    if outcome != prediction.outcome:
        findings.append(Finding(len(hops) - 1, _outcome(outcome, prediction), ends=True))
    return Compared(tuple(hops), tuple(sorted(findings)), rest[0] if rest else None)


def _counts(hop: Hop) -> bool:
    return hop.kind not in _OPTIONAL


def _missing(hops: Sequence[Hop], number: int, seen: dict[int, int]) -> Finding:
    after = max((at for expected, at in seen.items() if expected < number), default=-1)
    hop = hops[number]
    return Finding(after, f"expected {hop.kind} at {' '.join(filter(None, (hop.site, hop.interface)))}, not seen")


def _outcome(outcome: str, prediction: Prediction) -> str:
    why = f": {prediction.text}" if prediction.outcome != DELIVERED and prediction.text else ""
    return f"{outcome}, expected {prediction.outcome}{why}"


def causes(hops: Iterable[Hop]) -> list[str]:
    """Each once, in the order of the hops."""
    return list(dict.fromkeys(str(cause) for hop in hops for cause in hop.because))
