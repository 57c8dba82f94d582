"""The promise of a rolling update, on the watch stream of a real API server, whatever users and pods do.

Some Deployments at once are updated, scaled, paused, resumed and rolled back at random, while their pods fail, are
deleted and fall ill for a while; controllers and scheduler are the real ones.  Revisions put the events of Deployments,
ReplicaSets and pods into one order, in which every single state is held to the promise:

- never more pods than desired + maxSurge,
- never fewer of them available than desired - maxUnavailable, each that failed of itself being forgiven.

What was asked for since the last time that everything was as it should be counts, the most and the least of it: a
Deployment that has just been scaled up does not break its word.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from control_plane_harness import World, run

from knet.api.names import REVISION_ANNOTATION
from knet.api.objects import Deployment, Pod, ReplicaSet
from knet.client import NotFound, WatchEvent
from knet.controllers.deployment.bounds import bounds

#: rounds, Deployments under way at once in each, and what happens to one of them
ROUNDS, PARALLEL, LENGTH = int(os.environ.get("KNET_EXAMPLES", "1")), 5, 16
#: seconds for which the next thing waits for the effects of the one before
PAUSE = 0.2

Event = WatchEvent[Deployment] | WatchEvent[ReplicaSet] | WatchEvent[Pod]


@dataclass
class Promise:
    """One Deployment's story, event by event; ``broken`` says where it did not keep its word."""

    name: str
    deployment: Deployment | None = None
    sets: dict[str, ReplicaSet] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    least: int = 0
    most: int = 0
    forgiven: int = 0
    begun: bool = False
    settled: int = 0
    history: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def tell(self, event: Event) -> None:
        row, gone = event.object, event.type == "DELETED"
        self.history.append(f"{row.metadata.resourceVersion} {event.type} {_shown(row)}")
        if isinstance(row, Deployment):
            self.deployment = row
            limits = bounds(row)
            self.least = min(self.least, row.spec.replicas - limits.unavailable)
            self.most = max(self.most, row.spec.replicas + limits.surge)
        elif isinstance(row, ReplicaSet):
            _put(self.sets, row, gone)
        else:
            before = self.pods.get(row.name)
            _put(self.pods, row, gone)
            if before is not None and _available(before) and _failed_by_itself(before, row):
                self.forgiven += 1
        self._check(row.metadata.resourceVersion)

    def _check(self, revision: str) -> None:
        if self.deployment is None:
            return
        active = [pod for pod in self.pods.values() if not pod.deleting and not pod.finished]
        available = sum(map(_available, active))
        desired = self.deployment.spec.replicas
        if len(active) > self.most:
            self.broken.append(f"at {revision}: {len(active)} pods, {self.most} are allowed")
        if self.begun and available + self.forgiven < self.least:
            self.broken.append(f"at {revision}: {available} available, {self.least} are promised")
        if self._all_is_well(desired, len(active), available):
            limits = bounds(self.deployment)
            self.least, self.most = desired - limits.unavailable, desired + limits.surge
            self.begun, self.forgiven, self.settled = True, 0, self.settled + 1
            if not self.broken:
                self.history = []

    def _all_is_well(self, desired: int, active: int, available: int) -> bool:
        """Nothing is under way: nobody has decided anything that is still to come."""
        assert self.deployment is not None
        status, sizes = self.deployment.status, [row.spec.replicas for row in self.sets.values() if row.spec.replicas]
        told = status.replicas == status.updatedReplicas == status.availableReplicas == desired
        seen = status.observedGeneration == self.deployment.metadata.generation
        sets = all(
            (row.status.replicas, row.status.observedGeneration) == (row.spec.replicas, row.metadata.generation)
            for row in self.sets.values()
        )
        return seen and told and sets and sizes in ([desired], []) and active == available == desired


def _shown(row: Deployment | ReplicaSet | Pod) -> str:
    if isinstance(row, Pod):
        state = "gone" if row.deleting or row.finished else "available" if row.ready else "unready"
        return f"{row.name} {state} {row.metadata.annotations.get('test', '')}"
    size, status = row.spec.replicas, row.status
    seen = "" if status.observedGeneration == row.metadata.generation else " (not observed)"
    return f"{row.name} {size} wanted{seen}, {status.replicas} there, {status.availableReplicas} available"


def _put(rows: dict[str, Any], row: ReplicaSet | Pod, gone: bool) -> None:
    rows[row.name] = row
    if gone:
        del rows[row.name]


def _available(pod: Pod) -> bool:
    return pod.ready and not pod.deleting and not pod.finished


def _failed_by_itself(before: Pod, after: Pod) -> bool:
    """It is gone, or ill, by the test's hand: who deletes pods for a ReplicaSet leaves no such mark."""
    marked = after.metadata.annotations.get("test") == "victim"
    return marked and (not after.ready or after.deleting or after.finished)


@asynccontextmanager
async def witness(world: World, names: list[str]) -> AsyncIterator[dict[str, Promise]]:
    """The promises of Deployments by name, filled in when the block ends."""
    events: list[Event] = []
    promises = {name: Promise(name) for name in names}

    async def follow(cls: type[Deployment] | type[ReplicaSet] | type[Pod], revision: str) -> None:
        async for event in world.client.watch(cls, revision, "default"):  # type: ignore[type-var]
            if event.type != "BOOKMARK":
                events.append(event)

    begin = (await world.client.list(Pod, "default")).resource_version
    watching = [asyncio.ensure_future(follow(cls, begin)) for cls in (Deployment, ReplicaSet, Pod)]
    try:
        yield promises
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
    for event in sorted(events, key=lambda event: int(event.object.metadata.resourceVersion)):
        name = event.object.metadata.labels.get("app", event.object.name)
        promises[name].tell(event)


