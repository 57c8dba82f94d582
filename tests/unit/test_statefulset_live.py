"""StatefulSets from end to end: API server, controllers, scheduler, and hollow kubelets."""

from typing import Any

from control_plane_harness import World, run

from knet.api.objects import Pod
from knet.api.storage import StorageClass
from knet.api.workloads import StatefulSet, StatefulSetStatus
from knet.client.client import STRATEGIC
from knet.cluster.addons import storage_class

CLAIM = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


async def make(world: World, replicas: int = 3, image: str = "v1", **spec: Any) -> None:
    template = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    body = {
        "serviceName": "db",
        "replicas": replicas,
        "selector": {"matchLabels": {"app": "db"}},
        "template": template,
        **spec,
    }
    if "volumeClaimTemplates" in spec:
        await world.client.create(StorageClass, storage_class())
    await world.client.create(StatefulSet, {"metadata": {"name": "db"}, "spec": body}, "default")


async def change(world: World, image: str = "", **spec: Any) -> None:
    if image:
        spec["template"] = {"spec": {"containers": [{"name": "c", "image": image}]}}
    written = await world.client.patch(StatefulSet, "db", {"spec": spec}, "default", kind=STRATEGIC)
    world.stateful.assume(written)


def status(world: World) -> StatefulSetStatus:
    row = world.stateful.get("default", "db")
    if row is None or row.status.observedGeneration < row.metadata.generation:
        return StatefulSetStatus()
    return row.status


def names(pods: list[Pod]) -> list[str]:
    return sorted(pod.name for pod in pods)


def images(world: World) -> list[str]:
    return [pod.spec.containers[0].image for pod in sorted(world.running_pods(), key=lambda pod: pod.name)]


class Order:
    """The order in which pods were made and deleted, and how many were not ready at once."""

    def __init__(self, world: World) -> None:
        self.made: list[str] = []
        self.deleted: list[str] = []
        self.unready = 0
        self._world = world
        world.pods.subscribe(self._look)
        self.made.clear()

    def _look(self, old: Pod | None, new: Pod | None) -> None:
        if old is None and new is not None:
            self.made.append(new.name)
        if new is not None and new.deleting and (old is None or not old.deleting):
            self.deleted.append(new.name)
        self.unready = max(self.unready, sum(not pod.ready for pod in self._world.running_pods()))


def test_pods_come_one_by_one_and_go_in_reverse() -> None:
    async def story(world: World) -> None:
        order = Order(world)
        await make(world, volumeClaimTemplates=[CLAIM])
        await world.until(lambda: status(world).availableReplicas == 3)
        assert order.made == ["db-0", "db-1", "db-2"]
        assert order.unready == 1
        pod = world.pods.get("default", "db-1")
        assert pod is not None
        assert (pod.spec.hostname, pod.spec.subdomain) == ("db-1", "db")
        assert pod.metadata.labels["apps.kubernetes.io/pod-index"] == "1"
        assert names(list(world.claims.list())) == ["data-db-0", "data-db-1", "data-db-2"]  # type: ignore[arg-type]
        await change(world, replicas=1)
        await world.until(lambda: names(world.running_pods()) == ["db-0"] and status(world).replicas == 1)
        assert order.deleted == ["db-2", "db-1"]
        assert len(world.claims) == 3  # they are kept
        await world.client.delete(Pod, "db-0", "default")
        await world.until(lambda: order.made.count("db-0") == 2 and status(world).availableReplicas == 1)

    run(story)


def test_parallel_makes_all_at_once() -> None:
    async def story(world: World) -> None:
        await make(world, image="broken", podManagementPolicy="Parallel")
        await world.until(lambda: len(world.running_pods()) == 3)
        await change(world, replicas=0)
        await world.until(lambda: not world.running_pods())

    run(story)


def test_an_update_goes_from_the_last_to_the_partition_and_back() -> None:
    async def story(world: World) -> None:
        await make(world, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}})
        await world.until(lambda: status(world).availableReplicas == 3)
        order = Order(world)
        await change(world, "v2")
        await world.until(lambda: status(world).updatedReplicas == 1 and status(world).availableReplicas == 3)
        assert images(world) == ["v1", "v1", "v2"]
        # below the partition a pod comes back as it was
        await world.client.delete(Pod, "db-0", "default")
        await world.until(lambda: order.made.count("db-0") == 1 and status(world).availableReplicas == 3)
        assert images(world) == ["v1", "v1", "v2"]
        await change(world, updateStrategy={"rollingUpdate": {"partition": 0}})
        await world.until(lambda: status(world).updatedReplicas == 3 and status(world).availableReplicas == 3)
        assert images(world) == ["v2", "v2", "v2"]
        assert order.deleted == ["db-2", "db-0", "db-1", "db-0"]
        assert status(world).currentRevision == status(world).updateRevision
        await change(world, "v1")
        await world.until(lambda: status(world).updatedReplicas == 3 and images(world) == ["v1"] * 3)

    run(story)


def test_claims_go_with_their_pods_if_the_policy_says_so() -> None:
    async def story(world: World) -> None:
        policy = {"whenScaled": "Delete", "whenDeleted": "Delete"}
        await make(world, 2, volumeClaimTemplates=[CLAIM], persistentVolumeClaimRetentionPolicy=policy)
        await world.until(lambda: status(world).availableReplicas == 2)
        await change(world, replicas=1)
        await world.until(lambda: len(world.claims) == 1)
        await world.client.delete(StatefulSet, "db", "default")
        await world.until(lambda: len(world.claims) == 0 and not world.running_pods())

    run(story)
