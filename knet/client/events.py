"""Events: the one line that tells a user why. Repetitions are counted on one Event, bursts cut, as client-go does."""

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import NamedTuple

from knet.api.objects import Event, KubeObject, object_reference
from knet.client.client import ApiError, Client, NotFound, Unavailable
from knet.client.correlation import COMBINED, Correlator
from knet.kernel.recorder import record

log = logging.getLogger(__name__)

#: how many Events are remembered for counting, the oldest forgotten first (client-go's EventCorrelator: 4096)
REMEMBERED = 4096
#: how many may wait to be written before further ones are dropped: a burst of a thousand pods says three things each
QUEUED = 10000


def rfc3339(moment: datetime | None = None) -> str:
    """metav1.Time: UTC, whole seconds."""
    return (moment or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(moment: datetime | None = None) -> str:
    """metav1.MicroTime: UTC, microseconds, as Leases carry it."""
    return (moment or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class _Told(NamedTuple):
    """An Event to be written; what has the same key is counted together."""

    about: KubeObject
    kind: str
    reason: str
    message: str
    key: tuple[str, ...]


class _Seen(NamedTuple):
    namespace: str
    name: str
    times: int

    def again(self) -> "_Seen":
        return self._replace(times=self.times + 1)


class EventRecorder:
    """Writes Events of one component in the background: telling must never delay or fail the telling party."""

    def __init__(self, client: Client, component: str, host: str = "") -> None:
        self._client = client
        self._source = {"component": component, **({"host": host} if host else {})}
        self._seen: dict[tuple[str, ...], _Seen] = {}
        self._queue: asyncio.Queue[_Told] = asyncio.Queue(maxsize=QUEUED)
        self._correlator = Correlator()

    def event(self, about: KubeObject, kind: str, reason: str, message: str) -> None:
        """Tell of an object: ``kind`` is "Normal" or "Warning", ``reason`` a CamelCase word."""
        record(self._source["component"], "decision", (about.ref,), "%s: %s", reason, message)
        place, now = (about.resource.kind, about.namespace, about.name, about.uid), time.monotonic()
        subject = (*place, kind, reason)
        key: tuple[str, ...] = (*subject, message)
        if self._correlator.combined(subject, message, now):
            key, message = subject, COMBINED + message
        if not self._correlator.admitted(place, now):
            if key in self._seen:
                self._seen[key] = self._seen[key].again()
            return
        try:
            self._queue.put_nowait(_Told(about, kind, reason, message, key))
        except asyncio.QueueFull:
            log.warning("too many Events at once; dropped: %s %s %s", about.name, reason, message)

    async def run(self) -> None:
        while True:
            told = await self._queue.get()
            try:
                await self._write(told)
            except (ApiError, Unavailable) as error:
                log.info("Event %s for %s not written: %s", told.reason, told.about.name, error)

    async def _write(self, told: _Told) -> None:
        about, kind, reason, message, key = told
        now = rfc3339()
        seen = self._seen.pop(key, None)
        if seen is not None:
            seen = seen.again()
            try:
                counted = {"count": seen.times, "lastTimestamp": now, "message": message}
                await self._client.patch(Event, seen.name, counted, seen.namespace)
            except NotFound:  # expired or deleted meanwhile: tell it anew
                seen = None
        if seen is None:
            namespace = about.namespace or "default"
            created = await self._client.create(
                Event,
                {
                    "metadata": {"name": f"{about.name}.{time.time_ns():x}", "namespace": namespace},
                    "involvedObject": object_reference(about),
                    "type": kind,
                    "reason": reason,
                    "message": message,
                    "source": self._source,
                    "reportingComponent": self._source["component"],
                    "reportingInstance": self._source.get("host", ""),
                    "firstTimestamp": now,
                    "lastTimestamp": now,
                    "count": 1,
                },
                namespace,
            )
            seen = _Seen(namespace, created.name, 1)
        self._seen[key] = seen
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
