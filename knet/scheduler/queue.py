"""Pods without a node, in three places: to be decided next, backing off, asleep until something helps.

A pod that fits nowhere sleeps. A change that can help one of the plugins that rejected it wakes it, though not before
its backoff is over, which doubles with each attempt.  upstream: backend/queue/scheduling_queue.go.
"""

import asyncio
import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field

from knet.api.objects import Pod
from knet.client import Key, key_of
from knet.scheduler.hints import Change

#: seconds after which a sleeping pod is tried again without any hint (podMaxInUnschedulablePodsDuration)
LONGEST_SLEEP = 300.0


@dataclass
class Waiting:
    """A pod in the queue. ``rejected_by``: names of the plugins that refused it last time; times are the loop's."""

    pod: Pod
    added: float
    attempts: int = 0
    tried: float = 0.0
    rejected_by: frozenset[str] = field(default_factory=frozenset)


class SchedulingQueue:
    """``helped_by``: by plugin, the changes that can help it; ``backoff``: the first delay and the longest, seconds."""

    def __init__(self, helped_by: Mapping[str, frozenset[Change]], backoff: tuple[float, float]) -> None:
        self._helped_by = helped_by
        self._backoff = backoff
        self._known: dict[Key, Waiting] = {}
        self._active: list[tuple[int, float, int, Waiting]] = []
        self._asleep: dict[Key, Waiting] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._sequence = 0
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._known)

    def add(self, pod: Pod) -> None:
        """A pod that has no node yet: new, or changed while it waits."""
        key = key_of(pod)
        known = self._known.get(key)
        if known is None or known.pod.uid != pod.uid:
            self.remove(key)
            self._activate(key, Waiting(pod, _now()))
            return
        changed = (known.pod.spec, known.pod.metadata.labels) != (pod.spec, pod.metadata.labels)
        known.pod = pod
        if changed and key in self._asleep:
            self._wake_up(key, known)

    def remove(self, key: Key) -> None:
        """The pod is gone, or has a node."""
        self._known.pop(key, None)
        self._asleep.pop(key, None)
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()

    async def pop(self) -> Waiting:
        """The next pod: highest priority first, then the longest waiting. It stays known until `remove`."""
        while True:
            while not self._active:
                self._wake.clear()
                await self._wake.wait()
            waiting = heapq.heappop(self._active)[-1]
            if self._known.get(key_of(waiting.pod)) is waiting:
                waiting.attempts += 1
                return waiting

    def put_to_sleep(self, waiting: Waiting, rejected_by: frozenset[str]) -> None:
        """It fits nowhere: until a change helps one of those plugins, or after five minutes."""
        key = key_of(waiting.pod)
        if self._known.get(key) is not waiting:
            return
        waiting.tried, waiting.rejected_by = _now(), rejected_by
        self._asleep[key] = waiting
        self._after(key, LONGEST_SLEEP)

    def retry(self, waiting: Waiting) -> None:
        """Something failed that was not the pod's fault (a bind): again after its backoff."""
        key = key_of(waiting.pod)
        if self._known.get(key) is waiting:
            waiting.tried = _now()
            self._wake_up(key, waiting)

    def woken_by(self, change: Change) -> None:
        """The cluster has changed: wake those whom it can help. No plugin's name means: anything can."""
        for key, waiting in list(self._asleep.items()):
            rejected_by = waiting.rejected_by
            if not rejected_by or any(change in self._helped_by.get(name, ()) for name in rejected_by):
                self._wake_up(key, waiting)

    def _wake_up(self, key: Key, waiting: Waiting) -> None:
        self._asleep.pop(key, None)
        left = waiting.tried + self._delay(waiting.attempts) - _now()
        if left > 0:
            self._after(key, left)
        else:
            self._activate(key, waiting)

    def _delay(self, attempts: int) -> float:
        first, longest = self._backoff
        return min(first * 2.0 ** min(max(attempts - 1, 0), 30), longest)

    def _after(self, key: Key, seconds: float) -> None:
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()
        self._timers[key] = asyncio.get_running_loop().call_later(seconds, self._due, key)

    def _due(self, key: Key) -> None:
        waiting = self._known.get(key)
        if waiting is not None:
            self._asleep.pop(key, None)
            self._activate(key, waiting)

    def _activate(self, key: Key, waiting: Waiting) -> None:
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()
        self._known[key] = waiting
        self._sequence += 1
        heapq.heappush(self._active, (-waiting.pod.spec.priority, waiting.added, self._sequence, waiting))
        self._wake.set()


def _now() -> float:
    return asyncio.get_running_loop().time()
