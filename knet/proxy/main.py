"""The process kube-proxy: one on each worker, in that machine's namespaces."""

import asyncio
import logging

import msgspec

from knet.api.families import IPV4, IPV6, of_family, ranges, split
from knet.api.names import CLUSTER_CIDR, HEADLESS_LABEL, ZONE_LABEL
from knet.api.objects import EndpointSlice, Node, Service
from knet.api.timing import PROFILES
from knet.client import Client, EventRecorder, Informer, component
from knet.kernel import sysctl
from knet.proxy.health import FamilyHealth, Freshness, Health
from knet.proxy.modes import MODES, Choices, others
from knet.proxy.snapshot import PROXY_NAME_LABEL, Place
from knet.proxy.sync import Syncer
from knet.proxy.tracker import Tracker

log = logging.getLogger(__name__)

#: headless Services have no virtual address, and those of another proxy are none of our business
_SELECTOR = f"!{HEADLESS_LABEL},!{PROXY_NAME_LABEL}"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """``cluster_cidr`` holds all pods' addresses; it and ``node_ip`` are one of each address family, with a comma
    between, and there is a proxy for each, which knows nothing of the other.  ``timing`` names a row of
    `knet.api.timing.PROFILES`.
    """

    kubeconfig: str
    node_name: str
    node_ip: str = ""
    cluster_cidr: str = CLUSTER_CIDR
    mode: str = "iptables"
    ipvs_scheduler: str = "rr"
    timing: str = "lab"


def main(options: Options) -> None:
    """Run until SIGTERM.  The rules stay when it ends, as upstream's do: connections outlive their proxy."""
    component.run("kube-proxy", lambda: _serve(options))


async def _serve(options: Options) -> None:
    if options.mode not in MODES:
        raise ValueError(f"unknown proxy mode {options.mode!r}; there are: {', '.join(MODES)}")
    for family in ranges(options.cluster_cidr):
        _prepare_kernel(family)
    async with Client.from_kubeconfig(options.kubeconfig, "kube-proxy") as client:
        services = Informer(client, Service, label_selector=_SELECTOR)
        slices = Informer(client, EndpointSlice, label_selector=_SELECTOR)
        machine = Informer(client, Node, field_selector=f"metadata.name={options.node_name}")

        def here() -> Node | None:
            return machine.get("", options.node_name)

        period = PROFILES[options.timing].proxy_sync
        events = EventRecorder(client, "kube-proxy", options.node_name)
        health = Health(options.node_name, options.mode, Freshness(2 * period), here, events.event)
        trackers, syncers = [], []
        for family, pods in ranges(options.cluster_cidr).items():
            choices = Choices(int(family[-1]), options.ipvs_scheduler)
            own = of_family(split(options.node_ip), family)
            tracker = Tracker(Place(options.node_name, ""), own, str(pods), choices.family)
            applier, rest = MODES[options.mode](choices), others(options.mode, choices)
            syncer = Syncer(applier, tracker.snapshot, period, rest, [FamilyHealth(health, choices.family)])
            services.subscribe(tracker.service)
            services.subscribe(syncer.changed)
            slices.subscribe(tracker.slice)
            slices.subscribe(syncer.changed)
            trackers.append(tracker)
            syncers.append(syncer)

        def moved(old: Node | None, new: Node | None) -> None:
            if _zone(old) != _zone(new):
                for tracker, syncer in zip(trackers, syncers, strict=True):
                    tracker.move(Place(options.node_name, _zone(new)))
                    syncer.changed()

        machine.subscribe(moved)
        async with health, asyncio.TaskGroup() as group:
            group.create_task(events.run())
            group.create_task(services.run())
            group.create_task(slices.run())
            group.create_task(machine.run())
            for informer in (services, slices, machine):
                await informer.synced.wait()
            log.info("caches are synced: %d Services, %d EndpointSlices", len(services), len(slices))
            for syncer in syncers:
                group.create_task(syncer.run())


def _zone(machine: Node | None) -> str:
    return machine.metadata.labels.get(ZONE_LABEL, "") if machine is not None else ""


#: by family
_FORWARDING = {IPV4: "net.ipv4.ip_forward", IPV6: "net.ipv6.conf.all.forwarding"}


def _prepare_kernel(family: str) -> None:
    """What the rules rely on.  FileNotFoundError where a kernel module is missing."""
    sysctl.ensure(_FORWARDING[family], 1)
    sysctl.see_bridged_packets(int(family[-1]))
