"""ResourceQuota: a quota's status says what is enforced and how much of it is used.

`usage` keeps the sums of the namespaces that have quotas, `controller` writes them.  The API server, which decides by
sums of its own, writes the status when it admits something; here is what it does not see: new quotas, changed ones,
and what goes away.
"""

from knet.controllers.resourcequota.controller import build

__all__ = ["build"]
