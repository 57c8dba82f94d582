"""What all pod workers of one machine share."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from knet.api.objects import Pod, Service
from knet.api.timing import Timing
from knet.client import Client, EventRecorder, Informer
from knet.cni import NetworkConfig, PodNetwork
from knet.images import ImageStore
from knet.kubelet.backoff import Backoff
from knet.kubelet.etc_files import ClusterDNS, hosts, kernel_name, resolv_conf
from knet.kubelet.lookups import ApiLookups
from knet.kubelet.runtime.containers import Containers
from knet.kubelet.runtime.paths import PodPaths
from knet.kubelet.statuses import StatusWriter


@dataclass(frozen=True)
class Machine:
    """The machine, its runtime and its ways to the API.

    ``eager`` is the lab's impatience (see `knet.kubelet.probes`); ``network`` is what flanneld said, None until it has;
    who makes a sandbox, which blocks for milliseconds, has the ``turn``.
    """

    node_name: str
    node_ips: tuple[str, ...]
    """one of each family, the primary one first"""
    root_dir: Path
    log_dir: Path
    dns: ClusterDNS
    timing: Timing
    eager: bool
    allocatable: dict[str, str]
    client: Client
    events: EventRecorder
    services: Informer[Service]
    lookups: ApiLookups
    statuses: StatusWriter
    containers: Containers
    images: ImageStore
    crash_backoff: Backoff
    image_backoff: Backoff
    network: Callable[[], NetworkConfig | None]
    plugins: PodNetwork
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def paths(self, pod: Pod) -> PodPaths:
        return PodPaths.of(pod, self.root_dir, self.log_dir)

    @property
    def node_ip(self) -> str:
        return self.node_ips[0]

    @staticmethod
    def now() -> float:
        return time.time()


def write_etc(pod: Pod, addresses: tuple[str, ...], machine: Machine, paths: PodPaths) -> None:
    """The files that every container of a pod finds in /etc: hosts, hostname, resolv.conf."""
    own_hosts = _text(Path("/etc/hosts")) if pod.spec.hostNetwork else ""
    name = machine.node_name if pod.spec.hostNetwork else kernel_name(pod, machine.dns.domain)
    paths.hosts.write_text(hosts(pod, addresses, machine.dns.domain, own_hosts))
    paths.hostname.write_text(name + "\n")
    text, omitted = resolv_conf(pod, machine.dns, _text(Path("/etc/resolv.conf")))
    paths.resolv_conf.write_text(text)
    for message in omitted:
        machine.events.event(pod, "Warning", "DNSConfigForming", message)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
