"""Policies as their controllers need them: see `knet.api.objects`."""

from msgspec import field

from knet.api import resources
from knet.api.objects import JSON, Condition, KubeObject, LabelSelector, Part


class ResourceQuota(KubeObject, frozen=True, kw_only=True):
    """Read by `knet.api.quota`, which takes JSON."""

    resource = resources.RESOURCEQUOTAS
    spec: JSON = field(default_factory=dict)
    status: JSON = field(default_factory=dict)


class BudgetSpec(Part, frozen=True, kw_only=True):
    minAvailable: int | str | None = None
    maxUnavailable: int | str | None = None
    selector: LabelSelector | None = None
    unhealthyPodEvictionPolicy: str = "IfHealthyBudget"


class BudgetStatus(Part, frozen=True, kw_only=True):
    disruptionsAllowed: int = 0
    currentHealthy: int = 0
    desiredHealthy: int = 0
    expectedPods: int = 0
    #: pods that are about to go → since when
    disruptedPods: dict[str, str] = field(default_factory=dict)
    observedGeneration: int = 0
    conditions: tuple[Condition, ...] = ()


class PodDisruptionBudget(KubeObject, frozen=True, kw_only=True):
    resource = resources.PODDISRUPTIONBUDGETS
    spec: BudgetSpec = BudgetSpec()
    status: BudgetStatus = BudgetStatus()
