"""What every cluster starts with: the cluster DNS and a class of volumes, as objects like any user's."""

from knet.api.local_volumes import CLASS, PROVISIONER
from knet.api.names import SYSTEM_NAMESPACE
from knet.api.objects import JSON

DNS_LABELS = {"k8s-app": "kube-dns"}
#: `kubectl cluster-info` shows it
_LISTED = {"kubernetes.io/cluster-service": "true"}


def cluster_dns(dns_ip: str, dns_upstream: str) -> list[JSON]:
    """ServiceAccount, Service and Deployment of the cluster DNS.

    Named as kubeadm names them, because manifests, dashboards and textbooks look for ``kube-dns`` and ``coredns``.
    """
    container: JSON = {
        "name": "coredns",
        "image": "knet/dns",
        "args": ["--upstream", dns_upstream] if dns_upstream else [],
        "ports": [
            {"name": "dns", "containerPort": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
        ],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "livenessProbe": {"httpGet": {"path": "/health", "port": 8080}, "initialDelaySeconds": 10, "periodSeconds": 10},
        "resources": {"requests": {"cpu": "100m", "memory": "70Mi"}, "limits": {"memory": "170Mi"}},
    }
    pod: JSON = {
        "serviceAccountName": "coredns",
        "containers": [container],
        "dnsPolicy": "Default",
        # the DNS pod of a cut-off machine is worth replacing at once
        "tolerations": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}],
    }
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta("coredns")},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": _meta("kube-dns", {**DNS_LABELS, **_LISTED, "kubernetes.io/name": "CoreDNS"}),
            "spec": {
                "selector": DNS_LABELS,
                "clusterIP": dns_ip,
                "ports": [
                    {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": "dns"},
                    {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": "dns-tcp"},
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
