"""Jobs that have ended and say for how long they are of interest after that are deleted then.

https://kubernetes.io/docs/concepts/workloads/controllers/ttlafterfinished/
"""

from datetime import UTC, datetime, timedelta

from knet.api.batch import Job
from knet.client import Controller, Key, NotFound, Result, key_of
from knet.controllers.conditions import parse_time
from knet.controllers.context import Context


def build(context: Context) -> Controller:
    reconciler = TtlReconciler(context)
    controller = Controller("ttl-after-finished", reconciler)
    reconciler.subscribe(controller)
    return controller


def remaining(job: Job, now: datetime) -> timedelta | None:
    """How long the Job is to stay; None where it stays for good, or goes already."""
    end = job.status.finished
    since = parse_time(end.lastTransitionTime) if end is not None else None
    if since is None or job.spec.ttlSecondsAfterFinished is None or job.deleting:
        return None
    return since + timedelta(seconds=job.spec.ttlSecondsAfterFinished) - now


class TtlReconciler:
    """Deletes Jobs, and their pods with them."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._jobs = context.informers.of(Job)

    def subscribe(self, controller: Controller) -> None:
        """Only Jobs that will be deleted some time."""

        def changed(old: Job | None, new: Job | None) -> None:
            if new is not None and remaining(new, datetime.now(UTC)) is not None:
                controller.enqueue(key_of(new))

        self._jobs.subscribe(changed)

    async def reconcile(self, key: Key) -> Result | None:
        job = self._jobs.get(*key)
        left = remaining(job, datetime.now(UTC)) if job is not None else None
        if job is None or left is None:
            return None
        if left > timedelta():
            return Result(left.total_seconds())
        try:
            # the revision guards against a TTL that was raised meanwhile
            await self._client.delete(
                Job,
                job.name,
                job.namespace,
                propagation="Foreground",
                uid=job.uid,
                resource_version=job.metadata.resourceVersion,
            )
        except NotFound:
            return None
        return None
