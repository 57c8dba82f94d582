"""Packets of several interfaces as one stream, in the order of their times.

Each ring hands its blocks over when it likes, so what has been read is kept until no ring can have anything older: a
tenth of a second.  Packets of one time are in the order of the rings' keys: the kernel gives a packet that climbs
through devices (veth → bridge) the same stamp at each where somebody on the computer has stamps made on arrival, as
ping has.
"""

import selectors
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Generic, TypeVar

from knet.kernel.packets import RETIREMENT, Ring, Seen

T = TypeVar("T")
_TIME_AND_PLACE = itemgetter(0, 1)

#: nanoseconds after which a packet's block has been handed over; the kernel's timers may be late
SETTLED = (2 * RETIREMENT + 60) * 1_000_000


class Tap(Generic[T]):
    """Reads rings, each under a key of the caller's, and closes them."""

    def __init__(self, rings: Mapping[T, Ring]) -> None:
        self._rings: dict[T, Ring] = {}
        self._lost: dict[T, int] = {}
        self._vanished: list[T] = []
        self._kept: list[Seen[T]] = []
        self._selector = selectors.DefaultSelector()
        for key, ring in rings.items():
            self.add(key, ring)

    def __enter__(self) -> "Tap[T]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for key in list(self._rings):
            self.drop(key)
        self._selector.close()

    def add(self, key: T, ring: Ring) -> None:
        """One more."""
        self._rings[key] = ring
        self._selector.register(ring, selectors.EVENT_READ, key)

    def drop(self, key: T) -> None:
        """Let go of one; what has been read of it still comes."""
        ring = self._rings.pop(key)
        self._kept += ring.read(key)
        self._lost[key] = ring.lost
        self._selector.unregister(ring)
        ring.close()

    @property
    def open(self) -> Sequence[T]:
        return list(self._rings)

    def vanished(self) -> list[T]:
        """Those whose interface has been deleted since this was asked last; they have been let go of."""
        found, self._vanished = self._vanished, []
        return found

    @property
    def lost(self) -> dict[T, int]:
        """How many packets each ring had no room for."""
        return self._lost | {key: ring.lost for key, ring in self._rings.items()}

    def read(self, timeout: float) -> list[Seen[T]]:
        """The packets that have settled, in order; waits at most so many seconds for some to arrive."""
        horizon = time.time_ns() - SETTLED
        if self._kept:
            timeout = min(timeout, SETTLED / 2e9)
        self._gather(timeout)
        return self._settled(horizon)

    def finish(self, until: int) -> list[Seen[T]]:
        """The rest, up to a moment (nanoseconds since 1970): waits until all that was before it has settled."""
        while (left := until + SETTLED - time.time_ns()) > 0 and self._rings:
            self._gather(left / 1e9)
        self._gather(0)
        return self._settled(until + 1)

    def _gather(self, timeout: float) -> None:
        ready = {key.data for key, _ in self._selector.select(timeout)}
        for key in [key for key in self._rings if key in ready]:
            ring = self._rings[key]
            packets = ring.read(key)
            self._kept += packets
            if not packets:
                ring.acknowledge()
                if ring.gone:
                    self.drop(key)
                    self._vanished.append(key)

    def _settled(self, horizon: int) -> list[Seen[T]]:
        kept = self._kept
        kept.sort(key=_TIME_AND_PLACE)
        end = bisect_left(kept, horizon, key=itemgetter(0))
        self._kept = kept[end:]
        return kept[:end]
