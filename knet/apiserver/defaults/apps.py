"""Workloads: Deployments, ReplicaSets, StatefulSets and their like (pkg/apis/{apps,core}/v1/defaults.go)."""

from knet.apiserver.defaults.pod import default_pod_spec
from knet.apiserver.defaults.storage import default_claim_spec
from knet.store import Object


def default_deployment(value: Object) -> None:
    """A Deployment: one replica, rolling by a quarter, ten old ReplicaSets, ten minutes to make progress."""
    spec = value.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    strategy = spec.setdefault("strategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    default_template(spec)


def default_replica_set(value: Object) -> None:
    """A ReplicaSet: one replica."""
    spec = value.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    default_template(spec)


def default_stateful_set(value: Object) -> None:
    """A StatefulSet: one replica, pods one after the other, claims that outlive them."""
    spec = value.setdefault("spec", {})
    spec.setdefault("podManagementPolicy", "OrderedReady")
    strategy = spec.setdefault("updateStrategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        strategy.setdefault("rollingUpdate", {})
    if strategy["type"] == "RollingUpdate" and strategy.get("rollingUpdate") is not None:
        strategy["rollingUpdate"].setdefault("partition", 0)
    retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    for key in ("whenDeleted", "whenScaled"):
        retention[key] = retention.get(key) or "Retain"
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    for claim in spec.get("volumeClaimTemplates", ()):
        claim["kind"], claim["apiVersion"] = "PersistentVolumeClaim", "v1"
        default_claim_spec(claim.setdefault("spec", {}))
        claim.setdefault("status", {}).setdefault("phase", "Pending")
    default_template(spec)


def default_daemon_set(value: Object) -> None:
    """A DaemonSet: one pod less at a time."""
    spec = value.setdefault("spec", {})
    strategy = spec.setdefault("updateStrategy", {})
    strategy["type"] = strategy.get("type") or "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)
    spec.setdefault("revisionHistoryLimit", 10)
    default_template(spec)


def default_replication_controller(value: Object) -> None:
    """A ReplicationController: one replica, and what its template says about labels."""
    spec = value.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    if labels := (spec.get("template") or {}).get("metadata", {}).get("labels"):
        spec["selector"] = spec.get("selector") or dict(labels)
        value["metadata"]["labels"] = value["metadata"].get("labels") or dict(labels)
    default_template(spec)


def default_pod_template(value: Object) -> None:
    """A PodTemplate."""
    default_template(value)


def default_template(spec: Object) -> None:
    """The template of whatever makes pods."""
    template = spec.get("template")
    if template is not None:
        template.setdefault("metadata", {})
        default_pod_spec(template.setdefault("spec", {}))
