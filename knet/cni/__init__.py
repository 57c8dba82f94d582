"""The pod network: what flannel and the CNI plugins ``bridge`` and ``host-local`` are on a real node.

Two halves that meet in one file, /run/flannel/subnet.env, as upstream's do:

* ``flanneld`` (`main`) turns Nodes into routes, neighbours and forwarding entries between machines
  (`lease`, `vxlan`, `hostgw`, `state`, `reconciler`, `masquerade`) and writes the file;
* the kubelet calls `add`, `remove`, `check` and `gc` in process for each sandbox (`bridge`, `ipam`).  Until the file is
  there, `network_config` is None, the node's network is not ready, and no pod that needs one starts.
"""

from knet.cni.bridge import CniError, CniResult, Plugin, add, check, gc, remove, veth_name
from knet.cni.network import NetworkConfig, network_config

__all__ = [
    "CniError",
    "CniResult",
    "NetworkConfig",
    "Plugin",
    "add",
    "check",
    "gc",
    "network_config",
    "remove",
    "veth_name",
]
