"""The work queue: a key is worked on once at a time, and never forgotten."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from knet.client import Conflict, Controller, Key, Result, WorkQueue

A, B = Key("default", "a"), Key("default", "b")


def run(body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(body(), 10))


def test_asking_twice_is_asking_once_and_order_is_kept() -> None:
    async def body() -> None:
        queue = WorkQueue()
        for key in (A, B, A):
            queue.add(key)
        assert [await queue.get(), await queue.get()] == [A, B]

    run(body)


def test_a_key_that_changes_in_work_comes_back_after_it() -> None:
    async def body() -> None:
        queue = WorkQueue()
        queue.add(A)
        assert await queue.get() == A
        queue.add(A)
        queue.add(B)
        assert await queue.get() == B, "A is in somebody's hands"
        queue.done(A)
        assert await queue.get() == A

    run(body)


def test_the_earlier_of_two_delays_counts() -> None:
    async def body() -> None:
        queue = WorkQueue()
        queue.add_after(A, 3600)
        queue.add_after(A, 0)
        queue.add_after(A, 3600)
        assert await queue.get() == A

    run(body)


def test_retries_wait_twice_as_long_each_time_until_forgotten() -> None:
    async def body() -> None:
        queue = WorkQueue()
        assert [queue.retry(A) for _ in range(4)] == [0.005, 0.01, 0.02, 0.04]
        queue.forget(A)
        assert queue.retry(A) == 0.005

    run(body)


class Recording:
    """Answers each pass with the next of the given results; an exception is raised."""

    def __init__(self, *answers: Result | Exception | None) -> None:
        self.answers = list(answers)
        self.passes = 0
        self.keys: list[Key] = []
        self.finished = asyncio.Event()

    async def reconcile(self, key: Key) -> Result | None:
        self.passes += 1
        self.keys.append(key)
        answer = self.answers.pop(0)
        if not self.answers:
            self.finished.set()
        if isinstance(answer, Exception):
            raise answer
        return answer


def passes_of(*answers: Result | Exception | None) -> int:
    async def body() -> int:
        recording = Recording(*answers)
        controller = Controller("test", recording)
        worker = asyncio.ensure_future(controller.run())
        controller.enqueue(A)
        await asyncio.wait_for(recording.finished.wait(), 10)
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
        return recording.passes

    return asyncio.run(body())


def test_failures_of_any_kind_are_tried_again() -> None:
    assert passes_of(Conflict(409, "Conflict", "modified"), ValueError("one bad object"), None) == 3


def test_a_pass_can_ask_for_another() -> None:
    assert passes_of(Result(0), Result(0.001), None) == 3


def test_a_burst_during_a_rest_is_one_pass() -> None:
    async def body() -> None:
        recording = Recording(None, None, None)
        controller = Controller("test", recording, rest=0.05)
        worker = asyncio.ensure_future(controller.run())
        controller.enqueue(A)
        while recording.passes < 1:
            await asyncio.sleep(0)
        for _ in range(100):
            controller.enqueue(A)
            await asyncio.sleep(0)
        assert recording.passes == 1, "the key rests"
        while recording.passes < 2:
            await asyncio.sleep(0.001)
        controller.enqueue(B)
        while recording.passes < 3:
            await asyncio.sleep(0.001)
        assert recording.keys == [A, A, B]
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)

    run(body)
