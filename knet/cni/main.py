"""flanneld, one per worker: announces this machine's end of the pod network and learns the others' from their Nodes.

The life of the process::

    own Node has a podCIDR → create the device, annotate the Node, set rules and sysctls, write subnet.env
    then, for ever: leases (all Nodes) → desired state → the difference, sent to the kernel

The last line runs as soon as a Node's lease changes, and every ``flannel_sync`` seconds to repair what others have
broken.  Stopping it leaves everything in place, as upstream: packets need no daemon.
"""

import asyncio
import functools
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress

import msgspec

from knet.api.families import IPV4, IPV6, family_of, of_family, ranges, split
from knet.api.objects import Node
from knet.api.timing import PROFILES
from knet.client.client import ApiError, Client, Unavailable
from knet.client.events import EventRecorder
from knet.client.informer import Informer
from knet.cni import hostgw, masquerade, vxlan
from knet.cni import network as subnet_env
from knet.cni.lease import Lease, annotations, lease_of, own_lease
from knet.cni.network import NetworkConfig
from knet.cni.reconciler import Change, Reconciler
from knet.cni.state import State, Underlay
from knet.kernel import addresses, links, sysctl
from knet.kernel.netlink import Netlink
from knet.kernel.recorder import record
from knet.kernel.rules import RulesError

log = logging.getLogger(__name__)

BACKENDS: dict[str, Callable[[Lease, Iterable[Lease], Underlay], State]] = {
    "vxlan": vxlan.desired,
    "host-gw": hostgw.desired,
    "direct-routing": functools.partial(vxlan.desired, direct=True),
}

#: seconds until a pass that failed is tried again
RETRY = 0.5


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the supervisor tells flanneld; upstream's flags of the same meaning in brackets."""

    kubeconfig: str
    """[--kubeconfig-file]"""
    node_name: str
    """[NODE_NAME]"""
    public_ip: str
    """of this machine in the underlay; of each family, with a comma between [--public-ip, --public-ipv6]"""
    interface: str
    """that has it [--iface]"""
    backend: str = "vxlan"
    """one of `BACKENDS` [net-conf.json: Backend.Type; direct-routing is vxlan with Backend.DirectRouting]"""
    mtu: int = 0
    """of the pods' interfaces, right or wrong; 0: what the underlay's interface has room for"""
    cluster_cidr: str = "10.244.0.0/16"
    """all pods, likewise [net-conf.json: Network, IPv6Network]"""
    ip_masq: bool = True
    """[--ip-masq]"""
    timing: str = "lab"
    """profile of `knet.api.timing`"""


async def serve(options: Options) -> None:
    """Run until cancelled."""
    client = Client.from_kubeconfig(options.kubeconfig, user_agent="flanneld")
    with Netlink() as netlink:
        async with client, asyncio.TaskGroup() as tasks:
            nodes = Informer(client, Node)
            recorder = EventRecorder(client, "flanneld", options.node_name)
            tasks.create_task(nodes.run())
            tasks.create_task(recorder.run())
            await Flanneld(options, client, nodes, recorder, netlink).run()


