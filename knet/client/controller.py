"""Keys in, reconciled world out: the work queue and the loop around a Reconciler.

As in client-go, a key is in at most one worker's hands, a key that changes meanwhile is worked on again, and one
that fails comes back after a delay that doubles.  The reconciler sees a key, never an event.
"""

import asyncio
import logging
from collections.abc import Hashable, Sequence
from typing import NamedTuple, Protocol

from knet.api.exposition import Family
from knet.api.objects import KubeObject
from knet.client.client import ApiError, Conflict, Unavailable

log = logging.getLogger(__name__)

#: seconds: first retry and longest (client-go's DefaultControllerRateLimiter: 5 ms … 1000 s; a lab waits less)
BACKOFF = (0.005, 10.0)


class Key(NamedTuple):
    """Names an object of a kind that the reader knows; namespace is "" for cluster-scoped kinds."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def key_of(row: KubeObject) -> Key:
    return Key(row.namespace, row.name)


class Result(NamedTuple):
    """What a reconcile asks for: to be called again in so many seconds, or only when something changes."""

    requeue_after: float | None = None


class Reconciler(Protocol):
    """Brings the world behind a key to its desired state; calling it twice changes nothing the second time.

    A Conflict or Unavailable that it lets out means "again soon"; any other exception is logged with its
    traceback and retried with growing delay.
    """

    async def reconcile(self, key: Key) -> Result | None: ...


class WorkQueue:
    """Three sets: waiting (in order), in work, and changed while in work."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, None] = {}
        self._working: set[Hashable] = set()
        self._again: set[Hashable] = set()
        self._timers: dict[Hashable, asyncio.TimerHandle] = {}
        self._failures: dict[Hashable, int] = {}
        self._wake = asyncio.Event()
        #: how often a key came in that was not there, and how often one was asked for again after a failure
        self.adds = self.retries = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: Hashable) -> None:
        """Ask for a key to be worked on; asking twice before it happens is asking once."""
        if key in self._working:
            self._again.add(key)
        elif key not in self._waiting:
            self.adds += 1
            self._waiting[key] = None
            self._wake.set()

    def add_after(self, key: Hashable, seconds: float) -> None:
        """Ask later; the earlier of two such wishes counts."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        pending = self._timers.get(key)
        if pending is not None:
            if pending.when() <= due:
                return
            pending.cancel()
        self._timers[key] = loop.call_at(due, self._due, key)

    def _due(self, key: Hashable) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def retry(self, key: Hashable) -> float:
        """Ask again after this key's growing delay, which is returned (seconds)."""
        self.retries += 1
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = min(BACKOFF[0] * 2.0 ** min(failures, 30), BACKOFF[1])
        self.add_after(key, delay)
        return delay

    def forget(self, key: Hashable) -> None:
        """The key succeeded: its next failure starts from the shortest delay."""
        self._failures.pop(key, None)

    async def get(self) -> Hashable:
        """The next key; it must be given back with `done`."""
        while not self._waiting:
            self._wake.clear()
            await self._wake.wait()
        key = next(iter(self._waiting))
        del self._waiting[key]
        self._working.add(key)
        return key

    def done(self, key: Hashable) -> None:
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)


class Controller:
    """Workers that take keys from a queue to a reconciler.

    ``rest`` (seconds) is how long a key stays out of reach after each pass: the first change is acted on at once,
    a burst of further ones (a hundred pods becoming ready) by one pass per rest instead of one each.
    """

    def __init__(self, name: str, reconciler: Reconciler, workers: int = 4, rest: float = 0) -> None:
        self.name = name
        self.queue = WorkQueue()
        self._reconciler = reconciler
        self._workers = workers
        self._rest = rest

    def enqueue(self, key: Key) -> None:
        self.queue.add(key)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            assert isinstance(key, Key)
            try:
                await self._reconcile(key)
            finally:
                if self._rest:
                    asyncio.get_running_loop().call_later(self._rest, self.queue.done, key)
                else:
                    self.queue.done(key)

    async def _reconcile(self, key: Key) -> None:
        try:
            result = await self._reconciler.reconcile(key)
        except (Conflict, Unavailable) as error:
            delay = self.queue.retry(key)
            log.info("%s %s: %s; again in %.3f s", self.name, key, error, delay)
        except ApiError as error:
            delay = self.queue.retry(key)
            log.warning("%s %s: %s; again in %.3f s", self.name, key, error, delay)
        except Exception:  # one bad object must not stop the controller for all others
            delay = self.queue.retry(key)
            log.exception("%s %s failed; again in %.3f s", self.name, key, delay)
        else:
            self.queue.forget(key)
            if result is not None and result.requeue_after is not None:
                self.queue.add_after(key, result.requeue_after)


def queue_families(controllers: Sequence["Controller"]) -> list[Family]:
    """What /metrics tells of controllers' queues, under client-go's names."""
    rows = [({"name": row.name}, row.queue) for row in controllers]
    return [
        Family("workqueue_depth", "Current depth of workqueue", "gauge", [(name, len(row), 0) for name, row in rows]),
        Family("workqueue_adds_total", "Total number of adds handled by workqueue", "counter",
               [(name, row.adds, 0) for name, row in rows]),
        Family("workqueue_retries_total", "Total number of retries handled by workqueue", "counter",
               [(name, row.retries, 0) for name, row in rows]),
    ]  # fmt: skip
