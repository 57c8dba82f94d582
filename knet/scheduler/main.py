"""kube-scheduler's process: leader election, caches, the loop."""

import asyncio
import socket

import msgspec

from knet.api.names import DEFAULT_SCHEDULER
from knet.api.timing import PROFILES
from knet.client import Client, EventRecorder, LeaderElector, SharedInformers, component
from knet.scheduler.cluster import Cluster
from knet.scheduler.framework import set_up
from knet.scheduler.plugin import Handle
from knet.scheduler.plugins import DEFAULT_PLUGINS
from knet.scheduler.queue import Waits
from knet.scheduler.scheduler import Scheduler

NAME = "kube-scheduler"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """``scheduler_name``: which pods are ours, by spec.schedulerName; each name has a Lease of its own."""

    kubeconfig: str
    scheduler_name: str = DEFAULT_SCHEDULER
    timing: str = "lab"


def main(options: Options) -> None:
    """Run until SIGTERM; SystemExit(1) when leadership is lost, on which the supervisor starts us anew."""
    component.run(NAME, lambda: serve(options))


async def serve(options: Options) -> None:
    timing = PROFILES[options.timing]
    waits = Waits(timing.pod_initial_backoff, timing.pod_max_backoff, timing.pod_max_in_unschedulable_pods_duration)
    async with Client.from_kubeconfig(options.kubeconfig, NAME) as client:
        informers = SharedInformers(client)
        events = EventRecorder(client, options.scheduler_name)
        cluster = Cluster()
        framework = set_up(options.scheduler_name, DEFAULT_PLUGINS, Handle(cluster, client, events))
        scheduler = Scheduler(client, informers, events, {framework.name: framework}, cluster, waits)
        lease = NAME if options.scheduler_name == DEFAULT_SCHEDULER else options.scheduler_name
        leader = LeaderElector(client, lease, socket.gethostname())
        async with asyncio.TaskGroup() as group:
            group.create_task(informers.run())
            await leader.acquire()
            await informers.synced()
            group.create_task(events.run())
            group.create_task(scheduler.run())
            await leader.hold()
            raise SystemExit("leaderelection lost")
