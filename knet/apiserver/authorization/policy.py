"""The roles and bindings every cluster starts with: upstream's for people and components, kubeadm's, and knet's own.

Facts of plugin/pkg/auth/authorizer/rbac/bootstrappolicy at 1.32 as one table; `controller_policy` has the controllers'.
https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings
"""

from collections.abc import Mapping
from typing import NamedTuple

from knet.apiserver.authorization.rules import Rule

READ, WRITE = "get list watch", "create delete deletecollection patch update"
READ_WRITE = f"{READ} {WRITE}"
_RBAC, _CERTIFICATES, _AUTHENTICATION = "rbac.authorization.k8s.io", "certificates.k8s.io", "authentication.k8s.io"
_AUTHORIZATION, _STORAGE, _COORDINATION = "authorization.k8s.io", "storage.k8s.io", "coordination.k8s.io"


def rule(verbs: str, groups: str, resources: str, names: str = "") -> Rule:
    """A rule from words; the core group is "core"."""
    apis = tuple("" if group == "core" else group for group in groups.split())
    return Rule(tuple(verbs.split()), apis, tuple(resources.split()), tuple(names.split()))


def urls(paths: str) -> Rule:
    """Reading paths that are no resources."""
    return Rule(("get",), urls=tuple(paths.split()))


EVENTS = rule("create patch update", "core events.k8s.io", "events")

_HEALTH = "/healthz /livez /readyz /version /version/"
_EXTENSIONS = (
    "daemonsets deployments deployments/{} deployments/scale ingresses networkpolicies replicasets replicasets/scale"
)

#: what every kubelet may; the Node authorizer narrows it to its own node
NODE_RULES = (
    rule("create", _AUTHENTICATION, "tokenreviews"),
    rule("create", _AUTHORIZATION, "localsubjectaccessreviews subjectaccessreviews"),
    rule(READ, "core", "services"),
    rule(f"create {READ}", "core", "nodes"),
    rule("patch update", "core", "nodes/status"),
    rule("patch update", "core", "nodes"),
    rule("create patch update", "core", "events"),
    rule(READ, "core", "pods"),
    rule("create delete", "core", "pods"),
    rule("patch update", "core", "pods/status"),
    rule("create", "core", "pods/eviction"),
    rule(READ, "core", "configmaps secrets"),
    rule("get", "core", "persistentvolumeclaims persistentvolumes"),
    rule("get", "core", "endpoints"),
    rule(f"create {READ}", _CERTIFICATES, "certificatesigningrequests"),
    rule("create delete get patch update", _COORDINATION, "leases"),
    rule("get", _STORAGE, "volumeattachments"),
    rule("create", "core", "serviceaccounts/token"),
    rule("get patch update", "core", "persistentvolumeclaims/status"),
    rule(READ, _STORAGE, "csidrivers"),
    rule("create delete get patch update", _STORAGE, "csinodes"),
    rule(READ, "node.k8s.io", "runtimeclasses"),
)

