"""The CronJob loop: note which Jobs have ended, start the one that is due, forget old ones, sleep until the next.

upstream: pkg/controller/cronjob/cronjob_controllerv2.go; a Job's name is the CronJob's and the minute it was due in, so
that a controller that dies between two steps starts nothing twice.
"""

from datetime import UTC, datetime, timedelta

from knet.api.batch import CronJob, Job
from knet.api.objects import JSON, ObjectReference, object_reference, owner_reference
from knet.client import AlreadyExists, ApiError, Controller, Index, Key, NotFound, Result, key_of
from knet.client.events import rfc3339
from knet.controllers.claims import index_values
from knet.controllers.conditions import parse_time
from knet.controllers.context import Context
from knet.controllers.cronjob.history import surplus
from knet.controllers.cronjob.schedule import TOO_MANY, Schedule, UnknownZone, Unparseable

SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"

_TOO_MANY_MISSED = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"


def build(context: Context) -> Controller:
    reconciler = CronJobReconciler(context)
    controller = Controller("cronjob", reconciler, workers=5)
    reconciler.subscribe(controller)
    return controller


class CronJobReconciler:
    """Starts Jobs in time."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._events = context.recorder("cronjob-controller")
        self._cron_jobs = context.informers.of(CronJob)
        self._jobs = context.informers.of(Job)
        self._owned = Index(self._jobs, index_values)

    def subscribe(self, controller: Controller) -> None:
        """A CronJob's changes, and those of its Jobs."""

        def cron_job_changed(old: CronJob | None, new: CronJob | None) -> None:
            changed = new or old
            assert changed is not None
            controller.enqueue(key_of(changed))

        def job_changed(old: Job | None, new: Job | None) -> None:
            for job in (old, new):
                owner = job.controller() if job is not None else None
                if job is not None and owner is not None and owner.kind == "CronJob":
                    controller.enqueue(Key(job.namespace, owner.name))

        self._cron_jobs.subscribe(cron_job_changed)
        self._jobs.subscribe(job_changed)

    async def reconcile(self, key: Key) -> Result | None:
        cron_job = self._cron_jobs.get(*key)
        if cron_job is None:
            return None
        jobs = self._owned.get(("owner", cron_job.uid))
        try:
            cron_job = await self._note_ends(cron_job, jobs)
            for job in surplus(cron_job, jobs):
                await self._delete(cron_job, job)
            if cron_job.deleting or cron_job.spec.suspend or (schedule := self._schedule(cron_job)) is None:
                return None
            now = datetime.now(UTC)
            await self._start_due(cron_job, schedule, jobs, now)
        except NotFound:  # deleted under our hands
            return None
        # a little after, so that the clock cannot be found a moment before it
        return Result((next(schedule.after(now)) - datetime.now(UTC) + timedelta(milliseconds=10)).total_seconds())

    def _schedule(self, cron_job: CronJob) -> Schedule | None:
        spec = cron_job.spec
        try:
            return Schedule(spec.schedule, spec.timeZone)
        except UnknownZone as error:
            text = f'invalid timezone: "{spec.timeZone}": {error}'
            self._events.event(cron_job, "Warning", "UnknownTimeZone", text)
        except Unparseable as error:
            text = f'unparseable schedule: "{spec.schedule}" : {error}'
            self._events.event(cron_job, "Warning", "UnparseableSchedule", text)
        return None

    # ---- what has become of the Jobs ---------------------------------------------------------------------------

    async def _note_ends(self, cron_job: CronJob, jobs: list[Job]) -> CronJob:
        """status.active without those that have ended or vanished, and the time of the last success."""
        by_uid = {job.uid: job for job in jobs}
        active: list[ObjectReference] = []
        success = cron_job.status.lastSuccessfulTime
        for row in cron_job.status.active:
            job = by_uid.get(row.uid)
            if job is None:
                # the cache may be behind a Job that was made just now
                if await self._exists(row):
                    active.append(row)
                else:
                    self._events.event(cron_job, "Normal", "MissingJob", f"Active job went missing: {row.name}")
            elif (end := job.status.finished) is not None:
                text = f"Saw completed job: {job.name}, condition: {end.type}"
                self._events.event(cron_job, "Normal", "SawCompletedJob", text)
            else:
                active.append(row)
        for job in jobs:
            if job.status.completionTime and job.status.completionTime > (success or ""):
                success = job.status.completionTime
        if (tuple(active), success) == (cron_job.status.active, cron_job.status.lastSuccessfulTime):
            return cron_job
        return await self._write_status(cron_job, active, lastSuccessfulTime=success)

    async def _exists(self, row: ObjectReference) -> bool:
        try:
            return (await self._client.get(Job, row.name, row.namespace)).uid == row.uid
        except NotFound:
            return False

    async def _write_status(self, cron_job: CronJob, active: list[ObjectReference], **times: str | None) -> CronJob:
        rows: list[JSON] = [
            {
                "apiVersion": row.apiVersion,
                "kind": row.kind,
                "name": row.name,
                "namespace": row.namespace,
                "resourceVersion": row.resourceVersion,
                "uid": row.uid,
            }
            for row in active
        ]
        patch = {
            "metadata": {"resourceVersion": cron_job.metadata.resourceVersion},
            "status": {"active": rows or None, **times},
        }
        written = await self._client.patch(CronJob, cron_job.name, patch, cron_job.namespace, "status")
        self._cron_jobs.assume(written)
        return written

    # ---- the next Job --------------------------------------------------------------------------------------------

    async def _start_due(self, cron_job: CronJob, schedule: Schedule, jobs: list[Job], now: datetime) -> None:
        spec = cron_job.spec
        since = parse_time(cron_job.status.lastScheduleTime or cron_job.metadata.creationTimestamp)
        assert since is not None, "every stored object has a creationTimestamp"
        if spec.startingDeadlineSeconds is not None:
            since = max(since, now - timedelta(seconds=spec.startingDeadlineSeconds))
        due = schedule.due(since, now)
        if due.missed > TOO_MANY:
            self._events.event(cron_job, "Warning", "TooManyMissedTimes", _TOO_MANY_MISSED)
        if due.latest is None or due.latest == parse_time(cron_job.status.lastScheduleTime):
            return
        name = f"{cron_job.name}-{int(due.latest.timestamp()) // 60}"
        if any(row.name == name for row in cron_job.status.active):
            return
        if cron_job.status.active and spec.concurrencyPolicy == "Forbid":
            text = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self._events.event(cron_job, "Normal", "JobAlreadyActive", text)
            return
        if spec.concurrencyPolicy == "Replace":
            running = {row.uid for row in cron_job.status.active}
            for job in jobs:
                if job.uid in running:
                    await self._delete(cron_job, job)
            cron_job = await self._write_status(cron_job, [])
        await self._start(cron_job, name, due.latest)

    async def _start(self, cron_job: CronJob, name: str, at: datetime) -> None:
        template = cron_job.spec.jobTemplate
        body = {
            "metadata": {
                "name": name,
                "labels": template.metadata.labels,
                "annotations": {**template.metadata.annotations, SCHEDULED_AT: at.isoformat().replace("+00:00", "Z")},
                "ownerReferences": [owner_reference(cron_job)],
            },
            "spec": template.spec,
        }
        try:
            job = await self._client.create(Job, body, cron_job.namespace)
        except AlreadyExists:  # made before a crash, or before a Conflict on the status
            job = await self._client.get(Job, name, cron_job.namespace)
            owner = job.controller()
            if owner is None or owner.uid != cron_job.uid or job.status.finished is not None:
                return
        except ApiError as error:
            self._events.event(cron_job, "Warning", "FailedCreate", f"Error creating job: {error}")
            raise
        else:
            self._events.event(cron_job, "Normal", "SuccessfulCreate", f"Created job {name}")
        self._jobs.assume(job)
        active = [*cron_job.status.active, ObjectReference(**object_reference(job))]
        await self._write_status(cron_job, active, lastScheduleTime=rfc3339(at.astimezone(UTC)))

    async def _delete(self, cron_job: CronJob, job: Job) -> None:
        try:
            await self._client.delete(Job, job.name, job.namespace, propagation="Background", uid=job.uid)
        except NotFound:
            return
        self._events.event(cron_job, "Normal", "SuccessfulDelete", f"Deleted job {job.name}")
