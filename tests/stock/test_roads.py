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
from typing import Any, NamedTuple

import pytest

from knet.api.families import IPV4, IPV6
from knet.api.objects import ServicePort
from knet.cluster.config import PROXY_MODES
from knet.cluster.preflight import FEATURES
from knet.cni import masquerade
from knet.cni.state import Underlay
from knet.inspect.trace import hops as packets
from knet.inspect.trace.hops import THERE
from knet.kernel import addresses, features, links, namespaces, routes, sysctl
from knet.kernel.addresses import Address
from knet.kernel.links import VethEnd
from knet.kernel.namespaces import Namespaces, run_in
from knet.kernel.netlink import Netlink
from knet.proxy.modes import MODES, Choices, others
from knet.proxy.snapshot import build
from tests.cluster_objects import endpoint, endpoint_slice, service
from tests.node.cni_lab import Machine
from tests.node.trace_lab import watched
from tests.roads import LOCAL_NODE_PORT, NODE_PORT, PLACES, ROADS

PATIENCE = 30


class Plan(NamedTuple):
    """The addresses of one family."""

    family: str
    pods: str
    services: str
    service: str
    machine: str
    length: int
    tunnel: str

    def at(self, number: int) -> str:
        """An address on the machines' network; 1 is who is outside."""
        return self.machine.format(number)


PLANS = {
    4: Plan(IPV4, "10.244.0.0/16", "10.96.0.0/12", "10.96.0.{}", "172.18.0.{}", 24, "10.244.2.0"),
    6: Plan(IPV6, "fd00:10:244::/48", "fd00:10:96::/112", "fd00:10:96::{}", "fd00:172:18::{}", 64, "fd00:10:244:2::"),
}
BALANCED, BALANCED_LOCAL = 200, 201
PORT = ServicePort(port=80)
_LOCAL = {"externalTrafficPolicy": "Local"}
#: name, pod, port, the load balancer's address, more
SERVICES: tuple[tuple[str, str, ServicePort, int, dict[str, Any]], ...] = (
    ("cluster-ip", "web", PORT, 0, {}),
    ("node-port", "web", ServicePort(port=80, nodePort=NODE_PORT), 0, {"type": "NodePort"}),
    ("node-port-local", "web", ServicePort(port=80, nodePort=LOCAL_NODE_PORT), 0, {"type": "NodePort", **_LOCAL}),
    ("balanced", "web", PORT, BALANCED, {}),
    ("balanced-local", "web", PORT, BALANCED_LOCAL, _LOCAL),
    ("decoy", "decoy", PORT, 0, {}),
)
#: on which machine a pod runs, counted from 0
PODS = {"web": 0, "here": 0, "decoy": 1, "there": 1}


@dataclass
class Lab:
    """Two machines on a switch; the pod web on n1 and decoy on n2 listen on port 80."""

    plan: Plan
    machines: list[Machine]
    places: dict[str, Namespaces]
    pods: dict[str, Namespaces]
    listening: dict[str, socket.socket]
    facts: dict[str, str]

    def switch(self, mode: str) -> None:
        """The mode in force on both machines, the others gone."""
        plan, family = self.plan, int(self.plan.family[-1])
        services, slices = [], []
        for number, (name, pod, port, balanced, more) in enumerate(SERVICES):
            addresses = [plan.at(balanced)] if balanced else []
            services.append(service(name, plan.service.format(80 + number), [port], balanced=addresses, **more))
            ports = [("", 80, "TCP")]
            slices.append(endpoint_slice(name, endpoint(self.facts[pod]), ports=ports, family=plan.family))
        for machine in self.machines:
            own = machine.public_ip(plan.family)
            state = build(services, slices, f"n{machine.number}", own, plan.pods, family=family)

            async def bring(state: Any = state) -> None:
                await MODES[mode](Choices(family)).apply(state)
                for other in others(mode, Choices(family)):
                    await other.remove()

            in_machine(machine, bring)

    def source(self, place: str, address: str, port: int) -> str:
        """Open a connection: whom the pod web sees, or what went wrong."""
        with run_in(self.places[place], lambda: socket.socket(_FAMILIES[self.plan.family])) as caller:
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


_FAMILIES = {IPV4: socket.AF_INET, IPV6: socket.AF_INET6}
#: what kube-proxy sees to before it begins
_SYSCTLS = {
    IPV4: ("net.ipv4.ip_forward", "net.bridge.bridge-nf-call-iptables"),
    IPV6: ("net.ipv6.conf.all.forwarding", "net.bridge.bridge-nf-call-ip6tables"),
}


