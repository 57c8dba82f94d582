"""DaemonSets from end to end: API server, controllers, scheduler, and hollow kubelets."""

from typing import Any

from control_plane_harness import World, run

from knet.api.objects import ControllerRevision, Node, Pod
from knet.api.workloads import DaemonSet, DaemonSetStatus
from knet.client.client import STRATEGIC


async def make(world: World, image: str = "v1", **spec: Any) -> None:
    template = {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    body = {"selector": {"matchLabels": {"app": "agent"}}, "template": template, **spec}
    await world.client.create(DaemonSet, {"metadata": {"name": "agent"}, "spec": body}, "default")


async def change(world: World, image: str, **spec: Any) -> None:
    template = {"spec": {"containers": [{"name": "c", "image": image}]}}
    patch = {"spec": {"template": template, **spec}}
    world.daemons.assume(await world.client.patch(DaemonSet, "agent", patch, "default", kind=STRATEGIC))


def complete(world: World) -> bool:
    """As `kubectl rollout status` judges."""
    row = world.daemons.get("default", "agent")
    if row is None or row.status.observedGeneration < row.metadata.generation:
        return False
    status = row.status
    return status.updatedNumberScheduled == status.desiredNumberScheduled == status.numberAvailable


def status(world: World) -> DaemonSetStatus:
    row = world.daemons.get("default", "agent")
    return row.status if row is not None else DaemonSetStatus()


def images(world: World) -> set[str]:
    return {pod.spec.containers[0].image for pod in world.ready_pods()}


def nodes(pods: list[Pod]) -> list[str]:
    return sorted(pod.spec.nodeName for pod in pods)


def test_one_pod_on_each_node_and_on_those_that_come() -> None:
    async def story(world: World) -> None:
        await make(world)
        await world.until(lambda: complete(world) and nodes(world.ready_pods()) == ["n1", "n2"])
        world.start("n3")
        await world.until(lambda: nodes(world.ready_pods()) == ["n1", "n2", "n3"])
        victim = world.ready_pods()[0]
        await world.client.delete(Pod, victim.name, "default")
        await world.until(lambda: victim.uid not in {pod.uid for pod in world.ready_pods()} and complete(world))
        # the status may still be that of before
        await world.until(lambda: nodes(world.running_pods()) == ["n1", "n2", "n3"])

    run(story)


def test_it_stays_on_a_cordoned_node_and_leaves_one_that_stops_matching() -> None:
    async def story(world: World) -> None:
        for name in ("n1", "n2"):
            await world.client.patch(Node, name, {"metadata": {"labels": {"disk": "ssd"}}})
        pod = {"containers": [{"name": "c", "image": "v1"}], "nodeSelector": {"disk": "ssd"}}
        await make(world, template={"metadata": {"labels": {"app": "agent"}}, "spec": pod})
        await world.until(lambda: complete(world) and nodes(world.ready_pods()) == ["n1", "n2"])
        await world.client.patch(Node, "n1", {"spec": {"unschedulable": True}})
        await world.client.patch(Node, "n2", {"metadata": {"labels": {"disk": None}}})
        await world.until(lambda: nodes(world.running_pods()) == ["n1"])
        await world.until(lambda: status(world).desiredNumberScheduled == 1)

    run(story)


def test_a_rolling_update_takes_one_node_at_a_time() -> None:
    async def story(world: World) -> None:
        await make(world)
        await world.until(lambda: complete(world) and len(world.ready_pods()) == 3)
        fewest = []
        world.pods.subscribe(lambda old, new: fewest.append(len(world.ready_pods())))
        await change(world, "v2")
        await world.until(lambda: complete(world) and len(world.ready_pods()) == 3)
        assert images(world) == {"v2"}
        assert min(fewest) == 2
        await change(world, "v1")
        await world.until(lambda: complete(world) and images(world) == {"v1"})
        revisions = (await world.client.list(ControllerRevision, "default")).items
        assert sorted(row.revision for row in revisions) == [2, 3]  # the first template came back as the third

    run(story, nodes=("n1", "n2", "n3"))


def test_with_surge_an_old_pod_goes_when_its_successor_is_available() -> None:
    async def story(world: World) -> None:
        rolling = {"maxSurge": 1, "maxUnavailable": 0}
        await make(world, updateStrategy={"type": "RollingUpdate", "rollingUpdate": rolling})
        await world.until(lambda: complete(world) and len(world.ready_pods()) == 2)
        fewest, most = [], []

        def look(old: Pod | None, new: Pod | None) -> None:
            fewest.append(len({pod.spec.nodeName for pod in world.ready_pods()}))
            most.append(len(world.running_pods()))

        world.pods.subscribe(look)
        await change(world, "v2")
        await world.until(lambda: complete(world) and len(world.running_pods()) == 2)
        assert (min(fewest), max(most)) == (2, 3)

    run(story)


def test_on_delete_waits_for_the_user_and_a_broken_update_stops_after_one() -> None:
    async def story(world: World) -> None:
        await make(world, updateStrategy={"type": "OnDelete"})
        await world.until(lambda: complete(world) and len(world.ready_pods()) == 2)
        await change(world, "broken")
        await world.until(lambda: status(world).updatedNumberScheduled == 0)
        assert len(world.ready_pods()) == 2
        await change(world, "broken", updateStrategy={"type": "RollingUpdate"})
        await world.until(lambda: status(world).numberUnavailable == 1)
        await change(world, "v3")
        await world.until(lambda: complete(world) and images(world) == {"v3"})

    run(story)
