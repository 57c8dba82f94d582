"""Prometheus' text format, version 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

CONTENT_TYPE = "text/plain; version=0.0.4"


class Family(NamedTuple):
    """A metric: samples are labels, value, and the Unix time of the reading (0 leaves it to the reader)."""

    name: str
    help: str
    kind: str
    samples: Sequence[tuple[dict[str, str], float, float]]

    def lines(self) -> Iterator[str]:
        yield from _head(self.name, self.help, self.kind)
        for labels, value, at in self.samples:
            yield _sample(self.name, labels, value) + (f" {int(at * 1000)}" if at else "")


class Histogram:
    """How many observations were at most as large as each of some bounds."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times


class Distribution(NamedTuple):
    """A metric that is a histogram for each of some labels."""

    name: str
    help: str
    histograms: Sequence[tuple[dict[str, str], Histogram]]

    def lines(self) -> Iterator[str]:
        yield from _head(self.name, self.help, "histogram")
        for labels, histogram in self.histograms:
            count = 0
            for bound, number in zip([*map(_number, histogram.bounds), "+Inf"], histogram.counts, strict=True):
                count += number
                yield _sample(f"{self.name}_bucket", {**labels, "le": bound}, count)
            yield _sample(f"{self.name}_sum", labels, histogram.sum)
            yield _sample(f"{self.name}_count", labels, count)


def exposition(families: Iterable[Family | Distribution]) -> str:
    """The text, families in order of their names."""
    return "".join(f"{line}\n" for family in sorted(families, key=lambda row: row.name) for line in family.lines())


def _head(name: str, help: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {help}"
    yield f"# TYPE {name} {kind}"


def _sample(name: str, labels: dict[str, str], value: float) -> str:
    pairs = ",".join(f'{key}="{_escaped(text)}"' for key, text in sorted(labels.items()))
    return f"{name}{{{pairs}}} {_number(value)}".replace("{}", "")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
