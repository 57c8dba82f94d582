"""Mininet's link options (bw, delay, jitter, loss, max_queue_size): read, merged, put into words.

They end up as `knet.kernel.qdiscs.Impairment`, one for each direction of a link, in the kernel's units.  Only delay,
jitter and loss need the kernel module sch_netem, which small kernels lack.  (Mininet itself uses netem for
max_queue_size alone as well; knet takes a pfifo there.)
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from knet.kernel.qdiscs import Impairment

#: packets pass freely
NONE = Impairment()

_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(us|usec|usecs|ms|msec|msecs|s|sec|secs)")
_SECONDS = {"u": 1e-6, "m": 1e-3, "s": 1.0}
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%?")


def changed(impairment: Impairment, options: Mapping[str, object]) -> Impairment:
    """``impairment`` with Mininet's ``options`` put over it; None is "as it was", 0 is "no longer".

    Raises ValueError in one line where a value has no meaning, or jitter has no delay to deviate from.
    """
    given: dict[str, Any] = {}
    for option, value in options.items():
        if value is not None:
            field, read = _ROWS[option]
            given[field] = read(option, value)
    result = replace(impairment, **given)
    if result.jitter and not result.delay:
        raise ValueError("jitter needs a delay from which to deviate")
    return result


def netem_options(impairment: Impairment) -> tuple[str, ...]:
    """Mininet's names of the options in force that only sch_netem can carry out."""
    return tuple(name for name in ("delay", "jitter", "loss") if getattr(impairment, name))


def text(impairment: Impairment) -> str:
    """In words, "" where packets pass freely: ``10 Mbit/s, 20 ms ± 2 ms, loss 1 %, queue 100 packets``."""
    parts = []
    if impairment.rate:
        parts.append(f"{impairment.rate / 1e6:g} Mbit/s")
    if impairment.delay:
        jitter = f" ± {_time_text(impairment.jitter)}" if impairment.jitter else ""
        parts.append(_time_text(impairment.delay) + jitter)
    if impairment.loss:
        parts.append(f"loss {impairment.loss * 100:g} %")
    if impairment.queue:
        parts.append(f"queue {impairment.queue} packets")
    return ", ".join(parts)


def _time_text(seconds: float) -> str:
    return f"{seconds * 1e3:g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:g} µs"


def _bandwidth(name: str, value: object) -> float:
    try:
        megabits = float(str(value))
    except ValueError:
        megabits = -1.0
    if not 0 <= megabits <= 100_000:
        raise ValueError(f"{name}={value!r} is no bandwidth: a number of Mbit/s is meant, such as bw=10")
    return megabits * 1e6


def _time(name: str, value: object) -> float:
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
        raise ValueError(f"{name}={value!r} is no percentage: a number from 0 to 100 is meant, such as loss=1")
    return float(match[1]) / 100


def _packets(name: str, value: object) -> int:
    if not str(value).isdigit():
        raise ValueError(f"{name}={value!r} is no number of packets, such as max_queue_size=100")
    return int(str(value))


#: Mininet's option → the kernel layer's field, and how to read a value
_ROWS: dict[str, tuple[str, Callable[[str, object], float]]] = {
    "bw": ("rate", _bandwidth),
    "delay": ("delay", _time),
    "jitter": ("jitter", _time),
    "loss": ("loss", _probability),
    "max_queue_size": ("queue", _packets),
}

#: the names of all options that impair
OPTIONS = tuple(_ROWS)
