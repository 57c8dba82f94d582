"""Status reports to the API server: the latest word on each pod, sent soon, never twice.

A pod on its way up changes its status many times within milliseconds.  Only what somebody may be waiting for (ready or
not, an end) is sent at once; the rest waits a moment, and mostly a better one overtakes it.
"""

import asyncio
import logging
from dataclasses import dataclass

from knet.api.objects import JSON, Pod, condition
from knet.client import ApiError, Client, NotFound, Unavailable
from knet.client.client import STRATEGIC

log = logging.getLogger(__name__)

#: seconds that an unhurried status waits for a better one: a pod's first, and later ones
FIRST_PATIENCE, PATIENCE = 1.0, 0.4
#: seconds between attempts that fail
RETRY = 0.5
#: requests under way at once
PARALLEL = 8


@dataclass
class _Report:
    pod: Pod
    status: JSON
    sent: JSON | None = None
    timer: asyncio.TimerHandle | None = None
    sending: bool = False
    again: bool = False
    done: asyncio.Event | None = None
    revision: int = 0  # of the pod, when it was sent


class StatusWriter:
    """`publish` never waits; `flush` waits until a pod's last word is known to the API server (or moot)."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._reports: dict[str, _Report] = {}
        self._queue: asyncio.Queue[str] = asyncio.Queue()

    def publish(self, pod: Pod, status: JSON, urgent: bool) -> None:
        """Report a status; the pod is told by its uid."""
        report = self._reports.get(pod.uid)
        if report is None:
            report = self._reports[pod.uid] = _Report(pod, status)
        report.pod, report.status = pod, status
        if report.status == report.sent:
            return
        if urgent:
            self._enqueue(pod.uid)
        elif report.timer is None:
            loop = asyncio.get_running_loop()
            patience = PATIENCE if report.sent is not None else FIRST_PATIENCE
            report.timer = loop.call_later(patience, self._enqueue, pod.uid)

    def repeat(self, uid: str) -> None:
        """Tell it once more: whom it is told of has been made anew."""
        report = self._reports.get(uid)
        if report is not None:
            report.sent, report.again = None, report.sending
            self._enqueue(uid)

    def seen(self, pod: Pod) -> None:
        """A version of the pod from the API: who has said since our last word that it is not ready is put right.

        The node lifecycle controller says so of a node that was silent for a while.
        """
        report = self._reports.get(pod.uid)
        if report is None or report.sent is None or int(pod.metadata.resourceVersion) <= report.revision:
            return
        ours = next(row["status"] for row in report.sent["conditions"] if row["type"] == "Ready")
        theirs = condition(pod.status.conditions, "Ready")
        if theirs is not None and theirs.status != ours and not report.sending:
            self.repeat(pod.uid)

    def forget(self, uid: str) -> None:
        """The pod is gone from the API, or about to go: nobody is left to be told."""
        report = self._reports.pop(uid, None)
        if report is not None and report.timer is not None:
            report.timer.cancel()
        if report is not None and report.done is not None:
            report.done.set()

    async def flush(self, uid: str) -> None:
        report = self._reports.get(uid)
        if report is None or report.status == report.sent:
            return
        report.done = asyncio.Event()
        self._enqueue(uid)
        await report.done.wait()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(PARALLEL):
                group.create_task(self._work())

    def _enqueue(self, uid: str) -> None:
        report = self._reports.get(uid)
        if report is not None:
            if report.timer is not None:
                report.timer.cancel()
                report.timer = None
            self._queue.put_nowait(uid)

    async def _work(self) -> None:
        while True:
            uid = await self._queue.get()
            report = self._reports.get(uid)
            if report is None or report.sending or report.status == report.sent:
                if report is not None and report.done and report.status == report.sent:
                    report.done.set()
                continue
            report.sending = True
            try:
                await self._send(report)
            finally:
                report.sending = False
            if report.again:  # what was under way went to the former one
                report.sent, report.again = None, False
            if report.status != report.sent:
                self._queue.put_nowait(uid)
            elif report.done is not None:
                report.done.set()

    async def _send(self, report: _Report) -> None:
        pod, status = report.pod, report.status
        # a static pod is known to the API by its mirror, whose uid is another
        body = {"status": status} if pod.static else {"metadata": {"uid": pod.uid}, "status": status}
        try:
            written = await self._client.patch(Pod, pod.name, body, pod.namespace, "status", kind=STRATEGIC)
            report.revision = int(written.metadata.resourceVersion)
        except NotFound:
            log.info("pod %s/%s: gone before its status was told", pod.namespace, pod.name)
        except (ApiError, Unavailable) as error:  # Conflict too: if it is another pod by now, the watch will say so
            log.warning("pod %s/%s: status not written: %s", pod.namespace, pod.name, error)
            await asyncio.sleep(RETRY)
            return
        report.sent = status
