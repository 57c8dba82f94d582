"""DaemonSets, StatefulSets and ReplicationControllers as their readers in knet need them: see `knet.api.objects`."""

from msgspec import field

from knet.api import resources
from knet.api.objects import JSON, Condition, KubeObject, LabelSelector, Meta, Part, ReplicaSetStatus


class RollingDaemons(Part, frozen=True, kw_only=True):
    maxUnavailable: int | str = 1
    maxSurge: int | str = 0


class DaemonSetStrategy(Part, frozen=True, kw_only=True):
    type: str = "RollingUpdate"
    rollingUpdate: RollingDaemons = RollingDaemons()


class DaemonSetSpec(Part, frozen=True, kw_only=True):
    selector: LabelSelector = LabelSelector()
    template: JSON = field(default_factory=dict)
    updateStrategy: DaemonSetStrategy = DaemonSetStrategy()
    minReadySeconds: int = 0
    revisionHistoryLimit: int = 10


class DaemonSetStatus(Part, frozen=True, kw_only=True):
    currentNumberScheduled: int = 0
    desiredNumberScheduled: int = 0
    numberMisscheduled: int = 0
    numberReady: int = 0
    updatedNumberScheduled: int = 0
    numberAvailable: int = 0
    numberUnavailable: int = 0
    observedGeneration: int = 0
    collisionCount: int | None = None


class DaemonSet(KubeObject, frozen=True, kw_only=True):
    resource = resources.DAEMONSETS
    spec: DaemonSetSpec = DaemonSetSpec()
    status: DaemonSetStatus = DaemonSetStatus()


class RollingStatefulSet(Part, frozen=True, kw_only=True):
    partition: int = 0
    maxUnavailable: int | str | None = None


class StatefulSetStrategy(Part, frozen=True, kw_only=True):
    type: str = "RollingUpdate"
    rollingUpdate: RollingStatefulSet = RollingStatefulSet()


class ClaimRetention(Part, frozen=True, kw_only=True):
    whenDeleted: str = "Retain"
    whenScaled: str = "Retain"


class Ordinals(Part, frozen=True, kw_only=True):
    start: int = 0


class ClaimTemplate(Part, frozen=True, kw_only=True):
    """``spec`` stays JSON: it is copied whole into claims."""

    metadata: Meta = Meta()
    spec: JSON = field(default_factory=dict)


class StatefulSetSpec(Part, frozen=True, kw_only=True):
    replicas: int = 1
    selector: LabelSelector = LabelSelector()
    template: JSON = field(default_factory=dict)
    volumeClaimTemplates: tuple[ClaimTemplate, ...] = ()
    serviceName: str = ""
    podManagementPolicy: str = "OrderedReady"
    updateStrategy: StatefulSetStrategy = StatefulSetStrategy()
    revisionHistoryLimit: int = 10
    minReadySeconds: int = 0
    persistentVolumeClaimRetentionPolicy: ClaimRetention = ClaimRetention()
    ordinals: Ordinals = Ordinals()


class StatefulSetStatus(Part, frozen=True, kw_only=True):
    observedGeneration: int = 0
    replicas: int = 0
    readyReplicas: int = 0
    currentReplicas: int = 0
    updatedReplicas: int = 0
    availableReplicas: int = 0
    currentRevision: str = ""
    updateRevision: str = ""
    collisionCount: int | None = None
    conditions: tuple[Condition, ...] = ()


class StatefulSet(KubeObject, frozen=True, kw_only=True):
    resource = resources.STATEFULSETS
    spec: StatefulSetSpec = StatefulSetSpec()
    status: StatefulSetStatus = StatefulSetStatus()


class ReplicationControllerSpec(Part, frozen=True, kw_only=True):
    replicas: int = 1
    selector: dict[str, str] = field(default_factory=dict)
    template: JSON = field(default_factory=dict)
    minReadySeconds: int = 0


class ReplicationController(KubeObject, frozen=True, kw_only=True):
    """A ReplicaSet from before there were label selectors."""

    resource = resources.REPLICATIONCONTROLLERS
    spec: ReplicationControllerSpec = ReplicationControllerSpec()
    status: ReplicaSetStatus = ReplicaSetStatus()
