"""Kubernetes objects as their readers in knet need them: frozen msgspec structs, no wider than what is read.

Attribute names are the API's own.  What is absent on the wire is empty here ("" () {} 0), or None where absence
means something of its own.  Components never send these back: a write is a dict with just the fields it changes.

Why not a library's generated models: there every field is Optional, so each access needs a None check that
mypy --strict insists on, and a Pod costs three times the memory (docs/architecture.md).
"""

from typing import Any, ClassVar, TypeVar

import msgspec

from knet.api import resources
from knet.api.names import MIRROR_ANNOTATION
from knet.api.resources import Resource

#: an object, or a part of one, as JSON
JSON = dict[str, Any]


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A piece of an object."""


class OwnerReference(Part, frozen=True, kw_only=True):
    apiVersion: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False
    blockOwnerDeletion: bool = False


class Meta(Part, frozen=True, kw_only=True):
    """metadata: of every object."""

    name: str = ""
    generateName: str = ""
    namespace: str = ""
    uid: str = ""
    resourceVersion: str = ""
    generation: int = 0
    creationTimestamp: str | None = None
    deletionTimestamp: str | None = None
    deletionGracePeriodSeconds: int | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    ownerReferences: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()


class KubeObject(Part, frozen=True, kw_only=True):
    """What all kinds have; ``resource`` is the registry's row."""

    resource: ClassVar[Resource]
    metadata: Meta = Meta()

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        return self.metadata.namespace

    @property
    def uid(self) -> str:
        return self.metadata.uid

    @property
    def deleting(self) -> bool:
        return self.metadata.deletionTimestamp is not None

    @property
    def ref(self) -> tuple[str, str, str]:
        """Kind, as its resource's singular, namespace and name: how flight recorders name it."""
        return self.resource.singular, self.metadata.namespace, self.metadata.name

    def controller(self) -> OwnerReference | None:
        """The owner that manages this object (metav1.GetControllerOf)."""
        return next((owner for owner in self.metadata.ownerReferences if owner.controller), None)


K = TypeVar("K", bound=KubeObject)


class Condition(Part, frozen=True, kw_only=True):
    type: str
    status: str = "Unknown"
    reason: str = ""
    message: str = ""
    lastTransitionTime: str | None = None
    lastHeartbeatTime: str | None = None
    lastProbeTime: str | None = None
    lastUpdateTime: str | None = None
    observedGeneration: int = 0


def condition(conditions: tuple[Condition, ...], kind: str) -> Condition | None:
    """The condition of that type, if there."""
    return next((row for row in conditions if row.type == kind), None)


def is_true(conditions: tuple[Condition, ...], kind: str) -> bool:
    """Whether the condition of that type is there and has status "True"."""
    found = condition(conditions, kind)
    return found is not None and found.status == "True"


class SelectorRequirement(Part, frozen=True, kw_only=True):
    key: str
    operator: str
    values: tuple[str, ...] = ()


class LabelSelector(Part, frozen=True, kw_only=True):
    matchLabels: dict[str, str] = {}
    matchExpressions: tuple[SelectorRequirement, ...] = ()


# ---- namespaces, nodes, leases, events -------------------------------------------------------------------------


class NamespaceSpec(Part, frozen=True, kw_only=True):
    finalizers: tuple[str, ...] = ()


class NamespaceStatus(Part, frozen=True, kw_only=True):
    phase: str = ""
    conditions: tuple[Condition, ...] = ()


class Namespace(KubeObject, frozen=True, kw_only=True):
    resource = resources.NAMESPACES
    spec: NamespaceSpec = NamespaceSpec()
    status: NamespaceStatus = NamespaceStatus()


class Taint(Part, frozen=True, kw_only=True):
    key: str
    effect: str
    value: str = ""
    timeAdded: str | None = None


class NodeSpec(Part, frozen=True, kw_only=True):
    podCIDR: str = ""
    podCIDRs: tuple[str, ...] = ()
    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False


class NodeAddress(Part, frozen=True, kw_only=True):
    type: str
    address: str


