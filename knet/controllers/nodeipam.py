"""Node IPAM: each Node gets its own /24 of the cluster CIDR, from which CNI gives its pods their addresses.

What is taken is read from the Nodes themselves, so a restart forgets nothing.  The search goes round: a range that
was freed comes into use again only after all others, when no packet for its former pods is under way any more.
"""

from collections.abc import Iterable
from ipaddress import IPv4Network, ip_network

from knet.api.objects import Node
from knet.client import Controller, Key, NotFound, key_of
from knet.controllers.context import Context

#: --node-cidr-mask-size
MASK = 24


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


def free_range(cluster: IPv4Network, taken: Iterable[IPv4Network], after: IPv4Network | None) -> IPv4Network | None:
    """The next /24 of ``cluster`` behind ``after`` (from the beginning again at the end) that meets no taken one."""
    taken = list(taken)
    count = 2 ** (MASK - cluster.prefixlen)
    size = 2 ** (32 - MASK)
    base = int(cluster.network_address)
    start = (int(after.network_address) - base) // size + 1 if after is not None else 0
    for step in range(count):
        candidate = IPv4Network((base + (start + step) % count * size, MASK))
        if not any(candidate.overlaps(other) for other in taken):
            return candidate
    return None


class NodeIpam:
    """Writes spec.podCIDR and spec.podCIDRs of Nodes that have none."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._events = context.recorder("cidrAllocator")
        self._nodes = context.informers.of(Node)
        self._cluster = context.cluster_cidr
        self._last: IPv4Network | None = None

    async def reconcile(self, key: Key) -> None:
        node = self._nodes.get(*key)
        if node is None or node.spec.podCIDR:
            return
        taken = [IPv4Network(row.spec.podCIDR) for row in self._nodes.list() if _ipv4(row.spec.podCIDR)]
        chosen = free_range(self._cluster, taken, self._last or max(taken, default=None))
        if chosen is None:
            message = f"Node {node.name} status is now: CIDRNotAvailable"
            self._events.event(node, "Normal", "CIDRNotAvailable", message)
            return
        body = {"spec": {"podCIDR": str(chosen), "podCIDRs": [str(chosen)]}}
        try:
            self._nodes.assume(await self._client.patch(Node, node.name, body))
        except NotFound:
            return
        self._last = chosen


def _ipv4(cidr: str) -> bool:
    return bool(cidr) and ip_network(cidr).version == 4
