"""What the scheduler tells: Events, the PodScheduled condition, nominations; and what it tells victims."""

import asyncio
import logging
from collections.abc import Mapping

from knet.api.objects import JSON, Pod, condition
from knet.client import ApiError, Client, EventRecorder, NotFound, Unavailable
from knet.client.client import STRATEGIC
from knet.client.events import rfc3339
from knet.scheduler.plugin import PluginError
from knet.scheduler.pod import PodInfo

log = logging.getLogger(__name__)

#: writes under way together, apart from binds
CONCURRENT = 16
#: characters of an Event's message (upstream's NoteLengthLimit)
LONGEST = 1024
#: the reason of a victim's DisruptionTarget condition
BY_SCHEDULER = "PreemptionByScheduler"


class News:
    """``events``: the recorder of each profile, which is what an Event says it is from."""

    def __init__(self, client: Client, events: Mapping[str, EventRecorder]) -> None:
        self._client = client
        self._events = events
        self._gate = asyncio.Semaphore(CONCURRENT)

    def scheduled(self, pod: PodInfo, node: str) -> None:
        self._event(pod, "Normal", "Scheduled", f"Successfully assigned {pod.key} to {node}")

    def failed(self, pod: PodInfo, error: Exception) -> None:
        """An error that is not the pod's: into its Events and the log, with the traceback where a plugin has one."""
        cause = error.__cause__ if isinstance(error, PluginError) else None
        log.warning("%s: %s", pod.key, error, exc_info=cause)
        self._event(pod, "Warning", "FailedScheduling", str(error))

    async def broken(self, pod: PodInfo, error: Exception) -> None:
        """An attempt ended by an error."""
        text = str(error) if isinstance(error, PluginError) else f"binding rejected: {error}"
        self.failed(pod, error if isinstance(error, PluginError) else RuntimeError(text))
        await self._condition(pod, "SchedulerError", text, None)

    async def unschedulable(self, pod: PodInfo, message: str, nomination: str | None) -> None:
        """An attempt found no node, or one where room is being made; None: the nomination stays as it is."""
        self._event(pod, "Warning", "FailedScheduling", message)
        await self._condition(pod, "Unschedulable", message, nomination)

    async def _condition(self, pod: PodInfo, reason: str, message: str, nomination: str | None) -> None:
        status = pod.status
        current = condition(status.conditions, "PodScheduled")
        change: JSON = {}
        if nomination is not None and nomination != status.nominatedNodeName:
            change["nominatedNodeName"] = nomination or None
        if current is None or (current.status, current.reason, current.message) != ("False", reason, message):
            since = current.lastTransitionTime if current is not None and current.status == "False" else None
            row = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
            change["conditions"] = [{**row, "lastProbeTime": None, "lastTransitionTime": since or rfc3339()}]
        if change:
            try:
                await self._patch(pod, change)
            except (ApiError, Unavailable) as error:
                log.info("condition of %s not written: %s", pod.key, error)

    async def preempt(self, pod: PodInfo, node: str, victims: list[PodInfo]) -> None:
        """Mark the victims and delete them; raises ApiError, Unavailable."""
        message = f"{pod.spec.schedulerName}: preempting to accommodate a higher priority pod"
        row = {"type": "DisruptionTarget", "status": "True", "reason": BY_SCHEDULER, "message": message}
        for victim in victims:
            try:
                await self._patch(victim, {"conditions": [{**row, "lastTransitionTime": rfc3339()}]})
                await self._client.delete(Pod, victim.name, victim.namespace, uid=victim.uid)
            except NotFound:
                continue
            text = f"Preempted by pod {pod.uid} on node {node}"
            self._events[pod.spec.schedulerName].event(victim.pod, "Normal", "Preempted", text)

    async def withdraw_nominations(self, pods: list[PodInfo]) -> None:
        for pod in pods:
            if pod.status.nominatedNodeName:
                await self._patch(pod, {"nominatedNodeName": None})

    async def _patch(self, pod: PodInfo, status: JSON) -> None:
        body = {"metadata": {"uid": pod.uid}, "status": status}
        async with self._gate:
            await self._client.patch(Pod, pod.name, body, pod.namespace, "status", kind=STRATEGIC)

    def _event(self, pod: PodInfo, kind: str, reason: str, message: str) -> None:
        text = message if len(message) <= LONGEST else message[: LONGEST - 3] + "..."
        self._events[pod.spec.schedulerName].event(pod.pod, kind, reason, text)
