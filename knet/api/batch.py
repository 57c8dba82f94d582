"""batch/v1 as its readers in knet need it: see `knet.api.objects`."""

from msgspec import field

from knet.api import resources
from knet.api.objects import JSON, Condition, KubeObject, LabelSelector, Meta, ObjectReference, Part


class OnExitCodes(Part, frozen=True, kw_only=True):
    operator: str
    values: tuple[int, ...] = ()
    containerName: str | None = None


class OnPodCondition(Part, frozen=True, kw_only=True):
    type: str
    status: str = "True"


class PodFailurePolicyRule(Part, frozen=True, kw_only=True):
    action: str
    onExitCodes: OnExitCodes | None = None
    onPodConditions: tuple[OnPodCondition, ...] = ()


class PodFailurePolicy(Part, frozen=True, kw_only=True):
    rules: tuple[PodFailurePolicyRule, ...] = ()


class SuccessPolicyRule(Part, frozen=True, kw_only=True):
    succeededIndexes: str | None = None
    succeededCount: int | None = None


class SuccessPolicy(Part, frozen=True, kw_only=True):
    rules: tuple[SuccessPolicyRule, ...] = ()


class JobSpec(Part, frozen=True, kw_only=True):
    """``template`` stays JSON: it is copied whole into pods."""

    parallelism: int = 1
    completions: int | None = None
    completionMode: str = "NonIndexed"
    activeDeadlineSeconds: int | None = None
    backoffLimit: int = 6
    backoffLimitPerIndex: int | None = None
    maxFailedIndexes: int | None = None
    podFailurePolicy: PodFailurePolicy | None = None
    podReplacementPolicy: str = ""
    successPolicy: SuccessPolicy | None = None
    selector: LabelSelector = LabelSelector()
    suspend: bool = False
    template: JSON = field(default_factory=dict)
    ttlSecondsAfterFinished: int | None = None
    managedBy: str = "kubernetes.io/job-controller"

    @property
    def indexed(self) -> bool:
        return self.completionMode == "Indexed"

    @property
    def replaces_failed_only(self) -> bool:
        """A terminating pod is replaced only when it has come to its end (KEP-3939)."""
        return self.podReplacementPolicy == "Failed" or self.podFailurePolicy is not None


class UncountedTerminatedPods(Part, frozen=True, kw_only=True):
    succeeded: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


class JobStatus(Part, frozen=True, kw_only=True):
    active: int = 0
    ready: int | None = None
    terminating: int | None = None
    succeeded: int = 0
    failed: int = 0
    completedIndexes: str = ""
    failedIndexes: str | None = None
    startTime: str | None = None
    completionTime: str | None = None
    uncountedTerminatedPods: UncountedTerminatedPods = UncountedTerminatedPods()
    conditions: tuple[Condition, ...] = ()

    @property
    def finished(self) -> Condition | None:
        """The Complete or Failed condition, once it holds."""
        ends = (row for row in self.conditions if row.type in ("Complete", "Failed"))
        return next((row for row in ends if row.status == "True"), None)


class Job(KubeObject, frozen=True, kw_only=True):
    resource = resources.JOBS
    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()


class JobTemplate(Part, frozen=True, kw_only=True):
    """``spec`` stays JSON: it is copied whole into Jobs."""

    metadata: Meta = Meta()
    spec: JSON = field(default_factory=dict)


class CronJobSpec(Part, frozen=True, kw_only=True):
    schedule: str = ""
    timeZone: str | None = None
    startingDeadlineSeconds: int | None = None
    concurrencyPolicy: str = "Allow"
    suspend: bool = False
    jobTemplate: JobTemplate = JobTemplate()
    successfulJobsHistoryLimit: int = 3
    failedJobsHistoryLimit: int = 1


class CronJobStatus(Part, frozen=True, kw_only=True):
    active: tuple[ObjectReference, ...] = ()
    lastScheduleTime: str | None = None
    lastSuccessfulTime: str | None = None


class CronJob(KubeObject, frozen=True, kw_only=True):
    resource = resources.CRONJOBS
    spec: CronJobSpec = CronJobSpec()
    status: CronJobStatus = CronJobStatus()
