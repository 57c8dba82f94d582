"""The scheduler's queue: who is next, who sleeps, who wakes them."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from knet.api.objects import Pod
from knet.client import key_of
from knet.scheduler.hints import Change
from knet.scheduler.plugin import Plugin
from knet.scheduler.pod import PodInfo
from knet.scheduler.queue import SchedulingQueue, Waiting, Waits


class Fit(Plugin):
    """Looks closely: a pod that was in nobody's way helps nobody."""

    helped_by = frozenset({Change.POD_REMOVED})

    def helps(self, pod: PodInfo, change: Change, old: Any, new: Any) -> bool:
        return old != "in nobody's way"


class Taints(Plugin):
    helped_by = frozenset({Change.NODE_TAINTS})

    def helps(self, pod: PodInfo, change: Change, old: Any, new: Any) -> bool:
        raise LookupError("cannot tell")


PLUGINS: dict[str, Plugin] = {"Fit": Fit(), "Taints": Taints()}


def pod(name: str, priority: int = 0, **labels: str) -> Pod:
    meta = {"name": name, "namespace": "default", "uid": name, "labels": labels}
    return msgspec.convert({"metadata": meta, "spec": {"priority": priority}}, Pod)


def by_priority(pod: PodInfo, since: float) -> tuple[int, float]:
    return -pod.priority, since


def gated(pod: PodInfo) -> str:
    return "Gate" if "gate" in pod.labels else ""


def run(body: Callable[[SchedulingQueue], Coroutine[Any, Any, None]], backoff: float = 0, longest: float = 300) -> None:
    async def inside() -> None:
        queue = SchedulingQueue(PLUGINS, Waits(backoff, backoff, longest), by_priority, gated)
        await asyncio.wait_for(body(queue), 10)

    asyncio.run(inside())


async def next_of(queue: SchedulingQueue) -> str:
    return (await queue.pop()).pod.name


async def is_empty(queue: SchedulingQueue) -> bool:
    """Whether nobody is up for a decision right now."""
    popping = asyncio.ensure_future(queue.pop())
    for _ in range(5):
        await asyncio.sleep(0)
    waiting = not popping.done()
    popping.cancel()
    return waiting


def test_priority_first_then_age() -> None:
    async def body(queue: SchedulingQueue) -> None:
        for row in (pod("a"), pod("b"), pod("urgent", priority=10)):
            queue.add(row)
        assert [await next_of(queue) for _ in range(3)] == ["urgent", "a", "b"]

    run(body)


def test_only_what_can_help_wakes() -> None:
    async def body(queue: SchedulingQueue) -> None:
        queue.add(pod("a"))
        queue.put_to_sleep(await queue.pop(), frozenset({"Fit"}))
        queue.woken_by(Change.NODE_TAINTS)
        assert await is_empty(queue)
        queue.woken_by(Change.POD_REMOVED)
        assert await next_of(queue) == "a"

    run(body)


def test_a_pod_that_found_no_node_at_all_is_helped_by_anything() -> None:
    async def body(queue: SchedulingQueue) -> None:
        queue.add(pod("a"))
        queue.put_to_sleep(await queue.pop(), frozenset())
        queue.woken_by(Change.NODE_ADDED)
        assert await next_of(queue) == "a"

    run(body)


def test_a_change_that_helps_nobody_wakes_nobody_and_a_plugin_that_fails_to_say_wakes() -> None:
    async def body(queue: SchedulingQueue) -> None:
        queue.add(pod("a"))
        queue.add(pod("b"))
        queue.put_to_sleep(await queue.pop(), frozenset({"Fit"}))
        queue.put_to_sleep(await queue.pop(), frozenset({"Taints"}))
        queue.woken_by(Change.POD_REMOVED, "in nobody's way")
        assert await is_empty(queue)
        queue.woken_by(Change.NODE_TAINTS)
        assert await next_of(queue) == "b"

    run(body)


def test_who_has_slept_long_enough_is_tried_without_a_hint() -> None:
    async def body(queue: SchedulingQueue) -> None:
        queue.add(pod("a"))
        queue.put_to_sleep(await queue.pop(), frozenset({"Fit"}))
        assert await is_empty(queue)
        assert await next_of(queue) == "a"

    run(body, longest=0.05)


