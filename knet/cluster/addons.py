"""What every cluster starts with: the cluster DNS and a class of volumes, as objects like any user's."""

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
