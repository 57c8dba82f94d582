"""autoscaling/v2 as its readers in knet need it: see `knet.api.objects`."""

from msgspec import field

from knet.api import resources
from knet.api.objects import Condition, KubeObject, Meta, Part


class ScaleTarget(Part, frozen=True, kw_only=True):
    apiVersion: str = ""
    kind: str = ""
    name: str = ""


class MetricTarget(Part, frozen=True, kw_only=True):
    type: str = ""
    averageUtilization: int | None = None
    averageValue: str | None = None
    value: str | None = None


class ResourceMetric(Part, frozen=True, kw_only=True):
    """Of a pod or, with ``container``, of one of its containers."""

    name: str = ""
    container: str = ""
    target: MetricTarget = MetricTarget()


class MetricSpec(Part, frozen=True, kw_only=True):
    type: str = ""
    resource: ResourceMetric | None = None
    containerResource: ResourceMetric | None = None


class ScalingPolicy(Part, frozen=True, kw_only=True):
    type: str
    value: int
    periodSeconds: int


class ScalingRules(Part, frozen=True, kw_only=True):
    stabilizationWindowSeconds: int | None = None
    selectPolicy: str = "Max"
    policies: tuple[ScalingPolicy, ...] = ()


class Behavior(Part, frozen=True, kw_only=True):
    scaleUp: ScalingRules | None = None
    scaleDown: ScalingRules | None = None


class AutoscalerSpec(Part, frozen=True, kw_only=True):
    scaleTargetRef: ScaleTarget = ScaleTarget()
    minReplicas: int = 1
    maxReplicas: int = 1
    metrics: tuple[MetricSpec, ...] = ()
    behavior: Behavior = Behavior()


class AutoscalerStatus(Part, frozen=True, kw_only=True):
    observedGeneration: int = 0
    lastScaleTime: str | None = None
    currentReplicas: int = 0
    desiredReplicas: int = 0
    currentMetrics: list[dict[str, object]] | None = None
    conditions: tuple[Condition, ...] = ()


class HorizontalPodAutoscaler(KubeObject, frozen=True, kw_only=True):
    resource = resources.HORIZONTALPODAUTOSCALERS
    spec: AutoscalerSpec = AutoscalerSpec()
    status: AutoscalerStatus = AutoscalerStatus()


class ScaleSpec(Part, frozen=True, kw_only=True):
    replicas: int = 0


class ScaleStatus(Part, frozen=True, kw_only=True):
    replicas: int = 0
    selector: str = ""


class Scale(Part, frozen=True, kw_only=True):
    """The scale subresource of anything that has one."""

    metadata: Meta = Meta()
    spec: ScaleSpec = ScaleSpec()
    status: ScaleStatus = ScaleStatus()


class ContainerUsage(Part, frozen=True, kw_only=True):
    name: str = ""
    usage: dict[str, str] = field(default_factory=dict)


class PodUsage(Part, frozen=True, kw_only=True):
    """metadata.name and what each container uses; ``window`` is the time it was averaged over (Go duration)."""

    name: str = ""
    timestamp: str = ""
    containers: tuple[ContainerUsage, ...] = ()
