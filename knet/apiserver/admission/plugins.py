"""The table of plugins, in upstream's order (pkg/kubeapiserver/options/plugins.go).

https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#which-plugins-are-enabled-by-default
"""

from knet.apiserver.admission import (
    certificates,
    default_class,
    default_toleration_seconds,
    ignored_fields,
    limit_ranger,
    namespace_lifecycle,
    node_restriction,
    priority,
    runtime_class,
    service_account,
    storage_protection,
    taint_nodes,
    unrecognized_formats,
    volume_resize,
)
from knet.apiserver.admission.chain import Plugin
from knet.apiserver.admission.pod_security import plugin as pod_security
from knet.apiserver.admission.policy import plugin as policies
from knet.apiserver.admission.request import Operation
from knet.apiserver.admission.resource_quota.plugin import ResourceQuotas
from knet.apiserver.admission.webhook import plugin as webhooks
from knet.apiserver.authorization import escalation

_CREATE: tuple[Operation, ...] = ("CREATE",)
_WRITE: tuple[Operation, ...] = ("CREATE", "UPDATE")
_ALL: tuple[Operation, ...] = ("CREATE", "UPDATE", "DELETE", "CONNECT")
_PODS = ("pods",)
_CLAIMS = ("persistentvolumeclaims",)
_REQUESTS = certificates.REQUESTS


def plugins() -> tuple[Plugin, ...]:
    """The plugins of one server; one that treats several kinds differently has several rows."""
    quotas = ResourceQuotas()
    return (
        Plugin("NamespaceLifecycle", ("CREATE", "UPDATE", "DELETE"), mutate=namespace_lifecycle.admit),
        Plugin("LimitRanger", _CREATE, _PODS, limit_ranger.admit, limit_ranger.validate_pod),
        Plugin("LimitRanger", ("UPDATE",), ("pods/resize",), validate=limit_ranger.validate_pod),
        Plugin("LimitRanger", _WRITE, _CLAIMS, validate=limit_ranger.validate_claim),
        Plugin("ServiceAccount", _CREATE, _PODS, service_account.admit, service_account.validate),
        Plugin("ServiceAccount", ("UPDATE",), ("pods/ephemeralcontainers",), validate=service_account.validate),
        Plugin(
            "NodeRestriction",
            ("CREATE", "UPDATE", "DELETE"),
            node_restriction.RESOURCES,
            validate=node_restriction.validate,
        ),
        Plugin("TaintNodesByCondition", _CREATE, ("nodes",), taint_nodes.admit),
        Plugin(
            "PodSecurity",
            _WRITE,
            ("pods", "pods/ephemeralcontainers", "pods/resize"),
            validate=pod_security.validate_pod,
        ),
        Plugin("PodSecurity", _WRITE, tuple(pod_security.TEMPLATES), validate=pod_security.validate_workload),
        Plugin("PodSecurity", _WRITE, ("namespaces",), validate=pod_security.validate_namespace),
        # upstream warns in the strategies of these kinds
        Plugin("IgnoredFields", _CREATE, _PODS, validate=ignored_fields.warn),
        Plugin("IgnoredFields", _WRITE, tuple(pod_security.TEMPLATES), validate=ignored_fields.warn),
        Plugin(
            "UnrecognizedFormats",
            _WRITE,
            ("customresourcedefinitions.apiextensions.k8s.io",),
            validate=unrecognized_formats.warn,
        ),
        Plugin("Priority", _WRITE, _PODS, priority.admit),
        Plugin("Priority", _WRITE, ("priorityclasses.scheduling.k8s.io",), validate=priority.validate),
        Plugin("DefaultTolerationSeconds", _WRITE, _PODS, default_toleration_seconds.admit),
        Plugin("DefaultStorageClass", _CREATE, _CLAIMS, default_class.storage),
        Plugin("StorageObjectInUseProtection", _CREATE, _CLAIMS, storage_protection.claim),
        Plugin("StorageObjectInUseProtection", _CREATE, ("persistentvolumes",), storage_protection.volume),
        Plugin("PersistentVolumeClaimResize", ("UPDATE",), _CLAIMS, validate=volume_resize.validate),
        Plugin("RuntimeClass", _CREATE, _PODS, runtime_class.admit, runtime_class.validate),
        Plugin("CertificateApproval", ("UPDATE",), (f"{_REQUESTS}/approval",), validate=certificates.approve),
        Plugin("CertificateSigning", ("UPDATE",), (f"{_REQUESTS}/status",), validate=certificates.sign),
        Plugin(
            "CertificateSubjectRestriction",
            _CREATE,
            (_REQUESTS,),
            certificates.identify,
            certificates.restrict,
        ),
        Plugin("DefaultIngressClass", _CREATE, ("ingresses.networking.k8s.io",), default_class.ingress),
        # upstream has it in the registry of these kinds
        Plugin("PrivilegeEscalation", _WRITE, escalation.RESOURCES, validate=escalation.check),
        Plugin("MutatingAdmissionWebhook", _ALL, mutate=webhooks.mutate),
        Plugin("ValidatingAdmissionPolicy", _ALL, validate=policies.validate),
        Plugin("ValidatingAdmissionWebhook", _ALL, validate=webhooks.validate),
        Plugin("ResourceQuota", _CREATE, validate=quotas.validate),
        Plugin("ResourceQuota", ("UPDATE",), ("services", *_CLAIMS), validate=quotas.validate),
    )
