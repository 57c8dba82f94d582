"""ResourceQuota: nothing is stored in a namespace that would exceed what its quotas allow.

Upstream charges a quota by writing its status before the object is stored, and its controller corrects the status
from its cache; when that lags behind, more is admitted than the quota allows.  Here the API server knows what is
stored: `ledger` adds it up, together with what has been admitted and is on its way to the store, and `plugin` decides
by that sum, so that no number of parallel requests exceeds a quota.  The status shows the same sum: it is written as
soon as the object is stored, and by the quota controller for what goes away.
"""
