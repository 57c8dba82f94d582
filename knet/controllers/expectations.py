"""What a controller has asked for and not yet seen, so that a cache lagging behind never makes it act twice.

A ReplicaSet that has just created five pods must not look at a cache still showing none and create five more.  It
writes down that it expects five creations; the informer's events tick them off; until all are seen (or five minutes
have passed: an event was lost) its replica count is not managed.  upstream: controller_utils.go.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from knet.client import Key

#: seconds after which an expectation that was not met is given up (ExpectationsTimeout)
TIMEOUT = 300.0


@dataclass
class _Expected:
    since: float
    creations: int = 0
    deletions: set[str] = field(default_factory=set)


class Expectations:
    """By the owner's key. Times are the event loop's, in seconds."""

    def __init__(self) -> None:
        self._rows: dict[Key, _Expected] = {}

    def expect_creations(self, key: Key, count: int, now: float) -> None:
        self._rows[key] = _Expected(now, creations=count)

    def expect_deletions(self, key: Key, uids: Iterable[str], now: float) -> None:
        self._rows[key] = _Expected(now, deletions=set(uids))

    def creation_seen(self, key: Key, count: int = 1) -> None:
        """A child appeared, or ``count`` that were expected will never come (the create failed)."""
        if (row := self._rows.get(key)) is not None:
            row.creations = max(0, row.creations - count)

    def deletion_seen(self, key: Key, uid: str) -> None:
        """A child is gone or marked for deletion, or its deletion failed."""
        if (row := self._rows.get(key)) is not None:
            row.deletions.discard(uid)

    def satisfied(self, key: Key, now: float) -> bool:
        """Whether the cache shows all we did (or has had its time)."""
        row = self._rows.get(key)
        return row is None or not (row.creations or row.deletions) or now - row.since > TIMEOUT

    def forget(self, key: Key) -> None:
        self._rows.pop(key, None)
