"""Deployments from end to end: API server, controllers, scheduler, and hollow kubelets."""

import asyncio

from control_plane_harness import World, run

from knet.api.names import REVISION_ANNOTATION
from knet.api.objects import Deployment, Pod, ReplicaSet, Service, condition
from knet.client import NotFound


class Witness:
    """Watches the promise of a rolling update: so many available at least, so many in all at most."""

    def __init__(self, world: World, at_least: int, at_most: int) -> None:
        self._world, self._at_least, self._at_most = world, at_least, at_most
        self.broken: list[str] = []
        world.pods.subscribe(self._look)

    def _look(self, old: Pod | None, new: Pod | None) -> None:
        ready, total = len(self._world.ready_pods()), len(self._world.running_pods())
        if ready < self._at_least or total > self._at_most:
            self.broken.append(f"{ready} ready of {total}")


def test_a_rolling_update_there_and_back() -> None:
    async def story(world: World) -> None:
        await world.deploy(replicas=5)
        await world.until(world.complete)
        witness = Witness(world, at_least=4, at_most=7)
        await world.change(image="v2")
        await world.until(world.complete)
        assert {pod.spec.containers[0].image for pod in world.running_pods()} == {"v2"}
        first = next(row for row in world.sets.list() if row.metadata.annotations[REVISION_ANNOTATION] == "1")
        await world.change(template=first.spec.template)  # what kubectl rollout undo does
        await world.until(world.complete)
        assert witness.broken == []
        row = world.deployments.get("default", "web")
        assert row is not None
        assert row.metadata.annotations[REVISION_ANNOTATION] == "3"
        progress = condition(row.status.conditions, "Progressing")
        assert progress is not None
        assert (progress.reason, progress.message) == (
            "NewReplicaSetAvailable",
            f'ReplicaSet "{first.name}" has successfully progressed.',
        )
        assert {row.name: row.spec.replicas for row in world.sets.list()}[first.name] == 5
        assert len(world.sets) == 2

    run(story)


def test_a_broken_template_stops_in_time_and_a_better_one_gets_through() -> None:
    async def story(world: World) -> None:
        await world.deploy(replicas=4)
        await world.until(world.complete)
        witness = Witness(world, at_least=3, at_most=5)
        await world.change(image="broken")
        await world.until(lambda: len(world.running_pods()) == 5 and len(world.ready_pods()) == 3)
        await world.change(image="v2")
        await world.until(world.complete)
        assert witness.broken == []

    run(story)


def test_a_controller_that_dies_in_mid_rollout_is_replaced_without_a_trace() -> None:
    async def story(world: World) -> None:
        await world.deploy(replicas=20)
        await world.until(world.complete)
        witness = Witness(world, at_least=15, at_most=25)
        await world.change(image="v2")
        for updated in (3, 8, 12):
            await world.until(lambda updated=updated: _updated(world) >= updated)  # type: ignore[misc]
            await world.kill("controllers")
            world.start("controllers")
        await world.until(world.complete)
        await world.until(lambda: len(world.running_pods()) == 20)
        assert witness.broken == []

    run(story)


def _updated(world: World) -> int:
    row = world.deployments.get("default", "web")
    return row.status.updatedReplicas if row is not None else 0


def test_recreate_ends_the_old_before_it_begins_the_new() -> None:
    async def story(world: World) -> None:
        await world.deploy(replicas=3, strategy={"type": "Recreate"})
        await world.until(world.complete)
        mixed: list[set[str]] = []

        def look(old: Pod | None, new: Pod | None) -> None:
            images = {pod.spec.containers[0].image for pod in world.pods.list("default")}
            if len(images) > 1:
                mixed.append(images)

        world.pods.subscribe(look)
        await world.change(image="v2")
        await world.until(world.complete)
        assert mixed == []

    run(story)


def test_a_paused_deployment_scales_but_does_not_roll() -> None:
    async def story(world: World) -> None:
        await world.deploy(replicas=2)
        await world.until(world.complete)
        await world.change(paused=True, replicas=4, image="v2")
        await world.until(lambda: len(world.ready_pods()) == 4)
        assert {pod.spec.containers[0].image for pod in world.running_pods()} == {"v1"}
        await world.change(paused=False)
        await world.until(world.complete)
        assert {pod.spec.containers[0].image for pod in world.running_pods()} == {"v2"}

    run(story)


