"""kube-scheduler's process: leader election, caches, the loop."""

import asyncio
import socket

import msgspec

from knet.api.names import DEFAULT_SCHEDULER
from knet.api.timing import PROFILES
from knet.client import Client, EventRecorder, LeaderElector, SharedInformers, component, observe
from knet.scheduler.cluster import Cluster
from knet.scheduler.configuration import setup
from knet.scheduler.plugin import Handle
from knet.scheduler.queue import Waits
from knet.scheduler.scheduler import Scheduler

NAME = "kube-scheduler"
#: --secure-port
METRICS_PORT = 10259


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """``scheduler_name``: which pods are ours, by spec.schedulerName; each name has a Lease of its own.

    ``plugins`` is a Python file, ``config`` a KubeSchedulerConfiguration, whose profiles have names of their own.
    """

    kubeconfig: str
    scheduler_name: str = DEFAULT_SCHEDULER
    plugins: str = ""
    config: str = ""
    timing: str = "lab"


def main(options: Options) -> None:
    """Run until SIGTERM; SystemExit(1) when leadership is lost, on which the supervisor starts us anew."""
    component.run(NAME, lambda: serve(options))


async def serve(options: Options) -> None:
    made, timing = setup(options.plugins, options.config, options.scheduler_name), PROFILES[options.timing]
    initial = timing.pod_initial_backoff if made.initial_backoff is None else made.initial_backoff
    longest = timing.pod_max_backoff if made.max_backoff is None else made.max_backoff
    waits = Waits(initial, longest, timing.pod_max_in_unschedulable_pods_duration)
    async with Client.from_kubeconfig(options.kubeconfig, NAME) as client:
        informers, cluster = SharedInformers(client), Cluster()
        events = {profile.name: EventRecorder(client, profile.name) for profile in made.profiles}
        frameworks = {
            profile.name: profile.framework(made.registry, Handle(cluster, client, events[profile.name]))
            for profile in made.profiles
        }
        scheduler = Scheduler(client, informers, events, frameworks, cluster, waits)
        lease = NAME if options.scheduler_name == DEFAULT_SCHEDULER else options.scheduler_name
        leader = LeaderElector(client, lease, socket.gethostname())
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(informers.run())
                group.create_task(observe.serve(METRICS_PORT, lambda: [*scheduler.families(), leader.family()]))
                await leader.acquire()
                await informers.synced()
                for recorder in events.values():
                    group.create_task(recorder.run())
                group.create_task(scheduler.run())
                await leader.hold()
                raise SystemExit("leaderelection lost")
        finally:
            await leader.release()
