"""Machines that agree are told once.  Pure."""

from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

T = TypeVar("T", bound=Hashable)


def agreeing(found: Mapping[str, Iterable[T]]) -> list[tuple[tuple[str, ...], tuple[T, ...]]]:
    """Each thing that machines have once, with its machines: what most have in common first, else in their order."""
    machines: dict[T, list[str]] = {}
    for machine, things in found.items():
        for thing in things:
            machines.setdefault(thing, []).append(machine)
    groups: dict[tuple[str, ...], list[T]] = {}
    for thing, names in machines.items():
        groups.setdefault(tuple(names), []).append(thing)
    return sorted(((names, tuple(things)) for names, things in groups.items()), key=lambda row: -len(row[0]))
