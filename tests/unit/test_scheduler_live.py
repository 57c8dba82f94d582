"""The scheduler against the real API server: nodes are hollow, with 16 cores each."""

import sys
from pathlib import Path
from typing import Any

from control_plane_harness import World, run

from knet.api.objects import JSON, Event, Pod, condition
from knet.api.policy import PodDisruptionBudget


async def create(world: World, name: str, cpu: str = "100m", **spec: Any) -> Pod:
    meta: JSON = {"name": name, "labels": spec.pop("labels", {"app": name})}
    container = {"name": "c", "image": "v1", "resources": {"requests": {"cpu": cpu}}}
    return await world.client.create(Pod, {"metadata": meta, "spec": {"containers": [container], **spec}}, "default")


async def classes(world: World) -> None:
    for name, value, more in (("high", 1000, {}), ("polite", 1000, {"preemptionPolicy": "Never"})):
        body = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}}
        path = "/apis/scheduling.k8s.io/v1/priorityclasses"
        await world.client.raw("POST", path, body | {"value": value} | more)


def seen(world: World, name: str) -> Pod | None:
    return world.pods.get("default", name)


def message(world: World, name: str) -> str:
    """Of the PodScheduled condition, while it is False."""
    found = seen(world, name)
    row = condition(found.status.conditions, "PodScheduled") if found is not None else None
    return f"{row.reason}: {row.message}" if row is not None and row.status == "False" else ""


def bound(world: World, name: str) -> bool:
    found = seen(world, name)
    return found is not None and bool(found.spec.nodeName)


def events(world: World, reason: str) -> list[Event]:
    return [row for row in world.events.list("default") if row.reason == reason]


def test_an_urgent_pod_takes_the_place_of_another() -> None:
    async def test(world: World) -> None:
        await classes(world)
        await create(world, "small", "1")
        await create(world, "large", "12")
        await world.until(lambda: bound(world, "small") and bound(world, "large"))
        noted: list[Pod] = []
        world.pods.subscribe(lambda old, new: noted.append(new) if new is not None else None)
        preemptor = await create(world, "urgent", "10", priorityClassName="high")
        await world.until(lambda: bound(world, "urgent"))
        assert seen(world, "large") is None and bound(world, "small")
        told = [row for row in noted if row.name == "large" and row.deleting]
        row = condition(told[0].status.conditions, "DisruptionTarget")
        assert row is not None and (row.reason, row.message) == (
            "PreemptionByScheduler",
            "default-scheduler: preempting to accommodate a higher priority pod",
        )
        waited = [row for row in noted if row.name == "urgent" and not row.spec.nodeName]
        assert {row.status.nominatedNodeName for row in waited} == {"", "n1"}
        await world.until(lambda: bool(events(world, "Preempted")))
        [event] = events(world, "Preempted")
        assert (event.type, event.message) == ("Normal", f"Preempted by pod {preemptor.uid} on node n1")
        texts = {event.message for event in events(world, "FailedScheduling")}
        assert "0/1 nodes are available: 1 Insufficient cpu." in texts

    run(test, nodes=("n1",))


def test_a_polite_pod_waits_and_is_woken_when_there_is_room() -> None:
    async def test(world: World) -> None:
        await classes(world)
        await create(world, "large", "12")
        await world.until(lambda: bound(world, "large"))
        await create(world, "patient", "10", priorityClassName="polite")
        expected = (
            "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu. "
            "preemption: not eligible due to preemptionPolicy=Never."
        )
        await world.until(lambda: message(world, "patient") == expected)
        await world.client.delete(Pod, "large", "default")
        await world.until(lambda: bound(world, "patient"))

    run(test, nodes=("n1",))


def test_a_budget_keeps_its_pods_from_being_preempted() -> None:
    async def test(world: World) -> None:
        await classes(world)
        await create(world, "db1", "12", labels={"app": "db"}, nodeSelector={"kubernetes.io/hostname": "n1"})
        await create(world, "web", "12", nodeSelector={"kubernetes.io/hostname": "n2"})
        spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "db"}}}
        await world.client.create(PodDisruptionBudget, {"metadata": {"name": "db"}, "spec": spec}, "default")
        await world.until(lambda: any(row.status.currentHealthy == 1 for row in world.budgets.list()))
        await create(world, "urgent", "10", priorityClassName="high")
        await world.until(lambda: bound(world, "urgent"))
        assert seen(world, "web") is None and bound(world, "db1")

    run(test)


def test_gates_hold_a_pod_back_without_a_word() -> None:
    async def test(world: World) -> None:
        await create(world, "gated", schedulingGates=[{"name": "example.com/quota"}])
        await create(world, "free")
        await world.until(lambda: bound(world, "free"))
        assert message(world, "gated") == "SchedulingGated: Scheduling is blocked due to non-empty scheduling gates"
        await world.client.patch(Pod, "gated", {"spec": {"schedulingGates": None}}, "default")
        await world.until(lambda: len(events(world, "Scheduled")) == 2)
        assert events(world, "FailedScheduling") == []

    run(test, nodes=("n1",))


def test_another_schedulers_pods_are_left_alone() -> None:
    async def test(world: World) -> None:
        await create(world, "theirs", schedulerName="somebody-else")
        await create(world, "ours")
        await world.until(lambda: bound(world, "ours"))
        assert not bound(world, "theirs") and not message(world, "theirs")

    run(test, nodes=("n1",))


PLUGIN = """
import asyncio
from knet.scheduler.plugin import Plugin

class Moody(Plugin):
    def filter(self, state, pod, node):
        if "stumble" in pod.labels:
            raise LookupError("no idea")
        return "node(s) were not in the mood" if "refuse" in pod.labels else None

class Pair(Plugin):
    '''Lets pods go in twos.'''
    first = None
    undone = []

    async def permit(self, state, pod, node):
        if "pair" not in pod.labels:
            return None
        if Pair.first is None:
            Pair.first = asyncio.get_running_loop().create_future()
            await Pair.first
        else:
            Pair.first.set_result(None)

    def unreserve(self, state, pod, node):
        Pair.undone.append(pod.name)
        Pair.first = None
"""


def test_a_users_plugin_may_refuse_wait_and_fail_and_the_scheduler_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)

    async def test(world: World) -> None:
        await world.kill("scheduler")
        world.start("scheduler", plugins=str(path))
        await create(world, "stumbles", labels={"stumble": ""})
        await create(world, "refused", labels={"refuse": ""})
        text = 'SchedulerError: running Filter plugin "Moody": LookupError: no idea'
        await world.until(lambda: message(world, "stumbles") == text)
        await world.until(
            lambda: "0/1 nodes are available: 1 node(s) were not in the mood." in message(world, "refused")
        )
        await create(world, "free")
        await world.until(lambda: bound(world, "free"))
        await world.until(lambda: any(text.endswith(row.message) for row in events(world, "FailedScheduling")))
        # a pod that waits for its permit takes part as if it ran, and can be deleted
        await create(world, "single", labels={"pair": ""}, cpu="15")
        await create(world, "large", "10")
        await world.until(lambda: "Insufficient cpu" in message(world, "large"))
        await world.client.delete(Pod, "single", "default")
        await world.until(lambda: bound(world, "large"))
        for name in ("left", "right"):
            assert not bound(world, name)
            await create(world, name, labels={"pair": ""})
        await world.until(lambda: bound(world, "left") and bound(world, "right"))
        assert sys.modules["knet_scheduler_plugin_mine"].Pair.undone == ["single"]

    run(test, nodes=("n1",))