def test_a_hundred_pods_are_made_no_more_and_no_fewer() -> None:
    async def story(world: World) -> None:
        seen: set[str] = set()
        world.pods.subscribe(lambda old, new: seen.add(new.name) if new is not None else None)
        await world.deploy(replicas=100)
        await world.until(world.complete)
        assert len(seen) == 100
        await world.change(replicas=0)
        await world.until(lambda: len(world.pods) == 0)
        assert len(seen) == 100

    run(story)


def test_a_relabelled_pod_is_let_go_and_replaced_and_an_orphan_is_taken_in() -> None:
    async def story(world: World) -> None:
        await world.deploy(replicas=2)
        await world.until(world.complete)
        suspect = world.ready_pods()[0]
        await world.client.patch(Pod, suspect.name, {"metadata": {"labels": {"app": "debug"}}}, "default")
        await world.until(lambda: len(world.ready_pods()) == 3)
        freed = world.pods.get("default", suspect.name)
        assert freed is not None
        assert freed.controller() is None
        await world.client.patch(Pod, suspect.name, {"metadata": {"labels": {"app": "web"}}}, "default")
        await world.until(lambda: len(world.running_pods()) == 2)

    run(story)


def test_deletion_takes_dependents_along_first_last_or_not_at_all() -> None:
    async def story(world: World) -> None:
        for how in ("Background", "Foreground"):
            await world.deploy(replicas=3)
            await world.until(world.complete)
            await world.client.delete(Deployment, "web", "default", propagation=how)
            await world.until(lambda: not len(world.deployments) and not len(world.sets) and not len(world.pods))
        await world.deploy(replicas=3)
        await world.until(world.complete)
        await world.client.delete(Deployment, "web", "default", propagation="Orphan")
        await world.until(lambda: not len(world.deployments))
        await world.until(lambda: all(row.controller() is None for row in world.sets.list()))
        pods = {pod.name for pod in world.running_pods()}
        await world.deploy(replicas=3)  # the same again takes over what it finds
        await world.until(world.complete)
        assert {pod.name for pod in world.running_pods()} == pods

    run(story)


def test_a_service_follows_its_pods() -> None:
    async def story(world: World) -> None:
        spec = {"selector": {"app": "web"}, "ports": [{"port": 80}]}
        await world.client.create(Service, {"metadata": {"name": "web"}, "spec": spec}, "default")

        def behind() -> set[str]:
            rows = [row for row in world.slices.list("default") if row.name.startswith("web-")]
            return {
                endpoint.targetRef.name
                for row in rows
                for endpoint in row.endpoints
                if endpoint.conditions.ready and endpoint.targetRef is not None
            }

        await world.deploy(replicas=3)
        await world.until(world.complete)
        await world.until(lambda: behind() == {pod.name for pod in world.ready_pods()})
        await world.change(image="v2")
        await world.until(world.complete)
        await world.until(lambda: behind() == {pod.name for pod in world.ready_pods()})
        await world.client.delete(Service, "web", "default")
        await world.until(lambda: not any(row.name.startswith("web-") for row in world.slices.list("default")))

    run(story)


def test_a_replica_set_of_its_own_works_without_a_deployment() -> None:
    async def story(world: World) -> None:
        template = {"metadata": {"labels": {"app": "solo"}}, "spec": {"containers": [{"name": "c", "image": "v1"}]}}
        spec = {"replicas": 2, "selector": {"matchLabels": {"app": "solo"}}, "template": template}
        await world.client.create(ReplicaSet, {"metadata": {"name": "solo"}, "spec": spec}, "default")
        await world.until(lambda: len(world.ready_pods()) == 2)
        victim = world.ready_pods()[0]
        await world.client.delete(Pod, victim.name, "default")
        await world.until(lambda: len(world.ready_pods()) == 2 and victim.name not in _names(world))
        try:
            await asyncio.wait_for(world.client.get(Pod, victim.name, "default"), 5)
        except NotFound:
            return
        raise AssertionError("the deleted pod is still there")

    run(story)


def _names(world: World) -> set[str]:
    return {pod.name for pod in world.running_pods()}
