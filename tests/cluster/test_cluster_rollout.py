"""Rolling updates of two hundred pods while components are killed: the promise holds, and nothing is orphaned."""

import asyncio
import os
import random
import signal
from collections.abc import Iterator

import pytest

from knet import Cluster
from knet.api.objects import Deployment, Pod
from knet.client import ApiError, Informer, Unavailable
from knet.client.client import STRATEGIC
from tests.cluster.test_cluster_faults import eventually, host_pid

NAME = "rollout"
REPLICAS, KILLS = 200, int(os.environ.get("KNET_KILLS", "20"))
#: a quarter of them, upstream's default for both
SURGE = UNAVAILABLE = REPLICAS // 4

LABELS = {"app": "web"}
WEB = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "replicas": REPLICAS,
        "selector": {"matchLabels": LABELS},
        "template": {
            "metadata": {"labels": LABELS},
            "spec": {"containers": [{"name": "c", "image": "registry.k8s.io/pause:3.9"}]},
        },
    },
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"selector": LABELS, "ports": [{"port": 80}]},
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(name=NAME, workers=3) as running:
        yield running


class Promise:
    """Watches the pods, and holds the Deployment to its word: maxSurge and maxUnavailable."""

    def __init__(self, pods: Informer[Pod]) -> None:
        self._pods = pods
        self._armed = False
        self.broken: list[str] = []
        pods.subscribe(lambda old, new: asyncio.get_running_loop().call_soon(self._look))

    def arm(self) -> None:
        """From now on, that is, once all pods are available for the first time."""
        self._armed = True

    def _look(self) -> None:
        pods = [pod for pod in self._pods.list("default") if not pod.deleting and not pod.finished]
        available = sum(pod.ready for pod in pods)
        if self._armed and (len(pods) > REPLICAS + SURGE or available < REPLICAS - UNAVAILABLE):
            self.broken.append(f"{len(pods)} pods, {available} of them available")


async def _story(cluster: Cluster, dice: random.Random) -> Promise:
    client = cluster.api
    pods, deployments = Informer(client, Pod), Informer(client, Deployment)
    promise = Promise(pods)
    async with asyncio.TaskGroup() as group:
        watching = [group.create_task(pods.run()), group.create_task(deployments.run())]
        await _rolled_out(deployments, 0)
        promise.arm()
        killing = group.create_task(_kill(cluster, dice))
        number = 0
        while not killing.done() or not number:
            number += 1
            generation = await _update(cluster, f"registry.k8s.io/pause:3.{number}")
            await _rolled_out(deployments, generation)
        while any(pod.deleting for pod in pods.list("default")):
            await _change(pods)
        for task in watching:
            task.cancel()
    return promise


async def _kill(cluster: Cluster, dice: random.Random) -> None:
    """Kill one component after the other, each at a moment of its own."""
    for _ in range(KILLS):
        await asyncio.sleep(dice.uniform(0.1, 1))
        rows = [row for row in (await asyncio.to_thread(cluster.status))["components"] if row["pid"]]
        victim = dice.choice(rows)
        try:
            os.kill(await asyncio.to_thread(host_pid, cluster, victim["pid"]), signal.SIGKILL)
        except (ProcessLookupError, AssertionError):  # a component that was just killed
            continue


async def _update(cluster: Cluster, image: str) -> int:
    """Change the image, as a user who tries again does; the generation that asks for it."""
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}}
    while True:
        try:
            written = await cluster.api.patch(Deployment, "web", patch, "default", kind=STRATEGIC)
            return written.metadata.generation
        except (ApiError, Unavailable):
            await asyncio.sleep(0.1)


async def _rolled_out(deployments: Informer[Deployment], generation: int) -> None:
    def done() -> bool:
        row = deployments.get("default", "web")
        if row is None or row.status.observedGeneration < max(generation, row.metadata.generation):
            return False
        status = row.status
        return REPLICAS == status.replicas == status.updatedReplicas == status.availableReplicas

    while not done():
        await _change(deployments)


async def _change(informer: Informer[Deployment] | Informer[Pod]) -> None:
    """Until the next change that an informer tells of."""
    changed = asyncio.Event()
    informer.subscribe(lambda old, new: changed.set())
    changed.clear()
    async with asyncio.timeout(60):
        await changed.wait()


def test_the_promise_of_a_rollout_holds_whatever_is_killed(cluster: Cluster) -> None:
    cluster.apply(SERVICE)
    cluster.apply(WEB)
    seed = random.SystemRandom().randrange(1 << 32)
    promise = cluster.call(_story(cluster, random.Random(seed)))
    assert not promise.broken, f"seed {seed}: {promise.broken[:3]}"


def test_nothing_is_orphaned(cluster: Cluster) -> None:
    # a pod that a full machine has refused in between is no orphan: it has ended, and another was made
    pods = [row for row in cluster.objects("pods", "") if row["status"]["phase"] not in ("Succeeded", "Failed")]
    assert len([row for row in pods if row["metadata"]["namespace"] == "default"]) == REPLICAS
    for node in ("n1", "n2", "n3"):
        here = sum(row["spec"]["nodeName"] == node for row in pods)
        run = cluster.machine(node).run
        counts = {
            "addresses": "ls /var/lib/cni/networks/* | grep -c '^10[.]'",
            "interfaces": "ip -o link show master cni0 | wc -l",
            "directories": "ls /var/lib/kubelet/pods | wc -l",
        }
        found = {what: int(run(command)) for what, command in counts.items()}
        assert found == dict.fromkeys(counts, here), node
        endpoints = "iptables-save -t nat | grep -c '^-A KUBE-SVC.*default/web ->'"
        eventually(lambda run=run, command=endpoints: int(run(command)) == REPLICAS, "rules are left")  # type: ignore[misc]
    assert int(cluster.machine("n1").run("pgrep -fcx '/pause infinity'")) == len(pods)
