"""What follows from a Service's spec (pkg/api/service/util.go); specs are JSON, with defaults filled in."""

from knet.api.objects import JSON


def externally_accessible(spec: JSON) -> bool:
    """Whether anything leads to it from outside of the cluster."""
    kind = spec.get("type")
    return kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))


def needs_health_check(spec: JSON) -> bool:
    """Whether load balancers have to ask each node if it has endpoints."""
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def needs_node_ports(spec: JSON) -> bool:
    """Whether ports without a node port are given one."""
    if spec.get("type") == "LoadBalancer":
        return bool(spec.get("allocateLoadBalancerNodePorts", True))
    return spec.get("type") == "NodePort"
