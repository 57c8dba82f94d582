"""How a check words what it found: quoted names, in singular or plural."""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, NamedTuple

from knet.store import Object


class Finding(NamedTuple):
    """Why a Pod does not meet a standard."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})"


def containers_of(spec: Object) -> Iterator[Object]:
    """All containers, in the order in which they are reported."""
    for key in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(key) or ()


def security_of(part: Object) -> Object:
    """The securityContext of a container or a Pod's spec."""
    found: Object = part.get("securityContext") or {}
    return found


def names_where(spec: Object, bad: Callable[[Object], Any]) -> list[str]:
    """The names of the containers that a predicate finds fault with."""
    return [container.get("name", "") for container in containers_of(spec) if bad(container)]


def quoted(items: Iterable[str]) -> str:
    return ", ".join(f'"{item}"' for item in items)


def plural(word: str, items: Collection[object]) -> str:
    return word if len(items) == 1 else f"{word}s"


def named(word: str, names: Collection[str]) -> str:
    """``container "a"``, ``containers "a", "b"``."""
    return f"{plural(word, names)} {quoted(names)}"


def setters(pod: bool, names: Collection[str]) -> str:
    """``pod and container "a"``: who sets something that must not be set."""
    return " and ".join([*(["pod"] if pod else []), *([named("container", names)] if names else [])])
