"""The composition root: what a cluster is asked to be, its supervisor, and the `Cluster` facade for scripts.

On the host: `launch` (up, down), `state` (every trace on disk), `kubeconfig`, `facade`.  Inside the cluster's own
namespaces: `boot` → `supervisor` (PID 1), which has an `emulation`, machines and `processes` (forks of the `zygote`, as
the table of `components` says), brings it up (`startup`) and answers requests (`control`).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from knet.cluster.facade import Cluster as Cluster

__all__ = ["Cluster"]


def __getattr__(name: str) -> Any:
    """The facade only when asked for: the supervisor and its children do without it (PEP 562)."""
    if name == "Cluster":
        from knet.cluster.facade import Cluster

        return Cluster
    raise AttributeError(f"module 'knet.cluster' has no attribute {name!r}")
