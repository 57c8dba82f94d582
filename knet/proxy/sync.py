"""When to bring the rules up to date: at once after a change, together for changes that come in a burst, and now and
then to repair what others broke."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Protocol

from knet.kernel.conntrack import Conntrack
from knet.kernel.recorder import Ref, record
from knet.kernel.rules import RulesError
from knet.proxy.conntrack_cleanup import clean, udp_frontends
from knet.proxy.snapshot import ServicePortName, Snapshot, usable_endpoints

log = logging.getLogger(__name__)

#: after a sync the proxy rests for so many times its duration: a rollout of 100 pods is not slowed down by those who
#: watch it, and a single change still takes effect at once.  (Upstream rests a fixed minSyncPeriod of 1 s.)
REST = 2.0
#: seconds until another attempt where the kernel refused the rules
RETRY = 1.0
#: Services that are remembered, and those that are spelled out, where the rules of many have changed
NAMED, SPELLED = 64, 8


class Applier(Protocol):
    """One proxy mode.  Both calls leave the kernel as it was and raise RulesError where they cannot succeed."""

    async def apply(self, snapshot: Snapshot) -> None:
        """Bring the rules to the snapshot, taking for granted that they are as the last call left them."""

    async def repair(self, snapshot: Snapshot) -> None:
        """Bring the rules to the snapshot, whatever became of them meanwhile."""

    async def remove(self) -> None:
        """Take out of the machine what this mode ever put there, and only that; nothing where nothing is."""


class Observer(Protocol):
    """Who wants to know how far the kernel is behind the API server."""

    def queued(self) -> None:
        """A change has come in."""

    async def synced(self, snapshot: Snapshot) -> None:
        """``snapshot`` is in force."""


class Syncer:
    """Runs `Applier.apply` after changes, and `Applier.repair` every ``period`` seconds."""

    def __init__(
        self,
        applier: Applier,
        snapshot: Callable[[], Snapshot],
        period: float,
        others: Iterable[Applier] = (),
        observers: Iterable[Observer] = (),
    ) -> None:
        """``others`` are the modes not in use: what they left goes as soon as the rules of this one are in force."""
        self._applier = applier
        self._others = list(others)
        self._observers = tuple(observers)
        self._snapshot = snapshot
        self._period = period
        self._changed = asyncio.Event()
        #: for which conntrack holds no stale flows
        self._cleaned = Snapshot({})

    def changed(self, *_: object) -> None:
        """A Service or an EndpointSlice changed (an informer's subscriber)."""
        self._changed.set()
        for observer in self._observers:
            observer.queued()

    async def run(self) -> None:
        """To be called when the caches are complete: rules from half a picture would cut connections."""
        loop = asyncio.get_running_loop()
        with Conntrack() as conntrack:
            await self._sync(self._applier.apply, conntrack)
            repair_at = loop.time() + self._period
            while True:
                if await self._change_before(repair_at):
                    await asyncio.sleep(REST * await self._sync(self._applier.apply, conntrack))
                else:
                    await self._sync(self._applier.repair, conntrack)
                    repair_at = loop.time() + self._period

    async def _change_before(self, deadline: float) -> bool:
        if asyncio.get_running_loop().time() >= deadline:
            return False
        try:
            async with asyncio.timeout_at(deadline):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def _sync(self, bring: Callable[[Snapshot], Awaitable[None]], conntrack: Conntrack) -> float:
        """How many seconds it took."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        self._changed.clear()
        try:
            snapshot = self._snapshot()
            await bring(snapshot)
            while self._others:
                await self._others[0].remove()
                self._others.pop(0)
            changed = snapshot.different(self._cleaned)
            clean(conntrack, udp_frontends(self._cleaned, changed), udp_frontends(snapshot, changed))
            self._cleaned = snapshot
            if changed:
                _tell(changed, snapshot, loop.time() - start)
            for observer in self._observers:
                await observer.synced(snapshot)
        except (RulesError, OSError) as error:
            log.error("Sync failed: %s; again in %.0f s", error, RETRY)
            self._changed.set()
            await asyncio.sleep(RETRY)
            return 0.0
        return loop.time() - start


def _tell(changed: Collection[ServicePortName], snapshot: Snapshot, took: float) -> None:
    """The flight recorder: whose rules have changed, and how many endpoints they lead to now."""
    services = sorted({(name.namespace, name.service) for name in changed})
    if len(services) > SPELLED:
        about: tuple[Ref, ...] = tuple(("service", *row) for row in services[:NAMED])
        record("kube-proxy", "rules", about, "rules of %d Services in force", len(services), took=took)
        return
    for service in services:
        ports = (snapshot.ports.get(name) for name in changed if (name.namespace, name.service) == service)
        reached = {endpoint.ip for port in ports if port is not None for endpoint in usable_endpoints(port).reachable}
        to = ", ".join(sorted(reached)) or "no endpoints"
        record("kube-proxy", "rules", (("service", *service),), "rules in force → %s", to, took=took)
