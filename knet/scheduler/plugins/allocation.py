"""Which resources the scores weigh that look at how full a node would be."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple


class Resource(NamedTuple):
    name: str
    weight: int


class Share(NamedTuple):
    """A resource with what a pod would add to its use."""

    name: str
    weight: int
    asked: int


def resources_of(given: Iterable[tuple[str, int]]) -> tuple[Resource, ...]:
    """Those to reckon with; cpu and memory alike where none are given."""
    return tuple(Resource(*row) for row in given) or (Resource("cpu", 1), Resource("memory", 1))


def shares(resources: Sequence[Resource], asked: Mapping[str, int]) -> list[Share]:
    """An extended resource that the pod does not ask for is not its business."""
    return [Share(name, weight, asked.get(name, 0)) for name, weight in resources if asked.get(name) or "/" not in name]
