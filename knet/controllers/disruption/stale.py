"""Evictions that never happened: the DisruptionTarget condition of a pod that stayed after all is taken back."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

from knet.api.objects import Condition, Pod, condition
from knet.client import Controller, Key, NotFound, Result, key_of
from knet.client.events import rfc3339
from knet.controllers.conditions import conditions_json, parse_time, put_condition
from knet.controllers.context import Context

#: how long after the condition the deletion may follow (stalePodDisruptionTimeout)
TIMEOUT = timedelta(minutes=2)


def build(context: Context) -> Controller:
    reconciler = StaleReconciler(context)
    controller = Controller("disruption stale", reconciler, workers=1)

    def pod_changed(old: Pod | None, new: Pod | None) -> None:
        if new is not None and stale_at(new) is not None and (old is None or stale_at(old) is None):
            controller.enqueue(key_of(new))

    context.informers.of(Pod).subscribe(pod_changed)
    return controller


def stale_at(pod: Pod) -> datetime | None:
    """When the condition has lasted too long; None where it is not set, or true for other reasons.

    The kubelet's condition stays: it may take long before it has the pod deleted.
    """
    row = condition(pod.status.conditions, "DisruptionTarget")
    if row is None or row.status != "True" or row.reason == "TerminationByKubelet" or pod.deleting or pod.finished:
        return None
    return (parse_time(row.lastTransitionTime) or datetime.now(UTC)) + TIMEOUT


class StaleReconciler:
    """Keys are pods."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._pods = context.informers.of(Pod)

    async def reconcile(self, key: Key) -> Result | None:
        pod = self._pods.get(*key)
        at = stale_at(pod) if pod is not None else None
        if pod is None or at is None:
            return None
        now = datetime.now(UTC)
        if at > now:
            return Result((at - now).total_seconds())
        row = Condition(type="DisruptionTarget", status="False", lastTransitionTime=rfc3339(now))
        conditions = conditions_json(put_condition(pod.status.conditions, row))
        patch = {"metadata": {"resourceVersion": pod.metadata.resourceVersion}, "status": {"conditions": conditions}}
        with suppress(NotFound):
            await self._client.patch(Pod, pod.name, patch, pod.namespace, "status")
        return None
