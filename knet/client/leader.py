"""Leader election by Lease: of several instances one acts, and another takes over when it falls silent.

The protocol of client-go's leaderelection package.  Our identity is the machine's name alone, without upstream's
random suffix: a component that was killed and restarted on its machine is the same holder and goes on at once
instead of waiting for its own lease to expire.
"""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from knet.api.exposition import Family
from knet.api.names import SYSTEM_NAMESPACE
from knet.api.objects import Lease
from knet.client.client import AlreadyExists, ApiError, Client, Conflict, NotFound, Unavailable
from knet.client.events import rfc3339_micro

log = logging.getLogger(__name__)

#: seconds, client-go's defaults for Kubernetes components
LEASE_DURATION, RENEW_DEADLINE, RETRY_PERIOD = 15, 10, 2
#: seconds before the second attempt, doubled up to RETRY_PERIOD: an API server that is just starting is found at once
FIRST_PAUSE = 0.05
#: seconds that the end of a component waits for
RELEASE_DEADLINE = 1


class LeaderElector:
    """``acquire`` returns once we lead; ``hold`` renews and returns only when leadership was lost.

    ``release`` is for an orderly end: whoever waits need not wait until the lease has expired.
    """

    def __init__(self, client: Client, name: str, identity: str, namespace: str = SYSTEM_NAMESPACE) -> None:
        self._client = client
        self._name = name
        self._namespace = namespace
        self._identity = identity
        self.leading = False

    def family(self) -> Family:
        """What /metrics tells of it."""
        text = (
            "Gauge of if the reporting system is master of the relevant lease, 0 indicates backup, 1 indicates master."
        )
        return Family("leader_election_master_status", text, "gauge", [({"name": self._name}, self.leading, 0)])

    async def acquire(self) -> None:
        pause = FIRST_PAUSE
        while not await self._try():
            await asyncio.sleep(pause)
            pause = min(2 * pause, RETRY_PERIOD)
        self.leading = True
        log.info("successfully acquired lease %s/%s", self._namespace, self._name)

    async def hold(self) -> None:
        deadline = asyncio.get_running_loop().time() + RENEW_DEADLINE
        while asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(RETRY_PERIOD)
            if await self._try():
                deadline = asyncio.get_running_loop().time() + RENEW_DEADLINE
        self.leading = False
        log.error("failed to renew lease %s/%s: leaderelection lost", self._namespace, self._name)

    async def release(self) -> None:
        """Give the lease up if we hold it; only tried, because we are about to end."""
        spec = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": rfc3339_micro()}
        try:
            async with asyncio.timeout(RELEASE_DEADLINE):
                lease = await self._client.get(Lease, self._name, self._namespace)
                if lease.spec.holderIdentity == self._identity:
                    patch = {"metadata": {"resourceVersion": lease.metadata.resourceVersion}, "spec": spec}
                    await self._client.patch(Lease, self._name, patch, self._namespace)
        except (ApiError, Unavailable, TimeoutError) as error:
            log.info("lease %s/%s not released: %s", self._namespace, self._name, error)

    async def _try(self) -> bool:
        try:
            return await self._write()
        except (Conflict, AlreadyExists):
            return False
        except (ApiError, Unavailable) as error:
            log.info("lease %s/%s: %s", self._namespace, self._name, error)
            return False

    async def _write(self) -> bool:
        now = rfc3339_micro()
        try:
            lease = await self._client.get(Lease, self._name, self._namespace)
        except NotFound:
            spec = {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": LEASE_DURATION,
                "acquireTime": now,
                "renewTime": now,
                "leaseTransitions": 0,
            }
            body = {"metadata": {"name": self._name, "namespace": self._namespace}, "spec": spec}
            await self._client.create(Lease, body, self._namespace)
            return True
        spec = {"holderIdentity": self._identity, "leaseDurationSeconds": LEASE_DURATION, "renewTime": now}
        if lease.spec.holderIdentity != self._identity:
            if not _expired(lease):
                return False
            spec |= {"acquireTime": now, "leaseTransitions": (lease.spec.leaseTransitions or 0) + 1}
        patch = {"metadata": {"resourceVersion": lease.metadata.resourceVersion}, "spec": spec}
        await self._client.patch(Lease, self._name, patch, self._namespace)
        return True


def _expired(lease: Lease) -> bool:
    if not lease.spec.renewTime or not lease.spec.holderIdentity:
        return True
    renewed = datetime.fromisoformat(lease.spec.renewTime)
    return renewed + timedelta(seconds=lease.spec.leaseDurationSeconds or LEASE_DURATION) < datetime.now(UTC)
