"""The pod network: what flannel and the CNI plugins ``bridge`` and ``host-local`` are on a real node.

Two halves that meet in one file, /run/flannel/subnet.env, as upstream's do:

* ``flanneld`` (`main`) turns Nodes into routes, neighbours and forwarding entries between machines
  (`lease`, `vxlan`, `hostgw`, `state`, `reconciler`, `masquerade`) and writes the file;
* the kubelet calls `add`, `remove`, `check` and `gc` in process for each sandbox (`bridge`, `ipam`).  Until the file is
  there, `network_config` is None, the node's network is not ready, and no pod that needs one starts;
* before a pod's first container starts, the kubelet asks whether its network policies are in force (`isolation`).
"""

from knet.cni.bridge import CniError, CniResult, Plugin, add, check, gc, remove, veth_name
from knet.cni.isolation import IsolationError, isolate
from knet.cni.network import NetworkConfig, network_config

__all__ = [
    "CniError",
    "CniResult",
    "IsolationError",
    "NetworkConfig",
    "Plugin",
    "add",
    "check",
    "gc",
    "isolate",
    "network_config",
    "remove",
    "veth_name",
]
