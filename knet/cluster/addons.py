"""What clusters start with: the cluster DNS and a class of volumes, an Ingress controller if so asked for.

They are objects like any user's.
"""

from typing import Any

from knet.api.local_volumes import CLASS, PROVISIONER
from knet.api.names import CLUSTER_DOMAIN, SYSTEM_NAMESPACE
from knet.api.objects import JSON

DNS_LABELS = {"k8s-app": "kube-dns"}
#: `kubectl cluster-info` shows it
_LISTED = {"kubernetes.io/cluster-service": "true"}
_METRICS_PORT = 9153
_FILE = "Corefile"
#: two of them prefer two machines
_APART: JSON = {
    "weight": 100,
    "podAffinityTerm": {
        "labelSelector": {"matchExpressions": [{"key": "k8s-app", "operator": "In", "values": ["kube-dns"]}]},
        "topologyKey": "kubernetes.io/hostname",
    },
}

#: kubeadm's, but for what waits there: 30 s for the TTL and for a look at the file
COREFILE = f"""\
.:53 {{
    errors
    health {{
       lameduck 5s
    }}
    ready
    kubernetes {CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 5
    }}
    prometheus :{_METRICS_PORT}
    forward . /etc/resolv.conf {{
       max_concurrent 1000
    }}
    cache 30
    loop
    reload 2s
    loadbalance
}}
"""

INGRESS_LABELS = {"app.kubernetes.io/name": "ingress-nginx", "app.kubernetes.io/component": "controller"}
_INGRESS_RULES: list[JSON] = [
    {"apiGroups": [""], "resources": ["services", "secrets"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]},
    {
        "apiGroups": ["networking.k8s.io"],
        "resources": ["ingresses", "ingressclasses"],
        "verbs": ["get", "list", "watch"],
    },
    {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses/status"], "verbs": ["update", "patch"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
]
_INGRESS_LEASES: list[JSON] = [
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update", "patch"]}
]


def corefile() -> JSON:
    """What the cluster DNS does; its users' from then on."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _meta("coredns"), "data": {_FILE: COREFILE}}


def cluster_dns(dns_ip: str) -> list[JSON]:
    """ServiceAccount, Service and Deployment of the cluster DNS.

    Named as kubeadm names them, because manifests, dashboards and textbooks look for ``kube-dns`` and ``coredns``.
    """
    container: JSON = {
        "name": "coredns",
        "image": "knet/dns",
        "args": ["-conf", f"/etc/coredns/{_FILE}"],
        "ports": [
            {"name": "dns", "containerPort": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
            {"name": "metrics", "containerPort": _METRICS_PORT, "protocol": "TCP"},
        ],
        "volumeMounts": [{"name": "config-volume", "mountPath": "/etc/coredns", "readOnly": True}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "livenessProbe": {"httpGet": {"path": "/health", "port": 8080}, "initialDelaySeconds": 10, "periodSeconds": 10},
        "resources": {"requests": {"cpu": "100m", "memory": "70Mi"}, "limits": {"memory": "170Mi"}},
    }
    pod: JSON = {
        "serviceAccountName": "coredns",
        "priorityClassName": "system-cluster-critical",
        "containers": [container],
        "volumes": [
            {
                "name": "config-volume",
                "configMap": {"name": "coredns", "items": [{"key": _FILE, "path": _FILE}]},
            }
        ],
        "dnsPolicy": "Default",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [_APART]}},
        # the DNS pod of a cut-off machine is worth replacing at once
        "tolerations": [
            {"key": "CriticalAddonsOnly", "operator": "Exists"},
            {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"},
        ],
    }
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta("coredns")},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                **_meta("kube-dns", {**DNS_LABELS, **_LISTED, "kubernetes.io/name": "CoreDNS"}),
                "annotations": {"prometheus.io/port": str(_METRICS_PORT), "prometheus.io/scrape": "true"},
            },
            "spec": {
                "selector": DNS_LABELS,
                "clusterIP": dns_ip,
                "ports": [
                    {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": "dns"},
                    {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": "dns-tcp"},
                    {"name": "metrics", "port": _METRICS_PORT, "protocol": "TCP", "targetPort": "metrics"},
                ],
            },
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": _meta("coredns", DNS_LABELS),
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": DNS_LABELS},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
                "template": {"metadata": {"labels": DNS_LABELS}, "spec": pod},
            },
        },
    ]


def ingress_nginx() -> list[JSON]:
    """The Ingress controller behind a load balancer, with the names of ingress-nginx' own manifest for clouds."""
    namespace = INGRESS_LABELS["app.kubernetes.io/name"]
    name = f"{namespace}-controller"
    account: JSON = {"kind": "ServiceAccount", "name": namespace, "namespace": namespace}
    ports = {"http": 80, "https": 443}
    container: JSON = {
        "name": "controller",
        "image": "registry.k8s.io/ingress-nginx/controller:v1.12.1",
        "args": [f"--publish-service=$(POD_NAMESPACE)/{name}", "--shutdown-grace-period=2"],
        "env": [
            {"name": variable, "valueFrom": {"fieldRef": {"fieldPath": f"metadata.{field}"}}}
            for variable, field in (("POD_NAME", "name"), ("POD_NAMESPACE", "namespace"))
        ],
        "ports": [{"name": label, "containerPort": port} for label, port in ports.items()],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 10254}, "periodSeconds": 1},
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": 10254}, "initialDelaySeconds": 10},
        "resources": {"requests": {"cpu": "100m", "memory": "90Mi"}},
    }

    def own(kind: str, name: str, version: str = "v1", **more: Any) -> JSON:
        metadata = {"name": name, "namespace": namespace, "labels": INGRESS_LABELS}
        if kind in ("Namespace", "ClusterRole", "ClusterRoleBinding", "IngressClass"):
            del metadata["namespace"]
        return {"apiVersion": version, "kind": kind, "metadata": metadata, **more}

    def bound(kind: str) -> JSON:
        return {
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": namespace},
            "subjects": [account],
        }

    access = "rbac.authorization.k8s.io/v1"
    return [
        own("Namespace", namespace),
        own("ServiceAccount", namespace),
        own("ClusterRole", namespace, access, rules=_INGRESS_RULES),
        own("ClusterRoleBinding", namespace, access, **bound("ClusterRole")),
        own("Role", namespace, access, rules=_INGRESS_LEASES),
        own("RoleBinding", namespace, access, **bound("Role")),
        own("IngressClass", "nginx", "networking.k8s.io/v1", spec={"controller": "k8s.io/ingress-nginx"}),
        own(
            "Service",
            name,
            spec={
                "type": "LoadBalancer",
                "externalTrafficPolicy": "Local",
                "selector": INGRESS_LABELS,
                "ports": [{"name": label, "port": port, "targetPort": label} for label, port in ports.items()],
            },
        ),
        own(
            "Deployment",
            name,
            "apps/v1",
            spec={
                "replicas": 1,
                "selector": {"matchLabels": INGRESS_LABELS},
                "template": {
                    "metadata": {"labels": INGRESS_LABELS},
                    "spec": {"serviceAccountName": namespace, "containers": [container]},
                },
            },
        ),
    ]


def storage_class() -> JSON:
    """The default class: directories of the machines."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def _meta(name: str, labels: dict[str, str] | None = None) -> JSON:
    return {"name": name, "namespace": SYSTEM_NAMESPACE, **({"labels": labels} if labels else {})}
