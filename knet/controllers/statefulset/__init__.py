"""StatefulSet: pods with names, and volumes, of their own; made, updated and removed in order.

`controller` is the loop; `decide` says what the next step is, `identity` what makes a pod that of an ordinal, `claims`
whose volumes it has, `status` counts.
"""

from knet.controllers.statefulset.controller import build

__all__ = ["build"]
