"""When a schedule is due: cron's five fields, ``@daily`` and its like, or ``@every 1h30m``, in a time zone.

https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#schedule-syntax
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo

from croniter import CroniterError, croniter

#: more starts than these missed, and none is made up for: a clock that jumped, or a controller that was away for days
TOO_MANY = 100

_EVERY = re.compile(r"@every\s+((?:\d+(?:\.\d+)?(?:h|m|s))+)")
_UNITS = {"h": 3600, "m": 60, "s": 1}


class UnknownZone(ValueError):
    """spec.timeZone names none."""


class Unparseable(ValueError):
    """spec.schedule cannot be read."""


class Due(NamedTuple):
    """``latest`` start that was due and has not been made, None if none; ``missed`` counts them, to `TOO_MANY` + 1."""

    latest: datetime | None
    missed: int


class Schedule:
    """The times of one CronJob; all times are aware."""

    def __init__(self, text: str, zone: str | None = None) -> None:
        """Raises UnknownZone, Unparseable."""
        self._zone = _zone(zone)
        self._text = text
        every = _EVERY.fullmatch(text.strip())
        self._every = _duration(every[1]) if every else None
        if self._every is None:
            try:
                croniter(text, datetime.now(self._zone))
            except (CroniterError, ValueError) as error:
                raise Unparseable(str(error)) from None

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The times after a moment, in order."""
        if self._every is not None:
            start = moment.astimezone(self._zone).replace(microsecond=0)
            while True:
                start += self._every
                yield start
        times = croniter(self._text, moment.astimezone(self._zone))
        while True:
            yield times.get_next(datetime)

    def due(self, since: datetime, now: datetime) -> Due:
        """What should have started after ``since`` and until now."""
        latest, missed = None, 0
        for moment in self.after(since):
            if moment > now:
                return Due(latest, missed)
            latest, missed = moment, missed + 1
            if missed > TOO_MANY:
                break
        if self._every is None:
            latest = croniter(self._text, now.astimezone(self._zone) + timedelta(microseconds=1)).get_prev(datetime)
        return Due(latest, missed)


def _zone(name: str | None) -> tzinfo:
    if name is None:
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise UnknownZone(f"unknown time zone {name}") from None


def _duration(text: str) -> timedelta:
    seconds = sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)(h|m|s)", text))
    return timedelta(seconds=max(int(seconds), 1))
