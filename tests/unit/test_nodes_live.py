"""Nodes, namespaces and scheduling from end to end, over a real API server."""

import asyncio
from dataclasses import replace
from ipaddress import ip_network

from control_plane_harness import VIGILANT, World, run

from knet.api.objects import Condition, ConfigMap, Event, Namespace, Node, Pod, ServiceAccount, condition
from knet.api.timing import LAB
from knet.client.client import STRATEGIC
from knet.kubelet.node import Health, NodeFacts, NodeReporter

LEAVES_AT_ONCE = [
    {
        "key": "node.kubernetes.io/unreachable",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 0,
    }
]


def test_a_silent_node_loses_its_pods_to_another_and_gets_them_back_as_corpses() -> None:
    async def story(world: World) -> None:
        await world.deploy(replicas=4, pod={"tolerations": LEAVES_AT_ONCE})
        await world.until(world.complete)
        await world.until(lambda: {pod.spec.nodeName for pod in world.ready_pods()} == {"n1", "n2"})
        await world.kill("n2")
        await world.until(lambda: len(world.ready_pods()) == 4 and all(_on(pod, "n1") for pod in world.ready_pods()))
        lost = [pod for pod in world.pods.list() if _on(pod, "n2")]
        assert lost, "nobody can tell whether they have ended: they stay, terminating"
        assert all(pod.deleting and not pod.ready for pod in lost)
        node = world.nodes.get("", "n2")
        assert node is not None
        ready = condition(node.status.conditions, "Ready")
        assert ready is not None
        assert (ready.status, ready.message) == ("Unknown", "Kubelet stopped posting node status.")
        assert {taint.effect for taint in node.spec.taints} == {"NoSchedule", "NoExecute"}
        world.start("n2")
        await world.until(lambda: not any(pod.deleting for pod in world.pods.list()))
        await world.until(lambda: not world.nodes.get("", "n2").spec.taints)  # type: ignore[union-attr]

    run(story, profile=VIGILANT)


def _on(pod: Pod, node: str) -> bool:
    return pod.spec.nodeName == node


def test_a_kubelet_that_hears_again_contradicts_what_was_made_of_its_silence() -> None:
    timing = replace(LAB, node_status_update_frequency=0.05)
    facts = NodeFacts("n9", ("172.18.0.9",), "test", {}, {"cpu": "4", "memory": "8Gi", "pods": "110"})

    seen: list[Condition] = []

    def note(_: Node | None, node: Node | None) -> None:
        if node is not None and node.name == "n9" and (row := condition(node.status.conditions, "Ready")):
            seen.append(row)

    async def story(world: World) -> None:
        world.nodes.subscribe(note)
        reporter = NodeReporter(world.client, facts, timing, Health(network=True), list)
        reporting = asyncio.ensure_future(reporter.run())
        await world.until(lambda: bool(seen) and seen[-1].status == "True")
        row = {"type": "Ready", "status": "Unknown", "lastTransitionTime": "2025-01-01T12:00:00Z"}
        patch = {"status": {"conditions": [row]}}
        for _ in range(2):
            seen.clear()
            await world.client.patch(Node, "n9", patch, subresource="status", kind=STRATEGIC)
            await world.until(lambda: {"Unknown", "True"} <= {row.status for row in seen} and seen[-1].status == "True")
            assert seen[-1].lastTransitionTime != row["lastTransitionTime"]
        reporting.cancel()

    run(story)


def test_pods_of_a_node_that_is_gone_for_good_go_too() -> None:
    async def story(world: World) -> None:
        await world.deploy(replicas=4)
        await world.until(world.complete)
        await world.kill("n2")
        await world.client.delete(Node, "n2")
        await world.until(lambda: not any(_on(pod, "n2") for pod in world.pods.list()))
        await world.until(world.complete)

    run(story, profile=VIGILANT)