def test_who_has_failed_comes_after_who_waits() -> None:
    async def body(queue: SchedulingQueue) -> None:
        queue.add(pod("a"))
        first = await queue.pop()
        queue.add(pod("b"))
        queue.put_to_sleep(first, frozenset({"Fit"}))
        queue.woken_by(Change.POD_REMOVED)
        assert [await next_of(queue) for _ in range(2)] == ["b", "a"]
        assert first.attempts == 2

    run(body)


def test_a_gated_pod_stays_outside_whatever_happens_until_its_gate_is_gone() -> None:
    async def body(queue: SchedulingQueue) -> None:
        queue.add(pod("a", gate="closed"))
        for change in Change:
            queue.woken_by(change)
        assert await is_empty(queue)
        queue.add(pod("a"))
        waiting = await queue.pop()
        assert (waiting.pod.name, waiting.attempts) == ("a", 1)

    run(body)


def test_waking_waits_for_the_backoff() -> None:
    async def body(queue: SchedulingQueue) -> None:
        queue.add(pod("a"))
        queue.put_to_sleep(await queue.pop(), frozenset({"Fit"}))
        queue.woken_by(Change.POD_REMOVED)
        assert await is_empty(queue)
        assert await next_of(queue) == "a"

    run(body, backoff=0.05)


def test_a_changed_pod_is_tried_again_and_its_heartbeats_are_not() -> None:
    async def body(queue: SchedulingQueue) -> None:
        queue.add(pod("a"))
        queue.put_to_sleep(await queue.pop(), frozenset({"Fit"}))
        queue.add(pod("a"))
        assert await is_empty(queue)
        queue.add(pod("a", tier="front"))
        assert await next_of(queue) == "a"

    run(body)


def test_a_pod_that_is_gone_is_not_decided_upon() -> None:
    async def body(queue: SchedulingQueue) -> None:
        queue.add(pod("a"))
        queue.add(pod("b"))
        queue.remove(key_of(pod("a")))
        assert await next_of(queue) == "b"
        assert len(queue) == 1

    run(body)


NAMES = ("a", "b", "c", "d")
STEPS = st.lists(
    st.tuples(st.sampled_from(("add", "gate", "remove", "pop", "sleep", "retry", "woken")), st.sampled_from(NAMES)),
    max_size=60,
)


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_nobody_is_lost_and_nobody_is_in_two_places(steps: list[tuple[str, str]]) -> None:
    """Against a model: where each pod is, after any steps; with no backoff, so that time plays no part."""

    async def body(queue: SchedulingQueue) -> None:
        ready: list[str] = []
        asleep: list[str] = []
        shut: set[str] = set()
        tried: dict[str, Waiting] = {}
        for step, name in steps:
            known = name in ready or name in asleep or name in shut or name in tried
            if step in ("add", "gate") and not known:
                queue.add(pod(name, **({"gate": ""} if step == "gate" else {})))
                if step == "gate":
                    shut.add(name)
                else:
                    ready.append(name)
            elif step == "add" and name in shut:
                queue.add(pod(name))
                shut.discard(name)
                ready.append(name)
            elif step == "remove":
                queue.remove(key_of(pod(name)))
                ready = [row for row in ready if row != name]
                asleep = [row for row in asleep if row != name]
                shut.discard(name)
                tried.pop(name, None)
            elif step == "pop" and ready:
                waiting = await queue.pop()
                assert waiting.pod.name == ready.pop(0)
                tried[waiting.pod.name] = waiting
            elif step == "sleep" and name in tried:
                queue.put_to_sleep(tried.pop(name), frozenset({"Fit"}))
                asleep.append(name)
            elif step == "retry" and name in tried:
                queue.retry(tried.pop(name))
                ready.append(name)
            elif step == "woken":
                queue.woken_by(Change.POD_REMOVED)
                ready += asleep
                asleep = []
            assert len(queue) == len(ready) + len(asleep) + len(shut) + len(tried)
        assert [await next_of(queue) for _ in ready] == ready
        assert await is_empty(queue)

    run(body)
