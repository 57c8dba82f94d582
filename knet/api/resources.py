"""The registry: one row per resource. Everything generic (paths, discovery, storage, clients) is driven by it."""

from dataclasses import dataclass
from typing import Any

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
#: of what cannot be deleted by collection
SINGLE_VERBS = tuple(verb for verb in ALL_VERBS if verb != "deletecollection")
READ_ONLY = ("get", "list")


@dataclass(frozen=True, eq=False)
class Resource:
    """A kind that the API serves and where it is found.

    ``group`` is "" for the core group.  ``subresources`` names those the API server implements for it.
    ``storage`` is the row whose objects this one shows in another form (autoscaling/v1 shows those of autoscaling/v2).
    """

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    storage: "Resource | None" = None
    #: from a CustomResourceDefinition, which may give the names their own spelling
    custom: bool = False
    singular: str = ""
    list_kind: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "singular", self.singular or self.kind.lower())
        object.__setattr__(self, "list_kind", self.list_kind or f"{self.kind}List")

    @property
    def stored(self) -> bool:
        """Its objects lie in the store in this very form."""
        return self.storage is None and "delete" in self.verbs

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        """As error messages name it: ``deployments.apps``, ``pods``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def root(self) -> str:
        """The path of the group and version: ``/api/v1``, ``/apis/apps/v1``."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of a collection, an object or a subresource; no namespace means all of them."""
        parts = [self.root]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join(parts)


_rows: list[Resource] = []


def _row(group_version: str, kind: str, plural: str, short_names: str = "", **more: Any) -> Resource:
    """Add a row; ``short_names`` are separated by blanks."""
    group, _, version = group_version.rpartition("/")
    row = Resource(group, version, kind, plural, short_names=tuple(short_names.split()), **more)
    _rows.append(row)
    return row


CORE = "v1"
APIREGISTRATION = "apiregistration.k8s.io/v1"
APPS = "apps/v1"
BATCH = "batch/v1"
NETWORKING = "networking.k8s.io/v1"
AUTHENTICATION = "authentication.k8s.io/v1"
AUTHORIZATION = "authorization.k8s.io/v1"
RBAC = "rbac.authorization.k8s.io/v1"
STORAGE = "storage.k8s.io/v1"
ADMISSION = "admissionregistration.k8s.io/v1"
METRICS = "metrics.k8s.io/v1beta1"
FLOWCONTROL = "flowcontrol.apiserver.k8s.io/v1"

#: asked and answered, never stored
_REVIEW: Any = {"verbs": ("create",)}
_ALL: Any = {"categories": ("all",)}
_EXTENSIONS: Any = {"categories": ("api-extensions",)}
_CLUSTER: Any = {"namespaced": False}
_STATUS: Any = {"subresources": ("status",)}
_SCALED: Any = {"subresources": ("scale", "status")}

