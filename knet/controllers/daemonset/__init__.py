"""DaemonSet: one pod on every node that it may run on.

`controller` is the loop; `eligible` says on which nodes, `placement` which pods are missing or too many, `rolling`
which old ones go next, `pods` makes the body of one, `status` counts.
"""

from knet.controllers.daemonset.controller import build

__all__ = ["build"]
