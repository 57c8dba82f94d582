"""The quota loop: status.hard follows spec.hard, status.used what is there."""

import math
import time

from knet.api.objects import JSON
from knet.api.pod_resources import amounts_of
from knet.api.policy import ResourceQuota
from knet.api.quantity import Quantity
from knet.api.quota import Limits, Meter, limits_of, meter_of
from knet.client import Controller, Index, Key, NotFound, Result, key_of
from knet.controllers.context import Context
from knet.controllers.resourcequota.usage import Usage

#: seconds between two passes over one quota: many pods that go together are one write
REST = 0.02


def build(context: Context) -> Controller:
    reconciler = QuotaReconciler(context)
    controller = Controller("resourcequota", reconciler, workers=5, rest=REST)
    reconciler.subscribe(controller)
    return controller


class QuotaReconciler:
    """Keys are quotas."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._quotas = context.informers.of(ResourceQuota)
        self._quotas_in = Index(self._quotas, lambda row: (row.namespace,))
        self._usage = Usage(context.informers, self._usage_changed)
        self._controller: Controller | None = None

    def subscribe(self, controller: Controller) -> None:
        self._controller = controller

        def quota_changed(old: ResourceQuota | None, new: ResourceQuota | None) -> None:
            changed = new or old
            assert changed is not None
            controller.enqueue(key_of(changed))

        self._quotas.subscribe(quota_changed)

    def _usage_changed(self, meter: Meter, namespace: str) -> None:
        assert self._controller is not None
        for quota in self._quotas_in.get(namespace):
            if enforced(quota).counted(meter):
                self._controller.enqueue(key_of(quota))

    async def reconcile(self, key: Key) -> Result | None:
        quota = self._quotas.get(*key)
        if quota is None:
            if not self._quotas_in.get(key.namespace):
                self._usage.forget(key.namespace)
            return None
        limits = enforced(quota)
        used, due = self._used(limits, key.namespace)
        status = {"hard": quota.spec.get("hard") or {}, "used": used}
        if not _same(quota.status, status):
            patch = {"metadata": {"resourceVersion": quota.metadata.resourceVersion}, "status": _over(quota, status)}
            try:
                written = await self._client.patch(ResourceQuota, key.name, patch, key.namespace, "status")
            except NotFound:
                return None
            self._quotas.assume(written)
        return None if due == math.inf else Result(max(0.0, due - time.time()))

    def _used(self, limits: Limits, namespace: str) -> tuple[dict[str, str], float]:
        """What is used of all that can be counted, and when (Unix time) it may be less with nothing having changed."""
        used: dict[str, Quantity] = {}
        due = math.inf
        for row in self._usage.kinds(limits.counted):
            tally = self._usage.tally(row, namespace)
            used |= tally.used(limits, meter_of(row))
            due = min(due, tally.due)
        return {name: str(amount) for name, amount in used.items()}, due


def enforced(quota: ResourceQuota) -> Limits:
    """The limits as they will be enforced: those of the spec."""
    metadata = {"name": quota.name}
    return limits_of({"metadata": metadata, "spec": quota.spec, "status": {"hard": quota.spec.get("hard")}})


def _same(status: JSON, wanted: JSON) -> bool:
    """Equal amounts are equal however they are written."""
    return all(key in status and amounts_of(status[key]) == amounts_of(wanted[key]) for key in wanted)


def _over(quota: ResourceQuota, status: JSON) -> JSON:
    """A merge patch that leaves nothing of the present status."""
    return {key: dict.fromkeys(quota.status.get(key) or {}) | status[key] for key in status}
