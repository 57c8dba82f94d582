"""VolumeBinding: a pod runs where its volumes can be had; claims that wait for it get theirs where it will run.

Bound claims: the volume's node affinity has to let the node have it.  Claims of a class that waits for the first
consumer: a free volume that the node can have is promised to the claim, or, where there is none, the provisioner is
told which node was selected.  Before the bind, both are written, and the binder is waited for.
https://kubernetes.io/docs/concepts/storage/storage-classes/#volume-binding-mode
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from knet.api.objects import JSON
from knet.api.selectors import Requirement
from knet.api.storage import PersistentVolume, PersistentVolumeClaim
from knet.api.volume_matching import best, requested
from knet.client import Client, key_of
from knet.scheduler.cluster import Cluster
from knet.scheduler.hints import Change
from knet.scheduler.node import NodeInfo
from knet.scheduler.plugin import SKIP, Failure, Handle, Plugin, Rejection
from knet.scheduler.plugins.arguments import Args, struct
from knet.scheduler.pod import PodInfo
from knet.scheduler.storage import SELECTED_NODE, WAIT_FOR_FIRST_CONSUMER, Storage, is_bound, reachable

_NO_VOLUME = "node(s) didn't find available persistent volumes to bind"
_ELSEWHERE = "node(s) had volume node affinity conflict"
_MISSING = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
_UNBOUND = Rejection(("pod has unbound immediate PersistentVolumeClaims",), final=True)

BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
NO_PROVISIONER = "kubernetes.io/no-provisioner"


class Plan(NamedTuple):
    """What has to be written for a pod to run on one node."""

    promises: tuple[tuple[PersistentVolume, PersistentVolumeClaim], ...] = ()
    provisions: tuple[PersistentVolumeClaim, ...] = ()


@dataclass
class _State:
    bound: list[PersistentVolumeClaim] = field(default_factory=list)
    waiting: list[PersistentVolumeClaim] = field(default_factory=list)
    plans: dict[str, Plan] = field(default_factory=dict)


class VolumeBinding(Plugin):
    helped_by = frozenset(
        {
            Change.CLAIM,
            Change.VOLUME,
            Change.STORAGE_CLASS,
            Change.CSI_NODE,
            Change.NODE_ADDED,
            Change.NODE_LABELS,
        }
    )
    _client: Client | None = None

    def __init__(self) -> None:
        self._storage = Storage()
        self._timeout = 0

    def setup(self, handle: Handle, args: JSON) -> None:
        self._storage, self._client = handle.cluster.storage, handle.client
        self._timeout = struct(args, _Args).bindTimeoutSeconds
        if self._timeout < 0:
            raise ValueError(f"bindTimeoutSeconds: {self._timeout} must be greater than or equal to 0")

    # ---- filter ----------------------------------------------------------------------------------------------

    def helps(self, pod: PodInfo, change: Change, old: Any, new: Any) -> bool:
        return not isinstance(new, PersistentVolumeClaim) or (new.namespace == pod.namespace and new.name in pod.claims)

    def pre_filter(self, pod: PodInfo, cluster: Cluster) -> Any:
        if not pod.claims:
            return SKIP
        state = _State()
        for name in pod.claims:
            claim = self._storage.claim(pod.namespace, name)
            if claim is None or (why := _unusable(claim)):
                return Rejection((why if claim is not None else _absent(pod, name),), final=True)
            kind = self._storage.class_of(claim)
            if is_bound(claim):
                state.bound.append(claim)
            elif not claim.spec.volumeName and kind and kind.volumeBindingMode == WAIT_FOR_FIRST_CONSUMER:
                state.waiting.append(claim)
            else:
                return _UNBOUND
        return state

    def filter(self, state: _State, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        volumes = [self._storage.volumes.get(claim.spec.volumeName) for claim in state.bound]
        reasons = []
        if any(volume is not None and not reachable(volume, node) for volume in volumes):
            reasons.append(_ELSEWHERE)
        plan = self._plan(state.waiting, node)
        if plan is None:
            reasons.append(_NO_VOLUME)
        if None in volumes:
            reasons.append(_MISSING)
        if reasons or plan is None:
            return Rejection(tuple(reasons), final=True)
        state.plans[node.name] = plan
        return None

    def _plan(self, claims: list[PersistentVolumeClaim], node: NodeInfo) -> Plan | None:
        """A volume for each claim, the smallest claims first, or somebody who makes one here."""
        promises: list[tuple[PersistentVolume, PersistentVolumeClaim]] = []
        provisions = []
        for claim in sorted(claims, key=requested):
            selected = self._storage.node_of(claim)
            if selected and selected != node.name:
                return None
            volume = best(claim, self._free(claim, node, promises)) if not selected else None
            if volume is not None:
                promises.append((volume, claim))
            elif self._can_be_made(claim, node):
                provisions.append(claim)
            else:
                return None
        return Plan(tuple(promises), tuple(provisions))

    def _free(
        self,
        claim: PersistentVolumeClaim,
        node: NodeInfo,
        promises: list[tuple[PersistentVolume, PersistentVolumeClaim]],
    ) -> Iterator[PersistentVolume]:
        taken = {volume.name for volume, _ in promises}
        for volume in self._storage.volumes.values():
            promised = self._storage.promised.get(volume.name)
            if volume.name not in taken and promised in (None, key_of(claim)) and reachable(volume, node):
                yield volume

    def _can_be_made(self, claim: PersistentVolumeClaim, node: NodeInfo) -> bool:
        kind = self._storage.class_of(claim)
        if kind is None or kind.provisioner in ("", NO_PROVISIONER):
            return False
        return not kind.allowedTopologies or any(
            all(Requirement(row.key, "In", row.values).matches(node.labels) for row in topology.matchLabelExpressions)
            for topology in kind.allowedTopologies
        )

    # ---- reserve and bind ------------------------------------------------------------------------------------

    def reserve(self, state: _State, pod: PodInfo, node: NodeInfo) -> None:
        plan = state.plans.get(node.name, Plan())
        for volume, claim in plan.promises:
            self._storage.promised[volume.name] = key_of(claim)
        for claim in plan.provisions:
            self._storage.selected[key_of(claim)] = node.name

    def unreserve(self, state: _State, pod: PodInfo, node: NodeInfo) -> None:
        plan = state.plans.get(node.name, Plan())
        for volume, _ in plan.promises:
            self._storage.promised.pop(volume.name, None)
        for claim in plan.provisions:
            self._storage.selected.pop(key_of(claim), None)

    async def pre_bind(self, state: _State, pod: PodInfo, node: NodeInfo) -> None:
        """Raises Failure, and what the API answers (Conflict: somebody else was faster)."""
        plan = state.plans.get(node.name, Plan())
        if not plan.promises and not plan.provisions:
            return
        assert self._client is not None
        for volume, claim in plan.promises:
            await self._client.patch(PersistentVolume, volume.name, _promise(volume, claim))
        for claim in plan.provisions:
            annotations = {"annotations": {SELECTED_NODE: node.name}, "resourceVersion": claim.metadata.resourceVersion}
            await self._client.patch(PersistentVolumeClaim, claim.name, {"metadata": annotations}, claim.namespace)
        try:
            async with asyncio.timeout(self._timeout):
                await self._all_bound(pod, node, plan)
        except TimeoutError:
            raise Failure("binding volumes: context deadline exceeded") from None
        self.unreserve(state, pod, node)  # what was promised is seen done

    async def _all_bound(self, pod: PodInfo, node: NodeInfo, plan: Plan) -> None:
        started: set[str] = set()
        with self._storage.watched() as changed:
            while not all(self._bound(pod, name, node, plan, started) for name in pod.claims):
                changed.clear()
                await changed.wait()

    def _bound(self, pod: PodInfo, name: str, node: NodeInfo, plan: Plan, started: set[str]) -> bool:
        """Whether a claim has its volume; raises Failure when it will never get it here."""
        claim = self._storage.claim(pod.namespace, name)
        if claim is None:
            raise Failure(f'binding volumes: persistentvolumeclaim "{name}" not found')
        if is_bound(claim):
            volume = self._storage.volumes.get(claim.spec.volumeName)
            if volume is not None and not reachable(volume, node):
                raise Failure(f'binding volumes: pv "{volume.name}" node affinity doesn\'t match node "{node.name}"')
            return volume is not None
        if any(row.name == name for row in plan.provisions):
            selected = claim.metadata.annotations.get(SELECTED_NODE, "")
            if selected == node.name:
                started.add(name)
            elif name in started:  # the provisioner has given the claim back, for another node
                raise Failure(f'binding volumes: provisioning failed for PVC "{name}"')
        return False


def _promise(volume: PersistentVolume, claim: PersistentVolumeClaim) -> JSON:
    """Bind the volume to the claim; the binder does the rest."""
    ref: JSON = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": claim.namespace, "name": claim.name}
    ref |= {"uid": claim.uid, "resourceVersion": claim.metadata.resourceVersion}
    meta: JSON = {"resourceVersion": volume.metadata.resourceVersion}
    if volume.spec.claimRef is None:
        meta["annotations"] = {BOUND_BY_CONTROLLER: "yes"}
    return {"metadata": meta, "spec": {"claimRef": ref}}


def _unusable(claim: PersistentVolumeClaim) -> str:
    if claim.status.phase == "Lost":
        return f'persistentvolumeclaim "{claim.name}" bound to non-existent persistentvolume "{claim.spec.volumeName}"'
    return f'persistentvolumeclaim "{claim.name}" is being deleted' if claim.deleting else ""


def _absent(pod: PodInfo, name: str) -> str:
    if any(volume.ephemeral is not None and volume.claim_of(pod.name) == name for volume in pod.spec.volumes):
        return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
    return f'persistentvolumeclaim "{name}" not found'


class _Args(Args, frozen=True, kw_only=True):
    bindTimeoutSeconds: int = 600
