"""The kubelet's process: wires the parts together, in the order in which they need each other."""

import asyncio
import gc
import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from knet import cni
from knet.api.families import split
from knet.api.names import CLUSTER_DNS, CLUSTER_DOMAIN
from knet.api.objects import Pod, Service
from knet.api.timing import PROFILES
from knet.client import Client, EventRecorder, Informer, component
from knet.cni.network import SUBNET_ENV
from knet.images import Catalogue, ImageStore
from knet.kernel import cgroup
from knet.kernel.inotify import IN_CREATE, IN_MODIFY, IN_MOVED_TO, Watch
from knet.kernel.libc import close_on_exec
from knet.kubelet.backoff import Backoff
from knet.kubelet.etc_files import ClusterDNS
from knet.kubelet.lookups import ApiLookups
from knet.kubelet.machine import Machine
from knet.kubelet.node import Health, NodeFacts, NodeReporter, capacity
from knet.kubelet.pods import Pods
from knet.kubelet.pressure import MemoryPressure
from knet.kubelet.runtime import paths
from knet.kubelet.runtime.containers import Containers
from knet.kubelet.runtime.sandbox import clean_up_forgotten
from knet.kubelet.server import Server
from knet.kubelet.shutdown import Shutdown
from knet.kubelet.static_pods import StaticPods
from knet.kubelet.statuses import StatusWriter
from knet.kubelet.usage import Usage, join_own_group

log = logging.getLogger(__name__)


#: thresholds of the garbage collector: frozen structs form no cycles, and Python's own cost a burst an eighth
COLLECT = (20_000, 20, 50)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How one kubelet is run.

    ``node_ip`` may be one of each address family, with a comma between, the primary one first.
    ``pki_dir`` holds kubelet.crt, kubelet.key and ca.crt; ``cpu`` and ``memory`` are quantities, the machine's
    capacity; ``images`` is a further catalogue file; ``cni_conf`` a directory with a CNI configuration, "" for our own.
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
    cni_conf: str = ""
    cluster_name: str = "knet"
    timing: str = "lab"


def main(options: Options) -> None:
    """Run until SIGTERM or SIGINT; the pods run on."""
    close_on_exec()
    gc.set_threshold(*COLLECT)
    component.run("kubelet", lambda: serve(options))


async def serve(options: Options) -> None:
    """The kubelet's life."""
    node_ips = split(options.node_ip)
    root, pki, timing = Path(options.root_dir), Path(options.pki_dir), PROFILES[options.timing]
    root.mkdir(parents=True, exist_ok=True)
    store = ImageStore(root / "images", Catalogue(Path(options.images) if options.images else None))
    store.prepare()
    paths.prepare(root)
    plugins: cni.PodNetwork = cni.Chain(Path(options.cni_conf)) if options.cni_conf else cni.Bridge()
    network = Network()
    group = f"knet/{options.cluster_name}/{options.node_name}"
    hierarchies = cgroup.find_or_mount(root / "cgroup")
    if hierarchies is not None:
        await asyncio.to_thread(join_own_group, hierarchies, group)
    containers = Containers(root, hierarchies, group)
    resources = capacity(options.cpu, options.memory, options.pods, root)
    async with Client.from_kubeconfig(options.kubeconfig, "kubelet") as client:
        await clean_up_forgotten(root / "pods", plugins)
        await containers.connect()
        services = Informer(client, Service)
        informer = Informer(client, Pod, field_selector=f"spec.nodeName={options.node_name}")
        machine = Machine(
            node_name=options.node_name,
            node_ips=node_ips,
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
            network=network.config,
            plugins=plugins,
        )
        facts = NodeFacts(options.node_name, node_ips, options.cluster_name, options.labels, resources)
        health = Health()
        node = NodeReporter(client, facts, timing, health, store.images)
        pods = Pods(machine, informer)
        static = StaticPods(machine, pods, informer)
        usage = Usage(machine, pods, hierarchies, group) if hierarchies is not None else None
        server = Server(machine, pods, usage, pki)
        try:
            async with asyncio.TaskGroup() as group_of_tasks:
                start = group_of_tasks.create_task
                start(services.run())
                start(informer.run())
                start(machine.events.run())
                start(machine.statuses.run())
                start(node.run())
                start(server.run())
                start(Shutdown(timing, pods, node, health).run())
                if usage is not None:
                    start(usage.run())
                    start(MemoryPressure(machine, pods, usage, node, health).run())

                def network_changed() -> None:
                    health.network = network.config() is not None
                    node.changed()
                    pods.network_became_ready()

                start(network.follow(network_changed))
                start(static.follow())
                await services.synced.wait()
                await informer.synced.wait()
                pods.begin()
                await static.mirror()
        finally:
            pods.release()
            containers.close()


class Network:
    """What flanneld said of this node's pod network: read when its file changes, not when somebody asks."""

    def __init__(self) -> None:
        self._config: cni.NetworkConfig | None = None

    def config(self) -> cni.NetworkConfig | None:
        return self._config

    async def follow(self, changed: Callable[[], None]) -> None:
        """Keep it true until cancelled; flanneld moves its file into place."""
        SUBNET_ENV.parent.mkdir(parents=True, exist_ok=True)
        with Watch(SUBNET_ENV.parent, IN_MOVED_TO | IN_CREATE | IN_MODIFY) as watch:
            while True:
                try:
                    config = cni.network_config()
                except ValueError as error:
                    log.warning("%s", error)
                    config = None
                if config != self._config:
                    log.info("pod network of this node: %s", config.subnet if config else "none")
                    self._config = config
                    changed()
                await watch.changed()