class DaemonEndpoint(Part, frozen=True, kw_only=True):
    Port: int = 0


class NodeDaemonEndpoints(Part, frozen=True, kw_only=True):
    kubeletEndpoint: DaemonEndpoint = DaemonEndpoint()


class ContainerImage(Part, frozen=True, kw_only=True):
    names: tuple[str, ...] = ()
    sizeBytes: int = 0


class NodeStatus(Part, frozen=True, kw_only=True):
    capacity: dict[str, str] = {}
    allocatable: dict[str, str] = {}
    conditions: tuple[Condition, ...] = ()
    addresses: tuple[NodeAddress, ...] = ()
    daemonEndpoints: NodeDaemonEndpoints = NodeDaemonEndpoints()
    images: tuple[ContainerImage, ...] = ()


class Node(KubeObject, frozen=True, kw_only=True):
    resource = resources.NODES
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def ready(self) -> bool:
        return is_true(self.status.conditions, "Ready")


class LeaseSpec(Part, frozen=True, kw_only=True):
    holderIdentity: str | None = None
    leaseDurationSeconds: int | None = None
    acquireTime: str | None = None
    renewTime: str | None = None
    leaseTransitions: int | None = None


class Lease(KubeObject, frozen=True, kw_only=True):
    resource = resources.LEASES
    spec: LeaseSpec = LeaseSpec()


class ObjectReference(Part, frozen=True, kw_only=True):
    apiVersion: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    resourceVersion: str = ""
    fieldPath: str = ""


class EventSource(Part, frozen=True, kw_only=True):
    component: str = ""
    host: str = ""


class Event(KubeObject, frozen=True, kw_only=True):
    resource = resources.EVENTS
    involvedObject: ObjectReference = ObjectReference()
    type: str = ""
    reason: str = ""
    message: str = ""
    count: int = 0
    firstTimestamp: str | None = None
    lastTimestamp: str | None = None
    eventTime: str | None = None
    source: EventSource = EventSource()


# ---- configuration ---------------------------------------------------------------------------------------------


class ConfigMap(KubeObject, frozen=True, kw_only=True):
    resource = resources.CONFIGMAPS
    data: dict[str, str] = {}
    binaryData: dict[str, str] = {}


class Secret(KubeObject, frozen=True, kw_only=True):
    """``data`` values are base64, as on the wire."""

    resource = resources.SECRETS
    type: str = ""
    data: dict[str, str] = {}


class ServiceAccount(KubeObject, frozen=True, kw_only=True):
    resource = resources.SERVICEACCOUNTS
    automountServiceAccountToken: bool | None = None


# ---- who may do what -------------------------------------------------------------------------------------------


class PolicyRule(Part, frozen=True, kw_only=True):
    verbs: tuple[str, ...] = ()
    apiGroups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    resourceNames: tuple[str, ...] = ()
    nonResourceURLs: tuple[str, ...] = ()


class AggregationRule(Part, frozen=True, kw_only=True):
    clusterRoleSelectors: tuple[LabelSelector, ...] = ()


class ClusterRole(KubeObject, frozen=True, kw_only=True):
    resource = resources.CLUSTERROLES
    rules: tuple[PolicyRule, ...] = ()
    aggregationRule: AggregationRule | None = None


# ---- pods ------------------------------------------------------------------------------------------------------


class KeySelector(Part, frozen=True, kw_only=True):
    """secretKeyRef and configMapKeyRef."""

    key: str = ""
    name: str = ""
    optional: bool = False


class ObjectFieldSelector(Part, frozen=True, kw_only=True):
    fieldPath: str
    apiVersion: str = "v1"


class ResourceFieldSelector(Part, frozen=True, kw_only=True):
    resource: str
    containerName: str = ""
    divisor: str | int | float = "0"


class EnvVarSource(Part, frozen=True, kw_only=True):
    fieldRef: ObjectFieldSelector | None = None
    resourceFieldRef: ResourceFieldSelector | None = None
    configMapKeyRef: KeySelector | None = None
    secretKeyRef: KeySelector | None = None