# In the order of discovery: groups by upstream's priority, in a group the preferred version first.
BINDINGS = _row(CORE, "Binding", "bindings", verbs=("create",))
COMPONENTSTATUSES = _row(CORE, "ComponentStatus", "componentstatuses", "cs", verbs=READ_ONLY, **_CLUSTER)
CONFIGMAPS = _row(CORE, "ConfigMap", "configmaps", "cm")
ENDPOINTS = _row(CORE, "Endpoints", "endpoints", "ep")
EVENTS = _row(CORE, "Event", "events", "ev")
LIMITRANGES = _row(CORE, "LimitRange", "limitranges", "limits")
NAMESPACES = _row(
    CORE, "Namespace", "namespaces", "ns", subresources=("finalize", "status"), verbs=SINGLE_VERBS, **_CLUSTER
)
NODES = _row(CORE, "Node", "nodes", "no", subresources=("proxy", "status"), **_CLUSTER)
PERSISTENTVOLUMECLAIMS = _row(CORE, "PersistentVolumeClaim", "persistentvolumeclaims", "pvc", **_STATUS)
PERSISTENTVOLUMES = _row(CORE, "PersistentVolume", "persistentvolumes", "pv", **_CLUSTER, **_STATUS)
PODS = _row(
    CORE,
    "Pod",
    "pods",
    "po",
    subresources=(
        "attach",
        "binding",
        "ephemeralcontainers",
        "eviction",
        "exec",
        "log",
        "portforward",
        "proxy",
        "status",
    ),
    **_ALL,
)
PODTEMPLATES = _row(CORE, "PodTemplate", "podtemplates")
REPLICATIONCONTROLLERS = _row(CORE, "ReplicationController", "replicationcontrollers", "rc", **_SCALED, **_ALL)
RESOURCEQUOTAS = _row(CORE, "ResourceQuota", "resourcequotas", "quota", **_STATUS)
SECRETS = _row(CORE, "Secret", "secrets")
SERVICEACCOUNTS = _row(CORE, "ServiceAccount", "serviceaccounts", "sa", subresources=("token",))
SERVICES = _row(CORE, "Service", "services", "svc", subresources=("proxy", "status"), **_ALL)

APISERVICES = _row(APIREGISTRATION, "APIService", "apiservices", **_CLUSTER, **_STATUS, **_EXTENSIONS)

CONTROLLERREVISIONS = _row(APPS, "ControllerRevision", "controllerrevisions")
DAEMONSETS = _row(APPS, "DaemonSet", "daemonsets", "ds", **_STATUS, **_ALL)
DEPLOYMENTS = _row(APPS, "Deployment", "deployments", "deploy", **_SCALED, **_ALL)
REPLICASETS = _row(APPS, "ReplicaSet", "replicasets", "rs", **_SCALED, **_ALL)
STATEFULSETS = _row(APPS, "StatefulSet", "statefulsets", "sts", **_SCALED, **_ALL)

EVENTS_V1 = _row("events.k8s.io/v1", "Event", "events", "ev", storage=EVENTS)

SELFSUBJECTREVIEWS = _row(AUTHENTICATION, "SelfSubjectReview", "selfsubjectreviews", **_CLUSTER, **_REVIEW)
TOKENREVIEWS = _row(AUTHENTICATION, "TokenReview", "tokenreviews", **_CLUSTER, **_REVIEW)

LOCALSUBJECTACCESSREVIEWS = _row(AUTHORIZATION, "LocalSubjectAccessReview", "localsubjectaccessreviews", **_REVIEW)
SELFSUBJECTACCESSREVIEWS = _row(
    AUTHORIZATION, "SelfSubjectAccessReview", "selfsubjectaccessreviews", **_CLUSTER, **_REVIEW
)
SELFSUBJECTRULESREVIEWS = _row(
    AUTHORIZATION, "SelfSubjectRulesReview", "selfsubjectrulesreviews", **_CLUSTER, **_REVIEW
)
SUBJECTACCESSREVIEWS = _row(AUTHORIZATION, "SubjectAccessReview", "subjectaccessreviews", **_CLUSTER, **_REVIEW)

HORIZONTALPODAUTOSCALERS = _row(
    "autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa", **_STATUS, **_ALL
)
HORIZONTALPODAUTOSCALERS_V1 = _row(
    "autoscaling/v1",
    "HorizontalPodAutoscaler",
    "horizontalpodautoscalers",
    "hpa",
    storage=HORIZONTALPODAUTOSCALERS,
    **_STATUS,
    **_ALL,
)

CRONJOBS = _row(BATCH, "CronJob", "cronjobs", "cj", **_STATUS, **_ALL)
JOBS = _row(BATCH, "Job", "jobs", **_STATUS, **_ALL)

CERTIFICATESIGNINGREQUESTS = _row(
    "certificates.k8s.io/v1",
    "CertificateSigningRequest",
    "certificatesigningrequests",
    "csr",
    subresources=("approval", "status"),
    **_CLUSTER,
)

