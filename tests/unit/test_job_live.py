"""Jobs and CronJobs from end to end: API server, controllers, scheduler, and hollow kubelets."""

from typing import Any

from control_plane_harness import World, run

from knet.api.batch import CronJob, Job, JobStatus
from knet.api.objects import condition
from knet.controllers.job.indexes import COMPLETION_INDEX


async def make(world: World, image: str = "exit:0", name: str = "work", **spec: Any) -> None:
    pod = {"containers": [{"name": "c", "image": image}], "restartPolicy": "Never"}
    body = {"template": {"spec": pod}, **spec}
    await world.client.create(Job, {"metadata": {"name": name}, "spec": body}, "default")


def status(world: World, name: str = "work") -> JobStatus:
    row = world.jobs.get("default", name)
    return row.status if row is not None else JobStatus()


def ended(world: World, name: str = "work") -> tuple[str, str]:
    """Type and reason of the final condition."""
    row = status(world, name).finished
    return (row.type, row.reason) if row is not None else ("", "")


def test_so_many_completions_so_many_at_a_time() -> None:
    async def story(world: World) -> None:
        most = []
        world.jobs.subscribe(lambda old, new: most.append(new.status.active if new is not None else 0))
        await make(world, completions=7, parallelism=3)
        await world.until(lambda: ended(world)[0] == "Complete")
        assert status(world).succeeded == 7
        assert max(most) <= 3
        assert status(world).completionTime is not None
        assert not any(pod.metadata.finalizers for pod in world.pods.list("default"))
        assert len(world.pods) == 7

    run(story)


def test_failures_count_to_the_limit() -> None:
    async def story(world: World) -> None:
        await make(world, "exit:1", backoffLimit=1)
        await world.until(lambda: ended(world)[0] != "")
        assert ended(world) == ("Failed", "BackoffLimitExceeded")
        assert status(world).failed == 2
        row = condition(status(world).conditions, "FailureTarget")
        assert row is not None and row.message == "Job has reached the specified backoff limit"

    run(story)


def test_each_index_succeeds_once_and_knows_its_number() -> None:
    async def story(world: World) -> None:
        await make(world, completions=4, parallelism=2, completionMode="Indexed")
        await world.until(lambda: ended(world)[0] == "Complete")
        assert status(world).completedIndexes == "0-3"
        pods = list(world.pods.list("default"))
        assert sorted(pod.metadata.labels[COMPLETION_INDEX] for pod in pods) == ["0", "1", "2", "3"]
        assert {pod.spec.hostname for pod in pods} == {f"work-{index}" for index in range(4)}
        assert all(pod.spec.containers[0].env[0].name == "JOB_COMPLETION_INDEX" for pod in pods)

    run(story)


def test_a_failure_policy_fails_the_job_at_once() -> None:
    async def story(world: World) -> None:
        rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
        await make(world, "exit:42", podFailurePolicy={"rules": [rule]})
        await world.until(lambda: ended(world)[0] != "")
        assert ended(world) == ("Failed", "PodFailurePolicy")
        row = status(world).finished
        assert row is not None
        pod = next(world.pods.list("default"))
        assert row.message == (
            f"Container c for pod default/{pod.name} failed with exit code 42 matching FailJob rule at index 0"
        )

    run(story)


def test_indexes_fail_each_for_itself() -> None:
    async def story(world: World) -> None:
        await make(world, "exit:1", completions=2, parallelism=2, completionMode="Indexed", backoffLimitPerIndex=0)
        await world.until(lambda: ended(world)[0] != "")
        assert ended(world) == ("Failed", "FailedIndexes")
        assert status(world).failedIndexes == "0,1"

    run(story)


def test_suspended_it_has_no_pods_and_deadline_ends_it() -> None:
    async def story(world: World) -> None:
        await make(world, "v1", suspend=True)
        await world.until(lambda: condition(status(world).conditions, "Suspended") is not None)
        assert not world.running_pods()
        await world.client.patch(Job, "work", {"spec": {"suspend": False}}, "default")
        await world.until(lambda: len(world.ready_pods()) == 1 and status(world).ready == 1)
        await world.client.patch(Job, "work", {"spec": {"suspend": True}}, "default")
        await world.until(lambda: not world.running_pods() and status(world).active == 0)
        assert status(world).failed == 0
        await world.client.patch(Job, "work", {"spec": {"suspend": False, "activeDeadlineSeconds": 1}}, "default")
        await world.until(lambda: ended(world) == ("Failed", "DeadlineExceeded"))
        assert not world.running_pods()

    run(story)


def test_a_finished_job_goes_after_its_time_and_a_deleted_one_lets_its_pods_go() -> None:
    async def story(world: World) -> None:
        seen: set[str] = set()
        world.jobs.subscribe(lambda old, new: seen.add(new.uid) if new is not None else None)
        await make(world, ttlSecondsAfterFinished=0)
        await world.until(lambda: len(seen) == 1 and len(world.jobs) == 0 and len(world.pods) == 0)
        await make(world, "v1", parallelism=2)
        await world.until(lambda: len(world.ready_pods()) == 2)
        await world.client.delete(Job, "work", "default", propagation="Background")
        await world.until(lambda: len(world.jobs) == 0 and len(world.pods) == 0)

    run(story)


def test_a_cron_job_starts_jobs_and_forgets_old_ones() -> None:
    async def story(world: World) -> None:
        pod = {"containers": [{"name": "c", "image": "exit:0"}], "restartPolicy": "Never"}
        spec = {
            "schedule": "@every 1s",
            "successfulJobsHistoryLimit": 1,
            "jobTemplate": {"spec": {"template": {"spec": pod}}},
        }
        seen: set[str] = set()
        world.jobs.subscribe(lambda old, new: seen.add(new.uid) if new is not None else None)
        await world.client.create(CronJob, {"metadata": {"name": "tick"}, "spec": spec}, "default")
        await world.until(lambda: len(seen) >= 1 and any(job.status.finished for job in world.jobs.list()))
        row = await world.client.get(CronJob, "tick", "default")
        assert row.status.lastScheduleTime is not None
        job = next(world.jobs.list())
        assert job.name.startswith("tick-")
        await world.client.delete(CronJob, "tick", "default", propagation="Background")
        await world.until(lambda: len(world.jobs) == 0)

    run(story)
