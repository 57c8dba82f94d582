"""knet: a Kubernetes cluster whose network you can take apart.

Machines, switches and links are emulated by Mininet on one Linux kernel, pods are network namespaces, and a
compact control plane speaks the Kubernetes API.  ``from knet import Cluster`` is the door for scripts and labs,
the ``knet`` command the one for terminals; docs/architecture.md says how the parts fit together.
"""

TYPE_CHECKING = False  # typing itself would cost each container shim 1.2 MB
if TYPE_CHECKING:
    from typing import Any

    from knet.cluster import Cluster as Cluster

__all__ = ["Cluster"]
__version__ = "0.1.0"


def __getattr__(name: str) -> "Any":
    """Import the facade only when somebody asks for it: components must stay small (PEP 562)."""
    if name == "Cluster":
        from knet.cluster import Cluster

        return Cluster
    raise AttributeError(f"module 'knet' has no attribute {name!r}")
