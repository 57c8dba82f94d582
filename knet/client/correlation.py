"""Which Events are worth a write: client-go's EventCorrelator.

From the tenth different message of one reason about one object on, those within ten minutes of each other become one
Event, "(combined from similar events)", that is counted up.  Of what one component has to say of one object, 25 are
written at once and then one in five minutes: a ReplicaSet of a thousand pods does not tell of each.

https://github.com/kubernetes/client-go: tools/record/events_cache.go
"""

from collections.abc import Hashable
from typing import NamedTuple, TypeVar

#: different messages until they are combined, and the seconds of silence after which they are told apart again
SIMILAR, SIMILAR_WITHIN = 10, 600.0
#: Events of one object that may be written at once, and the seconds until there may be one more
BURST, REFILL = 25, 300.0
#: of how many objects and reasons so much is remembered, the oldest forgotten first
REMEMBERED = 4096
COMBINED = "(combined from similar events): "

V = TypeVar("V")


class _Messages(NamedTuple):
    """What was said of one reason lately; ``until`` then it is forgotten if nothing more is said."""

    texts: set[str]
    until: float


class _Bucket(NamedTuple):
    tokens: float
    at: float


class Correlator:
    """``about`` is an object, ``subject`` it and what kind of thing is said of it; times are in seconds."""

    def __init__(self) -> None:
        self._messages: dict[Hashable, _Messages] = {}
        self._buckets: dict[Hashable, _Bucket] = {}

    def combined(self, subject: Hashable, message: str, now: float) -> bool:
        """Whether a message goes into the one Event of its like."""
        known = self._messages.pop(subject, None)
        texts = known.texts if known is not None and now < known.until else set()
        texts.add(message)
        _keep(self._messages, subject, _Messages(texts, now + SIMILAR_WITHIN))
        if len(texts) < SIMILAR:
            return False
        texts.discard(message)  # so that those told before are still counted by themselves
        return True

    def admitted(self, about: Hashable, now: float) -> bool:
        """Whether one more Event of an object is written."""
        bucket = self._buckets.pop(about, _Bucket(BURST, now))
        tokens = min(BURST, bucket.tokens + (now - bucket.at) / REFILL)
        _keep(self._buckets, about, _Bucket(tokens - 1 if tokens >= 1 else tokens, now))
        return tokens >= 1


def _keep(table: dict[Hashable, V], key: Hashable, value: V) -> None:
    table[key] = value
    if len(table) > REMEMBERED:
        del table[next(iter(table))]
