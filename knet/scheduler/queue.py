"""Pods without a node: who is next (activeQ), who backs off (backoffQ), who sleeps until something helps.

A pod that fits nowhere sleeps among the unschedulable. A change that can help one of the plugins that rejected it wakes
it, though not before its backoff is over, which doubles with each attempt. A gated pod sleeps, too, until its gates are
gone.  upstream: backend/queue/scheduling_queue.go.
"""

import asyncio
import heapq
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from knet.api.objects import Pod
from knet.client import Key, key_of
from knet.scheduler.hints import Change
from knet.scheduler.plugin import Plugin
from knet.scheduler.pod import PodInfo

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Waits:
    """Seconds: the first backoff, the longest, and after how long a sleeping pod is tried without any hint."""

    initial_backoff: float
    max_backoff: float
    max_in_unschedulable: float


@dataclass(eq=False)
class Waiting:
    """A pod in the queue. ``since`` is when it came to where it is, on the loop's clock.

    ``rejected_by`` are the names of the plugins that refused it last time; ``gated``: they did so before it was tried.
    """

    pod: PodInfo
    since: float
    attempts: int = 0
    rejected_by: frozenset[str] = field(default_factory=frozenset)
    gated: bool = False
    #: what is being written about its last attempt; whatever is written next has to come after that
    telling: asyncio.Task[None] | None = None


class SchedulingQueue:
    """``plugins`` by name; ``gate`` names the one that keeps a pod out, or ""; ``sort_key`` orders those to decide."""

    def __init__(
        self,
        plugins: Mapping[str, Plugin],
        waits: Waits,
        sort_key: Callable[[PodInfo, float], Any],
        gate: Callable[[PodInfo], str] = lambda pod: "",
    ) -> None:
        self._plugins = plugins
        self._waits = waits
        self._sort_key = sort_key
        self._gate = gate
        self._known: dict[Key, Waiting] = {}
        self._active: list[tuple[Any, int, Waiting]] = []
        self._asleep: dict[Key, Waiting] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._sequence = 0
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: Key) -> Waiting | None:
        return self._known.get(key)

    def pending(self) -> dict[str, int]:
        """How many wait where: the queues are upstream's."""
        asleep = Counter("gated" if waiting.gated else "unschedulable" for waiting in self._asleep.values())
        active = sum(self._known.get(row[-1].pod.key) is row[-1] for row in self._active)
        return {
            "active": active,
            "backoff": len(self._timers.keys() - self._asleep.keys()),
            "unschedulable": asleep["unschedulable"],
            "gated": asleep["gated"],
        }

    # ---- in and out ------------------------------------------------------------------------------------------

    def add(self, pod: Pod) -> None:
        """A pod that has no node yet: new, or changed while it waits."""
        key = key_of(pod)
        known = self._known.get(key)
        if known is None or known.pod.uid != pod.uid:
            self.remove(key)
            waiting = self._known[key] = Waiting(PodInfo(pod), _now())
            self._activate(key, waiting)
            return
        before = known.pod
        known.pod = before.renewed(pod)
        if key in self._asleep and (before.spec, before.labels) != (pod.spec, pod.metadata.labels):
            self._wake_up(key, known)

    def remove(self, key: Key) -> None:
        """The pod is gone, or has a node."""
        self._known.pop(key, None)
        self._asleep.pop(key, None)
        self._stop_timer(key)

    async def pop(self) -> Waiting:
        """The next pod to decide upon. It stays known until `remove`."""
        while True:
            while not self._active:
                self._wake.clear()
                await self._wake.wait()
            waiting = heapq.heappop(self._active)[-1]
            if self._known.get(waiting.pod.key) is waiting:
                waiting.attempts += 1
                return waiting

    def put_to_sleep(self, waiting: Waiting, rejected_by: frozenset[str]) -> None:
        """It fits nowhere: until a change helps one of those plugins, or it has slept long enough."""
        key = waiting.pod.key
        if self._known.get(key) is waiting:
            waiting.since, waiting.rejected_by = _now(), rejected_by
            self._asleep[key] = waiting
            self._after(key, self._waits.max_in_unschedulable)

    def retry(self, waiting: Waiting) -> None:
        """Something failed that was not the pod's fault (a bind): again after its backoff."""
        key = waiting.pod.key
        if self._known.get(key) is waiting:
            waiting.since, waiting.rejected_by = _now(), frozenset()
            self._wake_up(key, waiting)

    # ---- waking ----------------------------------------------------------------------------------------------

    def woken_by(self, change: Change, old: Any = None, new: Any = None) -> None:
        """The cluster has changed: wake those whom it can help. No plugin's name means: anything can."""
        for key, waiting in list(self._asleep.items()):
            names = waiting.rejected_by
            if not names or any(self._helps(name, waiting.pod, change, old, new) for name in names):
                self._wake_up(key, waiting)

    def wake(self, key: Key) -> None:
        """Wake one that sleeps, for a reason that no plugin knows of."""
        waiting = self._asleep.get(key)
        if waiting is not None:
            self._wake_up(key, waiting)

    def _helps(self, name: str, pod: PodInfo, change: Change, old: Any, new: Any) -> bool:
        plugin = self._plugins.get(name)
        if plugin is None or change not in plugin.helped_by:
            return False
        try:
            return plugin.helps(pod, change, old, new)
        except Exception:  # a user's plugin: rather once too often than never
            log.exception("plugin %s could not say whether %s helps %s", name, change.value, pod.key)
            return True

    def _wake_up(self, key: Key, waiting: Waiting) -> None:
        self._asleep.pop(key, None)
        left = waiting.since + self._backoff(waiting.attempts) - _now() if not waiting.gated else 0
        if left > 0:
            self._after(key, left)
        else:
            self._activate(key, waiting)

    def _backoff(self, attempts: int) -> float:
        waits = self._waits
        return min(waits.initial_backoff * 2.0 ** min(max(attempts - 1, 0), 30), waits.max_backoff)

    def _after(self, key: Key, seconds: float) -> None:
        self._stop_timer(key)
        self._timers[key] = asyncio.get_running_loop().call_later(seconds, self._due, key)

    def _stop_timer(self, key: Key) -> None:
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()

    def _due(self, key: Key) -> None:
        waiting = self._known.get(key)
        if waiting is not None:
            self._asleep.pop(key, None)
            self._activate(key, waiting)

    def _activate(self, key: Key, waiting: Waiting) -> None:
        self._stop_timer(key)
        keeper = self._gate(waiting.pod)
        waiting.gated = bool(keeper)
        if keeper:
            waiting.rejected_by = frozenset({keeper})
            self._asleep[key] = waiting
            return
        waiting.since = _now()
        self._sequence += 1
        heapq.heappush(self._active, (self._sort_key(waiting.pod, waiting.since), self._sequence, waiting))
        self._wake.set()


def _now() -> float:
    return asyncio.get_running_loop().time()
