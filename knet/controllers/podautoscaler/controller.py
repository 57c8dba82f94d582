"""The autoscaler's loop: read the target's scale and its pods' usage, decide, write the new size and the status."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from knet.api import label_selector
from knet.api.autoscaling import HorizontalPodAutoscaler, MetricSpec, PodUsage, Scale
from knet.api.objects import JSON, Meta, Part, Pod
from knet.api.quantity import milli
from knet.api.selectors import Selector
from knet.client import ApiError, Controller, Index, Key, NotFound, Result, Unavailable, key_of
from knet.client.client import MERGE
from knet.client.events import rfc3339
from knet.controllers.conditions import Conditions, conditions_json
from knet.controllers.context import Context
from knet.controllers.podautoscaler.behavior import Change, Follow, Limited, Recommendation
from knet.controllers.podautoscaler.conditions import with_condition
from knet.controllers.podautoscaler.usage import NoMetrics, Proposal, propose
from knet.controllers.scales import read_scale, scale_path

#: how long recommendations and changes are remembered: the longest window that the API allows
REMEMBERED = timedelta(hours=1)


class _Item(Part, frozen=True, kw_only=True):
    metadata: Meta = Meta()
    containers: tuple[JSON, ...] = ()


class _Usages(Part, frozen=True, kw_only=True):
    items: tuple[_Item, ...] = ()


_usages = msgspec.json.Decoder(_Usages)


class Memory(NamedTuple):
    """What is remembered of one autoscaler."""

    recommendations: list[Recommendation]
    changes: list[Change]


class Outcome(NamedTuple):
    """What a look at the metrics has led to; ``replicas`` None: nothing is to be changed."""

    replicas: int | None
    why: str
    conditions: Conditions
    metrics: list[JSON]


def build(context: Context) -> Controller:
    reconciler = AutoscalerReconciler(context)
    controller = Controller("horizontalpodautoscaler", reconciler, workers=5)
    reconciler.subscribe(controller)
    return controller


class AutoscalerReconciler:
    """Looks at each autoscaler in every period."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._timing = context.timing
        self._events = context.recorder("horizontal-pod-autoscaler")
        self._autoscalers = context.informers.of(HorizontalPodAutoscaler)
        self._pods = Index(context.informers.of(Pod), lambda pod: (pod.namespace,))
        self._memories: dict[str, Memory] = {}

    def subscribe(self, controller: Controller) -> None:
        """A new or changed autoscaler is looked at at once, any in its period."""

        def changed(old: HorizontalPodAutoscaler | None, new: HorizontalPodAutoscaler | None) -> None:
            if new is None:
                assert old is not None
                self._memories.pop(old.uid, None)
            elif old is None or old.spec != new.spec:
                controller.enqueue(key_of(new))

        self._autoscalers.subscribe(changed)

    async def reconcile(self, key: Key) -> Result | None:
        autoscaler = self._autoscalers.get(*key)
        if autoscaler is None or autoscaler.deleting:
            return None
        try:
            await self._pass(autoscaler)
        except NotFound:  # deleted under our hands
            return None
        return Result(self._timing.hpa_sync)

    async def _pass(self, autoscaler: HorizontalPodAutoscaler) -> None:
        rows = autoscaler.status.conditions
        try:
            target = autoscaler.spec.scaleTargetRef
            path = await scale_path(self._client, target.apiVersion, target.kind, autoscaler.namespace, target.name)
            scale = await read_scale(self._client, path)
        except ApiError as error:
            text = f"the HPA controller was unable to get the target's current scale: {error}"
            self._events.event(autoscaler, "Warning", "FailedGetScale", str(error))
            await self._write(autoscaler, with_condition(rows, "AbleToScale", False, "FailedGetScale", text), None)
            return
        rows = with_condition(rows, "AbleToScale", True, "SucceededGetScale")
        outcome = await self._decide(autoscaler, scale, rows)
        current, wanted = scale.spec.replicas, outcome.replicas
        rows, scaled = outcome.conditions, None
        if wanted is not None and wanted != current:
            try:
                await self._client.raw("PATCH", path, {"spec": {"replicas": wanted}}, content_type=MERGE)
            except ApiError as error:
                text = f"the HPA controller was unable to update the target scale: {error}"
                rows = with_condition(rows, "AbleToScale", False, "FailedUpdateScale", text)
                self._events.event(
                    autoscaler, "Warning", "FailedRescale", f"New size: {wanted}; reason: {outcome.why}; error: {error}"
                )
            else:
                text = f"the HPA controller was able to update the target scale to {wanted}"
                rows = with_condition(rows, "AbleToScale", True, "SucceededRescale", text)
                self._events.event(
                    autoscaler, "Normal", "SuccessfulRescale", f"New size: {wanted}; reason: {outcome.why}"
                )
                scaled = datetime.now(UTC)
                self._memory(autoscaler).changes.append(Change(scaled, wanted - current))
        status = {
            "currentReplicas": scale.status.replicas,
            "desiredReplicas": current if wanted is None else wanted,
            "currentMetrics": outcome.metrics or None,
            "lastScaleTime": rfc3339(scaled) if scaled else autoscaler.status.lastScaleTime,
        }
        await self._write(autoscaler, rows, status)

    # ---- deciding ----------------------------------------------------------------------------------------------

    async def _decide(self, autoscaler: HorizontalPodAutoscaler, scale: Scale, rows: Conditions) -> Outcome:
        spec, current = autoscaler.spec, scale.spec.replicas
        if current == 0 and spec.minReplicas != 0:
            return Outcome(None, "", with_condition(rows, "ScalingActive", False, "ScalingDisabled"), [])
        if current > spec.maxReplicas:
            return Outcome(spec.maxReplicas, "Current number of replicas above Spec.MaxReplicas", rows, [])
        if current < spec.minReplicas:
            return Outcome(spec.minReplicas, "Current number of replicas below Spec.MinReplicas", rows, [])
        selector = label_selector.parse(scale.status.selector)
        proposals: list[tuple[MetricSpec, Proposal]] = []
        failures: list[tuple[str, str]] = []
        now = datetime.now(UTC)
        for metric in spec.metrics:
            try:
                proposals.append((metric, await self._propose(autoscaler, metric, scale, selector, now)))
            except NoMetrics as error:
                failures.append((f"FailedGet{metric.type}Metric", str(error)))
        for reason, text in failures:
            self._events.event(autoscaler, "Warning", reason, text)
        best = max((row.replicas for _, row in proposals), default=None)
        if best is None or (failures and best < current):
            # with a figure missing there may be more load than the others show: nothing is taken away
            reason, text = failures[0] if failures else ("InvalidMetricSourceType", "no metrics are given")
            text = f"the HPA was unable to compute the replica count: {text}"
            return Outcome(None, "", with_condition(rows, "ScalingActive", False, reason, text), [])
        leading = next(metric for metric, row in proposals if row.replicas == best)
        text = f"the HPA was able to successfully calculate a replica count from {_described(leading)}"
        rows = with_condition(rows, "ScalingActive", True, "ValidMetricFound", text)
        size, rows = self._follow(autoscaler, current, best, rows, now)
        why = f"{_described(leading)} {'above' if size > current else 'below'} target"
        if size < current and best < current:
            why = "All metrics below target"
        return Outcome(size, why, rows, [_current(metric, row) for metric, row in proposals])

    def _follow(
        self, autoscaler: HorizontalPodAutoscaler, current: int, best: int, rows: Conditions, now: datetime
    ) -> tuple[int, Conditions]:
        spec, memory = autoscaler.spec, self._memory(autoscaler)
        rules = Follow.of(spec.behavior, self._timing)
        stable = rules.stabilized(current, best, memory.recommendations, now)
        memory.recommendations.append(Recommendation(now, best))
        rows = with_condition(rows, "AbleToScale", True, stable.reason or "ReadyForNewScale")
        limited: Limited = rules.limited(
            current, stable.replicas, spec.minReplicas, spec.maxReplicas, memory.changes, now
        )
        rows = with_condition(rows, "ScalingLimited", bool(limited.reason), limited.reason or "DesiredWithinRange")
        return limited.replicas, rows

    def _memory(self, autoscaler: HorizontalPodAutoscaler) -> Memory:
        """Without what no rule looks at any more."""
        since = datetime.now(UTC) - REMEMBERED
        found = self._memories.setdefault(autoscaler.uid, Memory([], []))
        found.recommendations[:] = [row for row in found.recommendations if row.time > since]
        found.changes[:] = [row for row in found.changes if row.time > since]
        return found

    async def _propose(
        self,
        autoscaler: HorizontalPodAutoscaler,
        metric: MetricSpec,
        scale: Scale,
        selector: Selector,
        now: datetime,
    ) -> Proposal:
        source = metric.containerResource or metric.resource
        if source is None:
            raise NoMetrics(f"{metric.type} metrics are not served here: no custom metrics API is installed")
        pods = [row for row in self._pods.get(autoscaler.namespace) if selector.matches(row.metadata.labels)]
        try:
            usage = await self._usage(autoscaler.namespace, scale.status.selector)
            return propose(
                source.target,
                source.name,
                scale.spec.replicas,
                _of_resource(usage, source.name, source.container),
                pods,
                source.container,
                self._timing,
                now,
            )
        except (NoMetrics, ApiError, Unavailable) as error:
            raise NoMetrics(f"failed to get {source.name} {_unit(metric)}: {error}") from None

    async def _usage(self, namespace: str, selector: str) -> list[PodUsage]:
        path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods"
        found = _usages.decode(await self._client.raw("GET", path, params={"labelSelector": selector}))
        return [
            msgspec.convert({"name": row.metadata.name, "containers": list(row.containers)}, PodUsage)
            for row in found.items
        ]

    # ---- telling -----------------------------------------------------------------------------------------------

    async def _write(self, autoscaler: HorizontalPodAutoscaler, rows: Conditions, status: JSON | None) -> None:
        patch: JSON = {"observedGeneration": autoscaler.metadata.generation, "conditions": conditions_json(rows)}
        patch |= status or {}
        have = autoscaler.status
        told = {
            "observedGeneration": have.observedGeneration,
            "conditions": conditions_json(have.conditions),
            "currentReplicas": have.currentReplicas,
            "desiredReplicas": have.desiredReplicas,
            "currentMetrics": have.currentMetrics,
            "lastScaleTime": have.lastScaleTime,
        }
        if patch.items() <= told.items():
            return
        written = await self._client.patch(
            HorizontalPodAutoscaler, autoscaler.name, {"status": patch}, autoscaler.namespace, "status"
        )
        self._autoscalers.assume(written)


