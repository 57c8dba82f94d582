"""The garbage collector: objects whose owners are gone go too.

https://kubernetes.io/docs/concepts/architecture/garbage-collection/

- `graph`: who owns whom, over all kinds, kept by their informers.
- `verdict`: what is to become of one object, decided from its owners' states.
- `controller`: the loops that carry it out: deletion of what lost its owners, foreground deletion (dependents
  first), orphaning (dependents let go).

The API server only marks: propagationPolicy arrives here as the finalizers ``foregroundDeletion`` and ``orphan``.
"""

from knet.controllers.garbage.controller import build

__all__ = ["build"]
