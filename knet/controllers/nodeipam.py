"""Node IPAM: each Node gets its own part of the cluster's range of pods, a /24, and a /64 of IPv6: of both where the
cluster has both.  From it CNI gives its pods their addresses.

What is taken is read from the Nodes themselves, so a restart forgets nothing.  The search goes round: a range that
was freed comes into use again only after all others, when no packet for its former pods is under way any more.
"""

from collections.abc import Iterable
from ipaddress import ip_network

from knet.api.families import Network, family_of, of_family
from knet.api.objects import Node
from knet.client import Controller, Key, NotFound, key_of
from knet.controllers.context import Context

#: --node-cidr-mask-size-ipv4, …-ipv6
MASKS = {4: 24, 6: 64}


def build(context: Context) -> Controller:
    reconciler = NodeIpam(context)
    # one worker: two Nodes must not be given the same range
    controller = Controller("nodeipam", reconciler, workers=1)

    def node_changed(old: Node | None, new: Node | None) -> None:
        if new is not None and not new.spec.podCIDR:
            controller.enqueue(key_of(new))
        elif new is None:
            for waiting in context.informers.of(Node).list():
                if not waiting.spec.podCIDR:
                    controller.enqueue(key_of(waiting))

    context.informers.of(Node).subscribe(node_changed)
    return controller


def free_range(cluster: Network, taken: Iterable[Network], after: Network | None) -> Network | None:
    """The next part of ``cluster`` behind ``after`` (from the beginning again at the end) that meets no taken one."""
    starts = [(int(other.network_address), int(other.broadcast_address)) for other in taken]
    mask = MASKS[cluster.version]
    count = 2 ** (mask - cluster.prefixlen)
    size = 2 ** (cluster.max_prefixlen - mask)
    base = int(cluster.network_address)
    start = (int(after.network_address) - base) // size + 1 if after is not None else 0
    for step in range(count):
        first = base + (start + step) % count * size
        if not any(first <= high and low < first + size for low, high in starts):
            return type(cluster)((first, mask))
    return None


class NodeIpam:
    """Writes spec.podCIDR and spec.podCIDRs of Nodes that have none."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._events = context.recorder("cidrAllocator")
        self._nodes = context.informers.of(Node)
        self._clusters = context.cluster_cidrs
        self._last: dict[str, Network] = {}

    async def reconcile(self, key: Key) -> None:
        node = self._nodes.get(*key)
        if node is None or node.spec.podCIDR:
            return
        chosen = {family: self._choose(family) for family in self._clusters}
        cidrs = [str(network) for network in chosen.values() if network is not None]
        if len(cidrs) < len(chosen):
            message = f"Node {node.name} status is now: CIDRNotAvailable"
            self._events.event(node, "Normal", "CIDRNotAvailable", message)
            return
        body = {"spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs}}
        try:
            self._nodes.assume(await self._client.patch(Node, node.name, body))
        except NotFound:
            return
        self._last = {family_of(cidr): ip_network(cidr) for cidr in cidrs}

    def _choose(self, family: str) -> Network | None:
        """The next range of a family, after the last one given out, or the highest there is."""
        found = (of_family(row.spec.podCIDRs or (row.spec.podCIDR,), family) for row in self._nodes.list())
        taken = [ip_network(cidr) for cidr in found if cidr]
        highest = max(taken, key=lambda network: int(network.network_address), default=None)
        return free_range(self._clusters[family], taken, self._last.get(family) or highest)
