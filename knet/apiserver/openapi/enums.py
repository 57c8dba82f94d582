"""The values that text fields may have, where upstream's types name all of them (``+enum``): `kubectl explain` tells.

The installed definitions leave them out.  Facts of k8s.io/api v0.32.
"""

#: values, then the fields; ``[]``: of each item of a list
_TABLE = """
Equivalent Exact | admissionregistration.v1.MatchResources.matchPolicy
Equivalent Exact | admissionregistration.v1.ValidatingWebhook.matchPolicy
Equivalent Exact | admissionregistration.v1.MutatingWebhook.matchPolicy
IfNeeded Never | admissionregistration.v1.MutatingWebhook.reinvocationPolicy
* Cluster Namespaced | admissionregistration.v1.RuleWithOperations.scope
* CONNECT CREATE DELETE UPDATE | admissionregistration.v1.RuleWithOperations.operations[]
Audit Deny Warn | admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec.validationActions[]
Fail Ignore | admissionregistration.v1.ValidatingAdmissionPolicySpec.failurePolicy
Fail Ignore | admissionregistration.v1.ValidatingWebhook.failurePolicy
Fail Ignore | admissionregistration.v1.MutatingWebhook.failurePolicy
None NoneOnDryRun Some Unknown | admissionregistration.v1.ValidatingWebhook.sideEffects
None NoneOnDryRun Some Unknown | admissionregistration.v1.MutatingWebhook.sideEffects
Recreate RollingUpdate | apps.v1.DeploymentStrategy.type
OrderedReady Parallel | apps.v1.StatefulSetSpec.podManagementPolicy
OnDelete RollingUpdate | apps.v1.StatefulSetUpdateStrategy.type apps.v1.DaemonSetUpdateStrategy.type
ContainerResource External Object Pods Resource | autoscaling.v2.MetricSpec.type autoscaling.v2.MetricStatus.type
Allow Forbid Replace | batch.v1.CronJobSpec.concurrencyPolicy
Indexed NonIndexed | batch.v1.JobSpec.completionMode
Failed TerminatingOrFailed | batch.v1.JobSpec.podReplacementPolicy
In NotIn | batch.v1.PodFailurePolicyOnExitCodesRequirement.operator
Count FailIndex FailJob Ignore | batch.v1.PodFailurePolicyRule.action
Always IfNotPresent Never | core.v1.Container.imagePullPolicy core.v1.EphemeralContainer.imagePullPolicy
Always IfNotPresent Never | core.v1.ImageVolumeSource.pullPolicy
FallbackToLogsOnError File | core.v1.Container.terminationMessagePolicy
FallbackToLogsOnError File | core.v1.EphemeralContainer.terminationMessagePolicy
SCTP TCP UDP | core.v1.ContainerPort.protocol core.v1.ServicePort.protocol core.v1.EndpointPort.protocol
SCTP TCP UDP | core.v1.PortStatus.protocol discovery.v1.EndpointPort.protocol networking.v1.NetworkPolicyPort.protocol
SCTP TCP UDP | networking.v1.IngressPortStatus.protocol
HTTP HTTPS | core.v1.HTTPGetAction.scheme
"" BlockDevice CharDevice Directory DirectoryOrCreate File FileOrCreate Socket | core.v1.HostPathVolumeSource.type
InProgress Infeasible Pending | core.v1.ModifyVolumeStatus.status
Active Terminating | core.v1.NamespaceStatus.phase
DoesNotExist Exists Gt In Lt NotIn | core.v1.NodeSelectorRequirement.operator
Pending Running Terminated | core.v1.NodeStatus.phase
Bound Lost Pending | core.v1.PersistentVolumeClaimStatus.phase
ReadOnlyMany ReadWriteMany ReadWriteOnce ReadWriteOncePod | core.v1.PersistentVolumeSpec.accessModes[]
ReadOnlyMany ReadWriteMany ReadWriteOnce ReadWriteOncePod | core.v1.PersistentVolumeClaimSpec.accessModes[]
ReadOnlyMany ReadWriteMany ReadWriteOnce ReadWriteOncePod | core.v1.PersistentVolumeClaimStatus.accessModes[]
Delete Recycle Retain | core.v1.PersistentVolumeSpec.persistentVolumeReclaimPolicy
Delete Recycle Retain | storage.v1.StorageClass.reclaimPolicy
Block Filesystem | core.v1.PersistentVolumeSpec.volumeMode core.v1.PersistentVolumeClaimSpec.volumeMode
Available Bound Failed Pending Released | core.v1.PersistentVolumeStatus.phase
Always OnRootMismatch | core.v1.PodSecurityContext.fsGroupChangePolicy
Merge Strict | core.v1.PodSecurityContext.supplementalGroupsPolicy
ClusterFirst ClusterFirstWithHostNet Default None | core.v1.PodSpec.dnsPolicy
Never PreemptLowerPriority | core.v1.PodSpec.preemptionPolicy
Always Never OnFailure | core.v1.PodSpec.restartPolicy
Failed Pending Running Succeeded Unknown | core.v1.PodStatus.phase
BestEffort Burstable Guaranteed | core.v1.PodStatus.qosClass
BestEffort CrossNamespacePodAffinity NotBestEffort NotTerminating PriorityClass Terminating | core.v1.ResourceQuotaSpec.scopes[]
BestEffort CrossNamespacePodAffinity NotBestEffort NotTerminating PriorityClass Terminating | core.v1.ScopedResourceSelectorRequirement.scopeName
DoesNotExist Exists In NotIn | core.v1.ScopedResourceSelectorRequirement.operator
Localhost RuntimeDefault Unconfined | core.v1.SeccompProfile.type core.v1.AppArmorProfile.type
Default Unmasked | core.v1.SecurityContext.procMount
Cluster Local | core.v1.ServiceSpec.externalTrafficPolicy core.v1.ServiceSpec.internalTrafficPolicy
"" IPv4 IPv6 | core.v1.ServiceSpec.ipFamilies[]
PreferDualStack RequireDualStack SingleStack | core.v1.ServiceSpec.ipFamilyPolicy
ClientIP None | core.v1.ServiceSpec.sessionAffinity
ClusterIP ExternalName LoadBalancer NodePort | core.v1.ServiceSpec.type
NoExecute NoSchedule PreferNoSchedule | core.v1.Taint.effect core.v1.Toleration.effect
Equal Exists | core.v1.Toleration.operator
Honor Ignore | core.v1.TopologySpreadConstraint.nodeAffinityPolicy core.v1.TopologySpreadConstraint.nodeTaintsPolicy
DoNotSchedule ScheduleAnyway | core.v1.TopologySpreadConstraint.whenUnsatisfiable
Bidirectional HostToContainer None | core.v1.VolumeMount.mountPropagation
FQDN IPv4 IPv6 | discovery.v1.EndpointSlice.addressType
Exact ImplementationSpecific Prefix | networking.v1.HTTPIngressPath.pathType
Egress Ingress | networking.v1.NetworkPolicySpec.policyTypes[]
AlwaysAllow IfHealthyBudget | policy.v1.PodDisruptionBudgetSpec.unhealthyPodEvictionPolicy
Immediate WaitForFirstConsumer | storage.v1.StorageClass.volumeBindingMode
"""  # noqa: E501


def _rows() -> dict[str, list[str]]:
    rows = (line.split(" | ") for line in _TABLE.strip().splitlines())
    return {
        f"io.k8s.api.{place}": ["" if value == '""' else value for value in values.split()]
        for values, places in rows
        for place in places.split()
    }


#: ``io.k8s.api.core.v1.Container.imagePullPolicy`` → its values
ENUMS = _rows()