@pytest.fixture(scope="module", params=[("vxlan", 4), ("host-gw", 4), ("vxlan", 6)], ids=str)
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    backend, plan = request.param[0], PLANS[request.param[1]]
    features.require(*FEATURES, "vxlan", *PROXY_MODES["ipvs"])
    outside, directory = _namespace(), tmp_path_factory.mktemp("roads")
    with Netlink(outside.fds["net"]) as ports:
        bridge = links.ensure_bridge(ports, "s1")
        addresses.ensure(ports, Address("s1", f"{plan.at(1)}/{plan.length}"))
        machines = [_machine(number, ports, bridge.index, plan, directory) for number in (1, 2)]
        for network in (plan.pods, plan.services):
            routes.ensure(ports, routes.Route(network, "s1", plan.at(3)))
    leases = [machine.lease(backend, plan.family) for machine in machines]
    for machine in machines:
        machine.reconciler.reconcile(machine.desired(backend, leases, plan.family))
        wanted = masquerade.chains(plan.pods, machine.subnet)
        in_machine(machine, lambda wanted=wanted: masquerade.ensure(wanted))
    pods = {name: machines[place].add_pod(name) for name, place in PODS.items()}
    facts = {name: pod.result.address for name, pod in pods.items()}
    facts |= {"n1": plan.at(3), "n2": plan.at(4), "outside": plan.at(1), "bridge": pods["web"].result.gateway}
    facts["tunnel"] = facts["balancer"] = plan.tunnel if backend == "vxlan" else plan.at(4)
    facts |= dict.fromkeys(("cluster-ip", "alias", "by-hand"), plan.service.format(80))
    facts |= {"headless": facts["web"], "balanced": plan.at(BALANCED), "balanced-local": plan.at(BALANCED_LOCAL)}
    full = 32 if plan.family == IPV4 else 128
    for machine, name in zip(machines, ("balanced-local", "balanced"), strict=True):
        addresses.ensure(machine.netlink, Address("eth0", f"{facts[name]}/{full}", source=False))
    places = {"here": pods["here"].space, "there": pods["there"].space, "outside": outside}
    family = _FAMILIES[plan.family]
    listening = {
        name: run_in(pods[name].space, lambda: socket.create_server(("", 80), family=family))
        for name in ("web", "decoy")
    }
    yield Lab(plan, machines, places, {name: pod.space for name, pod in pods.items()}, listening, facts)
    for server in listening.values():
        server.close()
    for machine in machines:
        machine.close()
        machine.space.close()
    outside.close()


def _namespace() -> Namespaces:
    """One in which IPv6 addresses are used at once, as in knet's machines."""
    space = namespaces.create("net")
    for name in ("all", "default"):
        run_in(space, lambda name=name: sysctl.ensure(f"net.ipv6.conf.{name}.accept_dad", 0))
    return space


def _machine(number: int, ports: Netlink, bridge: int, plan: Plan, directory: Path) -> Machine:
    space = _namespace()
    underlay = Underlay("eth0", f"{plan.at(number + 2)}/{plan.length}", 1500)
    machine = Machine.of(number, {plan.family: underlay}, space, directory / f"n{number}")
    end = VethEnd(f"s1-n{number}")
    ports.send(links.create_veth(end, VethEnd("eth0", netns=space.fds["net"]), master=bridge))
    machine.netlink.send(links.change("lo", up=True), links.change("eth0", up=True))
    ports.send(links.change(end.name, up=True))
    addresses.ensure(machine.netlink, Address("eth0", underlay.address))
    routes.ensure(machine.netlink, routes.Route("default" if plan.family == IPV4 else "::/0", "eth0", plan.at(1)))
    for name in _SYSCTLS[plan.family]:
        run_in(space, lambda name=name: sysctl.ensure(name, 1))
    return machine


def test_the_right_pod_answers_and_sees_the_right_address(lab: Lab) -> None:
    lab.switch("ipvs")
    seen, expected = {}, {}
    for name, road in ROADS.items():
        facts = {key: f"[{value}]" if ":" in value else value for key, value in lab.facts.items()}
        for place in PLACES:
            seen[name, place] = lab.source(place, *_split(road.to.format(**facts)))
            expected[name, place] = getattr(road, place).format(**lab.facts)
    assert seen == expected


def test_a_probe_shows_where_ipvs_translates(lab: Lab) -> None:
    """Both ends on n1: on the way to a socket of the machine's own, which has all Services' addresses."""
    lab.switch("ipvs")
    pods = {f"pod/default/{name}": lab.pods[name] for name in ("here", "web")}
    spaces = {**pods, **{f"n{machine.number}": machine.space for machine in lab.machines}}
    to = "tcp", lab.facts["cluster-ip"], 80
    found, hops = watched(spaces, "pod/default/here", to, ("n1", "n2"))
    assert found.answer is not None
    assert found.answer.error == ""
    told = [(hop.kind, hop.site) for hop in hops if hop.way == THERE and hop.kind not in ("filter", "route")]
    assert told == [
        ("leave", "pod/default/here"),
        ("enter", "n1"),
        ("nat", "n1"),
        ("leave", "n1"),
        ("enter", "pod/default/web"),
        ("deliver", "pod/default/web"),
    ]
    [there, back] = [hop for hop in hops if hop.translation]
    assert there.interface == "input"
    assert there.translation is not None
    assert back.translation is not None
    ends = packets.ends(lab.facts["cluster-ip"], 80), packets.ends(lab.facts["web"], 80)
    assert (there.translation.before, there.translation.after) == ends
    assert (back.translation.after, back.translation.before) == ends


def _split(target: str) -> tuple[str, int]:
    """The address and port of ``10.96.0.80``, ``172.18.0.3:30080``, ``[fd00::3]:30080``."""
    host, _, port = target.rpartition(":")
    if not port.isdecimal() or target.endswith("]") or not host:
        host, port = target, "80"
    return host.strip("[]"), int(port)