class EnvVar(Part, frozen=True, kw_only=True):
    name: str
    value: str = ""
    valueFrom: EnvVarSource | None = None


class EnvSource(Part, frozen=True, kw_only=True):
    name: str = ""
    optional: bool = False


class EnvFrom(Part, frozen=True, kw_only=True):
    prefix: str = ""
    configMapRef: EnvSource | None = None
    secretRef: EnvSource | None = None


class ContainerPort(Part, frozen=True, kw_only=True):
    containerPort: int
    name: str = ""
    protocol: str = "TCP"
    hostPort: int = 0
    hostIP: str = ""


class ResourceRequirements(Part, frozen=True, kw_only=True):
    requests: dict[str, str | int | float] = {}
    limits: dict[str, str | int | float] = {}


class HTTPHeader(Part, frozen=True, kw_only=True):
    name: str
    value: str


class HTTPGetAction(Part, frozen=True, kw_only=True):
    port: int | str
    path: str = "/"
    host: str = ""
    scheme: str = "HTTP"
    httpHeaders: tuple[HTTPHeader, ...] = ()


class TCPSocketAction(Part, frozen=True, kw_only=True):
    port: int | str
    host: str = ""


class ExecAction(Part, frozen=True, kw_only=True):
    command: tuple[str, ...] = ()


class SleepAction(Part, frozen=True, kw_only=True):
    seconds: int


class GRPCAction(Part, frozen=True, kw_only=True):
    port: int
    service: str = ""


class Probe(Part, frozen=True, kw_only=True):
    grpc: GRPCAction | None = None
    httpGet: HTTPGetAction | None = None
    tcpSocket: TCPSocketAction | None = None
    exec: ExecAction | None = None
    initialDelaySeconds: int = 0
    timeoutSeconds: int = 1
    periodSeconds: int = 10
    successThreshold: int = 1
    failureThreshold: int = 3
    terminationGracePeriodSeconds: int | None = None


class LifecycleHandler(Part, frozen=True, kw_only=True):
    httpGet: HTTPGetAction | None = None
    tcpSocket: TCPSocketAction | None = None
    exec: ExecAction | None = None
    sleep: SleepAction | None = None


class Lifecycle(Part, frozen=True, kw_only=True):
    postStart: LifecycleHandler | None = None
    preStop: LifecycleHandler | None = None


class VolumeMount(Part, frozen=True, kw_only=True):
    name: str
    mountPath: str
    subPath: str = ""
    subPathExpr: str = ""
    readOnly: bool = False


class Capabilities(Part, frozen=True, kw_only=True):
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


class Sysctl(Part, frozen=True, kw_only=True):
    name: str
    value: str


class SecurityContext(Part, frozen=True, kw_only=True):
    """Of a container; the pod's own is read by the same struct (fields that do not apply stay None)."""

    privileged: bool = False
    runAsUser: int | None = None
    runAsGroup: int | None = None
    runAsNonRoot: bool | None = None
    allowPrivilegeEscalation: bool = True
    readOnlyRootFilesystem: bool = False
    supplementalGroups: tuple[int, ...] = ()
    fsGroup: int | None = None
    fsGroupChangePolicy: str = "Always"
    sysctls: tuple[Sysctl, ...] = ()
    capabilities: Capabilities = Capabilities()


