"""Ages in kubectl's notation (apimachinery/pkg/util/duration)."""

from datetime import UTC, datetime

UNKNOWN = "<unknown>"


def human_duration(seconds: int) -> str:
    """Two significant units at most, fewer for longer times.

    >>> [human_duration(n) for n in (5, 119, 125, 600, 3660, 30000, 90000, 864000, 90000000)]
    ['5s', '119s', '2m5s', '10m', '61m', '8h20m', '25h', '10d', '2y311d']
    """
    if seconds < -1:
        return "<invalid>"
    if seconds < 0:
        return "0s"
    if seconds < 60 * 2:
        return f"{seconds}s"
    minutes = seconds // 60
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 60 * 3:
        return f"{minutes}m"
    hours = seconds // 3600
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if hours < 24 * 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if hours < 24 * 365 * 2:
        return f"{days}d"
    years = days // 365
    if hours < 24 * 365 * 8:
        return f"{years}y{days % 365}d" if days % 365 else f"{years}y"
    return f"{years}y"


def seconds_since(timestamp: str, now: datetime | None = None) -> int | None:
    """Whole seconds since an RFC 3339 time, None if it is none."""
    try:
        then = datetime.fromisoformat(timestamp)
    except ValueError:
        return None
    return int(((now or datetime.now(UTC)) - then).total_seconds() // 1)


def age(timestamp: str | None) -> str:
    """How long ago a time was, ``<unknown>`` without one."""
    seconds = seconds_since(timestamp) if timestamp else None
    return UNKNOWN if seconds is None else human_duration(seconds)
