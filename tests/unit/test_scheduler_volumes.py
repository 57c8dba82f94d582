"""Where a pod's volumes let it run, and how claims that wait for it get theirs."""

from typing import Any

import msgspec
import pytest
from control_plane_harness import World, run
from scheduler_harness import HOSTNAME, ZONE, cluster, framework, node, place, pod

from knet.api.objects import JSON, Pod, condition
from knet.api.storage import CSINode, PersistentVolume, PersistentVolumeClaim, StorageClass
from knet.scheduler.binding import Placement
from knet.scheduler.cluster import Cluster
from knet.scheduler.pod import PodInfo

DONE = {"pv.kubernetes.io/bind-completed": "yes"}


def claim(name: str, volume: str = "", kind: str = "late", size: str = "1Gi", **more: Any) -> PersistentVolumeClaim:
    annotations = (DONE if volume else {}) | more.pop("annotations", {})
    meta: JSON = {"name": name, "namespace": "default", "uid": name, "annotations": annotations, **more.pop("meta", {})}
    spec: JSON = {"storageClassName": kind, "volumeName": volume, "accessModes": ["ReadWriteOnce"]}
    body = {"metadata": meta, "spec": spec | {"resources": {"requests": {"storage": size}}} | more}
    return msgspec.convert(body, PersistentVolumeClaim)


