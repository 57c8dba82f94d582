"""A link's options, Mininet's (bw, delay, jitter, loss, max_queue_size) and more of netem's: read, merged, in words.

They end up as `knet.kernel.qdiscs.Impairment`, one for each direction of a link, in the kernel's units.  Only bw and
max_queue_size do without the kernel module sch_netem, which small kernels lack.  (Mininet itself uses netem for
max_queue_size alone as well; knet takes a pfifo there.)
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from knet.kernel.qdiscs import Impairment

#: packets pass freely
NONE = Impairment()

#: an option's value, as a topology, a command line or an object may say it
Value = str | int | float

_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(us|usec|usecs|ms|msec|msecs|s|sec|secs)")
_SECONDS = {"u": 1e-6, "m": 1e-3, "s": 1.0}
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%?")


def changed(impairment: Impairment, options: Mapping[str, object]) -> Impairment:
    """``impairment`` with ``options`` put over it; None is "as it was", 0 is "no longer".

    Raises ValueError in one line for an option that does not exist, where a value has no meaning, or for one that has
    none without another.
    """
    given: dict[str, Any] = {}
    for option, value in options.items():
        if option not in _ROWS:
            raise ValueError(f"unknown option {option}; there are {', '.join(OPTIONS)}")
        if value is not None:
            given[_ROWS[option].field] = _ROWS[option].read(option, value)
    result = replace(impairment, **given)
    if result.jitter and not result.delay:
        raise ValueError("jitter needs a delay from which to deviate")
    if result.reorder and not result.delay:
        raise ValueError("reorder needs a delay, without which there is nobody to overtake")
    if result.loss_correlation and not result.loss:
        raise ValueError("loss_correlation needs a loss")
    return result


def options(impairment: Impairment) -> dict[str, Value]:
    """The options that make this impairment, as `changed` reads them: ``{"bw": 10, "delay": "20ms"}``."""
    return {option: row.write(value) for option, row in _ROWS.items() if (value := getattr(impairment, row.field))}


def netem_options(impairment: Impairment) -> tuple[str, ...]:
    """The names of the options in force that only sch_netem can carry out."""
    return tuple(name for name in options(impairment) if name not in ("bw", "max_queue_size"))


def text(impairment: Impairment) -> str:
    """In words, "" where packets pass freely: ``10 Mbit/s, 20 ms ± 2 ms, loss 1 %, queue 100 packets``."""
    words: list[str] = []
    for option, value in options(impairment).items():
        if option in ("jitter", "loss_correlation"):
            words[-1] += _ROWS[option].words.format(value)
        else:
            words.append(_ROWS[option].words.format(value))
    return ", ".join(words).replace("us", " µs").replace("ms", " ms")


def _bandwidth(name: str, value: object) -> float:
    try:
        megabits = float(str(value))
    except ValueError:
        megabits = -1.0
    if not 0 <= megabits <= 100_000:
        raise ValueError(f"{name}={value!r} is no bandwidth: a number of Mbit/s is meant, such as bw=10")
    return megabits * 1e6


def seconds(name: str, value: object) -> float:
    """A time as an option has it: ``20ms``, 0; ValueError."""
    match = _TIME.fullmatch(str(value).strip())
    if match:
        return float(match[1]) * _SECONDS[match[2][0]]
    if str(value).strip() in ("", "0", "0.0"):
        return 0.0
    # a bare number would mean microseconds to tc, which nobody expects
    raise ValueError(f"{name}={value!r} is no time: a number with its unit is meant, such as {name}='20ms'")


def _probability(name: str, value: object) -> float:
    match = _PERCENT.fullmatch(str(value).strip())
    if match is None or float(match[1]) > 100:
        raise ValueError(f"{name}={value!r} is no percentage: a number from 0 to 100 is meant, such as {name}=1")
    return float(match[1]) / 100


def _packets(name: str, value: object) -> int:
    if not str(value).isdigit():
        raise ValueError(f"{name}={value!r} is no number of packets, such as max_queue_size=100")
    return int(str(value))


def _in_percent(probability: float) -> Value:
    return round(probability * 100, 6)


def in_time(seconds: float) -> str:
    """As `seconds` reads it."""
    return f"{round(seconds * 1e3, 6):g}ms" if seconds >= 1e-3 else f"{round(seconds * 1e6, 3):g}us"


class _Row(NamedTuple):
    """An option: the kernel layer's field, how its value is read and written, and in words."""

    field: str
    read: Callable[[str, object], float]
    write: Callable[[Any], Value]
    words: str


_ROWS = {
    "bw": _Row("rate", _bandwidth, lambda rate: round(rate / 1e6, 6), "{:g} Mbit/s"),
    "delay": _Row("delay", seconds, in_time, "{}"),
    "jitter": _Row("jitter", seconds, in_time, " ± {}"),
    "loss": _Row("loss", _probability, _in_percent, "loss {:g} %"),
    "loss_correlation": _Row("loss_correlation", _probability, _in_percent, " (correlation {:g} %)"),
    "duplicate": _Row("duplicate", _probability, _in_percent, "duplicate {:g} %"),
    "reorder": _Row("reorder", _probability, _in_percent, "reorder {:g} %"),
    "corrupt": _Row("corrupt", _probability, _in_percent, "corrupt {:g} %"),
    "max_queue_size": _Row("queue", _packets, int, "queue {} packets"),
}

#: the names of all options that impair
OPTIONS = tuple(_ROWS)
