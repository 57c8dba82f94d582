"""Which Jobs that have ended are too many: beyond the limits, the oldest first."""

from collections.abc import Iterable

from knet.api.batch import CronJob, Job


def surplus(cron_job: CronJob, jobs: Iterable[Job]) -> list[Job]:
    """The Jobs to delete."""
    limits = {
        "Complete": cron_job.spec.successfulJobsHistoryLimit,
        "Failed": cron_job.spec.failedJobsHistoryLimit,
    }
    ended = [(job.status.finished.type, job) for job in jobs if job.status.finished is not None]
    doomed: list[Job] = []
    for type_, limit in limits.items():
        rows = sorted((job for kind, job in ended if kind == type_), key=_age)
        doomed += rows[: max(len(rows) - limit, 0)]
    return doomed


def _age(job: Job) -> tuple[str, str]:
    return job.status.startTime or job.metadata.creationTimestamp or "", job.name