class Container(Part, frozen=True, kw_only=True):
    name: str
    image: str = ""
    imagePullPolicy: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    workingDir: str = ""
    env: tuple[EnvVar, ...] = ()
    envFrom: tuple[EnvFrom, ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    resources: ResourceRequirements = ResourceRequirements()
    readinessProbe: Probe | None = None
    livenessProbe: Probe | None = None
    startupProbe: Probe | None = None
    lifecycle: Lifecycle = Lifecycle()
    volumeMounts: tuple[VolumeMount, ...] = ()
    securityContext: SecurityContext = SecurityContext()
    stdin: bool = False
    stdinOnce: bool = False
    tty: bool = False
    restartPolicy: str = ""
    targetContainerName: str = ""  # of an ephemeral container: whose processes it sees
    terminationMessagePath: str = "/dev/termination-log"
    terminationMessagePolicy: str = "File"


class KeyToPath(Part, frozen=True, kw_only=True):
    key: str
    path: str
    mode: int | None = None


class ConfigMapVolume(Part, frozen=True, kw_only=True):
    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    optional: bool = False
    defaultMode: int | None = None


class SecretVolume(Part, frozen=True, kw_only=True):
    secretName: str = ""
    name: str = ""  # inside a projected volume the field is called so
    items: tuple[KeyToPath, ...] = ()
    optional: bool = False
    defaultMode: int | None = None


class EmptyDirVolume(Part, frozen=True, kw_only=True):
    medium: str = ""
    sizeLimit: str | int | None = None


class HostPathVolume(Part, frozen=True, kw_only=True):
    path: str
    type: str = ""


class DownwardAPIFile(Part, frozen=True, kw_only=True):
    path: str
    fieldRef: ObjectFieldSelector | None = None
    resourceFieldRef: ResourceFieldSelector | None = None
    mode: int | None = None


class DownwardAPIVolume(Part, frozen=True, kw_only=True):
    items: tuple[DownwardAPIFile, ...] = ()
    defaultMode: int | None = None


class TokenProjection(Part, frozen=True, kw_only=True):
    path: str
    audience: str = ""
    expirationSeconds: int = 3600


class VolumeProjection(Part, frozen=True, kw_only=True):
    configMap: ConfigMapVolume | None = None
    secret: SecretVolume | None = None
    downwardAPI: DownwardAPIVolume | None = None
    serviceAccountToken: TokenProjection | None = None


class ProjectedVolume(Part, frozen=True, kw_only=True):
    sources: tuple[VolumeProjection, ...] = ()
    defaultMode: int | None = None


class ClaimVolume(Part, frozen=True, kw_only=True):
    claimName: str
    readOnly: bool = False


class EphemeralVolume(Part, frozen=True, kw_only=True):
    volumeClaimTemplate: JSON = {}


class LocalReference(Part, frozen=True, kw_only=True):
    name: str = ""


class CSIVolume(Part, frozen=True, kw_only=True):
    driver: str = ""


class Volume(Part, frozen=True, kw_only=True):
    name: str
    emptyDir: EmptyDirVolume | None = None
    configMap: ConfigMapVolume | None = None
    secret: SecretVolume | None = None
    hostPath: HostPathVolume | None = None
    downwardAPI: DownwardAPIVolume | None = None
    projected: ProjectedVolume | None = None
    persistentVolumeClaim: ClaimVolume | None = None
    ephemeral: EphemeralVolume | None = None
    csi: CSIVolume | None = None

    def claim_of(self, pod: str) -> str:
        """The claim behind this volume of the pod of that name; "" where it is of another kind."""
        if self.persistentVolumeClaim is not None:
            return self.persistentVolumeClaim.claimName
        return f"{pod}-{self.name}" if self.ephemeral is not None else ""


class Toleration(Part, frozen=True, kw_only=True):
    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""
    tolerationSeconds: int | None = None


class NodeSelectorTerm(Part, frozen=True, kw_only=True):
    matchExpressions: tuple[SelectorRequirement, ...] = ()
    matchFields: tuple[SelectorRequirement, ...] = ()


class NodeSelector(Part, frozen=True, kw_only=True):
    nodeSelectorTerms: tuple[NodeSelectorTerm, ...] = ()


class PreferredSchedulingTerm(Part, frozen=True, kw_only=True):
    weight: int
    preference: NodeSelectorTerm


class NodeAffinity(Part, frozen=True, kw_only=True):
    requiredDuringSchedulingIgnoredDuringExecution: NodeSelector | None = None
    preferredDuringSchedulingIgnoredDuringExecution: tuple[PreferredSchedulingTerm, ...] = ()


class PodAffinityTerm(Part, frozen=True, kw_only=True):
    topologyKey: str
    labelSelector: LabelSelector | None = None
    namespaces: tuple[str, ...] = ()
    namespaceSelector: LabelSelector | None = None


class WeightedPodAffinityTerm(Part, frozen=True, kw_only=True):
    weight: int
    podAffinityTerm: PodAffinityTerm


class PodAffinity(Part, frozen=True, kw_only=True):
    """podAffinity and podAntiAffinity."""

    requiredDuringSchedulingIgnoredDuringExecution: tuple[PodAffinityTerm, ...] = ()
    preferredDuringSchedulingIgnoredDuringExecution: tuple[WeightedPodAffinityTerm, ...] = ()


class Affinity(Part, frozen=True, kw_only=True):
    nodeAffinity: NodeAffinity = NodeAffinity()
    podAffinity: PodAffinity = PodAffinity()
    podAntiAffinity: PodAffinity = PodAffinity()


class TopologySpreadConstraint(Part, frozen=True, kw_only=True):
    maxSkew: int
    topologyKey: str
    whenUnsatisfiable: str
    labelSelector: LabelSelector | None = None
    minDomains: int = 1
    nodeAffinityPolicy: str = "Honor"
    nodeTaintsPolicy: str = "Ignore"
    matchLabelKeys: tuple[str, ...] = ()


class DNSConfigOption(Part, frozen=True, kw_only=True):
    name: str = ""
    value: str | None = None


class DNSConfig(Part, frozen=True, kw_only=True):
    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[DNSConfigOption, ...] = ()


class HostAlias(Part, frozen=True, kw_only=True):
    ip: str
    hostnames: tuple[str, ...] = ()


class ReadinessGate(Part, frozen=True, kw_only=True):
    conditionType: str


class SchedulingGate(Part, frozen=True, kw_only=True):
    name: str


class PodSpec(Part, frozen=True, kw_only=True):
    containers: tuple[Container, ...] = ()
    initContainers: tuple[Container, ...] = ()
    ephemeralContainers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    nodeName: str = ""
    nodeSelector: dict[str, str] = {}
    affinity: Affinity = Affinity()
    tolerations: tuple[Toleration, ...] = ()
    topologySpreadConstraints: tuple[TopologySpreadConstraint, ...] = ()
    schedulerName: str = "default-scheduler"
    priority: int = 0
    priorityClassName: str = ""
    preemptionPolicy: str = "PreemptLowerPriority"
    schedulingGates: tuple[SchedulingGate, ...] = ()
    overhead: dict[str, str | int | float] = {}
    restartPolicy: str = "Always"
    terminationGracePeriodSeconds: int = 30
    activeDeadlineSeconds: int | None = None
    serviceAccountName: str = ""
    automountServiceAccountToken: bool | None = None
    hostNetwork: bool = False
    hostPID: bool = False
    hostIPC: bool = False
    shareProcessNamespace: bool = False
    hostname: str = ""
    setHostnameAsFQDN: bool = False
    subdomain: str = ""
    hostAliases: tuple[HostAlias, ...] = ()
    dnsPolicy: str = "ClusterFirst"
    dnsConfig: DNSConfig = DNSConfig()
    enableServiceLinks: bool = True
    securityContext: SecurityContext = SecurityContext()
    readinessGates: tuple[ReadinessGate, ...] = ()
    imagePullSecrets: tuple[LocalReference, ...] = ()


class ContainerStateWaiting(Part, frozen=True, kw_only=True):
    reason: str = ""
    message: str = ""


class ContainerStateRunning(Part, frozen=True, kw_only=True):
    startedAt: str | None = None


class ContainerStateTerminated(Part, frozen=True, kw_only=True):
    exitCode: int = 0
    signal: int = 0
    reason: str = ""
    message: str = ""
    startedAt: str | None = None
    finishedAt: str | None = None
    containerID: str = ""


class ContainerState(Part, frozen=True, kw_only=True):
    waiting: ContainerStateWaiting | None = None
    running: ContainerStateRunning | None = None
    terminated: ContainerStateTerminated | None = None


class ContainerStatus(Part, frozen=True, kw_only=True):
    name: str
    ready: bool = False
    started: bool | None = None
    restartCount: int = 0
    image: str = ""
    imageID: str = ""
    containerID: str = ""
    state: ContainerState = ContainerState()
    lastState: ContainerState = ContainerState()


class PodIP(Part, frozen=True, kw_only=True):
    ip: str


class PodStatus(Part, frozen=True, kw_only=True):
    phase: str = ""
    conditions: tuple[Condition, ...] = ()
    reason: str = ""
    message: str = ""
    hostIP: str = ""
    podIP: str = ""
    podIPs: tuple[PodIP, ...] = ()
    startTime: str | None = None
    nominatedNodeName: str = ""
    containerStatuses: tuple[ContainerStatus, ...] = ()
    initContainerStatuses: tuple[ContainerStatus, ...] = ()
    ephemeralContainerStatuses: tuple[ContainerStatus, ...] = ()
    qosClass: str = ""


class Pod(KubeObject, frozen=True, kw_only=True):
    resource = resources.PODS
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def ready(self) -> bool:
        return is_true(self.status.conditions, "Ready")

    @property
    def finished(self) -> bool:
        """Will never run again."""
        return self.status.phase in ("Succeeded", "Failed")

    @property
    def static(self) -> bool:
        """Made from a file of its machine; the API knows just its mirror."""
        return self.metadata.annotations.get("kubernetes.io/config.source") == "file" and not self.mirrors

    @property
    def mirrors(self) -> str:
        """The uid of the static pod that this one only shows; "" for a pod of its own."""
        return self.metadata.annotations.get(MIRROR_ANNOTATION, "")


# ---- workloads -------------------------------------------------------------------------------------------------


class RollingUpdate(Part, frozen=True, kw_only=True):
    maxSurge: int | str = "25%"
    maxUnavailable: int | str = "25%"


class DeploymentStrategy(Part, frozen=True, kw_only=True):
    type: str = "RollingUpdate"
    rollingUpdate: RollingUpdate | None = None


class DeploymentSpec(Part, frozen=True, kw_only=True):
    """``template`` stays JSON: it is compared, hashed and copied whole, never read field by field."""

    replicas: int = 1
    selector: LabelSelector = LabelSelector()
    template: JSON = {}
    strategy: DeploymentStrategy = DeploymentStrategy()
    minReadySeconds: int = 0
    revisionHistoryLimit: int = 10
    paused: bool = False
    progressDeadlineSeconds: int = 600


class DeploymentStatus(Part, frozen=True, kw_only=True):
    observedGeneration: int = 0
    replicas: int = 0
    updatedReplicas: int = 0
    readyReplicas: int = 0
    availableReplicas: int = 0
    unavailableReplicas: int = 0
    terminatingReplicas: int | None = None
    collisionCount: int | None = None
    conditions: tuple[Condition, ...] = ()


class Deployment(KubeObject, frozen=True, kw_only=True):
    resource = resources.DEPLOYMENTS
    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()


class ReplicaSetSpec(Part, frozen=True, kw_only=True):
    replicas: int = 1
    selector: LabelSelector = LabelSelector()
    template: JSON = {}
    minReadySeconds: int = 0


class ReplicaSetStatus(Part, frozen=True, kw_only=True):
    observedGeneration: int = 0
    replicas: int = 0
    fullyLabeledReplicas: int = 0
    readyReplicas: int = 0
    availableReplicas: int = 0
    conditions: tuple[Condition, ...] = ()


class ReplicaSet(KubeObject, frozen=True, kw_only=True):
    resource = resources.REPLICASETS
    spec: ReplicaSetSpec = ReplicaSetSpec()
    status: ReplicaSetStatus = ReplicaSetStatus()


# ---- services --------------------------------------------------------------------------------------------------


class ServicePort(Part, frozen=True, kw_only=True):
    port: int
    name: str = ""
    protocol: str = "TCP"
    targetPort: int | str = 0
    nodePort: int = 0
    appProtocol: str | None = None


class ClientIPConfig(Part, frozen=True, kw_only=True):
    timeoutSeconds: int = 10800


class SessionAffinityConfig(Part, frozen=True, kw_only=True):
    clientIP: ClientIPConfig = ClientIPConfig()


class ServiceSpec(Part, frozen=True, kw_only=True):
    type: str = "ClusterIP"
    selector: dict[str, str] = {}
    ports: tuple[ServicePort, ...] = ()
    clusterIP: str = ""
    clusterIPs: tuple[str, ...] = ()
    externalIPs: tuple[str, ...] = ()
    externalName: str = ""
    sessionAffinity: str = "None"
    sessionAffinityConfig: SessionAffinityConfig = SessionAffinityConfig()
    externalTrafficPolicy: str = "Cluster"
    internalTrafficPolicy: str = "Cluster"
    publishNotReadyAddresses: bool = False
    allocateLoadBalancerNodePorts: bool = True
    loadBalancerSourceRanges: tuple[str, ...] = ()
    loadBalancerClass: str | None = None
    loadBalancerIP: str = ""
    healthCheckNodePort: int = 0
    trafficDistribution: str | None = None
    ipFamilies: tuple[str, ...] = ()


class LoadBalancerIngress(Part, frozen=True, kw_only=True):
    """``ipMode`` VIP: packets arrive with this destination; Proxy: the balancer sends them to node ports (KEP-1860)."""

    ip: str = ""
    ipMode: str = "VIP"
    hostname: str = ""


class LoadBalancerStatus(Part, frozen=True, kw_only=True):
    ingress: tuple[LoadBalancerIngress, ...] = ()


class ServiceStatus(Part, frozen=True, kw_only=True):
    loadBalancer: LoadBalancerStatus = LoadBalancerStatus()


class Service(KubeObject, frozen=True, kw_only=True):
    resource = resources.SERVICES
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()

    @property
    def headless(self) -> bool:
        return self.spec.clusterIP == "None"


class EndpointConditions(Part, frozen=True, kw_only=True):
    """None means unknown, which readers take as ready and serving (KEP-1672)."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class ForZone(Part, frozen=True, kw_only=True):
    name: str


class EndpointHints(Part, frozen=True, kw_only=True):
    """In which zones clients should use an endpoint (KEP-2433)."""

    forZones: tuple[ForZone, ...] = ()


class Endpoint(Part, frozen=True, kw_only=True):
    addresses: tuple[str, ...] = ()
    conditions: EndpointConditions = EndpointConditions()
    hints: EndpointHints | None = None
    hostname: str = ""
    nodeName: str = ""
    zone: str = ""
    targetRef: ObjectReference | None = None


class EndpointPort(Part, frozen=True, kw_only=True):
    name: str = ""
    port: int | None = None
    protocol: str = "TCP"
    appProtocol: str | None = None


class EndpointSlice(KubeObject, frozen=True, kw_only=True):
    resource = resources.ENDPOINTSLICES
    addressType: str = "IPv4"
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


class EndpointAddress(Part, frozen=True, kw_only=True):
    ip: str
    hostname: str = ""
    nodeName: str = ""
    targetRef: ObjectReference | None = None


class EndpointSubset(Part, frozen=True, kw_only=True):
    addresses: tuple[EndpointAddress, ...] = ()
    notReadyAddresses: tuple[EndpointAddress, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


class Endpoints(KubeObject, frozen=True, kw_only=True):
    resource = resources.ENDPOINTS
    subsets: tuple[EndpointSubset, ...] = ()


class ControllerRevision(KubeObject, frozen=True, kw_only=True):
    resource = resources.CONTROLLERREVISIONS
    revision: int = 0
    data: JSON = {}


def owner_reference(owner: KubeObject) -> JSON:
    """The ownerReferences entry that makes ``owner`` the controller of a new object."""
    return {
        "apiVersion": owner.resource.api_version,
        "kind": owner.resource.kind,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def object_reference(of: KubeObject) -> JSON:
    """An ObjectReference to an object, as Events and Endpoints carry it."""
    return {
        "apiVersion": of.resource.api_version,
        "kind": of.resource.kind,
        "namespace": of.namespace,
        "name": of.name,
        "uid": of.uid,
        "resourceVersion": of.metadata.resourceVersion,
    }
