"""The numbers of the fields of Kubernetes' messages.

They follow the order in which fields came into being; so a message is a line of names, the first of them number 1.
``-`` is a number that is not in use (any more), ``name=7`` goes on from 7, and ``>Message`` a field that exists on
the wire only: in JSON the fields of that message stand in the place of it (Go embeds the struct).

Messages that are absent here (volumes of cloud providers, statuses that only servers write) are refused by name.
"""

import re
from collections.abc import Mapping

_MESSAGES = """
ObjectMeta name generateName namespace selfLink uid resourceVersion generation creationTimestamp deletionTimestamp
    deletionGracePeriodSeconds labels annotations ownerReferences finalizers=14 managedFields=17
OwnerReference kind=1 name=3 uid apiVersion controller blockOwnerDeletion
ManagedFieldsEntry manager operation apiVersion time fieldsType=6 fieldsV1 subresource
LabelSelector matchLabels matchExpressions
LabelSelectorRequirement key operator values
DeleteOptions gracePeriodSeconds preconditions orphanDependents propagationPolicy dryRun
    ignoreStoreReadErrorWithClusterBreakingPotential
Preconditions uid resourceVersion
Condition type status observedGeneration lastTransitionTime reason message

Namespace metadata spec status
NamespaceSpec finalizers
NamespaceStatus phase conditions
NamespaceCondition type status lastTransitionTime=4 reason message
ConfigMap metadata data binaryData immutable
Secret metadata data type stringData immutable
ServiceAccount metadata secrets imagePullSecrets automountServiceAccountToken
LocalObjectReference name
ObjectReference kind namespace name uid apiVersion resourceVersion fieldPath
Binding metadata target
Event metadata involvedObject reason message source firstTimestamp lastTimestamp count type eventTime series action
    related reportingComponent reportingInstance
EventSource component host
EventSeries count lastObservedTime

Service metadata spec status
ServiceSpec ports selector clusterIP type externalIPs sessionAffinity=7 loadBalancerIP loadBalancerSourceRanges
    externalName externalTrafficPolicy healthCheckNodePort publishNotReadyAddresses sessionAffinityConfig
    ipFamilyPolicy=17 clusterIPs ipFamilies allocateLoadBalancerNodePorts loadBalancerClass internalTrafficPolicy
    trafficDistribution
ServicePort name protocol port targetPort nodePort appProtocol
SessionAffinityConfig clientIP
ClientIPConfig timeoutSeconds
ServiceStatus loadBalancer conditions
LoadBalancerStatus ingress
LoadBalancerIngress ip hostname ipMode ports
PortStatus port protocol error
Endpoints metadata subsets
EndpointSubset addresses notReadyAddresses ports
EndpointAddress ip targetRef hostname nodeName
core.EndpointPort name port protocol appProtocol
EndpointSlice metadata endpoints ports addressType
Endpoint addresses conditions hostname targetRef deprecatedTopology nodeName zone hints
EndpointConditions ready serving terminating
EndpointHints forZones
ForZone name
discovery.EndpointPort name protocol port appProtocol

Node metadata spec status
NodeSpec podCIDR externalID providerID unschedulable taints configSource podCIDRs
Taint key value effect timeAdded
NodeStatus capacity allocatable phase conditions addresses daemonEndpoints nodeInfo images volumesInUse volumesAttached
    config runtimeHandlers features
NodeCondition type status lastHeartbeatTime lastTransitionTime reason message
NodeAddress type address
NodeDaemonEndpoints kubeletEndpoint
DaemonEndpoint Port
NodeSystemInfo machineID systemUUID bootID kernelVersion osImage containerRuntimeVersion kubeletVersion kubeProxyVersion
    operatingSystem architecture
ContainerImage names sizeBytes

Pod metadata spec status
PodTemplateSpec metadata spec
PodSpec volumes containers restartPolicy terminationGracePeriodSeconds activeDeadlineSeconds dnsPolicy nodeSelector
    serviceAccountName serviceAccount nodeName hostNetwork hostPID hostIPC securityContext imagePullSecrets hostname
    subdomain affinity schedulerName initContainers automountServiceAccountToken tolerations hostAliases
    priorityClassName priority dnsConfig shareProcessNamespace readinessGates runtimeClassName enableServiceLinks
    preemptionPolicy overhead topologySpreadConstraints ephemeralContainers setHostnameAsFQDN os hostUsers
    schedulingGates resourceClaims resources
Container name image command args workingDir ports env resources volumeMounts livenessProbe readinessProbe lifecycle
    terminationMessagePath imagePullPolicy securityContext stdin stdinOnce tty envFrom terminationMessagePolicy
    volumeDevices startupProbe resizePolicy restartPolicy
EphemeralContainer >Container targetContainerName
ContainerPort name hostPort containerPort protocol hostIP
ContainerResizePolicy resourceName restartPolicy
EnvVar name value valueFrom
EnvVarSource fieldRef resourceFieldRef configMapKeyRef secretKeyRef
EnvFromSource prefix configMapRef secretRef
ObjectFieldSelector apiVersion fieldPath
ResourceFieldSelector containerName resource divisor
ConfigMapKeySelector >LocalObjectReference key optional
SecretKeySelector >LocalObjectReference key optional
ConfigMapEnvSource >LocalObjectReference optional
SecretEnvSource >LocalObjectReference optional
ResourceRequirements limits requests claims
ResourceClaim name request
VolumeMount name readOnly mountPath subPath mountPropagation subPathExpr recursiveReadOnly
VolumeDevice name devicePath
Probe >ProbeHandler initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold
    terminationGracePeriodSeconds
ProbeHandler exec httpGet tcpSocket grpc
Lifecycle postStart preStop stopSignal
LifecycleHandler exec httpGet tcpSocket sleep
ExecAction command
HTTPGetAction path port host scheme httpHeaders
HTTPHeader name value
TCPSocketAction port host
GRPCAction port service
SleepAction seconds
SecurityContext capabilities privileged seLinuxOptions runAsUser runAsNonRoot readOnlyRootFilesystem
    allowPrivilegeEscalation runAsGroup procMount windowsOptions seccompProfile appArmorProfile
Capabilities add drop
SELinuxOptions user role type level
SeccompProfile type localhostProfile
AppArmorProfile type localhostProfile
PodSecurityContext seLinuxOptions runAsUser runAsNonRoot supplementalGroups fsGroup runAsGroup sysctls windowsOptions
    fsGroupChangePolicy seccompProfile appArmorProfile supplementalGroupsPolicy seLinuxChangePolicy
Sysctl name value
Volume name >VolumeSource
VolumeSource hostPath emptyDir gcePersistentDisk awsElasticBlockStore gitRepo secret nfs iscsi glusterfs
    persistentVolumeClaim rbd flexVolume cinder cephfs flocker downwardAPI fc azureFile configMap vsphereVolume quobyte
    azureDisk photonPersistentDisk portworxVolume=24 scaleIO projected storageos csi ephemeral image
HostPathVolumeSource path type
EmptyDirVolumeSource medium sizeLimit
SecretVolumeSource secretName items defaultMode optional
ConfigMapVolumeSource >LocalObjectReference items defaultMode optional
KeyToPath key path mode
NFSVolumeSource server path readOnly
PersistentVolumeClaimVolumeSource claimName readOnly
DownwardAPIVolumeSource items defaultMode
DownwardAPIVolumeFile path fieldRef resourceFieldRef mode
ProjectedVolumeSource sources defaultMode
VolumeProjection secret downwardAPI configMap serviceAccountToken clusterTrustBundle
SecretProjection >LocalObjectReference items optional=4
ConfigMapProjection >LocalObjectReference items optional=4
DownwardAPIProjection items
ServiceAccountTokenProjection audience expirationSeconds path
ImageVolumeSource reference pullPolicy
Toleration key operator value effect tolerationSeconds
Affinity nodeAffinity podAffinity podAntiAffinity
NodeAffinity requiredDuringSchedulingIgnoredDuringExecution preferredDuringSchedulingIgnoredDuringExecution
NodeSelector nodeSelectorTerms
NodeSelectorTerm matchExpressions matchFields
NodeSelectorRequirement key operator values
PreferredSchedulingTerm weight preference
PodAffinity requiredDuringSchedulingIgnoredDuringExecution preferredDuringSchedulingIgnoredDuringExecution
PodAntiAffinity requiredDuringSchedulingIgnoredDuringExecution preferredDuringSchedulingIgnoredDuringExecution
PodAffinityTerm labelSelector namespaces topologyKey namespaceSelector matchLabelKeys mismatchLabelKeys
WeightedPodAffinityTerm weight podAffinityTerm
TopologySpreadConstraint maxSkew topologyKey whenUnsatisfiable labelSelector minDomains nodeAffinityPolicy
    nodeTaintsPolicy matchLabelKeys
HostAlias ip hostnames
PodDNSConfig nameservers searches options
PodDNSConfigOption name value
PodReadinessGate conditionType
PodSchedulingGate name
PodOS name
PodStatus phase conditions message reason hostIP podIP startTime containerStatuses qosClass initContainerStatuses
    nominatedNodeName podIPs ephemeralContainerStatuses resize resourceClaimStatuses hostIPs
PodIP ip
HostIP ip
PodCondition type status lastProbeTime lastTransitionTime reason message
ContainerStatus name state lastState ready restartCount image imageID containerID started allocatedResources resources
    volumeMounts user allocatedResourcesStatus
ContainerState waiting running terminated
ContainerStateWaiting reason message
ContainerStateRunning startedAt
ContainerStateTerminated exitCode signal reason message startedAt finishedAt containerID

Deployment metadata spec status
DeploymentSpec replicas selector template strategy minReadySeconds revisionHistoryLimit paused
    progressDeadlineSeconds=9
DeploymentStrategy type rollingUpdate
RollingUpdateDeployment maxUnavailable maxSurge
DeploymentStatus observedGeneration replicas updatedReplicas availableReplicas unavailableReplicas conditions
    readyReplicas collisionCount
DeploymentCondition type status reason=4 message lastUpdateTime lastTransitionTime
ReplicaSet metadata spec status
ReplicaSetSpec replicas selector template minReadySeconds
ReplicaSetStatus replicas fullyLabeledReplicas observedGeneration readyReplicas availableReplicas conditions
ReplicaSetCondition type status lastTransitionTime reason message
ControllerRevision metadata data revision
Scale metadata spec status
ScaleSpec replicas
ScaleStatus replicas selector
Lease metadata spec
LeaseSpec holderIdentity leaseDurationSeconds acquireTime renewTime leaseTransitions strategy preferredHolder
Eviction metadata deleteOptions
TokenRequest metadata spec status
TokenRequestSpec audiences expirationSeconds=4 boundObjectRef=3
TokenRequestStatus token expirationTimestamp
BoundObjectReference kind apiVersion name uid
"""

