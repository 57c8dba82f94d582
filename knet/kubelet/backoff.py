"""Growing delays between attempts that keep failing (client-go's flowcontrol.Backoff)."""

from dataclasses import dataclass


@dataclass
class _Entry:
    delay: float
    updated: float


class Backoff:
    """Delays per key: ``first`` seconds, doubled each time up to ``longest``, forgotten after a quiet while.

    Time is always given, never asked for.
    """

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._entries: dict[str, _Entry] = {}

    def next(self, key: str, now: float) -> float:
        """Note another attempt; the delay that the following one will have to wait."""
        entry = self._entries.get(key)
        if entry is None or self._forgotten(entry, now):
            entry = self._entries[key] = _Entry(self._first, now)
        else:
            entry.delay = min(2 * entry.delay, self._longest)
            entry.updated = now
        return entry.delay

    def delay(self, key: str, now: float) -> float:
        """The present delay, 0 where nothing failed lately."""
        entry = self._entries.get(key)
        return 0.0 if entry is None or self._forgotten(entry, now) else entry.delay

    def reset(self, key: str) -> None:
        self._entries.pop(key, None)

    def _forgotten(self, entry: _Entry, now: float) -> bool:
        return now - entry.updated > 2 * self._longest


def duration(seconds: float) -> str:
    """As Go prints it, for messages: ``10s``, ``1m20s``, ``500ms``."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
