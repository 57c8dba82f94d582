"""Startup, readiness and liveness probes: counting answers, and the tasks that ask.

The counting is a pure step (`count`).  A container's probes live as long as the container: liveness and readiness
begin when the startup probe has succeeded.  As upstream, the first question is asked at once after
initialDelaySeconds.

In the ``lab`` profile there is one difference: until a container has been ready (or started) for the first time, its
readiness (or startup) probe asks again after 20 ms, then 40, 80 … up to its period, and answers within the first period
do not count.  A server that needs 30 ms to start is then ready after 60 ms and not after 10 s.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from knet.api.objects import Probe
from knet.kubelet.handlers import Answer, Target, Verdict, ask

#: first pause of an eager probe, seconds
EAGER = 0.02


@dataclass(frozen=True)
class Count:
    """``result`` is what holds (None: nothing yet); ``last`` came ``run`` times in a row."""

    result: bool | None = None
    last: bool | None = None
    run: int = 0


def count(before: Count, probe: Probe, good: bool) -> Count:
    """One more answer: the result changes once it came as often as the threshold says."""
    run = before.run + 1 if good is before.last else 1
    threshold = probe.successThreshold if good else probe.failureThreshold
    return Count(good if run >= threshold else before.result, good, run)


@dataclass(frozen=True)
class Reports:
    """Whom a container's probes tell: ``started`` and ``ready(bool)`` when these change, ``failed(which)`` when the
    container is to be killed, ``unhealthy(sentence)`` for each failure."""

    started: Callable[[], None]
    ready: Callable[[bool], None]
    failed: Callable[[str], None]
    unhealthy: Callable[[str], None]


class Probes:
    """The probes of one run of a container. ``eager`` is the lab's impatience (see above)."""

    def __init__(self, target: Target, reports: Reports, eager: bool, age: float = 0.0) -> None:
        self._target = target
        self._reports = reports
        self._eager = eager
        self._age = age
        self._task = asyncio.create_task(self._run())

    def stop(self, readiness_too: bool = True) -> None:
        """End asking; a terminating container is still asked whether it is ready, as upstream does."""
        if readiness_too or self._target.container.readinessProbe is None:
            self._task.cancel()

    async def _run(self) -> None:
        container = self._target.container
        if container.startupProbe is not None and not await self._startup(container.startupProbe):
            return
        self._reports.started()
        async with asyncio.TaskGroup() as group:
            if container.readinessProbe is None:
                self._reports.ready(True)
            else:
                group.create_task(self._readiness(container.readinessProbe))
            if container.livenessProbe is not None:
                group.create_task(self._liveness(container.livenessProbe))

    async def _startup(self, probe: Probe) -> bool:
        state = Count()
        async with contextlib.aclosing(self._answers("Startup", probe, self._eager)) as answers:
            async for answer in answers:
                state = count(state, probe, answer.good)
                if state.result is not None:
                    break
        if not state.result:
            self._reports.failed("startup")
        return bool(state.result)

    async def _readiness(self, probe: Probe) -> None:
        state = Count()
        async with contextlib.aclosing(self._answers("Readiness", probe, self._eager)) as answers:
            async for answer in answers:
                before, state = state, count(state, probe, answer.good)
                if state.result is not before.result:
                    self._reports.ready(bool(state.result))

    async def _liveness(self, probe: Probe) -> None:
        state = Count(result=True)
        async with contextlib.aclosing(self._answers("Liveness", probe, False)) as answers:
            async for answer in answers:
                state = count(state, probe, answer.good)
                if not state.result:
                    self._reports.failed("liveness")
                    return

    async def _answers(self, kind: str, probe: Probe, eager: bool) -> AsyncGenerator[Answer, None]:
        """The answers that count, one each period, for ever."""
        await asyncio.sleep(max(0.0, probe.initialDelaySeconds - self._age))
        pause, patience = EAGER, probe.periodSeconds if eager else 0.0
        while True:
            answer = await ask(probe, self._target, probe.timeoutSeconds)
            if not answer.good and pause < patience:
                await asyncio.sleep(pause)
                pause *= 2
                continue
            patience = 0.0
            if answer.verdict is Verdict.UNKNOWN:
                self._reports.unhealthy(f"{kind} probe errored and resulted in unknown state: {answer.text}")
            else:
                if not answer.good:
                    self._reports.unhealthy(f"{kind} probe failed: {answer.text}")
                yield answer
            await asyncio.sleep(probe.periodSeconds)