class Flanneld:
    """The shell around the pure parts; everything it knows of the cluster is in the Node cache."""

    def __init__(
        self, options: Options, client: Client, nodes: Informer[Node], recorder: EventRecorder, netlink: Netlink
    ) -> None:
        self._options = options
        self._client = client
        self._nodes = nodes
        self._recorder = recorder
        self._netlink = netlink
        self._networks = {family: str(network) for family, network in ranges(options.cluster_cidr).items()}
        self._reconcilers = {family: Reconciler(netlink) for family in self._networks}
        self._period = PROFILES[options.timing].flannel_sync
        self._changed = asyncio.Event()
        self._told: dict[tuple[str, str], str] = {}
        nodes.subscribe(self._on_node)

    async def run(self) -> None:
        await self._nodes.synced.wait()
        if not self._own_subnet():
            log.info("waiting for node %s to be assigned a podCIDR", self._options.node_name)
        while True:
            self._changed.clear()
            pause = self._period
            try:
                await self._pass()
            except (OSError, RulesError, ApiError, Unavailable) as error:
                log.warning("sync failed: %s; next try in %.1f s", error, RETRY)
                pause = RETRY
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), pause)

    async def _pass(self) -> None:
        """Everything once, in an order in which each step may rely on those before."""
        node = self._nodes.get("", self._options.node_name)
        own = [lease for lease in self._own(node) if lease] if node else []
        if node is None or len(own) < len(self._networks):
            return
        wanted = [self._desired(lease) for lease in own]
        for state in wanted:
            steps = self._reconcilers[state.family].reconcile(state)
            if steps:
                self._record(node.name, state.family, steps)
        self._tell_refusals(node, wanted)
        await self._announce(node, own)
        options = self._options
        for lease in own:
            _ensure_sysctls(lease.family)
            network = self._networks[lease.family]
            await masquerade.ensure(masquerade.chains(network, lease.subnet, options.ip_masq))
        subnets, mtu = ",".join(lease.subnet for lease in own), min(state.mtu for state in wanted)
        config = NetworkConfig(",".join(self._networks.values()), subnets, mtu, options.ip_masq)
        if subnet_env.write(config):
            log.info("wrote %s: subnet %s, mtu %d", subnet_env.SUBNET_ENV, subnets, mtu)

    def _record(self, own: str, family: str, steps: list[Change]) -> None:
        """The flight recorder, with the nodes that each step leads to."""
        for step in steps:
            words = set(str(step.entry).split())
            to = [
                row.node for row in self._leases(family) if words & {row.subnet, row.vtep.VtepMAC if row.vtep else ""}
            ]
            record("flanneld", "routes", tuple(("node", "", name) for name in (*to, own)), "%s", step)

    def _own(self, node: Node) -> Iterable[Lease | None]:
        """The leases to announce, one of each family; None for one that has to wait."""
        for family in self._networks:
            yield own_lease(node, self._options.backend, of_family(split(self._options.public_ip), family))

    def _desired(self, own: Lease) -> State:
        interface = self._options.interface
        underlay = Underlay(
            interface,
            self._underlay_address(own.public_ip),
            links.get(self._netlink, interface).mtu,
        )
        wanted = BACKENDS[self._options.backend](own, self._leases(own.family), underlay)
        return wanted.with_mtu(self._options.mtu) if self._options.mtu else wanted

    def _underlay_address(self, public_ip: str) -> str:
        """The public address with its prefix length; behind NAT, where the interface has another, alone."""
        for found in addresses.list_addresses(self._netlink, self._options.interface):
            if found.address.partition("/")[0] == public_ip:
                return found.address
        return f"{public_ip}/{32 if family_of(public_ip) == IPV4 else 128}"

    def _leases(self, family: str) -> Iterable[Lease]:
        for node in self._nodes.list():
            try:
                lease = lease_of(node, family)
            except ValueError as error:
                log.warning("%s", error)
                continue
            if lease is not None:
                yield lease

    async def _announce(self, node: Node, own: list[Lease]) -> None:
        """Write the leases on the own Node, if it does not say so yet."""
        wanted = {key: value for lease in own for key, value in annotations(lease).items()}
        if wanted.items() <= node.metadata.annotations.items():
            return
        await self._client.patch(Node, node.name, {"metadata": {"annotations": wanted}}, subresource="status")
        for lease in own:
            log.info("lease announced: %s at %s (%s)", lease.subnet, lease.public_ip, lease.backend)

    def _tell_refusals(self, node: Node, wanted: list[State]) -> None:
        """Each refusal once, in the log and as an Event of the own Node."""
        now = {(state.family, row.node): row.message for state in wanted for row in state.refusals}
        for (family, name), message in now.items():
            if self._told.get((family, name)) != message:
                log.warning("node %s: %s", name, message)
                self._recorder.event(node, "Warning", "RouteNotPossible", f"to node {name}: {message}")
        self._told = now

    def _own_subnet(self) -> str:
        node = self._nodes.get("", self._options.node_name)
        return node.spec.podCIDR if node else ""

    def _on_node(self, old: Node | None, new: Node | None) -> None:
        """Wake up for what matters: heartbeats change Nodes all the time."""
        if _essence(old) != _essence(new):
            self._changed.set()


def _essence(node: Node | None) -> object:
    return node and (node.uid, node.spec.podCIDRs or node.spec.podCIDR, node.metadata.annotations)


def _ensure_sysctls(family: str) -> None:
    """A machine with pods is a router, of what crosses its bridge, too.  A packet's source may be reachable by another
    way than it came, so a strict reverse path filter, which the machine may have from its kernel's defaults, is
    loosened (IPv6 has none)."""
    if family == IPV6:
        sysctl.ensure("net.ipv6.conf.all.forwarding", 1)
        sysctl.see_bridged_packets(6)
        return
    sysctl.ensure("net.ipv4.ip_forward", 1)
    sysctl.see_bridged_packets(4)
    if "1" in (sysctl.read("net.ipv4.conf.all.rp_filter"), sysctl.read("net.ipv4.conf.default.rp_filter")):
        sysctl.ensure("net.ipv4.conf.all.rp_filter", 2)  # the larger of an interface's and this one is in force
