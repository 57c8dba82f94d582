"""Every road to a Service in the mode ipvs, whose kernel modules the running kernel may lack: two machines, their pods.

Without API server and DNS, which are too slow here (with them, in the other modes: test_cluster_roads.py).
What a name leads to is therefore known: a headless Service's is the pod's address, an ExternalName's a cluster IP.
"""

import asyncio
import select
import socket
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from knet.api.families import IPV4
from knet.api.objects import ServicePort
from knet.cluster.config import PROXY_MODES
from knet.cluster.preflight import FEATURES
from knet.cni import masquerade
from knet.cni.state import Underlay
from knet.kernel import addresses, features, links, namespaces, routes, sysctl
from knet.kernel.addresses import Address
from knet.kernel.links import VethEnd
from knet.kernel.namespaces import Namespaces, run_in
from knet.kernel.netlink import Netlink
from knet.proxy.modes import MODES, Choices, others
from knet.proxy.snapshot import build
from tests.cluster_objects import endpoint, endpoint_slice, service
from tests.node.cni_lab import Machine
from tests.roads import LOCAL_NODE_PORT, NODE_PORT, PLACES, ROADS

NETWORK, OUTSIDE = "10.244.0.0/16", "172.18.0.1"
VIP, BALANCED, BALANCED_LOCAL = "10.96.0.80", "172.18.0.200", "172.18.0.201"
PATIENCE = 30
PORT = ServicePort(port=80)
_LOCAL = {"externalTrafficPolicy": "Local"}
SERVICES: dict[str, tuple[ServicePort, dict[str, Any]]] = {
    "cluster-ip": (PORT, {}),
    "node-port": (ServicePort(port=80, nodePort=NODE_PORT), {"type": "NodePort"}),
    "node-port-local": (ServicePort(port=80, nodePort=LOCAL_NODE_PORT), {"type": "NodePort", **_LOCAL}),
    "balanced": (PORT, {"balanced": [BALANCED]}),
    "balanced-local": (PORT, {"balanced": [BALANCED_LOCAL], **_LOCAL}),
}
#: on which machine a pod runs, counted from 0
PODS = {"web": 0, "here": 0, "decoy": 1, "there": 1}


@dataclass
class Lab:
    """Two machines on a switch; the pod web on n1 and decoy on n2 listen on port 80."""

    backend: str
    outside: Namespaces
    machines: list[Machine]
    places: dict[str, Namespaces]
    listening: dict[str, socket.socket]
    facts: dict[str, str]

    def switch(self, mode: str) -> None:
        """The mode in force on both machines, the others gone."""
        rows = [(name, "web", ports, spec) for name, (ports, spec) in SERVICES.items()]
        services, slices = [], []
        for number, (name, pod, ports, spec) in enumerate([*rows, ("decoy", "decoy", PORT, {})]):
            services.append(service(name, f"10.96.0.{80 + number}", [ports], **spec))
            slices.append(endpoint_slice(name, endpoint(self.facts[pod]), ports=[("", 80, "TCP")]))
        for machine in self.machines:
            state = build(services, slices, f"n{machine.number}", machine.address, NETWORK)

            async def bring(state: Any = state) -> None:
                await MODES[mode]().apply(state)
                for other in others(mode, Choices()):
                    await other.remove()

            in_machine(machine, bring)

    def source(self, place: str, address: str, port: int) -> str:
        """Open a connection: whom the pod web sees, or what went wrong."""
        with run_in(self.places[place], socket.socket) as caller:
            caller.settimeout(PATIENCE)
            try:
                caller.connect((address, port))
            except OSError as error:
                return str(error)
            ready, _, _ = select.select(self.listening.values(), [], [], PATIENCE)
            accepted, peer = ready[0].accept()
            accepted.close()
            return str(peer[0]) if ready[0] is self.listening["web"] else "by decoy"


def in_machine(machine: Machine, body: Callable[[], Coroutine[Any, Any, object]]) -> None:
    run_in(machine.space, lambda: asyncio.run(body()))


@pytest.fixture(scope="module", params=["vxlan", "host-gw"])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    features.require(*FEATURES, "vxlan", *PROXY_MODES["ipvs"])
    outside, directory = namespaces.create("net"), tmp_path_factory.mktemp("roads")
    with Netlink(outside.fds["net"]) as ports:
        bridge = links.ensure_bridge(ports, "s1")
        addresses.ensure(ports, Address("s1", f"{OUTSIDE}/24"))
        machines = [_machine(number, ports, bridge.index, directory) for number in (1, 2)]
        for network in (NETWORK, "10.96.0.0/12"):
            routes.ensure(ports, routes.Route(network, "s1", machines[0].address))
    for machine in machines:
        leases = [other.lease(request.param) for other in machines]
        machine.reconciler.reconcile(machine.desired(request.param, leases))
        wanted = masquerade.chains(NETWORK, machine.subnet)
        in_machine(machine, lambda wanted=wanted: masquerade.ensure(wanted))
    one, two = machines
    pods = {name: machines[place].add_pod(name) for name, place in PODS.items()}
    facts = {name: pod.result.address for name, pod in pods.items()}
    facts |= {"n1": one.address, "n2": two.address, "outside": OUTSIDE, "bridge": pods["web"].result.gateway}
    facts["tunnel"] = "10.244.2.0" if request.param == "vxlan" else two.address
    facts |= {"cluster-ip": VIP, "alias": VIP, "headless": facts["web"]}
    facts |= {"balanced": BALANCED, "balanced-local": BALANCED_LOCAL, "balancer": facts["tunnel"]}
    addresses.ensure(two.netlink, Address("eth0", f"{BALANCED}/32"))
    addresses.ensure(one.netlink, Address("eth0", f"{BALANCED_LOCAL}/32"))
    places = {"here": pods["here"].space, "there": pods["there"].space, "outside": outside}
    listening = {name: run_in(pods[name].space, lambda: socket.create_server(("", 80))) for name in ("web", "decoy")}
    yield Lab(request.param, outside, machines, places, listening, facts)
    for server in listening.values():
        server.close()
    for machine in machines:
        machine.close()
        machine.space.close()
    outside.close()


def _machine(number: int, ports: Netlink, bridge: int, directory: Path) -> Machine:
    space = namespaces.create("net")
    underlay = Underlay("eth0", f"172.18.0.{number + 2}/24", 1500)
    machine = Machine.of(number, {IPV4: underlay}, space, directory / f"n{number}")
    end = VethEnd(f"s1-n{number}")
    ports.send(links.create_veth(end, VethEnd("eth0", netns=space.fds["net"]), master=bridge))
    machine.netlink.send(links.change("lo", up=True), links.change("eth0", up=True))
    ports.send(links.change(end.name, up=True))
    addresses.ensure(machine.netlink, Address("eth0", underlay.address))
    routes.ensure(machine.netlink, routes.Route("default", "eth0", OUTSIDE))
    for name in ("net.ipv4.ip_forward", "net.bridge.bridge-nf-call-iptables"):
        run_in(space, lambda name=name: sysctl.ensure(name, 1))
    return machine


def test_the_right_pod_answers_and_sees_the_right_address(lab: Lab) -> None:
    lab.switch("ipvs")
    seen, expected = {}, {}
    for name, road in ROADS.items():
        address, _, port = road.to.format(**lab.facts).partition(":")
        for place in PLACES:
            seen[name, place] = lab.source(place, address, int(port or 80))
            expected[name, place] = getattr(road, place).format(**lab.facts)
    assert seen == expected
