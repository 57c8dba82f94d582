"""The registry: one row per resource. Everything generic (paths, discovery, storage, clients) is driven by it."""

from dataclasses import dataclass

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class Resource:
    """A kind that the API serves and where it is found.

    ``group`` is "" for the core group.  ``subresources`` names those the API server implements for it.
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

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular(self) -> str:
        return self.kind.lower()

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


CORE = "", "v1"
APPS = "apps", "v1"
_ALL = ("all",)

NAMESPACES = Resource(*CORE, "Namespace", "namespaces", False, ("ns",), ("status", "finalize"))
NODES = Resource(*CORE, "Node", "nodes", False, ("no",), ("status",))
PODS = Resource(
    *CORE,
    "Pod",
    "pods",
    True,
    ("po",),
    ("status", "binding", "eviction", "log", "exec", "attach", "portforward"),
    _ALL,
)
SERVICES = Resource(*CORE, "Service", "services", True, ("svc",), ("status",), _ALL)
ENDPOINTS = Resource(*CORE, "Endpoints", "endpoints", True, ("ep",))
CONFIGMAPS = Resource(*CORE, "ConfigMap", "configmaps", True, ("cm",))
SECRETS = Resource(*CORE, "Secret", "secrets")
SERVICEACCOUNTS = Resource(*CORE, "ServiceAccount", "serviceaccounts", True, ("sa",), ("token",))
EVENTS = Resource(*CORE, "Event", "events", True, ("ev",))
ENDPOINTSLICES = Resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")
LEASES = Resource("coordination.k8s.io", "v1", "Lease", "leases")
DEPLOYMENTS = Resource(*APPS, "Deployment", "deployments", True, ("deploy",), ("status", "scale"), _ALL)
REPLICASETS = Resource(*APPS, "ReplicaSet", "replicasets", True, ("rs",), ("status", "scale"), _ALL)
CONTROLLERREVISIONS = Resource(*APPS, "ControllerRevision", "controllerrevisions")

RESOURCES: tuple[Resource, ...] = (
    NAMESPACES,
    NODES,
    PODS,
    SERVICES,
    ENDPOINTS,
    CONFIGMAPS,
    SECRETS,
    SERVICEACCOUNTS,
    EVENTS,
    ENDPOINTSLICES,
    LEASES,
    DEPLOYMENTS,
    REPLICASETS,
    CONTROLLERREVISIONS,
)

_BY_KIND = {(row.api_version, row.kind): row for row in RESOURCES}


def by_kind(api_version: str, kind: str) -> Resource | None:
    """The row of a manifest's ``apiVersion`` and ``kind``; None where knet does not serve it."""
    return _BY_KIND.get((api_version, kind))
