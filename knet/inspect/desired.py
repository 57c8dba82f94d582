"""What the components of each machine make of a `World`: their own pure functions, asked for any machine at any time.

====================  ===========================================================================================
`snapshot`            kube-proxy's: service ports and endpoints (`knet.proxy.snapshot`), for all modes' renderers
`overlay`             flanneld's: tunnel, routes, neighbours, forwarding entries (`knet.cni.state`)
`masquerading`        flanneld's packet filter chains (`knet.cni.masquerade`)
`isolation`           the network policies' table (`knet.policy.table`)
`host_ports`          the kubelet's bridge plugin: ports of the machine that lead to pods (`knet.cni.portmap`)
====================  ===========================================================================================

Each is worked out once for a world and machine.  None says what the kernel holds, only what it should.
"""

from collections.abc import Mapping
from ipaddress import ip_network

from knet.api.families import IPV4, family_of
from knet.api.names import ZONE_LABEL
from knet.api.objects import Node
from knet.client.controller import Key
from knet.cni import masquerade, portmap
from knet.cni.attach import Attachment
from knet.cni.lease import Lease, lease_of, own_lease
from knet.cni.main import BACKENDS
from knet.cni.masquerade import Chain
from knet.cni.portmap import PortMapping
from knet.cni.state import State, Underlay
from knet.inspect.world import World
from knet.policy import policies
from knet.policy.compile import Compiler
from knet.policy.policies import Policy
from knet.policy.population import Population
from knet.policy.table import Table
from knet.proxy.snapshot import Snapshot, build
from knet.underlay.plan import DEFAULT_MTU


def machine_address(world: World, node: str, family: str = IPV4) -> str:
    """The machine's own address of a family, with prefix length: of its first interface; "" for none."""
    machine = world.topology.machines.get(node)
    rows = machine.interfaces[0].addresses if machine and machine.interfaces else ()
    return next((row for row in rows if family_of(row) == family), "")


def gateways(world: World, node: str) -> tuple[str, ...]:
    """The machine's addresses on cni0, by which its pods know it, with prefix length; none while it has no subnet."""
    rows = (leases(world, family).get(node) for family in world.settings.pod_ranges)
    subnets = (ip_network(row.subnet) for row in rows if row)
    return tuple(f"{subnet[1]}/{subnet.prefixlen}" for subnet in subnets)


def own_addresses(world: World, node: str) -> frozenset[str]:
    """All addresses that a machine takes for its own: of its interfaces, of cni0, of its end of the tunnel."""

    def make() -> frozenset[str]:
        machine = world.topology.machines.get(node)
        found = [row for interface in machine.interfaces for row in interface.addresses] if machine else []
        found += gateways(world, node)
        tunnels = (overlay(world, node, family) for family in world.settings.pod_ranges)
        found += [state.device.address.address for state in tunnels if state and state.device]
        return frozenset(row.partition("/")[0] for row in found)

    return world.once(("own addresses", node), make)


def underlay(world: World, node: str, family: str = IPV4) -> Underlay:
    """How the machine is connected with the others; KeyError for one that the topology has not."""
    interface = world.topology.machines[node].interfaces[0].name
    link = world.topology.link_at.get(interface)
    return Underlay(interface, machine_address(world, node, family), link.mtu if link else DEFAULT_MTU)


def snapshot(world: World, node: str, family: str = IPV4) -> Snapshot:
    """kube-proxy's desired state on a machine."""

    def make() -> Snapshot:
        row = world.nodes.get(node)
        zone = row.metadata.labels.get(ZONE_LABEL, "") if row else ""
        address = machine_address(world, node, family).partition("/")[0]
        pods = world.settings.pod_ranges[family]
        return build(world.services.values(), world.slices.values(), node, address, pods, int(family[-1]), zone)

    return world.once(("snapshot", node, family), make)


def leases(world: World, family: str = IPV4) -> Mapping[str, Lease]:
    """By node, those that are announced; annotations that make no sense are none."""

    def make() -> Mapping[str, Lease]:
        return {name: lease for name, node in world.nodes.items() if (lease := _lease(node, family))}

    return world.once(("leases", family), make)


def _lease(node: Node, family: str) -> Lease | None:
    try:
        return lease_of(node, family)
    except ValueError:
        return None


def overlay(world: World, node: str, family: str = IPV4) -> State | None:
    """flanneld's desired state on a machine; None while its Node has no subnet."""

    def make() -> State | None:
        row, address = world.nodes.get(node), machine_address(world, node, family).partition("/")[0]
        own = own_lease(row, world.settings.cni, address) if row and address else None
        if own is None:
            return None
        backend = BACKENDS[world.settings.cni]
        state = backend(own, leases(world, family).values(), underlay(world, node, family))
        return state.with_mtu(world.settings.mtu) if world.settings.mtu else state

    return world.once(("overlay", node, family), make)


def masquerading(world: World, node: str, family: str = IPV4) -> tuple[Chain, ...]:
    """flanneld's packet filter chains on a machine; none while its Node has no subnet."""
    lease = leases(world, family).get(node)
    return masquerade.chains(world.settings.pod_ranges[family], lease.subnet) if lease else ()


def meanings(world: World) -> Mapping[Key, Policy]:
    """The NetworkPolicies as their enforcers read them; those that no enforcer understands are none."""

    def make() -> Mapping[Key, Policy]:
        found = {}
        for key, row in world.policies.items():
            try:
                found[key] = policies.read(row)
            except ValueError:
                continue
        return found

    return world.once("meanings", make)


def population(world: World, node: str = "") -> Population:
    """All pods, as the enforcer of a machine counts them; of no machine: none is local."""

    def make() -> Population:
        rows = (row._replace(local=world.pods[key].spec.nodeName == node) for key, row in world.endpoints.items())
        return Population(rows, {name: row.metadata.labels for name, row in world.namespaces.items()})

    return world.once(("population", node), make)


def isolation(world: World, node: str) -> Table:
    """The table of network policies on a machine."""
    if world.settings.policy == "none":
        return Table()
    return world.once(("isolation", node), lambda: Compiler().table(meanings(world).values(), population(world, node)))


def host_ports(world: World, node: str) -> list[PortMapping]:
    """The ports of a machine that lead to its pods."""
    found: list[PortMapping] = []
    for key, row in world.endpoints.items():
        pod = world.pods[key]
        if pod.spec.nodeName == node:
            found += portmap.mappings(str(key), row.addresses, Attachment.of(pod, "", -1).ports)
    return found
