"""Many equal writes at once, carefully: 1, 2, 4, 8 … of them, so that a refusal is met once and not a hundred times."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from knet.client import ApiError, Unavailable

#: how many requests of one batch are under way together: the API server is one process, more only queue there
CONCURRENCY = 16


class Outcome(NamedTuple):
    """``done`` of the asked for writes succeeded; ``error`` is the first refusal, after which no batch was begun."""

    done: int
    error: ApiError | Unavailable | None


async def slow_start(count: int, write: Callable[[], Awaitable[None]]) -> Outcome:
    """Call ``write`` ``count`` times in doubling batches (upstream's slowStartBatch), stopping after a failed batch."""
    gate = asyncio.Semaphore(CONCURRENCY)

    async def one() -> ApiError | Unavailable | None:
        async with gate:
            try:
                await write()
            except (ApiError, Unavailable) as error:
                return error
        return None

    done, size = 0, 1
    while done < count:
        size = min(size, count - done)
        errors = [error for error in await asyncio.gather(*(one() for _ in range(size))) if error is not None]
        done += size - len(errors)
        if errors:
            return Outcome(done, errors[0])
        size *= 2
    return Outcome(done, None)


async def all_at_once(writes: list[Awaitable[None]]) -> ApiError | Unavailable | None:
    """Run independent writes, a bounded number at a time; the first refusal, after all have been tried."""
    gate = asyncio.Semaphore(CONCURRENCY)

    async def one(write: Awaitable[None]) -> ApiError | Unavailable | None:
        async with gate:
            try:
                await write
            except (ApiError, Unavailable) as error:
                return error
        return None

    return next((error for error in await asyncio.gather(*map(one, writes)) if error is not None), None)
