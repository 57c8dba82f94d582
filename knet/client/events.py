"""Events: the one line that tells a user why. Repetitions are counted on one Event, as client-go does."""

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import NamedTuple

from knet.api.objects import Event, KubeObject, object_reference
from knet.client.client import ApiError, Client, NotFound, Unavailable

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


class _Seen(NamedTuple):
    namespace: str
    name: str
    times: int


class EventRecorder:
    """Writes Events of one component in the background: telling must never delay or fail the telling party."""

    def __init__(self, client: Client, component: str, host: str = "") -> None:
        self._client = client
        self._source = {"component": component, **({"host": host} if host else {})}
        self._seen: dict[tuple[str, ...], _Seen] = {}
        self._queue: asyncio.Queue[tuple[KubeObject, str, str, str]] = asyncio.Queue(maxsize=QUEUED)

    def event(self, about: KubeObject, kind: str, reason: str, message: str) -> None:
        """Tell of an object: ``kind`` is "Normal" or "Warning", ``reason`` a CamelCase word."""
        try:
            self._queue.put_nowait((about, kind, reason, message))
        except asyncio.QueueFull:
            log.warning("too many Events at once; dropped: %s %s %s", about.name, reason, message)

    async def run(self) -> None:
        while True:
            about, kind, reason, message = await self._queue.get()
            try:
                await self._write(about, kind, reason, message)
            except (ApiError, Unavailable) as error:
                log.info("Event %s for %s not written: %s", reason, about.name, error)

    async def _write(self, about: KubeObject, kind: str, reason: str, message: str) -> None:
        key = (about.resource.kind, about.namespace, about.name, about.uid, kind, reason, message)
        now = rfc3339()
        seen = self._seen.pop(key, None)
        if seen is not None:
            seen = seen._replace(times=seen.times + 1)
            try:
                counted = {"count": seen.times, "lastTimestamp": now}
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
