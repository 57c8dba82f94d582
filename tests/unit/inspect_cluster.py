"""A small cluster as values, for tests of what is told in its names: two workers, a client, pods of two namespaces."""

from knet.api.objects import Meta, Node, NodeAddress, NodeSpec, NodeStatus, PodIP, Service, ServiceSpec
from knet.cni.lease import BACKEND_DATA, BACKEND_TYPE, MANAGED, PUBLIC_IP
from knet.inspect.inventory import POD, Inventory, Spot
from knet.policy.population import NarrowPod, NarrowSpec, NarrowStatus
from knet.underlay.state import LinkState, Sending
from knet.underlay.view import SWITCH, InterfaceState, NodeState

MACHINES = {"cp1": "172.18.0.2", "n1": "172.18.0.3", "n2": "172.18.0.4", "client": "172.18.0.5"}
ROLES = {"cp1": "control-plane", "client": "external"}


def pod(name: str, address: str, node: str, namespace: str = "default", **more: object) -> NarrowPod:
    return NarrowPod(
        metadata=Meta(name=name, namespace=namespace, uid=f"uid-{namespace}-{name}"),
        spec=NarrowSpec(nodeName=node, hostNetwork=bool(more.get("hostNetwork"))),
        status=NarrowStatus(phase=str(more.get("phase", "Running")), podIPs=(PodIP(ip=address),)),
    )


PODS = (
    pod("web-0", "10.244.1.2", "n1"),
    pod("web-1", "10.244.2.2", "n2"),
    pod("client", "10.244.1.3", "n1"),
    pod("done", "10.244.1.4", "n1", phase="Succeeded"),
    pod("agent", "172.18.0.4", "n2", hostNetwork=True),
    pod("web-0", "10.244.1.5", "n1", namespace="other"),
    pod("eth0", "10.244.2.6", "n2", namespace="web-1"),
)
SERVICES = (
    Service(
        metadata=Meta(name="web", namespace="default"),
        spec=ServiceSpec(clusterIP="10.96.0.80", clusterIPs=("10.96.0.80",), externalIPs=("192.0.2.1",)),
    ),
    Service(metadata=Meta(name="headless", namespace="default"), spec=ServiceSpec(clusterIP="None")),
)
VTEPS = {"n1": "5e:00:00:00:00:01", "n2": "5e:00:00:00:00:02"}


def node(name: str, number: int) -> Node:
    annotations = {
        MANAGED: "true",
        BACKEND_TYPE: "vxlan",
        BACKEND_DATA["IPv4"]: f'{{"VNI":1,"VtepMAC":"{VTEPS[name]}"}}',
        PUBLIC_IP["IPv4"]: MACHINES[name],
    }
    cidr = f"10.244.{number}.0/24"
    return Node(
        metadata=Meta(name=name, annotations=annotations),
        spec=NodeSpec(podCIDR=cidr, podCIDRs=(cidr,)),
        status=NodeStatus(addresses=(NodeAddress(type="InternalIP", address=MACHINES[name]),)),
    )


NODES = (node("n1", 1), node("n2", 2))


def _machine(name: str, address: str) -> NodeState:
    interface = InterfaceState(f"{name}-eth0", address, f"s1-{name}")
    return NodeState(name, ROLES.get(name, "worker"), 1, (interface,))


_PORTS = tuple(InterfaceState(f"s1-{name}", "", f"{name}-eth0") for name in MACHINES)
INVENTORY = Inventory(
    nodes=(*(_machine(*row) for row in MACHINES.items()), NodeState("s1", SWITCH, 1, _PORTS)),
    links=tuple(
        LinkState((Sending(name, f"{name}-eth0"), Sending("s1", f"s1-{name}")), "up", 1500, True) for name in MACHINES
    ),
    pods=PODS,
    members={
        ("service", "default", "web"): (Spot(POD, "web-0", "default"), Spot(POD, "web-1", "default")),
        ("service", "default", "headless"): (),
        ("deployment", "other", "web"): (Spot(POD, "web-0", "other"),),
    },
)
