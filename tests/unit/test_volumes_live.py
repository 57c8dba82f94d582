"""Claims and volumes from end to end: API server, controllers, scheduler, and hollow kubelets."""

from contextlib import suppress
from typing import Any

from control_plane_harness import World, run

from knet.api.objects import Pod
from knet.api.storage import PersistentVolume, PersistentVolumeClaim, StorageClass
from knet.client import NotFound


async def make_volume(world: World, name: str, size: str = "1Gi", policy: str = "Retain", **spec: Any) -> None:
    source = {"hostPath": {"path": f"/srv/{name}"}, "persistentVolumeReclaimPolicy": policy}
    spec = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], **source, **spec}
    await world.client.create(PersistentVolume, {"metadata": {"name": name}, "spec": spec})


async def make_claim(world: World, name: str = "data", **spec: Any) -> None:
    wants = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": ""}
    await world.client.create(PersistentVolumeClaim, {"metadata": {"name": name}, "spec": wants | spec}, "default")


async def make_class(world: World, name: str, mode: str = "Immediate", provisioner: str = "knet.io/local") -> None:
    body = {"metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": mode}
    await world.client.create(StorageClass, body)


def phase(world: World, name: str = "data") -> str:
    row = world.claims.get("default", name)
    return row.status.phase if row is not None else "gone"


def volume_phase(world: World, name: str) -> str:
    row = world.volumes.get("", name)
    return row.status.phase if row is not None else "gone"


async def told(world: World, reason: str) -> None:
    """Wait for an Event with that reason."""
    await world.until(lambda: any(row.reason == reason for row in world.events.list()))


def test_a_claim_and_a_volume_find_each_other_and_part_again() -> None:
    async def story(world: World) -> None:
        await make_claim(world)
        await told(world, "FailedBinding")
        await make_volume(world, "large", "5Gi")
        await world.until(lambda: (phase(world), volume_phase(world, "large")) == ("Bound", "Bound"))
        bound = world.claims.get("default", "data")
        assert bound is not None and bound.spec.volumeName == "large"
        assert bound.status.capacity == {"storage": "5Gi"}
        assert bound.metadata.finalizers == ("kubernetes.io/pvc-protection",)
        await world.client.delete(PersistentVolume, "large")  # which protection keeps while it is bound
        await world.client.delete(PersistentVolumeClaim, "data", "default")
        await world.until(lambda: (phase(world), volume_phase(world, "large")) == ("gone", "gone"))

    run(story)


def test_what_becomes_of_a_volume_is_its_policy() -> None:
    async def story(world: World) -> None:
        for policy, last in (("Retain", "Released"), ("Delete", "Failed"), ("Recycle", "Failed")):
            name = policy.lower()
            await make_volume(world, name, policy=policy)
            await make_claim(world, name, volumeName=name)
            await world.until(lambda name=name: phase(world, name) == "Bound")  # type: ignore[misc]
            await world.client.delete(PersistentVolumeClaim, name, "default")
            await world.until(lambda name=name, last=last: volume_phase(world, name) == last)  # type: ignore[misc]

    run(story)


def test_a_bound_claim_that_loses_its_volume_says_so() -> None:
    async def story(world: World) -> None:
        await make_volume(world, "one")
        await make_claim(world)
        await world.until(lambda: phase(world) == "Bound")
        patch = {"metadata": {"finalizers": None}}
        await world.client.delete(PersistentVolume, "one")
        with suppress(NotFound):
            await world.client.patch(PersistentVolume, "one", patch)
        await world.until(lambda: phase(world) == "Lost")

    run(story)


def test_a_claim_in_use_stays_until_its_pod_has_gone() -> None:
    async def story(world: World) -> None:
        await make_volume(world, "one")
        await make_claim(world)
        await world.until(lambda: phase(world) == "Bound")
        await make_pod(world)
        await world.client.delete(PersistentVolumeClaim, "data", "default")
        await world.until(lambda: getattr(world.claims.get("default", "data"), "deleting", False))
        await world.client.delete(Pod, "user", "default")
        await world.until(lambda: phase(world) == "gone")

    run(story)


async def make_pod(world: World, **spec: Any) -> None:
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    spec = {"containers": [{"name": "c", "image": "v1"}], "volumes": [volume], **spec}
    await world.client.create(Pod, {"metadata": {"name": "user"}, "spec": spec}, "default")
    await world.until(lambda: any(pod.name == "user" for pod in world.pods.list("default")))


def test_a_class_that_waits_and_its_provisioner() -> None:
    async def story(world: World) -> None:
        await make_class(world, "standard", "WaitForFirstConsumer")
        await make_claim(world, storageClassName="standard")
        await told(world, "WaitForFirstConsumer")
        patch = {"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "n2"}}}
        await world.client.patch(PersistentVolumeClaim, "data", patch, "default")
        await world.until(lambda: phase(world) == "Bound")
        [made] = world.volumes.list()
        assert made.spec.nodeAffinity is not None
        [term] = made.spec.nodeAffinity.required.nodeSelectorTerms
        assert term.matchExpressions[0].values == ("n2",)
        await world.client.delete(PersistentVolumeClaim, "data", "default")
        await world.until(lambda: any(pod.name == f"clean-up-{made.name}" for pod in world.pods.list("kube-system")))
        [helper] = [pod for pod in world.pods.list("kube-system") if pod.name == f"clean-up-{made.name}"]
        assert helper.spec.nodeName == "n2"
        done = {"status": {"phase": "Succeeded"}}
        await world.client.patch(Pod, helper.name, done, "kube-system", "status")
        await world.until(lambda: volume_phase(world, made.name) == "gone" and not list(world.pods.list("kube-system")))

    run(story)


def test_an_ephemeral_volume_has_a_claim_of_its_own() -> None:
    async def story(world: World) -> None:
        await make_volume(world, "one")
        wants = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "",
        }
        template = {"metadata": {"labels": {"kind": "scratch"}}, "spec": wants}
        await make_pod(world, volumes=[{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}])
        await world.until(lambda: phase(world, "user-scratch") == "Bound")
        made = world.claims.get("default", "user-scratch")
        assert made is not None and made.metadata.labels == {"kind": "scratch"}
        holder = made.controller()
        assert holder is not None and holder.kind == "Pod"
        await world.client.delete(Pod, "user", "default")
        await world.until(lambda: phase(world, "user-scratch") == "gone")

    run(story)


def test_claims_that_nobody_can_serve() -> None:
    async def story(world: World) -> None:
        await make_claim(world, "classless", storageClassName="unknown")
        await told(world, "ProvisioningFailed")
        await make_class(world, "elsewhere", provisioner="example.com/disk")
        await make_claim(world, "external", storageClassName="elsewhere")
        await told(world, "ExternalProvisioning")
        asked = world.claims.get("default", "external")
        await world.until(
            lambda: (
                (row := world.claims.get("default", "external")) is not None
                and row.metadata.annotations.get("volume.kubernetes.io/storage-provisioner") == "example.com/disk"
            )
        )
        assert asked is not None and phase(world, "external") == "Pending"
        assert [row.type for row in world.events.list() if row.reason == "ExternalProvisioning"] == ["Normal"]

    run(story)
