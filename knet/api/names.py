"""Well-known labels, annotations, taints, namespaces and addresses, under the names upstream gives them."""

HOSTNAME_LABEL = "kubernetes.io/hostname"
OS_LABEL = "kubernetes.io/os"
ARCH_LABEL = "kubernetes.io/arch"
ZONE_LABEL = "topology.kubernetes.io/zone"
NAMESPACE_NAME_LABEL = "kubernetes.io/metadata.name"
SERVICE_NAME_LABEL = "kubernetes.io/service-name"
SLICE_MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
SLICE_SKIP_MIRROR_LABEL = "endpointslice.kubernetes.io/skip-mirror"
TEMPLATE_HASH_LABEL = "pod-template-hash"
HEADLESS_LABEL = "service.kubernetes.io/headless"

REVISION_ANNOTATION = "deployment.kubernetes.io/revision"
REVISION_HISTORY_ANNOTATION = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS_ANNOTATION = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS_ANNOTATION = "deployment.kubernetes.io/max-replicas"
LAST_APPLIED_ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"

NOT_READY_TAINT = "node.kubernetes.io/not-ready"
UNREACHABLE_TAINT = "node.kubernetes.io/unreachable"
UNSCHEDULABLE_TAINT = "node.kubernetes.io/unschedulable"

FOREGROUND_FINALIZER = "foregroundDeletion"
ORPHAN_FINALIZER = "orphan"
#: on a Pod that shows what a kubelet was told by a file
MIRROR_ANNOTATION = "kubernetes.io/config.mirror"

ACCOUNT_NAME_ANNOTATION = "kubernetes.io/service-account.name"
ACCOUNT_UID_ANNOTATION = "kubernetes.io/service-account.uid"
#: the issuer, and the beginning of the claims, of tokens that lie in Secrets
LEGACY_TOKEN_ISSUER = "kubernetes/serviceaccount"
BOOTSTRAP_TOKEN_SECRET = "bootstrap.kubernetes.io/token"
ACCOUNT_TOKEN_SECRET = "kubernetes.io/service-account-token"

NODE_LEASE_NAMESPACE = "kube-node-lease"
SYSTEM_NAMESPACE = "kube-system"
DEFAULT_SCHEDULER = "default-scheduler"

#: kubeadm's and flannel's defaults, which textbooks print; of IPv6 those of kind
SERVICE_CIDR, SERVICE_CIDR6 = "10.96.0.0/12", "fd00:10:96::/112"
CLUSTER_CIDR, CLUSTER_CIDR6 = "10.244.0.0/16", "fd00:10:244::/56"
CLUSTER_DNS = "10.96.0.10"
CLUSTER_DOMAIN = "cluster.local"

#: the Kubernetes release whose behaviour knet follows
KUBERNETES_VERSION = "v1.32.0"
