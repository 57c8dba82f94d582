"""A node falls silent; what follows, step by step.

1. `health`: its Lease was not renewed for node-monitor-grace-period → its conditions become Unknown and its pods
   not ready, so that Services stop sending to them.
2. `taints`: conditions and ``spec.unschedulable`` → taints, which keep new pods away (NoSchedule) and drive the old
   ones off (NoExecute).
   `zones` says how fast nodes may be emptied, and that they are not when all of them are silent.
3. `eviction`: a pod that tolerates such a taint for a limited time is deleted when that time is over.

Then the ReplicaSet makes others elsewhere.  The deleted pods stay Terminating for as long as nobody can tell
whether they still run: until the node comes back, or its Node object is deleted (`knet.controllers.podgc`).
"""

from knet.client import Controller
from knet.controllers.context import Context
from knet.controllers.nodelifecycle import eviction, health, taints


def build(context: Context) -> list[Controller]:
    return [health.build(context), taints.build(context), eviction.build(context)]


__all__ = ["build"]
