"""``knet delay``: this process learns what its watches tell it some time later, so that a race is lost every time.

What is delayed is what informers hand on, not what a component does with it.  So there is one place for all components,
each of them is true to an older state of the cluster, as one is that a busy machine or a slow link keeps behind, and
nothing stands still meanwhile: leases are renewed, probes run, connections are served.  All kinds wait in one line, so
that what came first is known first; a burst comes as a burst, later.
"""

import asyncio
from collections import deque
from collections.abc import Callable


class Line:
    """What has come and is not known yet.  ``waits`` is whether what comes now has to stand in line."""

    def __init__(self) -> None:
        self.waits = False
        self._seconds = 0.0
        self._held: deque[tuple[float, Callable[[], None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def delay(self, seconds: float) -> None:
        """From now on so much later; what is in line waits no longer than that either, and not at all with 0."""
        self._seconds = seconds
        latest = asyncio.get_running_loop().time() + seconds
        self._held = deque((min(due, latest), act) for due, act in self._held)
        self._serve()

    def join(self, act: Callable[[], None]) -> None:
        """Do this when its time has come, after all that has joined before."""
        due = asyncio.get_running_loop().time() + self._seconds
        self._held.append((max(due, self._held[-1][0]) if self._held else due, act))
        if self._timer is None:
            self._serve()

    def _serve(self) -> None:
        """Do what is due; come again when the next one is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        while self._held and self._held[0][0] <= loop.time():
            self._held.popleft()[1]()
        if self._held:
            self._timer = loop.call_at(self._held[0][0], self._serve)
        self.waits = bool(self._seconds or self._held)


#: this process' own
LINE = Line()
