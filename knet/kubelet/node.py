"""This machine's Node object and its Lease: registered, kept true, renewed."""

import asyncio
import logging
import os
import platform
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from knet import __version__
from knet.api.names import ARCH_LABEL, HOSTNAME_LABEL, KUBERNETES_VERSION, NODE_LEASE_NAMESPACE, OS_LABEL
from knet.api.objects import JSON, Lease, Node
from knet.api.quantity import whole
from knet.api.timing import Timing
from knet.client import AlreadyExists, ApiError, Client, NotFound, Unavailable
from knet.client.client import STRATEGIC
from knet.client.events import rfc3339, rfc3339_micro
from knet.images import Image
from knet.kubelet.worker import NETWORK_NOT_READY

log = logging.getLogger(__name__)

PORT = 10250
#: part of the lease's duration after which it is renewed (upstream's nodeLeaseRenewIntervalFraction)
RENEW = 0.25
#: seconds after which an unchanged status is reported again (upstream's nodeStatusReportFrequency)
REPORT = 300.0
#: most images that a Node lists (upstream's nodeStatusMaxImages)
MAX_IMAGES = 50
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x"}


@dataclass(frozen=True)
class NodeFacts:
    """What does not change while the kubelet runs."""

    name: str
    addresses: tuple[str, ...]
    cluster: str
    labels: dict[str, str]
    capacity: dict[str, str]


def capacity(cpu: str, memory: str, pods: int, root_dir: Path) -> dict[str, str]:
    """status.capacity, in upstream's units."""
    disk = os.statvfs(root_dir)
    return {
        "cpu": cpu,
        "memory": f"{whole(memory) // 1024}Ki",
        "pods": str(pods),
        "ephemeral-storage": f"{disk.f_blocks * disk.f_frsize // 1024}Ki",
    }


@dataclass
class Health:
    """What the Node's conditions tell of the machine, for those who find out to write down."""

    network: bool = False
    short_of_memory: bool = False
    going_down: bool = False

    @property
    def trouble(self) -> str:
        """Why the node is not ready; "" if it is."""
        reasons = ["" if self.network else NETWORK_NOT_READY, "node is shutting down" if self.going_down else ""]
        return ", ".join(filter(None, reasons))


def conditions(health: Health, now: str, before: dict[str, JSON]) -> list[JSON]:
    """The Node's conditions with upstream's reasons; one keeps its transition time while its status stays."""
    ready = (
        ("Ready", "False", "KubeletNotReady", health.trouble)
        if health.trouble
        else ("Ready", "True", "KubeletReady", "kubelet is posting ready status")
    )
    rows = [
        ("MemoryPressure", "True", "KubeletHasInsufficientMemory", "kubelet has insufficient memory available")
        if health.short_of_memory
        else ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ready,
    ]
    result = []
    for kind, status, reason, message in rows:
        known = before.get(kind, {})
        since = known["lastTransitionTime"] if known.get("status") == status else now
        result.append(
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": now,
                "lastTransitionTime": since,
            }
        )
    return result


def labels(facts: NodeFacts) -> dict[str, str]:
    architecture = ARCHITECTURES.get(platform.machine(), platform.machine())
    well_known = {ARCH_LABEL: architecture, HOSTNAME_LABEL: facts.name, OS_LABEL: "linux"}
    beta = {f"beta.{key}": well_known[key] for key in (ARCH_LABEL, OS_LABEL)}
    return {**beta, **well_known, **facts.labels}


def node_info(facts: NodeFacts) -> JSON:
    """status.nodeInfo; ids of the emulated machine are derived from its name."""
    machine = uuid.uuid5(uuid.NAMESPACE_DNS, f"{facts.name}.{facts.cluster}.knet")
    return {
        "machineID": machine.hex,
        "systemUUID": str(machine),
        "bootID": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "kernelVersion": platform.release(),
        "osImage": _os_image(),
        "containerRuntimeVersion": f"knet://{__version__}",
        "kubeletVersion": f"{KUBERNETES_VERSION}+knet",
        "kubeProxyVersion": f"{KUBERNETES_VERSION}+knet",
        "operatingSystem": "linux",
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
    }


def _os_image() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


