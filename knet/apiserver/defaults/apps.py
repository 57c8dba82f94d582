"""Deployments and ReplicaSets (pkg/apis/apps/v1/defaults.go)."""

from knet.apiserver.defaults.pod import default_pod_spec
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
    _template(spec)


def default_replica_set(value: Object) -> None:
    """A ReplicaSet: one replica."""
    spec = value.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    _template(spec)


def _template(spec: Object) -> None:
    template = spec.get("template")
    if template is not None:
        template.setdefault("metadata", {})
        default_pod_spec(template.setdefault("spec", {}))
