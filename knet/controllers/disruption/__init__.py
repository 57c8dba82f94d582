"""PodDisruptionBudgets: how many of their pods may be evicted now.

`expected` says how many pods there should be, and how many of them healthy; `status` counts those that are;
`controller` writes what is left.  The API server's eviction takes from that (`knet.apiserver.subresources.eviction`)
and leaves the pod's name in ``disruptedPods``: until the cache shows the deletion, that pod counts as gone.  `stale`
clears up after evictions that never happened.
"""

from knet.client import Controller
from knet.controllers.context import Context
from knet.controllers.disruption import controller, stale


def build(context: Context) -> list[Controller]:
    return [controller.build(context), stale.build(context)]


__all__ = ["build"]