def _of_resource(usages: list[PodUsage], resource: str, container: str) -> Mapping[str, int]:
    """By pod, in thousandths; pods without a figure of the resource are left out."""
    found: dict[str, int] = {}
    for row in usages:
        figures = [
            milli(part.usage[resource])
            for part in row.containers
            if resource in part.usage and container in ("", part.name)
        ]
        if figures:
            found[row.name] = sum(figures)
    return found


def _unit(metric: MetricSpec) -> str:
    source = metric.containerResource or metric.resource
    return "utilization" if source is not None and source.target.averageUtilization is not None else "usage"


def _described(metric: MetricSpec) -> str:
    source = metric.containerResource or metric.resource
    assert source is not None, "others propose nothing"
    name = f"{source.name} container" if metric.containerResource else f"{source.name} resource"
    suffix = " utilization (percentage of request)" if _unit(metric) == "utilization" else ""
    return name + suffix


def _current(metric: MetricSpec, row: Proposal) -> JSON:
    source = metric.containerResource or metric.resource
    assert source is not None, "others propose nothing"
    value: JSON = {"averageValue": _quantity(source.name, row.average)}
    if row.utilization is not None:
        value["averageUtilization"] = row.utilization
    body: JSON = {"name": source.name, "current": value}
    if metric.containerResource:
        return {"type": "ContainerResource", "containerResource": {**body, "container": source.container}}
    return {"type": "Resource", "resource": body}


def _quantity(resource: str, thousandths: int) -> str:
    """CPU in millicores, everything else in whole units."""
    return f"{thousandths}m" if resource == "cpu" and thousandths % 1000 else str(thousandths // 1000)
