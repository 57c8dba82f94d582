"""The scheduler's queue: who is next, who sleeps, who wakes them."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from knet.api.objects import Pod
from knet.client import key_of
from knet.scheduler.hints import Change
from knet.scheduler.queue import SchedulingQueue

HELP = {"Fit": frozenset({Change.POD_REMOVED}), "Taints": frozenset({Change.NODE_TAINTS})}


def pod(name: str, priority: int = 0, **labels: str) -> Pod:
    meta = {"name": name, "namespace": "default", "uid": name, "labels": labels}
    return msgspec.convert({"metadata": meta, "spec": {"priority": priority}}, Pod)


def run(body: Callable[[SchedulingQueue], Coroutine[Any, Any, None]], backoff: float = 0) -> None:
    async def inside() -> None:
        await asyncio.wait_for(body(SchedulingQueue(HELP, (backoff, backoff))), 10)

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
