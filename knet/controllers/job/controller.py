"""The Job loop: claim the pods, count them, decide, act, and put what has ended into the status."""

from collections.abc import Iterable
from datetime import UTC, datetime

from knet.api.batch import Job
from knet.api.objects import Pod
from knet.client import Controller, Index, Invalid, Key, NotFound, Result
from knet.client.client import STRATEGIC
from knet.controllers.batch import all_at_once
from knet.controllers.context import Context
from knet.controllers.job import tracking
from knet.controllers.job.demand import Demand, demand
from knet.controllers.job.pods import new_pod
from knet.controllers.job.tally import FINALIZER, Tally, tally, tracked
from knet.controllers.job.tracking import Doings, Ledger, ledger
from knet.controllers.job.verdict import Verdict, deadline, verdict
from knet.controllers.offspring import Failure, Offspring

#: what spec.managedBy says of Jobs that are ours; those of others are not touched (KEP-4368)
MANAGER = "kubernetes.io/job-controller"
#: seconds between two passes over one Job
REST = 0.01


def build(context: Context) -> Controller:
    reconciler = JobReconciler(context)
    controller = Controller("job", reconciler, workers=5, rest=REST)
    reconciler.subscribe(controller)
    return controller


class JobReconciler:
    """Runs pods until so many have succeeded, or it is clear that they will not."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._timing = context.timing
        self._jobs = context.informers.of(Job)
        self._pods = context.informers.of(Pod)
        self._of_name = Index(self._pods, _job_of)
        self._offspring = Offspring(context, Job, "job-controller", lambda job: job.spec.selector, _as_counted)

    def subscribe(self, controller: Controller) -> None:
        """Besides a Job and its pods: pods that a Job left behind must not be kept by our finalizer."""

        def pod_changed(old: Pod | None, new: Pod | None) -> None:
            if new is not None and tracked(new):
                for key in _job_of(new):
                    job = self._jobs.get(*key)
                    if job is None or job.status.finished is not None:
                        controller.enqueue(key)

        self._offspring.subscribe(controller)
        self._pods.subscribe(pod_changed)

    async def reconcile(self, key: Key) -> Result | None:
        job = self._jobs.get(*key)
        if job is None:
            self._offspring.forget(key)
            await self._release(pod for pod in self._of_name.get(key) if tracked(pod))
            return None
        if job.spec.managedBy != MANAGER:
            return None
        if job.status.finished is not None:
            await self._release(pod for pod in self._offspring.of(job.uid) if tracked(pod))
            return None
        try:
            return await self._pass(key, job)
        except NotFound:  # deleted under our hands
            return None

    async def _pass(self, key: Key, job: Job) -> Result | None:
        settled = self._offspring.settled(key)
        pods = await self._offspring.claimed(job)
        now = datetime.now(UTC)
        counts = tally(job, pods)
        decided = verdict(job, pods, counts, now)
        failure, done, wait = None, Doings(), None
        if decided is not None:
            failure = await self._offspring.delete(key, job, counts.active)
            done = Doings(deleted=len(counts.active))
            if failure is not None or not settled:
                decided = None
        elif settled and not job.deleting:
            wanted = demand(job, pods, counts, self._timing, now)
            wait = wanted.wait
            failure = await self._meet(key, job, counts, wanted)
            done = Doings(len(wanted.create), len(wanted.delete)) if failure is None else done
        await self._account(job, ledger(job, pods, counts, decided, done, now), decided)
        if failure is not None:
            raise failure.error  # the Event has told it; now the key is retried
        waits = [left for left in (wait, deadline(job, now)) if left is not None]
        return Result(max(min(waits).total_seconds(), 0)) if waits else None

    async def _meet(self, key: Key, job: Job, counts: Tally, wanted: Demand) -> Failure | None:
        if wanted.delete:
            # without its finalizer a pod that was too many is no failure
            return await self._offspring.delete(key, job, wanted.delete, first=self._untrack)
        if not wanted.create:
            return None
        bodies = [
            new_pod(job, index, counts.to_replace.get(index) if index is not None else None) for index in wanted.create
        ]
        return await self._offspring.create(key, job, bodies)

    async def _account(self, job: Job, book: Ledger, decided: Verdict | None) -> None:
        if not tracking.unchanged(job, book.status):
            patch = {"metadata": {"resourceVersion": job.metadata.resourceVersion}, "status": book.status}
            self._jobs.assume(await self._client.patch(Job, job.name, patch, job.namespace, "status"))
            self._tell(job, book, decided)
        await self._release(book.release)

    def _tell(self, job: Job, book: Ledger, decided: Verdict | None) -> None:
        events = self._offspring.events
        changed = tracking.suspension(job) if decided is None else None
        if changed is not None:
            events.event(job, "Normal", changed.reason.removeprefix("Job"), changed.message)
        if not book.finished or decided is None:
            return
        if decided.final == "Complete":
            events.event(job, "Normal", "Completed", "Job completed")
        else:
            events.event(job, "Warning", decided.reason, decided.message)

    async def _release(self, pods: Iterable[Pod]) -> None:
        error = await all_at_once([self._untrack(pod) for pod in pods])
        if error is not None:
            raise error

    async def _untrack(self, pod: Pod) -> None:
        """Take our finalizer off a pod."""
        patch = {"metadata": {"uid": pod.uid, "$deleteFromPrimitiveList/finalizers": [FINALIZER]}}
        try:
            self._pods.assume(await self._client.patch(Pod, pod.name, patch, pod.namespace, kind=STRATEGIC))
        except (NotFound, Invalid):  # gone, or another by that name
            return


def _job_of(pod: Pod) -> tuple[Key, ...]:
    owner = pod.controller()
    return (Key(pod.namespace, owner.name),) if owner is not None and owner.kind == "Job" else ()


def _as_counted(pod: Pod) -> tuple[object, ...]:
    """All of a pod that a Job's pass looks at."""
    meta, status = pod.metadata, pod.status
    restarts = tuple(row.restartCount for row in (*status.initContainerStatuses, *status.containerStatuses))
    return pod.deleting, status.phase, pod.ready, restarts, meta.labels, meta.ownerReferences, tracked(pod)