def volume(name: str, on: str = "", kind: str = "late", size: str = "1Gi", **more: Any) -> PersistentVolume:
    spec: JSON = {"storageClassName": kind, "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], **more}
    if on:
        here = {"key": HOSTNAME, "operator": "In", "values": [on]}
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}}
    labels = spec.pop("labels", {})
    body = {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": {"phase": "Available"}}
    return msgspec.convert(body, PersistentVolume)


def storage_class(name: str = "late", provisioner: str = "kubernetes.io/no-provisioner", **more: Any) -> StorageClass:
    body = {"metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": "WaitForFirstConsumer", **more}
    return msgspec.convert(body, StorageClass)


def with_storage(*rows: Any, running: dict[str, list[Pod]] | None = None, labels: JSON | None = None) -> Cluster:
    made = cluster(node("n1", labels=labels or {}), node("n2"), running=running)
    for row in rows:
        made.storage.keep(None, row)
    return made


def mounting(*claims: str, name: str = "db") -> Pod:
    volumes = [{"name": row, "persistentVolumeClaim": {"claimName": row}} for row in claims]
    return pod(name, image="v1", volumes=volumes)


EPHEMERAL = pod("db", volumes=[{"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}}])
MADE_IN_EAST = [{"matchLabelExpressions": [{"key": ZONE, "values": ["east"]}]}]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([claim("a", "v"), volume("v", on="n2")], "n2"),
        ([storage_class(), claim("a"), volume("v", on="n2")], "n2"),
        ([storage_class(), claim("a", size="2Gi"), volume("s", on="n1"), volume("l", on="n2", size="2Gi")], "n2"),
        ([storage_class(provisioner="x", allowedTopologies=MADE_IN_EAST), claim("a")], "n1"),
        ([storage_class(provisioner="x"), claim("a", annotations={"volume.kubernetes.io/selected-node": "n2"})], "n2"),
        ([claim("a", "v"), volume("v", labels={ZONE: "east__west"})], "n1"),
    ],
)
def test_where_the_volumes_are(rows: list[Any], expected: str) -> None:
    on = with_storage(*rows, labels={ZONE: "east"})
    if rows[-1].metadata.name == "v" and ZONE in rows[-1].metadata.labels:
        on.set_node(node("n2", "south"))
    assert place(mounting("a"), on) == expected


@pytest.mark.parametrize(
    ("subject", "rows", "reason"),
    [
        (mounting("a"), [], 'persistentvolumeclaim "a" not found'),
        (EPHEMERAL, [], 'waiting for ephemeral volume controller to create the persistentvolumeclaim "db-scratch"'),
        (
            mounting("a"),
            [claim("a", meta={"deletionTimestamp": "2026-01-01T00:00:00Z"})],
            'persistentvolumeclaim "a" is being deleted',
        ),
        (mounting("a"), [claim("a", kind="now")], "pod has unbound immediate PersistentVolumeClaims"),
        (mounting("a"), [storage_class(), claim("a")], "2 node(s) didn't find available persistent volumes to bind"),
        (mounting("a"), [claim("a", "v"), volume("v", on="n9")], "2 node(s) had volume node affinity conflict"),
        (
            mounting("a"),
            [claim("a", "v")],
            "2 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
        ),
    ],
)
def test_why_no_node_will_do(subject: Pod, rows: list[Any], reason: str) -> None:
    assert place(subject, with_storage(*rows)) == (
        f"0/2 nodes are available: {reason}. "
        "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    )


def test_a_volume_of_another_zone() -> None:
    on = cluster(node("n1", "west"))
    for row in (claim("a", "v"), volume("v", labels={ZONE: "east"})):
        on.storage.keep(None, row)
    assert "1 node(s) had no available volume zone" in place(mounting("a"), on)


def test_a_claim_for_one_pod_only() -> None:
    only = claim("a", "v", accessModes=["ReadWriteOncePod"])
    on = with_storage(only, volume("v"), running={"n1": [mounting("a", name="user")]})
    reason = "2 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
    assert reason in place(mounting("a"), on)
    on.remove(PodInfo(mounting("a", name="user")).key)
    assert place(mounting("a"), on) in ("n1", "n2")


def test_a_node_takes_no_more_volumes_of_a_driver_than_it_can() -> None:
    def csi(handle: str) -> JSON:
        return {"driver": "disk.example.com", "volumeHandle": handle}

    limit = {"name": "disk.example.com", "nodeID": "x", "allocatable": {"count": 1}}
    limits = [
        msgspec.convert({"metadata": {"name": name}, "spec": {"drivers": [limit]}}, CSINode) for name in ("n1", "n2")
    ]
    rows = [claim("a", "va"), claim("b", "vb"), volume("va", csi=csi("1")), volume("vb", csi=csi("2")), *limits]
    on = with_storage(*rows, running={"n1": [mounting("a", name="first")]})
    assert place(mounting("b"), on) == "n2"
    assert place(mounting("a", name="again"), on) in ("n1", "n2"), "it is there already"
    on.assume(PodInfo(mounting("b", name="second")), "n2")
    on.storage.keep(None, claim("c", "vc"))
    on.storage.keep(None, volume("vc", csi=csi("3")))
    assert "2 node(s) exceed max volume count" in place(mounting("c"), on)


def test_a_volume_is_promised_once() -> None:
    on = with_storage(storage_class(), claim("a"), claim("b"), volume("v", on="n1"))
    by = framework(on)
    decision = by.decide(PodInfo(mounting("a", name="first")))
    assert decision.node is not None and decision.cycle is not None
    placement = Placement(by, decision.cycle, decision.node)
    placement.reserve()
    assert "didn't find available persistent volumes" in place(mounting("b", name="second"), on)
    placement.unreserve()
    assert place(mounting("b", name="second"), on) == "n1"


async def create(world: World, *rows: tuple[type[Any], JSON]) -> None:
    for kind, body in rows:
        await world.client.create(kind, body, "default" if kind in (Pod, PersistentVolumeClaim) else "")


def body_of(row: Any) -> JSON:
    body: JSON = msgspec.to_builtins(row)
    body.pop("status", None)
    body["metadata"] = {"name": row.name}
    return body


def test_a_pod_gets_a_volume_that_is_there_and_one_that_is_made_for_it() -> None:
    """The binder and the provisioner are the controllers' own."""

    async def test(world: World) -> None:
        local = {"hostPath": {"path": "/srv/v"}}
        await create(
            world,
            (StorageClass, body_of(storage_class())),
            (StorageClass, body_of(storage_class("standard", "knet.io/local"))),
            (PersistentVolume, body_of(volume("there", on="n2", **local))),
            (PersistentVolumeClaim, body_of(claim("old"))),
            (PersistentVolumeClaim, body_of(claim("new", kind="standard"))),
            (Pod, {"metadata": {"name": "db"}, "spec": body_of(mounting("old", "new"))["spec"]}),
        )

        def placed() -> bool:
            found = world.pods.get("default", "db")
            return found is not None and found.spec.nodeName == "n2"

        await world.until(placed)
        bound = {row.name: row for row in world.claims.list("default")}
        assert bound["old"].spec.volumeName == "there" and bound["new"].spec.volumeName.startswith("pvc-")
        assert bound["new"].metadata.annotations["volume.kubernetes.io/selected-node"] == "n2"

    run(test)


def test_a_pod_waits_for_its_claim_and_is_woken_by_it() -> None:
    async def test(world: World) -> None:
        await create(world, (Pod, {"metadata": {"name": "db"}, "spec": body_of(mounting("late"))["spec"]}))

        def told() -> str:
            found = world.pods.get("default", "db")
            row = condition(found.status.conditions, "PodScheduled") if found is not None else None
            return row.message if row is not None and row.status == "False" else ""

        await world.until(lambda: 'persistentvolumeclaim "late" not found' in told())
        await create(
            world,
            (StorageClass, body_of(storage_class("standard", "knet.io/local"))),
            (PersistentVolumeClaim, body_of(claim("late", kind="standard"))),
        )
        await world.until(lambda: any(row.spec.nodeName for row in world.pods.list("default")))

    run(test, nodes=("n1",))