_POINTERS = """
    activeDeadlineSeconds allocateLoadBalancerNodePorts allowPrivilegeEscalation automountServiceAccountToken
    blockOwnerDeletion collisionCount controller defaultMode deletionGracePeriodSeconds enableServiceLinks
    expirationSeconds fsGroup gracePeriodSeconds hostUsers immutable leaseDurationSeconds leaseTransitions maxSurge
    maxUnavailable minDomains mode optional orphanDependents priority privileged progressDeadlineSeconds
    readOnlyRootFilesystem ready replicas revisionHistoryLimit runAsGroup runAsNonRoot runAsUser serving
    setHostnameAsFQDN shareProcessNamespace sizeLimit started terminating terminationGracePeriodSeconds timeoutSeconds
    tolerationSeconds
"""
_PRESENT = """
    clientIP downwardAPI emptyDir exec labelSelector namespaceSelector podSelector preconditions projected running
    secret configMap securityContext selector sessionAffinityConfig waiting
"""

#: scalar fields that Go holds by pointer: absent and zero differ, so a zero that was sent is kept
POINTERS = frozenset(_POINTERS.split())
#: fields whose presence is the message, even an empty one; other empty messages are Go's zero structs
PRESENT = frozenset(_PRESENT.split())


def _parse(text: str) -> dict[str, dict[int, str]]:
    messages: dict[str, dict[int, str]] = {}
    for line in re.sub(r"\n +", " ", text).splitlines():
        name, *words = line.split() or [""]
        number = 0
        for word in words:
            field, equals, given = word.partition("=")
            number = int(given) if equals else number + 1
            if field != "-":
                messages.setdefault(name, {})[number] = field
    return messages


#: message → number → field
MESSAGES: Mapping[str, Mapping[int, str]] = _parse(_MESSAGES)
