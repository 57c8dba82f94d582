"""The DisruptionTarget condition: says of a pod that the cluster, not the pod, is the reason for its end (KEP-3329)."""

from knet.api.objects import Condition
from knet.client.events import rfc3339


def disruption_target(reason: str, message: str) -> Condition:
    return Condition(
        type="DisruptionTarget", status="True", reason=reason, message=message, lastTransitionTime=rfc3339()
    )
