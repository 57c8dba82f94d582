"""The audit log: who asked for what, and what came of it, as JSON lines of audit.k8s.io/v1 Events.

`policy` says how much is told of which request, `event` is what is told, `trail` follows one request through its
stages, and `log` stands before the server, where a log is wanted; where none is, nothing of this package runs.
https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/
"""

from knet.apiserver.audit.log import Audit
from knet.apiserver.audit.policy import Policy

__all__ = ["Audit", "Policy"]
