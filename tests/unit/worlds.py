"""A cluster as a value: two workers, a control plane and a client on one switch; what a test adds comes on top.

::

    cp1 .2 ─┐
    n1  .3 ─┼─ s1    172.18.0.0/24     pods of n1: 10.244.1.0/24, of n2: 10.244.2.0/24
    n2  .4 ─┤
    client .5
"""

from dataclasses import replace

from knet.api.networking import NetworkPolicy
from knet.api.objects import (
    Container,
    ContainerPort,
    Meta,
    Namespace,
    Node,
    NodeAddress,
    NodeSpec,
    NodeStatus,
    Pod,
    PodIP,
    PodSpec,
    PodStatus,
)
from knet.cni.lease import BackendData, Lease, annotations, vtep_mac
from knet.inspect.world import Settings, Topology, World, by_key
from knet.kernel.routes import Route
from knet.underlay.plan import CONTROL_PLANE, EXTERNAL, WORKER
from knet.underlay.state import UP, LinkState, Sending
from knet.underlay.view import SWITCH, InterfaceState, NodeState

MACHINES = {"cp1": CONTROL_PLANE, "n1": WORKER, "n2": WORKER, "client": EXTERNAL}


def address_of(machine):
    return f"172.18.0.{2 + list(MACHINES).index(machine)}"


def topology(mtu=1500, down=(), state=None, partitions=()):
    """One switch; ``down`` are machines whose cables are cut, ``state`` says which machines do not run."""
    nodes, links = [], []
    for port, (name, role) in enumerate(MACHINES.items(), 1):
        own, peer, address = f"{name}-eth0", f"s1-eth{port}", address_of(name)
        interface = InterfaceState(own, address, peer, (f"{address}/24",))
        routes = () if role == EXTERNAL else (Route("default", own),)
        nodes.append(NodeState(name, role, 0, (interface,), routes, (state or {}).get(name, "running")))
        ends = Sending(name, own), Sending("s1", peer)
        links.append(LinkState(ends, "down" if name in down else UP, mtu, True))
    ports = tuple(InterfaceState(f"s1-eth{port}", "", f"{name}-eth0") for port, name in enumerate(MACHINES, 1))
    return Topology((*nodes, NodeState("s1", SWITCH, 0, ports)), tuple(links), partitions)


def node(name, cni="vxlan"):
    """A worker's Node, announced by its flanneld; n1 holds 10.244.1.0/24."""
    subnet = f"10.244.{name.removeprefix('n')}.0/24"
    kind = "vxlan" if cni == "direct-routing" else cni
    lease = Lease(name, subnet, address_of(name), kind, BackendData(1, vtep_mac(name)) if kind == "vxlan" else None)
    return Node(
        metadata=Meta(name=name, annotations=annotations(lease)),
        spec=NodeSpec(podCIDR=subnet, podCIDRs=(subnet,)),
        status=NodeStatus(addresses=(NodeAddress(type="InternalIP", address=address_of(name)),)),
    )


def pod(name, ip, namespace="default", labels=None, ports=(), host_network=False, phase="Running"):
    """A pod on the node that its address belongs to; ``ports`` are ContainerPorts, or numbers."""
    machine = next((name for name in MACHINES if address_of(name) == ip), "") or f"n{ip.split('.')[2]}"
    rows = tuple(ContainerPort(containerPort=row) if isinstance(row, int) else row for row in ports)
    return Pod(
        metadata=Meta(name=name, namespace=namespace, labels=labels or {"app": name}),
        spec=PodSpec(nodeName=machine, containers=(Container(name="c", ports=rows),), hostNetwork=host_network),
        status=PodStatus(phase=phase, podIP=ip, podIPs=(PodIP(ip=ip),)),
    )


def world(pods=(), services=(), slices=(), policies=(), topo=None, **settings):
    """``policies`` are JSON, as in manifests."""
    import msgspec

    rows = [msgspec.convert(row, NetworkPolicy) for row in policies]
    choices = Settings(**settings)
    names = {"default", *(row.namespace for row in (*pods, *services))}
    spaces = {name: {"kubernetes.io/metadata.name": name} for name in names}
    return replace(
        World(choices, topo or topology()),
        nodes={name: node(name, choices.cni) for name in ("n1", "n2")},
        pods=by_key(pods),
        services=by_key(services),
        slices=by_key(slices),
        policies=by_key(rows),
        namespaces={name: Namespace(metadata=Meta(name=name, labels=labels)) for name, labels in spaces.items()},
    )
