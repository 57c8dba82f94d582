"""Cron schedules, refused in the words of the parser that upstream uses (github.com/robfig/cron, ParseStandard)."""

import re
import zoneinfo
from dataclasses import dataclass, field
from functools import lru_cache

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DESCRIPTORS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_DURATION = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))*")


@dataclass(frozen=True)
class _Bounds:
    low: int
    high: int
    names: dict[str, int] = field(default_factory=dict)


_FIELDS = (
    _Bounds(0, 59),
    _Bounds(0, 23),
    _Bounds(1, 31),
    _Bounds(1, 12, {name: index for index, name in enumerate(_MONTHS, 1)}),
    _Bounds(0, 6, {name: index for index, name in enumerate(_DAYS)}),
)


class _Wrong(ValueError):
    pass


def wrong_schedule(text: str) -> str:
    """What is wrong with a schedule, or ""."""
    try:
        if text.startswith("@"):
            _descriptor(text)
            return ""
        parts = text.split()
        if len(parts) != len(_FIELDS):
            raise _Wrong(f"expected exactly 5 fields, found {len(parts)}: [{' '.join(parts)}]")
        for part, bounds in zip(parts, _FIELDS, strict=True):
            for expression in part.split(","):
                _range(expression, bounds)
    except _Wrong as error:
        return str(error)
    return ""


def _descriptor(text: str) -> None:
    if text in _DESCRIPTORS:
        return
    every = text.removeprefix("@every ")
    if every != text:
        if not _DURATION.fullmatch(every):
            raise _Wrong(f'failed to parse duration {text}: time: invalid duration "{every}"')
        return
    raise _Wrong(f"unrecognized descriptor: {text}")


def _range(expression: str, bounds: _Bounds) -> None:
    """``*``, ``1-5``, ``*/15``, ``MON-FRI/2``."""
    span, *steps = expression.split("/")
    low, *highs = span.split("-")
    if low in ("*", "?"):
        start, end = bounds.low, bounds.high
    else:
        start = _number(low, bounds)
        end = _number(highs[0], bounds) if highs else start
        if len(highs) > 1:
            raise _Wrong(f"too many hyphens: {expression}")
    if len(steps) > 1:
        raise _Wrong(f"too many slashes: {expression}")
    step = 1
    if steps:
        step = _plain_number(steps[0])
        if not highs:
            end = bounds.high
    for bad, why in (
        (start < bounds.low, f"beginning of range ({start}) below minimum ({bounds.low})"),
        (end > bounds.high, f"end of range ({end}) above maximum ({bounds.high})"),
        (start > end, f"beginning of range ({start}) beyond end of range ({end})"),
        (step == 0, "step of range should be a positive number"),
    ):
        if bad:
            raise _Wrong(f"{why}: {expression}")


def _number(text: str, bounds: _Bounds) -> int:
    named = bounds.names.get(text.lower())
    return _plain_number(text) if named is None else named


def _plain_number(text: str) -> int:
    if not re.fullmatch(r"[-+]?[0-9]{1,18}", text):
        raise _Wrong(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    if int(text) < 0:
        raise _Wrong(f"negative number ({int(text)}) not allowed: {text}")
    return int(text)


@lru_cache(maxsize=256)
def wrong_time_zone(name: str) -> str:
    """What is wrong with the name of a time zone, or ""."""
    if name.lower() == "local":
        return "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return f"unknown time zone {name}"
    return ""
