"""What an autoscaler's conditions say, in upstream's words."""

from knet.api.objects import Condition
from knet.client.events import rfc3339
from knet.controllers.conditions import Conditions, put_condition

#: reason → message, of conditions whose message does not depend on the case
MESSAGES = {
    "ReadyForNewScale": "recommended size matches current size",
    "ScaleUpStabilized": (
        "recent recommendations were lower than current one, applying the lowest recent recommendation"
    ),
    "ScaleDownStabilized": (
        "recent recommendations were higher than current one, applying the highest recent recommendation"
    ),
    "DesiredWithinRange": "the desired count is within the acceptable range",
    "TooManyReplicas": "the desired replica count is more than the maximum replica count",
    "TooFewReplicas": "the desired replica count is less than the minimum replica count",
    "ScaleUpLimit": "the desired replica count is increasing faster than the maximum scale rate",
    "ScaleDownLimit": "the desired replica count is decreasing faster than the maximum scale rate",
    "ScalingDisabled": "scaling is disabled since the replica count of the target is zero",
    "SucceededGetScale": "the HPA controller was able to get the target's current scale",
}


def with_condition(rows: Conditions, kind: str, holds: bool, reason: str, message: str = "") -> Conditions:
    """``rows`` with one condition set; its transition time moves with its status only."""
    text = message or MESSAGES[reason]
    row = Condition(type=kind, status=str(holds), reason=reason, message=text, lastTransitionTime=rfc3339())
    return put_condition(rows, row)
