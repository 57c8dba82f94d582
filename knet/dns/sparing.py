"""A log that a flood cannot fill: what it said a moment ago it does not say again."""

import logging
import time
from collections.abc import Callable

#: seconds for which a message like the last one of its kind is left out
_SILENCE = 5.0


class Sparing:
    """Messages are of one kind if their text before the arguments is the same; left out ones are counted."""

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._last: dict[str, tuple[float, int]] = {}

    def error(self, message: str, *arguments: object) -> None:
        said, left_out = self._last.get(message, (-_SILENCE, 0))
        now = self._clock()
        if now - said < _SILENCE:
            self._last[message] = (said, left_out + 1)
            return
        self._last[message] = (now, 0)
        more = f" (and {left_out} more like this)" if left_out else ""
        self._log.error(message + more, *arguments)
