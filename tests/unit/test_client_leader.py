"""Leader election by Lease: one leads, another stands by, and an orderly end is no reason to wait."""

import asyncio
from pathlib import Path

from apiserver_harness import running

from knet.api.objects import Lease
from knet.client import Client, LeaderElector


def test_who_releases_the_lease_is_followed_at_once(tmp_path: Path) -> None:
    async def body() -> None:
        async with Client.from_kubeconfig(str(server.kubeconfig), "test") as client:
            one, other = (LeaderElector(client, "lab", name) for name in ("one", "other"))
            await one.acquire()
            waiting = asyncio.create_task(other.acquire())
            await other.release()  # what is not ours we cannot give up
            assert (await client.get(Lease, "lab", "kube-system")).spec.holderIdentity == "one"
            await one.release()
            await asyncio.wait_for(waiting, 10)  # one's lease would last 15 s
            lease = await client.get(Lease, "lab", "kube-system")
            assert (lease.spec.holderIdentity, lease.spec.leaseTransitions) == ("other", 1)

    with running(tmp_path) as server:
        asyncio.run(body())
