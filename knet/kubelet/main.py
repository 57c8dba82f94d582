"""The kubelet's process: wires the parts together, in the order in which they need each other."""

import asyncio
import logging
from pathlib import Path

import msgspec

from knet import cni
from knet.api.names import CLUSTER_DNS, CLUSTER_DOMAIN
from knet.api.objects import Pod, Service
from knet.api.timing import PROFILES
from knet.client import Client, EventRecorder, Informer, component
from knet.cni.network import SUBNET_ENV
from knet.images import Catalogue, ImageStore
from knet.kernel import cgroup
from knet.kernel.inotify import IN_CREATE, IN_MOVED_TO, Watch
from knet.kubelet.backoff import Backoff
from knet.kubelet.etc_files import ClusterDNS
from knet.kubelet.lookups import ApiLookups
from knet.kubelet.machine import Machine
from knet.kubelet.node import NodeFacts, NodeReporter, capacity
from knet.kubelet.pods import Pods
from knet.kubelet.runtime.containers import Containers
from knet.kubelet.server import Server
from knet.kubelet.statuses import StatusWriter

log = logging.getLogger(__name__)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How one kubelet is run.

    ``pki_dir`` holds kubelet.crt, kubelet.key and ca.crt; ``cpu`` and ``memory`` are quantities, the machine's
    capacity; ``images`` is a further catalogue file.
    """

    kubeconfig: str
    node_name: str
    node_ip: str
    pki_dir: str
    labels: dict[str, str] = {}
    cpu: str = "2"
    memory: str = "4Gi"
    pods: int = 110
    root_dir: str = "/var/lib/kubelet"
    log_dir: str = "/var/log/pods"
    cluster_dns: str = CLUSTER_DNS
    cluster_domain: str = CLUSTER_DOMAIN
    images: str | None = None
    cluster_name: str = "knet"
    timing: str = "lab"


def main(options: Options) -> None:
    """Run until SIGTERM or SIGINT; the pods run on."""
    component.run("kubelet", lambda: serve(options))


async def serve(options: Options) -> None:
    """The kubelet's life."""
    root, pki, timing = Path(options.root_dir), Path(options.pki_dir), PROFILES[options.timing]
    root.mkdir(parents=True, exist_ok=True)
    store = ImageStore(root / "images", Catalogue(Path(options.images) if options.images else None))
    store.prepare()
    group = f"knet/{options.cluster_name}/{options.node_name}"
    containers = Containers(root, cgroup.find_or_mount(root / "cgroup"), group)
    resources = capacity(options.cpu, options.memory, options.pods, root)
    async with Client.from_kubeconfig(options.kubeconfig, "kubelet") as client:
        await containers.connect()
        services = Informer(client, Service)
        informer = Informer(client, Pod, field_selector=f"spec.nodeName={options.node_name}")
        machine = Machine(
            node_name=options.node_name,
            node_ip=options.node_ip,
            root_dir=root,
            log_dir=Path(options.log_dir),
            dns=ClusterDNS(options.cluster_dns, options.cluster_domain),
            timing=timing,
            eager=options.timing == "lab",
            allocatable=resources,
            client=client,
            events=EventRecorder(client, "kubelet", options.node_name),
            services=services,
            lookups=ApiLookups(client, pki / "ca.crt"),
            statuses=StatusWriter(client),
            containers=containers,
            images=store,
            crash_backoff=Backoff(timing.crash_backoff, timing.crash_backoff_max),
            image_backoff=Backoff(timing.image_backoff, timing.image_backoff_max),
            network_ready=network_ready,
        )
        facts = NodeFacts(options.node_name, options.node_ip, options.cluster_name, options.labels, resources)
        node = NodeReporter(client, facts, timing, network_ready, store.images)
        pods = Pods(machine, informer)
        server = Server(machine, pods, pki)
        try:
            async with asyncio.TaskGroup() as group_of_tasks:
                start = group_of_tasks.create_task
                start(services.run())
                start(informer.run())
                start(machine.events.run())
                start(machine.statuses.run())
                start(node.run())
                start(server.run())
                start(_watch_network(node, pods))
                await services.synced.wait()
                await informer.synced.wait()
                pods.begin()
        finally:
            pods.release()
            containers.close()


def network_ready() -> bool:
    """Whether flanneld has said what this node's pods get."""
    try:
        return cni.network_config() is not None
    except ValueError as error:
        log.warning("%s", error)
        return False


async def _watch_network(node: NodeReporter, pods: Pods) -> None:
    """Tell of the network's becoming ready: flanneld moves its file into place."""
    SUBNET_ENV.parent.mkdir(parents=True, exist_ok=True)
    with Watch(SUBNET_ENV.parent, IN_MOVED_TO | IN_CREATE) as watch:
        ready = False
        while True:
            if network_ready() and not ready:
                ready = True
                log.info("pod network is ready")
                node.changed()
                pods.network_became_ready()
            await watch.changed()