CLUSTER_ROLES: Mapping[str, tuple[Rule, ...]] = {
    "cluster-admin": (rule("*", "*", "*"), Rule(("*",), urls=("*",))),
    # what these three allow is gathered from the aggregate-to roles by the aggregation controller
    "admin": (),
    "edit": (),
    "view": (),
    "system:aggregate-to-admin": (
        rule("create", _AUTHORIZATION, "localsubjectaccessreviews"),
        rule(READ_WRITE, _RBAC, "rolebindings roles"),
    ),
    "system:aggregate-to-edit": (
        rule(READ, "core", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy"),
        rule("impersonate", "core", "serviceaccounts"),
        rule(WRITE, "core", "pods pods/attach pods/exec pods/portforward pods/proxy"),
        rule("create", "core", "pods/eviction"),
        rule(
            WRITE,
            "core",
            "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets"
            " serviceaccounts services services/proxy",
        ),
        rule("create", "core", "serviceaccounts/token"),
        rule(
            WRITE,
            "apps",
            "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets"
            " statefulsets/scale",
        ),
        rule(WRITE, "autoscaling", "horizontalpodautoscalers"),
        rule(WRITE, "batch", "cronjobs jobs"),
        rule(WRITE, "extensions", f"{_EXTENSIONS.format('rollback')} replicationcontrollers/scale"),
        rule(WRITE, "policy", "poddisruptionbudgets"),
        rule(WRITE, "networking.k8s.io", "ingresses networkpolicies"),
        rule(READ_WRITE, _COORDINATION, "leases"),
    ),
    "system:aggregate-to-view": (
        rule(
            READ,
            "core",
            "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers"
            " replicationcontrollers/scale serviceaccounts services services/status",
        ),
        rule(
            READ,
            "core",
            "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status"
            " resourcequotas resourcequotas/status",
        ),
        rule(READ, "core", "namespaces"),
        rule(READ, "discovery.k8s.io", "endpointslices"),
        rule(
            READ,
            "apps",
            "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status"
            " replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
        ),
        rule(READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
        rule(READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
        rule(
            READ,
            "extensions",
            f"daemonsets/status ingresses/status {_EXTENSIONS.format('status')} replicasets/status"
            " replicationcontrollers/scale",
        ),
        rule(READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
        rule(READ, "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
    ),
    "system:auth-delegator": (
        rule("create", _AUTHENTICATION, "tokenreviews"),
        rule("create", _AUTHORIZATION, "subjectaccessreviews"),
    ),
    "system:basic-user": (
        rule("create", _AUTHORIZATION, "selfsubjectaccessreviews selfsubjectrulesreviews"),
        rule("create", _AUTHENTICATION, "selfsubjectreviews"),
    ),
    "system:discovery": (urls(f"/api /api/* /apis /apis/* /openapi /openapi/* {_HEALTH}"),),
    "system:public-info-viewer": (urls(_HEALTH),),
    "system:monitoring": (urls("/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*"),),
    "system:service-account-issuer-discovery": (urls("/.well-known/openid-configuration /openid/v1/jwks"),),
    "system:heapster": (
        rule(READ, "core", "events namespaces nodes pods"),
        rule(READ, "extensions", "deployments"),
    ),
    "system:kube-aggregator": (rule(READ, "core", "endpoints services"),),
    "system:kube-dns": (rule("list watch", "core", "endpoints services"),),
    "system:kubelet-api-admin": (
        rule(READ, "core", "nodes"),
        rule("proxy", "core", "nodes"),
        rule("*", "core", "nodes/log nodes/metrics nodes/proxy nodes/stats"),
    ),
    "system:node": NODE_RULES,
    "system:node-bootstrapper": (rule(f"create {READ}", _CERTIFICATES, "certificatesigningrequests"),),
    "system:node-problem-detector": (
        rule("get", "core", "nodes"),
        rule("patch", "core", "nodes/status"),
        EVENTS,
    ),
    "system:node-proxier": (
        rule("list watch", "core", "endpoints services"),
        rule(READ, "core", "nodes"),
        EVENTS,
        rule("list watch", "discovery.k8s.io", "endpointslices"),
    ),
    "system:persistent-volume-provisioner": (
        rule("create delete get list watch", "core", "persistentvolumes"),
        rule("get list update watch", "core", "persistentvolumeclaims"),
        rule(READ, _STORAGE, "storageclasses"),
        rule("watch", "core", "events"),
        EVENTS,
    ),
    "system:volume-scheduler": (
        rule(f"{READ} patch update", "core", "persistentvolumes"),
        rule(READ, _STORAGE, "storageclasses"),
        rule(f"{READ} patch update", "core", "persistentvolumeclaims"),
    ),
    "system:kube-scheduler": (
        EVENTS,
        rule("create", _COORDINATION, "leases"),
        rule("get update", _COORDINATION, "leases", "kube-scheduler"),
        rule(READ, "core", "nodes"),
        rule("delete get list watch", "core", "pods"),
        rule("create", "core", "bindings pods/binding"),
        rule("patch update", "core", "pods/status"),
        rule(READ, "core", "replicationcontrollers services"),
        rule(READ, "apps extensions", "replicasets"),
        rule(READ, "apps", "statefulsets"),
        rule(READ, "policy", "poddisruptionbudgets"),
        rule(READ, "core", "persistentvolumeclaims persistentvolumes"),
        rule("create", _AUTHENTICATION, "tokenreviews"),
        rule("create", _AUTHORIZATION, "subjectaccessreviews"),
        rule(READ, _STORAGE, "csinodes"),
        rule(READ, "core", "namespaces"),
        rule(READ, _STORAGE, "csidrivers"),
        rule(READ, _STORAGE, "csistoragecapacities"),
    ),
    "system:kube-controller-manager": (
        EVENTS,
        rule("create", _COORDINATION, "leases"),
        rule("get update", _COORDINATION, "leases", "kube-controller-manager"),
        rule("create", "core", "secrets serviceaccounts"),
        rule("delete", "core", "secrets"),
        rule("get", "core", "configmaps namespaces secrets serviceaccounts"),
        rule("update", "core", "secrets serviceaccounts"),
        rule("create", _AUTHENTICATION, "tokenreviews"),
        rule("create", _AUTHORIZATION, "subjectaccessreviews"),
        rule("list watch", "*", "*"),
        rule("create", "core", "serviceaccounts/token"),
    ),
    **{
        f"system:certificates.k8s.io:certificatesigningrequests:{what}": (
            rule("create", _CERTIFICATES, f"certificatesigningrequests/{what}"),
        )
        for what in ("nodeclient", "selfnodeclient")
    },
    **{
        f"system:certificates.k8s.io:{signer}-approver": (
            rule("approve", _CERTIFICATES, "signers", f"kubernetes.io/{signer}"),
        )
        for signer in ("kube-apiserver-client", "kube-apiserver-client-kubelet", "kubelet-serving", "legacy-unknown")
    },
}

#: as in the manifests of the programs, and in kubeadm's phases, for what a knet cluster has from the start
ADDON_ROLES: Mapping[str, tuple[Rule, ...]] = {
    "system:coredns": (
        rule("list watch", "core", "endpoints services pods namespaces"),
        rule("list watch", "discovery.k8s.io", "endpointslices"),
    ),
    "flannel": (
        rule("get", "core", "pods"),
        rule(READ, "core", "nodes"),
        rule("patch", "core", "nodes/status"),
    ),
    "kube-network-policies": (
        rule("list watch", "core", "namespaces pods"),
        rule("list watch", "networking.k8s.io", "networkpolicies"),
    ),
    "kubeadm:get-nodes": (rule("get", "core", "nodes"),),
    # ours says on its Node what it cannot reach
    "knet:flannel": (EVENTS,),
    "knet:underlay": (
        rule(f"{READ} create delete patch", "lab.knet.io", "links machines"),
        rule("patch", "lab.knet.io", "links/status machines/status"),
    ),
    "knet:speaker": (
        rule("list watch", "core", "nodes services"),
        rule("list watch", "discovery.k8s.io", "endpointslices"),
        EVENTS,
    ),
}

#: labels by which a role's rules become part of an aggregated one's
AGGREGATED: Mapping[str, tuple[str, ...]] = {
    "admin": ("edit", "system:aggregate-to-admin"),
    "edit": ("view", "system:aggregate-to-edit"),
    "view": ("system:aggregate-to-view",),
}
AGGREGATE_LABEL = "rbac.authorization.k8s.io/aggregate-to-{}"


class Whom(NamedTuple):
    """Subjects of a binding; accounts are NAMESPACE/NAME."""

    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()


_AUTHENTICATED, _ANONYMOUS = "system:authenticated", "system:unauthenticated"
_JOINING = Whom(groups=("system:bootstrappers:kubeadm:default-node-token",))

#: binding → (role, subjects)
CLUSTER_BINDINGS: Mapping[str, tuple[str, Whom]] = {
    "cluster-admin": ("cluster-admin", Whom(groups=("system:masters",))),
    "system:monitoring": ("system:monitoring", Whom(groups=("system:monitoring",))),
    "system:discovery": ("system:discovery", Whom(groups=(_AUTHENTICATED,))),
    "system:basic-user": ("system:basic-user", Whom(groups=(_AUTHENTICATED,))),
    "system:public-info-viewer": ("system:public-info-viewer", Whom(groups=(_AUTHENTICATED, _ANONYMOUS))),
    "system:node-proxier": ("system:node-proxier", Whom(users=("system:kube-proxy",))),
    "system:kube-controller-manager": (
        "system:kube-controller-manager",
        Whom(users=("system:kube-controller-manager",)),
    ),
    "system:kube-dns": ("system:kube-dns", Whom(accounts=("kube-system/kube-dns",))),
    "system:kube-scheduler": ("system:kube-scheduler", Whom(users=("system:kube-scheduler",))),
    "system:volume-scheduler": ("system:volume-scheduler", Whom(users=("system:kube-scheduler",))),
    "system:service-account-issuer-discovery": (
        "system:service-account-issuer-discovery",
        Whom(groups=("system:serviceaccounts",)),
    ),
    # nobody: the Node authorizer allows kubelets what this role has, on their own nodes
    "system:node": ("system:node", Whom()),
}

ADDON_BINDINGS: Mapping[str, tuple[str, Whom]] = {
    "system:coredns": ("system:coredns", Whom(accounts=("kube-system/coredns",))),
    "flannel": ("flannel", Whom(accounts=("kube-flannel/flannel",))),
    "knet:flannel": ("knet:flannel", Whom(accounts=("kube-flannel/flannel",))),
    "kube-network-policies": ("kube-network-policies", Whom(accounts=("kube-system/kube-network-policies",))),
    "knet:underlay": ("knet:underlay", Whom(accounts=("kube-system/knet-underlay",))),
    "knet:speaker": ("knet:speaker", Whom(accounts=("kube-system/speaker",))),
    "kubeadm:cluster-admins": ("cluster-admin", Whom(groups=("kubeadm:cluster-admins",))),
    "kubeadm:get-nodes": ("kubeadm:get-nodes", _JOINING),
    "kubeadm:kubelet-bootstrap": ("system:node-bootstrapper", _JOINING),
}

_SIGNER = "system:controller:bootstrap-signer"
#: (namespace, role) → rules
ROLES: Mapping[tuple[str, str], tuple[Rule, ...]] = {
    ("kube-system", "extension-apiserver-authentication-reader"): (
        rule(READ, "core", "configmaps", "extension-apiserver-authentication"),
    ),
    ("kube-system", _SIGNER): (rule(READ, "core", "secrets"),),
    ("kube-system", "system:controller:cloud-provider"): (rule(f"create {READ}", "core", "configmaps"),),
    ("kube-system", "system:controller:token-cleaner"): (rule(f"delete {READ}", "core", "secrets"), EVENTS),
    **{
        ("kube-system", f"system::leader-locking-{name}"): (
            rule("watch", "core", "configmaps"),
            rule("get update", "core", "configmaps", name),
        )
        for name in ("kube-controller-manager", "kube-scheduler")
    },
    # ours renew their leases by patches, upstream's by updates
    ("kube-system", "knet:leader-election"): (
        rule("patch", _COORDINATION, "leases", "kube-controller-manager kube-scheduler"),
    ),
    ("kube-public", _SIGNER): (
        rule(READ, "core", "configmaps"),
        rule("update", "core", "configmaps", "cluster-info"),
        EVENTS,
    ),
}

#: (namespace, binding) → (role, subjects)
BINDINGS: Mapping[tuple[str, str], tuple[str, Whom]] = {
    ("kube-system", "system::extension-apiserver-authentication-reader"): (
        "extension-apiserver-authentication-reader",
        Whom(users=("system:kube-controller-manager", "system:kube-scheduler")),
    ),
    **{
        ("kube-system", f"system::leader-locking-{name}"): (
            f"system::leader-locking-{name}",
            Whom(users=(f"system:{name}",), accounts=(f"kube-system/{name}",)),
        )
        for name in ("kube-controller-manager", "kube-scheduler")
    },
    ("kube-system", "knet:leader-election"): (
        "knet:leader-election",
        Whom(users=("system:kube-controller-manager", "system:kube-scheduler")),
    ),
    **{
        (namespace, f"system:controller:{name}"): (
            f"system:controller:{name}",
            Whom(accounts=(f"kube-system/{name}",)),
        )
        for namespace, name in (
            ("kube-system", "bootstrap-signer"),
            ("kube-system", "cloud-provider"),
            ("kube-system", "token-cleaner"),
            ("kube-public", "bootstrap-signer"),
        )
    },
}