INGRESSCLASSES = _row(NETWORKING, "IngressClass", "ingressclasses", **_CLUSTER)
INGRESSES = _row(NETWORKING, "Ingress", "ingresses", "ing", **_STATUS)
NETWORKPOLICIES = _row(NETWORKING, "NetworkPolicy", "networkpolicies", "netpol")

PODDISRUPTIONBUDGETS = _row("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", "pdb", **_STATUS)

CLUSTERROLEBINDINGS = _row(RBAC, "ClusterRoleBinding", "clusterrolebindings", **_CLUSTER)
CLUSTERROLES = _row(RBAC, "ClusterRole", "clusterroles", **_CLUSTER)
ROLEBINDINGS = _row(RBAC, "RoleBinding", "rolebindings")
ROLES = _row(RBAC, "Role", "roles")

CSIDRIVERS = _row(STORAGE, "CSIDriver", "csidrivers", **_CLUSTER)
CSINODES = _row(STORAGE, "CSINode", "csinodes", **_CLUSTER)
CSISTORAGECAPACITIES = _row(STORAGE, "CSIStorageCapacity", "csistoragecapacities")
STORAGECLASSES = _row(STORAGE, "StorageClass", "storageclasses", "sc", **_CLUSTER)
VOLUMEATTACHMENTS = _row(STORAGE, "VolumeAttachment", "volumeattachments", **_CLUSTER, **_STATUS)

MUTATINGWEBHOOKCONFIGURATIONS = _row(
    ADMISSION, "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", **_CLUSTER, **_EXTENSIONS
)
VALIDATINGADMISSIONPOLICIES = _row(
    ADMISSION, "ValidatingAdmissionPolicy", "validatingadmissionpolicies", **_CLUSTER, **_STATUS, **_EXTENSIONS
)
VALIDATINGADMISSIONPOLICYBINDINGS = _row(
    ADMISSION, "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", **_CLUSTER, **_EXTENSIONS
)
VALIDATINGWEBHOOKCONFIGURATIONS = _row(
    ADMISSION, "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", **_CLUSTER, **_EXTENSIONS
)

CUSTOMRESOURCEDEFINITIONS = _row(
    "apiextensions.k8s.io/v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    "crd crds",
    **_CLUSTER,
    **_STATUS,
    **_EXTENSIONS,
)

PRIORITYCLASSES = _row("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", "pc", **_CLUSTER)

LEASES = _row("coordination.k8s.io/v1", "Lease", "leases")

RUNTIMECLASSES = _row("node.k8s.io/v1", "RuntimeClass", "runtimeclasses", **_CLUSTER)

ENDPOINTSLICES = _row("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")

FLOWSCHEMAS = _row(FLOWCONTROL, "FlowSchema", "flowschemas", **_CLUSTER, **_STATUS)
PRIORITYLEVELCONFIGURATIONS = _row(
    FLOWCONTROL, "PriorityLevelConfiguration", "prioritylevelconfigurations", **_CLUSTER, **_STATUS
)

NODEMETRICS = _row(METRICS, "NodeMetrics", "nodes", verbs=READ_ONLY, **_CLUSTER)
PODMETRICS = _row(METRICS, "PodMetrics", "pods", verbs=READ_ONLY)

RESOURCES: tuple[Resource, ...] = tuple(_rows)
#: the rows whose objects lie in the store in that very form
STORED: tuple[Resource, ...] = tuple(row for row in RESOURCES if row.stored)

#: what autoscalers read and write as the subresource ``scale``
SCALES = Resource("autoscaling", "v1", "Scale", "scales")

_BY_KIND = {(row.api_version, row.kind): row for row in RESOURCES}


def by_kind(api_version: str, kind: str) -> Resource | None:
    """The row of a manifest's ``apiVersion`` and ``kind``; None where knet does not serve it."""
    return _BY_KIND.get((api_version, kind))