class Story:
    """What happens to one Deployment; ``dice`` decide."""

    def __init__(self, world: World, name: str, seed: int) -> None:
        self.world, self.name, self.dice = world, name, random.Random(seed)
        self.image, self.changed = 1, asyncio.Event()
        world.pods.subscribe(self.notice)
        self.done: list[str] = [f"seed {seed}"]

    async def play(self) -> None:
        surge, unavailable = self.dice.choice([(1, 0), (0, 1), (2, 1), ("25%", "25%"), ("50%", 0), (0, "40%")])
        limits = {"maxSurge": surge, "maxUnavailable": unavailable}
        strategy = {"type": "RollingUpdate", "rollingUpdate": limits}
        await self.world.deploy(self.name, self.dice.randint(3, 9), strategy=strategy)
        await self.world.until(lambda: self.world.complete(self.name))
        deeds = [
            self.update,
            self.update,
            self.scale,
            self.pause,
            self.resume,
            self.undo,
            self.fail,
            self.delete,
            self.ill,
        ]
        for _ in range(LENGTH):
            deed = self.dice.choice(deeds)
            self.done.append(deed.__name__)
            await deed()
            await self.let_some_happen(self.dice.choice([0, 1, 3, 8, 99]))
        await self.resume()
        await self.update()
        try:
            await self.world.until(lambda: self.world.complete(self.name))
        except TimeoutError:
            raise AssertionError("\n".join(["it does not end", " ".join(self.done), *self.state()])) from None

    def state(self) -> list[str]:
        rows = [
            *self.world.deployments.list("default"),
            *self.world.sets.list("default"),
            *self.world.pods.list("default"),
        ]
        return [_shown(row) for row in rows if row.name.startswith(self.name)]

    async def let_some_happen(self, events: int) -> None:
        """Go on after so many changes of its pods, or when for a moment there is none."""
        with suppress(TimeoutError):
            for _ in range(events):
                self.changed.clear()
                async with asyncio.timeout(PAUSE):
                    await self.changed.wait()

    def notice(self, old: Pod | None, new: Pod | None) -> None:
        pod = new or old
        if pod is not None and pod.metadata.labels.get("app") == self.name:
            self.changed.set()

    async def update(self) -> None:
        self.image += 1
        await self.world.change(self.name, image=f"v{self.image}")

    async def scale(self) -> None:
        await self.world.change(self.name, replicas=self.dice.randint(1, 9))

    async def pause(self) -> None:
        await self.world.change(self.name, paused=True)

    async def resume(self) -> None:
        await self.world.change(self.name, paused=False)

    async def undo(self) -> None:
        """As kubectl rollout undo --to-revision does; a paused Deployment cannot be rolled back there."""
        sets = [row for row in self.world.sets.list("default") if row.metadata.labels.get("app") == self.name]
        chosen = self.dice.choice(sorted(sets, key=lambda row: row.metadata.annotations[REVISION_ANNOTATION]))
        await self.resume()
        await self.world.change(self.name, image=chosen.spec.template["spec"]["containers"][0]["image"])

    async def victim(self) -> Pod | None:
        """One of the pods, marked so that the witness knows whose fault it is."""
        pods = [pod for pod in self.world.running_pods() if pod.metadata.labels.get("app") == self.name and pod.ready]
        for pod in self.dice.sample(pods, len(pods))[:1]:
            with suppress(NotFound):
                mark = {"metadata": {"annotations": {"test": "victim"}}}
                return await self.world.client.patch(Pod, pod.name, mark, "default")
        return None

    async def fail(self) -> None:
        if (pod := await self.victim()) is not None:
            await self.report(pod, {"phase": "Failed", "conditions": [{"type": "Ready", "status": "False"}]})

    async def ill(self) -> None:
        """Not ready for a moment."""
        if (pod := await self.victim()) is not None:
            await self.report(pod, {"conditions": [{"type": "Ready", "status": "False"}]})
            await self.let_some_happen(2)
            await self.report(pod, {"conditions": [{"type": "Ready", "status": "True"}]})

    async def report(self, pod: Pod, status: dict[str, object]) -> None:
        with suppress(NotFound):  # it has been taken away meanwhile
            await self.world.client.patch(Pod, pod.name, {"status": status}, "default", "status")

    async def delete(self) -> None:
        if (pod := await self.victim()) is not None:
            with suppress(NotFound):
                await self.world.client.delete(Pod, pod.name, "default")


@pytest.mark.parametrize("number", range(ROUNDS))
def test_rolling_updates_keep_their_promise_whatever_happens(number: int) -> None:
    async def stories(world: World) -> None:
        seeds = [random.randrange(1 << 30) for _ in range(PARALLEL)]
        told = [Story(world, f"d{seed}", seed) for seed in seeds]
        async with witness(world, [story.name for story in told]) as promises, asyncio.TaskGroup() as group:
            for story in told:
                group.create_task(story.play())
        for story in told:
            promise = promises[story.name]
            assert promise.broken == [], "\n".join([" ".join(story.done), *promise.history])
            assert promise.settled > 0, "nothing was watched"

    run(stories)
