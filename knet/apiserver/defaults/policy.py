"""Autoscalers, NetworkPolicies, LimitRanges, PriorityClasses, RBAC and webhooks (pkg/apis/*/v1/defaults.go)."""

from knet.store import Object

_RBAC = "rbac.authorization.k8s.io"


def default_autoscaler(value: Object) -> None:
    """A HorizontalPodAutoscaler: 80 percent of the CPU that its pods request, down slowly and up fast."""
    spec = value.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = spec.get("behavior")
    if behavior is not None:
        behavior["scaleUp"] = {**_UP, **behavior.get("scaleUp", {})}
        behavior["scaleDown"] = {**_DOWN, **behavior.get("scaleDown", {})}


_UP: Object = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
_DOWN: Object = {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}


def default_network_policy(value: Object) -> None:
    """A NetworkPolicy: about what comes in, and about what goes out where it says something of that."""
    spec = value.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    for rule in (*spec.get("ingress", ()), *spec.get("egress", ())):
        for port in rule.get("ports", ()):
            port.setdefault("protocol", "TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def default_limit_range(value: Object) -> None:
    """A LimitRange: what is not asked for is the limit, and the limit is the maximum."""
    for row in value.setdefault("spec", {}).get("limits", ()):
        if row.get("type") == "Container":
            limits = {**row.get("max", {}), **row.get("default", {})}
            requests = {**row.get("min", {}), **limits, **row.get("defaultRequest", {})}
            if limits:
                row["default"] = limits
            if requests:
                row["defaultRequest"] = requests


def default_priority_class(value: Object) -> None:
    """A PriorityClass: may make room for its pods."""
    value.setdefault("value", 0)
    value.setdefault("preemptionPolicy", "PreemptLowerPriority")


def default_binding(value: Object) -> None:
    """A RoleBinding or ClusterRoleBinding."""
    reference = value.setdefault("roleRef", {})
    reference["apiGroup"] = reference.get("apiGroup") or _RBAC
    for subject in value.get("subjects", ()):
        if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
            subject["apiGroup"] = _RBAC


def default_webhooks(value: Object) -> None:
    """A MutatingWebhookConfiguration or ValidatingWebhookConfiguration."""
    for hook in value.get("webhooks", ()):
        hook.setdefault("failurePolicy", "Fail")
        hook.setdefault("matchPolicy", "Equivalent")
        hook.setdefault("namespaceSelector", {})
        hook.setdefault("objectSelector", {})
        hook.setdefault("timeoutSeconds", 10)
        if value.get("kind") == "MutatingWebhookConfiguration":
            hook.setdefault("reinvocationPolicy", "Never")
        if (service := hook.get("clientConfig", {}).get("service")) is not None:
            service.setdefault("port", 443)
        for rule in hook.get("rules", ()):
            rule.setdefault("scope", "*")


def default_admission_policy(value: Object) -> None:
    """A ValidatingAdmissionPolicy."""
    spec = value.setdefault("spec", {})
    spec.setdefault("failurePolicy", "Fail")
    if (match := spec.get("matchConstraints")) is not None:
        _default_match(match)


def default_policy_binding(value: Object) -> None:
    """A ValidatingAdmissionPolicyBinding."""
    if (match := value.get("spec", {}).get("matchResources")) is not None:
        _default_match(match)


def _default_match(match: Object) -> None:
    match.setdefault("matchPolicy", "Equivalent")
    match.setdefault("namespaceSelector", {})
    match.setdefault("objectSelector", {})
    for rule in (*match.get("resourceRules", ()), *match.get("excludeResourceRules", ())):
        rule.setdefault("scope", "*")


def default_priority_level(value: Object) -> None:
    """A PriorityLevelConfiguration: a share of 30, in 64 queues."""
    limited = value.setdefault("spec", {}).get("limited")
    if limited is None:
        return
    limited.setdefault("nominalConcurrencyShares", 30)
    limited.setdefault("lendablePercent", 0)
    queuing = limited.get("limitResponse", {}).get("queuing")
    if queuing is not None:
        for key, number in (("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)):
            queuing[key] = queuing.get(key) or number


def default_flow_schema(value: Object) -> None:
    """A FlowSchema: precedence 1000."""
    spec = value.setdefault("spec", {})
    spec["matchingPrecedence"] = spec.get("matchingPrecedence") or 1000
