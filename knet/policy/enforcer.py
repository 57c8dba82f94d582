"""Keeps the machine's table true: at once after a change, together for changes that come in a burst, and now and then
to repair what others broke.

While the cluster has no policy, policies are all that is watched: pods and namespaces are asked for when the first one
comes, and then no rule is written before all of them are there.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress

from knet.api.networking import NetworkPolicy
from knet.api.objects import Namespace
from knet.client import Client, Informer
from knet.client.controller import Key, key_of
from knet.kernel.recorder import Ref, record
from knet.kernel.rules import RulesError
from knet.policy import policies
from knet.policy.announced import Announced
from knet.policy.applier import Applier
from knet.policy.compile import Compiler
from knet.policy.policies import Policy
from knet.policy.population import Endpoint, NarrowPod, Population, endpoint

log = logging.getLogger(__name__)

#: after a sync so many times its duration is rested: a rollout of 100 pods is not slowed down by those who watch it
REST = 2.0
#: seconds until another attempt where the kernel refused the rules
RETRY = 1.0
#: seconds for which policies hold for a pod that the API has no more: its processes may outlive it for so long
LEAVING = 5.0
#: policies and pods that are named where many have changed
NAMED = 64


class Enforcer:
    """`run` enforces; `admit` is the gate's question."""

    def __init__(self, client: Client, node_name: str, announced: Announced, period: float) -> None:
        self._node_name = node_name
        self._announced = announced
        self._period = period
        self._applier = Applier()
        self._compiler = Compiler()
        self._watched = Informer(client, NetworkPolicy)
        self._pods = Informer(client, NarrowPod)
        self._spaces = Informer(client, Namespace)
        self._policies: dict[Key, Policy] = {}
        self._endpoints: dict[Key, Endpoint] = {}
        self._leaving: dict[Key, Endpoint] = {}
        self._namespaces: dict[str, Mapping[str, str]] = {}
        self._changed = asyncio.Event()
        self._decided = asyncio.Event()
        self._admitted: list[asyncio.Future[None]] = []
        #: policies and pods that changed since the last sync
        self._causes: dict[Ref, None] = {}
        self._watched.subscribe(self._on_policy)
        self._pods.subscribe(self._on_pod)
        self._spaces.subscribe(self._on_namespace)

    async def run(self) -> None:
        """Until cancelled; the table stays, as connections outlive their proxy."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watched.run())
            await self._watched.synced.wait()
            while not self._policies:
                await self._sync(repair=False)
                self._decided.set()
                await self._changed.wait()
            for informer in (self._pods, self._spaces):
                group.create_task(informer.run())
            await self._pods.synced.wait()
            await self._spaces.synced.wait()
            log.info("caches are synced: %d policies, %d pods", len(self._policies), len(self._pods))
            self._announced.keep({key_of(pod) for pod in self._pods.list()})
            self._decided.set()
            await self._keep_true()

    async def _keep_true(self) -> None:
        loop = asyncio.get_running_loop()
        await self._sync(repair=False)
        repair_at = loop.time() + self._period
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(repair_at):
                    await self._changed.wait()
            due = loop.time() >= repair_at
            if due:
                repair_at = loop.time() + self._period
            await self._sync(repair=due)

    async def admit(self, pod: NarrowPod) -> bool:
        """Return when the pod, which is about to start here, is isolated as policies say; False where there are none.

        ValueError for one without an address.
        """
        await self._decided.wait()
        if not self._policies:
            return False
        self._announced.add(pod)
        self._causes[pod.ref] = None
        done = asyncio.get_running_loop().create_future()
        self._admitted.append(done)
        self._changed.set()
        await done
        return True

    async def _sync(self, repair: bool) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        self._changed.clear()
        waiting, self._admitted = self._admitted, []
        causes, self._causes = self._causes, {}
        before = self._applier.written
        try:
            table = self._compiler.table(self._policies.values(), self._population())
            await (self._applier.repair if repair else self._applier.apply)(table)
        except (RulesError, OSError) as error:
            log.error("Sync failed: %s; again in %.0f s", error, RETRY)
            self._causes = causes | self._causes
            self._admitted = waiting + self._admitted
            self._changed.set()
            await asyncio.sleep(RETRY)
            return
        if self._applier.written is not before and (table or before):
            text, took = "%d chains of policies in force", loop.time() - start
            record("kube-network-policies", "rules", tuple(causes)[:NAMED], text, len(table.chains), took=took)
        for done in waiting:
            if not done.done():
                done.set_result(None)
        await asyncio.sleep(REST * (loop.time() - start))

    def _population(self) -> Population:
        """Everybody; of who claims an address here, the kubelet's last word counts."""
        announced = self._announced.endpoints
        taken = {address for row in announced for address in row.addresses}
        rows = [
            row
            for key, row in self._endpoints.items()
            if key not in self._announced and (not taken or taken.isdisjoint(row.addresses))
        ]
        return Population([*rows, *announced, *self._leaving.values()], self._namespaces)

    # ---- what the caches tell ------------------------------------------------------------------------------------

    def _on_policy(self, old: NetworkPolicy | None, new: NetworkPolicy | None) -> None:
        row = new or old
        assert row is not None
        if new is None:
            self._policies.pop(key_of(row), None)
        else:
            try:
                self._policies[key_of(row)] = policies.read(new)
            except ValueError as error:  # an API server that lets anything pass
                log.error("policy %s/%s is as before: %s", new.namespace, new.name, error)
                return
        self._causes[row.ref] = None
        self._changed.set()

    def _on_pod(self, old: NarrowPod | None, new: NarrowPod | None) -> None:
        """Most changes of a pod are none here."""
        found = new and endpoint(new, self._node_name)
        row = new or old
        assert row is not None
        key = key_of(row)
        if new is None or new.over or (found and found.addresses == self._announced.addresses(key)):
            self._announced.drop(key)
        before = self._endpoints.pop(key, None)
        if found:
            self._endpoints[key] = found
        elif before and before.local and new is None:
            self._leave(key, before)
        if found != before:
            self._causes[row.ref] = None
            self._changed.set()

    def _leave(self, key: Key, row: Endpoint) -> None:
        self._leaving[key] = row._replace(leaving=True)
        asyncio.get_running_loop().call_later(LEAVING, self._left, key)

    def _left(self, key: Key) -> None:
        self._leaving.pop(key, None)
        self._changed.set()

    def _on_namespace(self, old: Namespace | None, new: Namespace | None) -> None:
        row = new or old
        assert row is not None
        if new is None:
            self._namespaces.pop(row.name, None)
        elif self._namespaces.get(row.name) != new.metadata.labels:
            self._namespaces[row.name] = new.metadata.labels
        else:
            return
        self._changed.set()
