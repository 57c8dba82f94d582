"""The pod network: what flannel and the CNI plugins ``bridge`` and ``host-local`` are on a real node.

Two halves that meet in one file, /run/flannel/subnet.env, as upstream's do:

* ``flanneld`` (`main`) turns Nodes into routes, neighbours and forwarding entries between machines
  (`lease`, `vxlan`, `hostgw`, `state`, `reconciler`, `masquerade`) and writes the file;
* the kubelet connects each sandbox in process (`attach`, `bridge`, `ipam`), or has it connected by a chain of other
  people's plugins (`external`).  Until the file is there, `network_config` is None, the node's network is not ready,
  and no pod that needs one starts;
* before a pod's first container starts, the kubelet asks whether its network policies are in force (`isolation`).
"""

from knet.cni.attach import Attachment, Bridge, PodNetwork
from knet.cni.bridge import CniError, CniResult, Plugin, veth_name
from knet.cni.external import Chain
from knet.cni.isolation import IsolationError, isolate
from knet.cni.network import NetworkConfig, network_config

__all__ = [
    "Attachment",
    "Bridge",
    "Chain",
    "CniError",
    "CniResult",
    "IsolationError",
    "NetworkConfig",
    "Plugin",
    "PodNetwork",
    "isolate",
    "network_config",
    "veth_name",
]