class NodeReporter:
    """Registers the Node, then keeps status and Lease fresh until cancelled."""

    def __init__(
        self,
        client: Client,
        facts: NodeFacts,
        timing: Timing,
        health: Health,
        images: Callable[[], list[Image]],
    ) -> None:
        self._client = client
        self._facts = facts
        self._timing = timing
        self._health = health
        self._images = images
        self._changed = asyncio.Event()
        self._reported: JSON = {}
        self._conditions: dict[str, JSON] = {}

    def changed(self) -> None:
        """Something that the status tells has changed: report it now."""
        self._changed.set()

    async def run(self) -> None:
        await self._until_done(self._register)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._report())
            group.create_task(self._renew())

    async def _register(self) -> None:
        """Create the Node, or take over the one that is there, as a restarted kubelet does."""
        body: JSON = {
            "metadata": {
                "name": self._facts.name,
                "labels": labels(self._facts),
                "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
            },
            "status": self._status(),
        }
        try:
            await self._client.create(Node, body)
        except AlreadyExists:
            await self._client.patch(Node, self._facts.name, {"metadata": {"labels": labels(self._facts)}})
            await self._write_status()
        log.info("node %s registered", self._facts.name)

    async def _report(self) -> None:
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            try:
                async with asyncio.timeout(self._timing.node_status_update_frequency):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()
            if await self._is_untold() or loop.time() - last >= REPORT:
                await self._until_done(self._write_status)
                last = loop.time()

    async def _is_untold(self) -> bool:
        """Whether the API shows another status than this one, such as what was made of this node's silence."""
        try:
            node = await self._client.get(Node, self._facts.name)
        except (ApiError, Unavailable):
            return True
        shown = {row.type: row for row in node.status.conditions if row.lastTransitionTime}
        self._conditions = {
            kind: {"status": shown[kind].status, "lastTransitionTime": shown[kind].lastTransitionTime}
            for kind in self._conditions.keys() & shown
        }
        return _content(self._status()) != self._reported

    async def _write_status(self) -> None:
        status = self._status()
        # the merge goes by the type, which two addresses of a machine share
        patch = {"status": status | {"addresses": [{"$patch": "replace"}, *status["addresses"]]}}
        try:
            await self._client.patch(Node, self._facts.name, patch, subresource="status", kind=STRATEGIC)
        except NotFound:
            log.warning("node %s was deleted: registering it again", self._facts.name)
            await self._register()
        self._reported = _content(status)

    def _status(self) -> JSON:
        facts, now = self._facts, rfc3339()
        rows = conditions(self._health, now, self._conditions)
        self._conditions = {row["type"]: row for row in rows}
        return {
            "addresses": [
                *({"type": "InternalIP", "address": address} for address in facts.addresses),
                {"type": "Hostname", "address": facts.name},
            ],
            "capacity": facts.capacity,
            "allocatable": facts.capacity,
            "conditions": rows,
            "daemonEndpoints": {"kubeletEndpoint": {"Port": PORT}},
            "nodeInfo": node_info(facts),
            "images": [
                {"names": [image.id, image.name], "sizeBytes": image.size}
                for image in sorted(self._images(), key=lambda image: -image.size)[:MAX_IMAGES]
            ],
        }

    async def _renew(self) -> None:
        """The heartbeat: upstream's node Lease, owned by the Node; after a silence the status is looked at, too."""
        name, loop = self._facts.name, asyncio.get_running_loop()
        last = loop.time()
        while True:
            try:
                await self._client.patch(Lease, name, {"spec": {"renewTime": rfc3339_micro()}}, NODE_LEASE_NAMESPACE)
                if loop.time() - last > self._timing.node_lease_duration:
                    self.changed()
                last = loop.time()
            except NotFound:
                await self._until_done(self._create_lease)
            except (ApiError, Unavailable) as error:
                log.warning("lease of node %s not renewed: %s", name, error)
            await asyncio.sleep(self._timing.node_lease_duration * RENEW)

    async def _create_lease(self) -> None:
        name = self._facts.name
        owner = await self._client.get(Node, name)
        body = {
            "metadata": {
                "name": name,
                "namespace": NODE_LEASE_NAMESPACE,
                "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": owner.uid}],
            },
            "spec": {
                "holderIdentity": name,
                "leaseDurationSeconds": max(1, round(self._timing.node_lease_duration)),
                "renewTime": rfc3339_micro(),
            },
        }
        try:
            await self._client.create(Lease, body, NODE_LEASE_NAMESPACE)
        except AlreadyExists:
            return

    async def _until_done(self, work: Callable[[], Awaitable[None]]) -> None:
        """Until the API server takes it; pauses grow from 50 ms to 2 s."""
        delay = 0.05
        while True:
            try:
                await work()
                return
            except (ApiError, Unavailable) as error:
                if delay == 0.05:
                    log.warning("node %s: %s", self._facts.name, error)
                await asyncio.sleep(delay)
                delay = min(2 * delay, 2.0)


def _content(status: JSON) -> JSON:
    """A status without the times that change with every report."""
    rows = [{key: value for key, value in row.items() if key != "lastHeartbeatTime"} for row in status["conditions"]]
    return {**status, "conditions": rows}
