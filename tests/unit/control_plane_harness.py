"""A control plane for tests: the real API server, controllers and scheduler, and kubelets that only pretend.

A hollow kubelet does what the API sees of a kubelet: it registers a Node, renews its Lease, reports the pods of its
node as running and ready, and confirms deletions.  A pod whose image contains "broken" never becomes ready; one whose
image is "exit:3" ends at once with that code.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from apiserver_harness import Server, running

from knet.api import timing
from knet.api.batch import Job
from knet.api.objects import (
    Deployment,
    EndpointSlice,
    Event,
    KubeObject,
    Lease,
    Namespace,
    Node,
    Pod,
    ReplicaSet,
)
from knet.api.policy import PodDisruptionBudget, ResourceQuota
from knet.api.storage import PersistentVolume, PersistentVolumeClaim
from knet.api.workloads import DaemonSet, StatefulSet
from knet.client import ApiError, Client, Informer, SharedInformers
from knet.client.events import rfc3339, rfc3339_micro
from knet.controllers import main as controllers
from knet.scheduler import main as scheduler

#: a profile for the impatient, and one in which a silent node is noticed, too, before the reader of the report loses
#: patience (all others must not lose nodes because the test's machine is busy)
SWIFT, VIGILANT = "swift", "vigilant"
timing.PROFILES[SWIFT] = replace(timing.LAB, node_monitor_grace_period=600, pod_initial_backoff=0.01)
timing.PROFILES[VIGILANT] = replace(timing.PROFILES[SWIFT], node_monitor_grace_period=1, node_lease_duration=0.4)

JSON = dict[str, Any]
T = TypeVar("T", bound=KubeObject)


class Kubelet:
    """The kubelet of one node, as the API server sees it."""

    def __init__(self, client: Client, pods: Informer[Pod], name: str) -> None:
        self._client = client
        self._pods = pods
        self._name = name
        self._work: asyncio.Queue[Pod] = asyncio.Queue()

    async def run(self) -> None:
        await self._register()
        self._pods.subscribe(self._pod_changed)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._heartbeat())
            for _ in range(8):
                group.create_task(self._serve())

    async def _register(self) -> None:
        with suppress(ApiError):
            labels = {"kubernetes.io/hostname": self._name}
            await self._client.create(Node, {"metadata": {"name": self._name, "labels": labels}})
        resources = {"cpu": "16", "memory": "64Gi", "pods": "250"}
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": rfc3339_micro()}
        status = {"capacity": resources, "allocatable": resources, "conditions": [ready]}
        await self._client.patch(Node, self._name, {"status": status}, subresource="status")

    async def _heartbeat(self) -> None:
        namespace = "kube-node-lease"
        with suppress(ApiError):
            await self._client.create(Lease, {"metadata": {"name": self._name}}, namespace)
        while True:
            spec = {"holderIdentity": self._name, "renewTime": rfc3339_micro()}
            await self._client.patch(Lease, self._name, {"spec": spec}, namespace)
            await asyncio.sleep(0.1)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if new is not None and new.spec.nodeName == self._name and (new.deleting or not new.status.podIP):
            self._work.put_nowait(new)

    async def _serve(self) -> None:
        while True:
            pod = await self._work.get()
            with suppress(ApiError):  # deleted or changed meanwhile: its next event comes
                if pod.deleting:
                    await self._client.delete(Pod, pod.name, pod.namespace, grace_period=0, uid=pod.uid)
                else:
                    status = self._status_of(pod)
                    await self._client.patch(Pod, pod.name, {"status": status}, pod.namespace, "status")

    def _status_of(self, pod: Pod) -> JSON:
        address = f"10.244.{len(self._pods) % 250}.{abs(hash(pod.uid)) % 250 + 1}"
        seen: JSON = {"podIP": address, "podIPs": [{"ip": address}]}
        image = pod.spec.containers[0].image
        if image.startswith("exit:"):
            return seen | _ended(pod, int(image.removeprefix("exit:")))
        row = {"type": "Ready", "status": str("broken" not in image), "lastTransitionTime": rfc3339()}
        return seen | {"phase": "Running", "conditions": [row]}


def _ended(pod: Pod, code: int) -> JSON:
    """The status of a pod whose one container has ended."""
    state = {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed", "finishedAt": rfc3339()}}
    container = {"name": pod.spec.containers[0].name, "image": "exit", "imageID": "", "ready": False, "restartCount": 0}
    row = {"type": "Ready", "status": "False", "lastTransitionTime": rfc3339()}
    phase = "Failed" if code else "Succeeded"
    return {"phase": phase, "conditions": [row], "containerStatuses": [{**container, "state": state}]}


class World:
    """What a test acts on: a client, caches that show what has become, and the processes to stop and start."""

    def __init__(self, server: Server, client: Client, informers: SharedInformers, profile: str = SWIFT) -> None:
        self.client = client
        self._profile = profile
        self._server = server
        self.pods = informers.of(Pod)
        self.deployments = informers.of(Deployment)
        self.sets = informers.of(ReplicaSet)
        self.nodes = informers.of(Node)
        self.namespaces = informers.of(Namespace)
        self.slices = informers.of(EndpointSlice)
        self.quotas = informers.of(ResourceQuota)
        self.budgets = informers.of(PodDisruptionBudget)
        self.daemons = informers.of(DaemonSet)
        self.stateful = informers.of(StatefulSet)
        self.claims = informers.of(PersistentVolumeClaim)
        self.volumes = informers.of(PersistentVolume)
        self.events = informers.of(Event)
        self.jobs = informers.of(Job)
        self._changed = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        owners: tuple[Informer[Any], ...] = (self.deployments, self.sets, self.daemons, self.stateful, self.jobs)
        others: tuple[Informer[Any], ...] = (
            self.nodes,
            self.namespaces,
            self.slices,
            self.claims,
            self.volumes,
            self.events,
        )
        for informer in (self.pods, *others, self.quotas, self.budgets, *owners):
            informer.subscribe(self._wake)

    def _wake(self, old: object, new: object) -> None:
        self._changed.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for the caches to show it."""
        while not holds():
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), 20)

    # ---- processes -------------------------------------------------------------------------------------------

    def start(self, name: str, **options: Any) -> None:
        """ "controllers", "scheduler" (with further options), or the kubelet of the node of that name."""
        kubeconfig = str(self._server.kubeconfig)
        body: Coroutine[Any, Any, None]
        if name == "controllers":
            body = controllers.serve(controllers.Options(kubeconfig=kubeconfig, timing=self._profile))
        elif name == "scheduler":
            body = scheduler.serve(scheduler.Options(kubeconfig=kubeconfig, timing=self._profile, **options))
        else:
            body = Kubelet(self.client, self.pods, name).run()
        self._tasks[name] = asyncio.ensure_future(body)

    async def kill(self, name: str) -> None:
        task = self._tasks.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def kill_all(self) -> None:
        for name in list(self._tasks):
            await self.kill(name)

    # ---- what is there ---------------------------------------------------------------------------------------

    def running_pods(self, namespace: str = "default") -> list[Pod]:
        return [pod for pod in self.pods.list(namespace) if not pod.deleting]

    def ready_pods(self, namespace: str = "default") -> list[Pod]:
        return [pod for pod in self.running_pods(namespace) if pod.ready]

    async def deploy(self, name: str = "web", replicas: int = 3, namespace: str = "default", **spec: Any) -> None:
        template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "v1"}]}}
        template["spec"] |= spec.pop("pod", {})
        body = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template, **spec}
        await self.client.create(Deployment, {"metadata": {"name": name}, "spec": body}, namespace)

    async def change(self, name: str = "web", namespace: str = "default", **spec: Any) -> None:
        """Patch a Deployment's spec; ``image`` is that of its one container."""
        if image := spec.pop("image", None):
            spec["template"] = {"spec": {"containers": [{"name": "c", "image": image}]}}
        await self.client.patch(Deployment, name, {"spec": spec}, namespace)

    def complete(self, name: str = "web", namespace: str = "default") -> bool:
        """As `kubectl rollout status` judges."""
        row = self.deployments.get(namespace, name)
        if row is None or row.status.observedGeneration < row.metadata.generation:
            return False
        status = row.status
        return status.updatedReplicas == status.replicas == status.availableReplicas == row.spec.replicas


def usable(node: Node) -> bool:
    """Ready, and the node lifecycle controller has seen so."""
    return node.ready and not node.spec.taints


def run(test: Callable[[World], Awaitable[None]], nodes: tuple[str, ...] = ("n1", "n2"), profile: str = SWIFT) -> None:
    """Run a test in a control plane of its own, with all processes started."""

    async def body(server: Server) -> None:
        async with Client.from_kubeconfig(server.kubeconfig) as client:
            informers = SharedInformers(client)
            world = World(server, client, informers, profile)
            watching = asyncio.ensure_future(informers.run())
            try:
                for name in ("controllers", "scheduler", *nodes):
                    world.start(name)
                await informers.synced()
                await world.until(lambda: sum(usable(node) for node in world.nodes.list()) == len(nodes))
                await asyncio.wait_for(test(world), 60)
            finally:
                await world.kill_all()
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)

    with tempfile.TemporaryDirectory() as directory, running(Path(directory)) as server:
        asyncio.run(body(server))
