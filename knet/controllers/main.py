"""kube-controller-manager's process: leader election, shared caches, and one table of controllers."""

import asyncio
import socket
from collections.abc import Callable, Sequence

import msgspec

from knet.api.families import ranges
from knet.api.names import CLUSTER_CIDR
from knet.api.timing import PROFILES
from knet.client import Client, Controller, LeaderElector, SharedInformers, component, observe
from knet.client.controller import queue_families
from knet.controllers import (
    accounttokens,
    certificates,
    clusterroleaggregation,
    cronjob,
    daemonset,
    deployment,
    disruption,
    endpointslice,
    garbage,
    job,
    loadbalancer,
    namespace,
    nodeipam,
    nodelifecycle,
    podautoscaler,
    podgc,
    replicaset,
    resourcequota,
    rootca,
    serviceaccount,
    statefulset,
    tokencleaner,
    ttlafterfinished,
    volumes,
)
from knet.controllers.context import Context
from knet.controllers.selection import selected

NAME = "kube-controller-manager"
#: --secure-port
METRICS_PORT = 10257

Build = Callable[[Context], Controller | list[Controller]]

#: under the names that kube-controller-manager --controllers gives them
CONTROLLERS: dict[str, Build] = {
    "deployment-controller": deployment.build,
    "replicaset-controller": replicaset.build,
    "replicationcontroller-controller": replicaset.build_replication,
    "daemonset-controller": daemonset.build,
    "statefulset-controller": statefulset.build,
    "job-controller": job.build,
    "cronjob-controller": cronjob.build,
    "horizontal-pod-autoscaler-controller": podautoscaler.build,
    "ttl-after-finished-controller": ttlafterfinished.build,
    "endpointslice-controller": endpointslice.build,
    "node-ipam-controller": nodeipam.build,
    "node-lifecycle-controller": nodelifecycle.build,
    "namespace-controller": namespace.build,
    "serviceaccount-controller": serviceaccount.build,
    "root-ca-certificate-publisher-controller": rootca.build,
    "serviceaccount-token-controller": accounttokens.build,
    "clusterrole-aggregation-controller": clusterroleaggregation.build,
    "token-cleaner-controller": tokencleaner.build,
    "certificatesigningrequest-signing-controller": certificates.build_signing,
    "certificatesigningrequest-cleaner-controller": certificates.build_cleaner,
    "service-lb-controller": loadbalancer.build,
    "garbage-collector-controller": garbage.build,
    "pod-garbage-collector-controller": podgc.build,
    "disruption-controller": disruption.build,
    "resourcequota-controller": resourcequota.build,
    "persistentvolume-binder-controller": volumes.build_binder,
    "persistentvolumeclaim-protection-controller": volumes.build_claim_protection,
    "persistentvolume-protection-controller": volumes.build_volume_protection,
    "ephemeral-volume-controller": volumes.build_ephemeral,
    "local-volume-provisioner": volumes.build_provisioner,
}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """``controllers``: which of `CONTROLLERS` are to run, in the words of `knet.controllers.selection`.

    ``account_key_file`` signs the tokens of service accounts; without one, Secrets get none.  ``signing_cert_file``
    and ``signing_key_file`` (--cluster-signing-…) are those of the authority that signs CertificateSigningRequests.
    """

    kubeconfig: str
    cluster_cidr: str = CLUSTER_CIDR
    timing: str = "lab"
    controllers: tuple[str, ...] = ("*",)
    account_key_file: str = ""
    signing_cert_file: str = ""
    signing_key_file: str = ""
    load_balancer_pool: str = ""


def main(options: Options) -> None:
    """Run until SIGTERM; SystemExit(1) when leadership is lost, on which the supervisor starts us anew."""
    component.run(NAME, lambda: serve(options))


async def serve(options: Options) -> None:
    async with Client.from_kubeconfig(options.kubeconfig, NAME) as client:
        context = Context(
            client,
            SharedInformers(client),
            PROFILES[options.timing],
            ranges(options.cluster_cidr),
            options.account_key_file,
            options.signing_cert_file,
            options.signing_key_file,
            options.load_balancer_pool,
        )
        controllers = build_all(context, options.controllers)
        leader = LeaderElector(client, NAME, socket.gethostname())
        try:
            async with asyncio.TaskGroup() as group:
                # caches fill while we wait for the lead: a standby takes over without a list
                group.create_task(context.informers.run())
                group.create_task(observe.serve(METRICS_PORT, lambda: [*queue_families(controllers), leader.family()]))
                await leader.acquire()
                await context.informers.synced()
                group.create_task(context.run_recorders())
                for controller in controllers:
                    group.create_task(controller.run())
                await leader.hold()
                raise SystemExit("leaderelection lost")
        finally:
            await leader.release()


def build_all(context: Context, asked: Sequence[str]) -> list[Controller]:
    """The controllers that are asked for, in the words of --controllers; ValueError for a name that is none."""
    made: list[Controller] = []
    for name in selected(asked, CONTROLLERS):
        built = CONTROLLERS[name](context)
        made += built if isinstance(built, list) else [built]
    return made
