"""What admission has to tell about the request under way: annotations of its audit event, where somebody keeps them."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Annotations:
    """Those of one event; ``bodies``: it tells of what was sent, and so may tell what became of that."""

    bodies: bool
    found: dict[str, str] = field(default_factory=dict)


_present: ContextVar[Annotations | None] = ContextVar("annotations", default=None)


@contextmanager
def kept(annotations: Annotations) -> Iterator[None]:
    """Keep what is annotated in the meantime."""
    token = _present.set(annotations)
    try:
        yield
    finally:
        _present.reset(token)


def wanted(bodies: bool = False) -> bool:
    """Whether annotations are kept at all (those with parts of bodies)."""
    present = _present.get()
    return present is not None and (present.bodies or not bodies)


def annotate(key: str, value: str) -> None:
    """Add an annotation; the first under a key stays."""
    present = _present.get()
    if present is not None:
        present.found.setdefault(key, value)
