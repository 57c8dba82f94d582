"""What ResourceQuotas count and how: decided purely, the same way by the API server and by the quota controller.

`meters` says what an object of each kind is charged for, `limits` what a quota allows, `tally` adds up.

https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from knet.api.quota.limits import Limits, limits_of, refusal
from knet.api.quota.meters import UNCOUNTED, Amounts, Charge, Meter, meter_of
from knet.api.quota.tally import Tally

__all__ = ["UNCOUNTED", "Amounts", "Charge", "Limits", "Meter", "Tally", "limits_of", "meter_of", "refusal"]
