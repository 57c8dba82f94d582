"""How many pods a budget expects: what it says in numbers, or in relation to the scale of the pods' owners."""

from collections.abc import Iterable
from typing import NamedTuple

from knet.api.objects import Deployment, OwnerReference, Pod, ReplicaSet
from knet.api.policy import BudgetSpec
from knet.api.workloads import ReplicationController, StatefulSet
from knet.client import Client, Informer, NotFound, SharedInformers
from knet.controllers.context import Context
from knet.controllers.deployment.bounds import resolve
from knet.controllers.scales import read_scale, scale_path


class Expectation(NamedTuple):
    """Pods that should be there, and how many of them have to be healthy."""

    pods: int
    healthy: int


class OwnerUnknown(LookupError):
    """A pod says that it is controlled, and nobody knows by what."""


def needs_scale(spec: BudgetSpec) -> bool:
    """Whether the budget's numbers depend on the scale of the owners."""
    return spec.maxUnavailable is not None or isinstance(spec.minAvailable, str)


def expectation(spec: BudgetSpec, pods: int, scale: int) -> Expectation:
    """``pods`` are there, ``scale`` is the sum of what their owners want; percentages are rounded up.

    >>> expectation(BudgetSpec(maxUnavailable="30%"), 9, 10)
    Expectation(pods=10, healthy=7)
    >>> expectation(BudgetSpec(minAvailable="51%"), 9, 10)
    Expectation(pods=10, healthy=6)
    >>> expectation(BudgetSpec(minAvailable=2), 9, 0)
    Expectation(pods=9, healthy=2)
    """
    if spec.maxUnavailable is not None:
        return Expectation(scale, max(0, scale - resolve(spec.maxUnavailable, scale, round_up=True)))
    if isinstance(spec.minAvailable, str):
        return Expectation(scale, resolve(spec.minAvailable, scale, round_up=True))
    return Expectation(pods if spec.minAvailable is not None else 0, spec.minAvailable or 0)


class Owners:
    """The scale of pods' controllers, from the caches where they have it."""

    def __init__(self, context: Context) -> None:
        self._client: Client = context.client
        informers: SharedInformers = context.informers
        self._deployments = informers.of(Deployment)
        self._informers: dict[str, Informer[ReplicaSet] | Informer[StatefulSet] | Informer[ReplicationController]] = {
            "ReplicaSet": informers.of(ReplicaSet),
            "StatefulSet": informers.of(StatefulSet),
            "ReplicationController": informers.of(ReplicationController),
        }

    async def scale(self, pods: Iterable[Pod]) -> tuple[int, list[str]]:
        """The sum over all controllers, and the names of pods that have none.

        Raises OwnerUnknown, and what `scale_path` raises.
        """
        scales: dict[str, int] = {}
        unmanaged: list[str] = []
        seen: set[str] = set()
        for pod in pods:
            owner = pod.controller()
            if owner is None:
                unmanaged.append(pod.name)
            elif owner.uid not in seen:
                seen.add(owner.uid)
                uid, replicas = self._cached(owner, pod.namespace) or await self._asked(owner, pod)
                scales[uid] = replicas
        return sum(scales.values()), unmanaged

    def _cached(self, owner: OwnerReference, namespace: str) -> tuple[str, int] | None:
        informer = self._informers.get(owner.kind)
        row = informer.get(namespace, owner.name) if informer is not None else None
        if row is None or row.uid != owner.uid:
            return None
        above = row.controller() if isinstance(row, ReplicaSet) else None
        if above is None or above.kind != "Deployment":
            return row.uid, row.spec.replicas
        deployment = self._deployments.get(namespace, above.name)
        known = deployment is not None and deployment.uid == above.uid
        return (deployment.uid, deployment.spec.replicas) if deployment is not None and known else None

    async def _asked(self, owner: OwnerReference, pod: Pod) -> tuple[str, int]:
        path = await scale_path(self._client, owner.apiVersion, owner.kind, pod.namespace, owner.name)
        try:
            scale = await read_scale(self._client, path)
        except NotFound:
            scale = None
        if scale is None or scale.metadata.uid != owner.uid:
            raise OwnerUnknown(f'found no controllers for pod "{pod.name}"')
        return owner.uid, scale.spec.replicas
