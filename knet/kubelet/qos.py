"""Quality of service: Guaranteed, Burstable or BestEffort, from requests and limits."""

from knet.api.objects import PodSpec
from knet.api.quantity import parse_quantity

_COMPUTE = ("cpu", "memory")


def qos_class(spec: PodSpec) -> str:
    """https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/ ; a limit without a request requests as much."""
    guaranteed, any_given = True, False
    for container in (*spec.initContainers, *spec.containers):
        for name in _COMPUTE:
            limit = container.resources.limits.get(name, 0)
            request = container.resources.requests.get(name, limit)
            any_given = any_given or bool(parse_quantity(limit)) or bool(parse_quantity(request))
            if not parse_quantity(limit) or parse_quantity(limit) != parse_quantity(request):
                guaranteed = False
    if not any_given:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"