def test_every_node_has_a_range_of_its_own_and_keeps_it() -> None:
    async def story(world: World) -> None:
        await world.until(lambda: all(node.spec.podCIDR for node in world.nodes.list()))
        before = {node.name: node.spec.podCIDR for node in world.nodes.list()}
        assert len(set(before.values())) == 3
        gone, *stays = sorted(before, key=lambda name: ip_network(before[name]))
        await world.kill("controllers")
        await world.kill(gone)
        await world.client.delete(Node, gone)
        world.start("controllers")
        world.start("n4")
        await world.until(lambda: (node := world.nodes.get("", "n4")) is not None and bool(node.spec.podCIDR))
        after = {node.name: node.spec.podCIDR for node in world.nodes.list()}
        assert [after[name] for name in stays] == [before[name] for name in stays]
        assert after["n4"] not in before.values(), "a range just freed comes last"

    run(story, nodes=("n1", "n2", "n3"))


def test_a_namespace_is_furnished_and_cleared() -> None:
    async def story(world: World) -> None:
        await world.client.create(Namespace, {"metadata": {"name": "lab"}})
        accounts = await _wait_for_furniture(world)
        assert accounts == ["default"]
        await world.deploy(replicas=3, namespace="lab")
        await world.until(lambda: world.complete(namespace="lab"))
        await world.client.create(ConfigMap, {"metadata": {"name": "x"}}, "lab")
        await world.client.delete(Namespace, "lab")
        await world.until(lambda: world.namespaces.get("", "lab") is None)
        assert not list(world.pods.list("lab"))
        assert not (await world.client.list(ConfigMap, "lab")).items

    run(story)


async def _wait_for_furniture(world: World) -> list[str]:
    """The service accounts of the new namespace, once its CA bundle is there too."""
    listing = await world.client.list(ConfigMap, "lab")
    if not listing.items:
        async for event in world.client.watch(ConfigMap, listing.resource_version, "lab"):
            if event.object.name == "kube-root-ca.crt":
                assert event.object.data["ca.crt"].startswith("-----BEGIN CERTIFICATE-----")
                break
    accounts = await world.client.list(ServiceAccount, "lab")
    if not accounts.items:
        async for found in world.client.watch(ServiceAccount, accounts.resource_version, "lab"):
            return [found.object.name]
    return [row.name for row in accounts.items]


def test_a_pod_that_fits_nowhere_is_told_why_and_helped_by_what_helps() -> None:
    async def story(world: World) -> None:
        spec = {"nodeSelector": {"disk": "ssd"}, "containers": [{"name": "c", "image": "v1"}]}
        await world.client.create(Pod, {"metadata": {"name": "picky"}, "spec": spec}, "default")

        def why() -> str:
            pod = world.pods.get("default", "picky")
            row = condition(pod.status.conditions, "PodScheduled") if pod is not None else None
            return f"{row.reason}: {row.message}" if row is not None else ""

        # before the scheduler has seen the nodes it says so, and corrects itself
        text = "Unschedulable: 0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector."
        await world.until(lambda: why().startswith(text))
        await world.client.patch(Node, "n2", {"metadata": {"labels": {"disk": "ssd"}}})
        await world.until(lambda: [pod.spec.nodeName for pod in world.ready_pods()] == ["n2"])
        told = {(row.reason, row.message) for row in await _events(world) if row.involvedObject.name == "picky"}
        assert ("Scheduled", "Successfully assigned default/picky to n2") in told

    run(story)


async def _events(world: World) -> list[Event]:
    """The Events of the namespace, once the last of them has been written."""
    listing = await world.client.list(Event, "default")
    rows = list(listing.items)
    if any(row.reason == "Scheduled" for row in rows):
        return rows
    async for event in world.client.watch(Event, listing.resource_version, "default"):
        rows.append(event.object)
        if event.object.reason == "Scheduled":
            break
    return rows


def test_a_cordoned_node_gets_no_new_pods() -> None:
    async def story(world: World) -> None:
        await world.client.patch(Node, "n1", {"spec": {"unschedulable": True}})
        await world.until(lambda: bool(world.nodes.get("", "n1").spec.taints))  # type: ignore[union-attr]
        await world.deploy(replicas=4)
        await world.until(world.complete)
        assert {pod.spec.nodeName for pod in world.ready_pods()} == {"n2"}
        await world.client.patch(Node, "n1", {"spec": {"unschedulable": None}})
        await world.until(lambda: not world.nodes.get("", "n1").spec.taints)  # type: ignore[union-attr]

    run(story)
