"""kube-proxy's rules in a real kernel: which pod answers, and which address it sees.

::

    outsider 172.18.0.50 ── n1 172.18.0.11 ── cni0 10.244.1.1 ─┬─ web-1 10.244.1.2
                                                               ├─ web-2 10.244.1.3
                                                               └─ client 10.244.1.4
"""

import asyncio
import select
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from knet.api.objects import ServicePort
from knet.cni import Plugin
from knet.kernel import addresses, links, namespaces, routes, rules, sysctl
from knet.kernel.addresses import Address
from knet.kernel.conntrack import Conntrack
from knet.kernel.links import VethEnd
from knet.kernel.namespaces import Namespaces, run_in
from knet.kernel.netlink import Netlink
from knet.proxy.applier import IptablesApplier
from knet.proxy.chains import chain_name
from knet.proxy.conntrack_cleanup import clean, udp_frontends
from knet.proxy.snapshot import Snapshot, build
from knet.proxy.sync import Syncer
from tests.cluster_objects import endpoint_slice, service

pytestmark = pytest.mark.root

NODE, OUTSIDER, BRIDGE = "172.18.0.11", "172.18.0.50", "10.244.1.1"
WEB_1, WEB_2, CLIENT = "10.244.1.2", "10.244.1.3", "10.244.1.4"
VIP, OTHER_VIP = "10.96.0.80", "10.96.0.81"
EXTERNAL, BALANCED = "192.0.2.7", "192.0.2.8"
PATIENCE = 5


@dataclass
class Lab:
    """One machine with three pods, somebody outside, and a server on port 8080 (TCP, UDP) of web-1 and web-2."""

    node: Namespaces
    outsider: Namespaces
    pods: dict[str, Namespaces]
    tcp: dict[str, socket.socket]
    udp: dict[str, socket.socket]
    applier: IptablesApplier

    def apply(self, snapshot: Snapshot) -> None:
        run_in(self.node, lambda: asyncio.run(self.applier.apply(snapshot)))

    def repair(self, snapshot: Snapshot) -> None:
        run_in(self.node, lambda: asyncio.run(self.applier.repair(snapshot)))

    def shell(self, command: str) -> str:
        """The output of a command on the machine."""
        return run_in(self.node, lambda: subprocess.check_output(command, shell=True, text=True))

    def connect(self, source: Namespaces, address: str, port: int = 80, patience: float = PATIENCE) -> tuple[str, str]:
        """Open a connection: the pod that answers, and whom it sees.  ConnectionRefusedError, TimeoutError."""
        with run_in(source, socket.socket) as caller:
            caller.settimeout(patience)
            caller.connect((address, port))
            ready, _, _ = select.select(self.tcp.values(), [], [], PATIENCE)
            accepted, peer = ready[0].accept()
            accepted.close()
            return next(name for name, row in self.tcp.items() if row is ready[0]), peer[0]

    def ask(self, caller: socket.socket) -> str:
        """Send a datagram: the pod that it reaches."""
        caller.send(b"?")
        ready, _, _ = select.select(self.udp.values(), [], [], PATIENCE)
        _, peer = ready[0].recvfrom(100)
        ready[0].sendto(b"!", peer)
        assert caller.recv(100) == b"!"
        return next(name for name, row in self.udp.items() if row is ready[0])


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with ExitStack() as stack:
        node, outsider = namespaces.create("net"), namespaces.create("net")
        pods = {name: namespaces.create("net") for name in ("web-1", "web-2", "client")}
        for space in (node, outsider, *pods.values()):
            stack.callback(space.close)
        _connect(node, outsider)
        run_in(node, lambda: sysctl.ensure("net.ipv4.ip_forward", 1))
        # its redirects to who is outside would use up what the kernel allows in ICMP errors per second
        run_in(node, lambda: sysctl.ensure("net.ipv4.conf.eth0.send_redirects", 0))
        run_in(node, lambda: sysctl.ensure("net.ipv4.conf.all.send_redirects", 0))
        run_in(node, lambda: sysctl.ensure("net.bridge.bridge-nf-call-iptables", 1))
        plugin = run_in(node, lambda: Plugin(tmp_path))
        stack.callback(plugin.close)
        found = [plugin.add(pods[name].fds["net"], name, name, "10.244.1.0/24", 1500).address for name in pods]
        assert found == [WEB_1, WEB_2, CLIENT]
        tcp, udp = {}, {}
        for name in ("web-1", "web-2"):
            tcp[name] = stack.enter_context(run_in(pods[name], lambda: socket.create_server(("", 8080))))
            udp[name] = stack.enter_context(run_in(pods[name], _udp))
            udp[name].bind(("", 8080))
        yield Lab(node, outsider, pods, tcp, udp, IptablesApplier())


def _udp() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def _connect(node: Namespaces, outsider: Namespaces) -> None:
    """The cable; who is outside knows a route to the Services by way of the machine."""
    with Netlink(node.fds["net"]) as here, Netlink(outsider.fds["net"]) as there:
        here.send(links.create_veth(VethEnd("eth0"), VethEnd("eth0", netns=outsider.fds["net"])))
        for netlink, address in ((here, NODE), (there, OUTSIDER)):
            netlink.send(links.change("lo", up=True), links.change("eth0", up=True))
            addresses.ensure(netlink, Address("eth0", f"{address}/24"))
        routes.ensure(here, routes.Route("default", "eth0", OUTSIDER))
        routes.ensure(there, routes.Route("default", "eth0", NODE))


def snapshot(
    *endpoints: str, protocol: str = "TCP", node_port: int = 0, more: tuple[str, ...] = (), **spec: Any
) -> Snapshot:
    """The Service web, and the names of more Services."""
    port = ServicePort(name="http", port=80, protocol=protocol, nodePort=node_port)
    services = [service("web", VIP, [port], **spec), *(service(name, OTHER_VIP) for name in more)]
    slices = [endpoint_slice("web", *endpoints, ports=[("http", 8080, protocol)])]
    slices += [endpoint_slice(name, WEB_2) for name in more]
    return build(services, slices, "n1", NODE, "10.244.0.0/16")


def test_a_service_reaches_all_of_its_pods_which_see_the_clients_address(lab: Lab):
    lab.apply(snapshot(WEB_1, WEB_2))
    answers = {lab.connect(lab.pods["client"], VIP) for _ in range(60)}
    assert answers == {("web-1", CLIENT), ("web-2", CLIENT)}


def test_a_pod_that_reaches_itself_sees_the_machine(lab: Lab):
    lab.apply(snapshot(WEB_1))
    assert lab.connect(lab.pods["web-1"], VIP) == ("web-1", BRIDGE)


def test_who_comes_from_outside_of_the_cluster_is_masqueraded(lab: Lab):
    lab.apply(snapshot(WEB_1))
    assert lab.connect(lab.outsider, VIP) == ("web-1", BRIDGE)
    assert lab.connect(lab.node, VIP) == ("web-1", BRIDGE)


def test_a_service_without_endpoints_refuses_at_once(lab: Lab):
    lab.apply(snapshot())
    for source in (lab.pods["client"], lab.node, lab.outsider):
        with pytest.raises(ConnectionRefusedError):
            lab.connect(source, VIP)


def test_a_node_port_is_open_to_the_outside_and_on_loopback(lab: Lab):
    lab.apply(snapshot(WEB_1, node_port=30080))
    assert lab.connect(lab.outsider, NODE, 30080) == ("web-1", BRIDGE)
    assert lab.connect(lab.node, "127.0.0.1", 30080) == ("web-1", BRIDGE)
    lab.apply(snapshot(node_port=30080))
    with pytest.raises(ConnectionRefusedError):
        lab.connect(lab.outsider, NODE, 30080)


def test_a_load_balancers_address_is_open_to_its_source_ranges_only(lab: Lab):
    lab.apply(snapshot(WEB_1, balanced=[BALANCED], loadBalancerSourceRanges=(f"{OUTSIDER}/32",)))
    assert lab.connect(lab.outsider, BALANCED) == ("web-1", BRIDGE)
    lab.apply(snapshot(WEB_1, balanced=[BALANCED], loadBalancerSourceRanges=(f"{VIP}/32",)))
    with pytest.raises(TimeoutError):
        lab.connect(lab.outsider, BALANCED, patience=0.2)
    dropped = lab.shell("iptables -vxnL KUBE-PROXY-FIREWALL | awk '/DROP/ {print $1}'")
    assert int(dropped) > 0
    assert lab.connect(lab.outsider, VIP) == ("web-1", BRIDGE)


def test_policy_local_keeps_the_address_of_who_comes_from_outside(lab: Lab):
    local = {"balanced": [BALANCED], "externalIPs": (EXTERNAL,), "externalTrafficPolicy": "Local"}
    lab.apply(snapshot(WEB_1, node_port=30080, **local))
    for address, port in ((BALANCED, 80), (EXTERNAL, 80), (NODE, 30080)):
        assert lab.connect(lab.outsider, address, port) == ("web-1", OUTSIDER)


def test_sctp_is_translated_where_the_kernel_has_it(lab: Lab):
    lab.apply(snapshot(WEB_1, protocol="SCTP", node_port=30080))
    saved = lab.shell("iptables-save -t nat")
    assert f'-p sctp -m comment --comment "default/web:http" -m sctp -j DNAT --to-destination {WEB_1}:8080' in saved
    try:
        server = run_in(lab.pods["web-1"], lambda: _sctp())
    except OSError as error:
        pytest.skip(f"this kernel has no SCTP sockets: {error}")
    with server, run_in(lab.pods["client"], _sctp) as caller:
        server.bind(("", 8080))
        server.listen()
        caller.settimeout(PATIENCE)
        caller.connect((VIP, 80))
        assert server.accept()[1][0] == CLIENT


def _sctp() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)


def test_endpoints_come_and_go(lab: Lab):
    lab.apply(snapshot(WEB_1))
    lab.apply(snapshot(WEB_1, WEB_2))
    lab.apply(snapshot(WEB_2))
    assert {lab.connect(lab.pods["client"], VIP)[0] for _ in range(20)} == {"web-2"}
    assert chain_name("KUBE-SEP-", "default/web:http", "tcp", f"{WEB_1}:8080") not in lab.shell("iptables-save")


def test_a_deleted_service_leaves_nothing(lab: Lab):
    lab.apply(snapshot(WEB_1))
    rules = "iptables-save | sed '/^#/d; s/ \\[.*//'"  # without the dates, and the packets that policies have counted
    alone = lab.shell(rules)
    lab.apply(snapshot(WEB_1, more=("other",)))
    assert lab.connect(lab.pods["client"], OTHER_VIP)[0] == "web-2"
    lab.apply(snapshot(WEB_1))
    assert lab.shell(rules) == alone


def test_the_rules_of_others_stay(lab: Lab):
    lab.shell("iptables -t nat -N MINE; iptables -t nat -A MINE -j RETURN; iptables -t nat -I PREROUTING -j MINE")
    lab.shell("iptables -A FORWARD -s 192.0.2.1 -j DROP; iptables -t mangle -A PREROUTING -s 192.0.2.2 -j ACCEPT")
    theirs = "-A MINE -j RETURN", "-A PREROUTING -j MINE", "-A FORWARD -s 192.0.2.1/32 -j DROP", "192.0.2.2/32"
    lab.apply(snapshot(WEB_1, more=("other",)))
    lab.apply(snapshot(WEB_1))
    lab.repair(snapshot(WEB_1))
    saved = lab.shell("iptables-save")
    assert [rule for rule in theirs if saved.count(rule) != 1] == []


@pytest.mark.parametrize(
    "damage",
    [
        "iptables -t nat -F",
        "iptables -t nat -F KUBE-SERVICES",
        "iptables -t nat -D PREROUTING 1",
        "iptables -F; iptables -X; iptables -t nat -F; iptables -t nat -X",
        "iptables -t nat -A KUBE-MARK-MASQ -j RETURN",
    ],
)
def test_what_others_break_is_repaired(lab: Lab, damage: str):
    lab.apply(snapshot(WEB_1, WEB_2))
    whole = lab.shell("iptables-save | grep -v '^#'")
    lab.shell(damage)
    lab.repair(snapshot(WEB_1, WEB_2))
    assert lab.shell("iptables-save | grep -v '^#'") == whole
    assert lab.connect(lab.pods["client"], VIP)[1] == CLIENT


def test_a_rule_that_was_replaced_is_put_back(lab: Lab):
    lab.apply(snapshot(WEB_1))
    lab.repair(snapshot(WEB_1))
    lab.shell("iptables -t nat -R KUBE-SERVICES 1 -j RETURN")
    lab.repair(snapshot(WEB_1))
    assert lab.connect(lab.pods["client"], VIP)[0] == "web-1"


def test_a_change_that_meets_missing_chains_writes_everything_anew(lab: Lab):
    lab.apply(snapshot(WEB_1))
    lab.shell("iptables -t nat -F; iptables -t nat -X")
    lab.apply(snapshot(WEB_1, more=("other",)))
    assert lab.connect(lab.pods["client"], VIP)[0] == "web-1"


def test_intact_rules_are_not_written_again(lab: Lab):
    """People read the counters."""
    lab.apply(snapshot(WEB_1))
    lab.connect(lab.pods["client"], VIP)
    counted = lab.shell("iptables -t nat -vxnL KUBE-SERVICES")
    assert VIP in counted
    lab.repair(snapshot(WEB_1))
    lab.repair(snapshot(WEB_1))
    lab.apply(snapshot(WEB_1))
    assert lab.shell("iptables -t nat -vxnL KUBE-SERVICES") == counted


def test_a_new_proxy_takes_over_what_the_old_one_left(lab: Lab):
    lab.apply(snapshot(WEB_1, more=("other",)))
    lab.applier = IptablesApplier()
    lab.apply(snapshot(WEB_1))
    saved = lab.shell("iptables-save")
    assert OTHER_VIP not in saved
    assert saved.count("-A PREROUTING") == 1
    assert lab.connect(lab.pods["client"], VIP)[0] == "web-1"


def test_rules_that_the_kernel_refuses_change_nothing(lab: Lab):
    lab.apply(snapshot(WEB_1))
    whole = lab.shell("iptables-save | grep -v '^#'")
    with pytest.raises(rules.RulesError):
        lab.apply(snapshot("999.244.1.2"))
    assert lab.shell("iptables-save | grep -v '^#'") == whole


@pytest.mark.parametrize(
    ("source", "address", "port"),
    [
        ("client", VIP, 80),
        ("client", EXTERNAL, 80),
        ("client", BALANCED, 80),
        ("", NODE, 30080),
        ("client", NODE, 30080),
    ],
)
def test_a_udp_client_is_led_to_another_pod_when_its_own_is_gone(lab: Lab, source: str, address: str, port: int):
    everywhere = {"protocol": "UDP", "node_port": 30080, "externalIPs": (EXTERNAL,), "balanced": [BALANCED]}
    before, after = snapshot(WEB_1, **everywhere), snapshot(WEB_2, **everywhere)
    lab.apply(before)
    with run_in(lab.pods.get(source, lab.outsider), _udp) as caller, run_in(lab.node, Conntrack) as conntrack:
        caller.settimeout(PATIENCE)
        caller.connect((address, port))
        assert lab.ask(caller) == "web-1"
        lab.apply(after)
        assert lab.ask(caller) == "web-1"  # the kernel remembers, whatever the rules say by now
        assert clean(conntrack, udp_frontends(before), udp_frontends(after)) == 1
        assert lab.ask(caller) == "web-2"
        assert clean(conntrack, udp_frontends(after), udp_frontends(after)) == 0


def test_a_udp_client_is_led_to_the_first_endpoint_of_its_service(lab: Lab):
    nobody, somebody = build([], [], "n1"), snapshot(WEB_1, protocol="UDP", node_port=30080)
    lab.apply(nobody)
    with run_in(lab.outsider, _udp) as caller, run_in(lab.node, Conntrack) as conntrack:
        caller.settimeout(PATIENCE)
        caller.connect((NODE, 30080))
        caller.send(b"too early")
        with pytest.raises(ConnectionRefusedError):  # and the kernel remembers where it went: to the machine itself
            caller.recv(100)
        lab.apply(somebody)
        assert clean(conntrack, udp_frontends(nobody), udp_frontends(somebody)) == 1
        assert lab.ask(caller) == "web-1"


def test_what_a_mode_put_there_goes_with_it_and_the_rules_of_others_stay(lab: Lab):
    rules = "iptables-save | grep -v '^[#:]'"
    lab.shell("iptables -t nat -N MINE; iptables -t nat -I PREROUTING -j MINE; iptables -A FORWARD -s 192.0.2.1")
    before = lab.shell(rules)
    lab.apply(snapshot(WEB_1, node_port=30080))
    for _ in range(2):
        run_in(lab.node, lambda: asyncio.run(lab.applier.remove()))
        assert lab.shell(rules) == before
    lab.apply(snapshot(WEB_1))
    assert lab.connect(lab.pods["client"], VIP)[0] == "web-1"


class Reporting(IptablesApplier):
    """Says when it has brought the rules to a snapshot, or could not."""

    def __init__(self) -> None:
        super().__init__()
        self.done: asyncio.Queue[tuple[str, Snapshot]] = asyncio.Queue()

    async def apply(self, snapshot: Snapshot) -> None:
        try:
            await super().apply(snapshot)
            self.done.put_nowait(("apply", snapshot))
        except rules.RulesError:
            self.done.put_nowait(("refused", snapshot))
            raise

    async def repair(self, snapshot: Snapshot) -> None:
        await super().repair(snapshot)
        self.done.put_nowait(("repair", snapshot))


def in_sync(lab: Lab, period: float, body: Callable[[list[Snapshot], Syncer, Reporting], object]) -> None:
    """Run ``body`` beside a Syncer, which applies the last of the snapshots in a list that begins with an empty one."""

    async def main() -> None:
        states, applier = [build([], [], "n1")], Reporting()
        syncer = Syncer(applier, lambda: states[-1], period)
        task = asyncio.create_task(syncer.run())
        async with asyncio.timeout(30):
            await body(states, syncer, applier)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run_in(lab.node, lambda: asyncio.run(main()))


def test_changes_in_a_burst_are_applied_together(lab: Lab):
    async def body(states: list[Snapshot], syncer: Syncer, applier: Reporting) -> None:
        await applier.done.get()
        for _ in range(100):
            for endpoints in ((WEB_1,), (WEB_1, WEB_2), (WEB_2,)):
                states.append(snapshot(*endpoints))
                syncer.changed()
        assert (await applier.done.get())[1] is states[-1]
        assert applier.done.empty()

    in_sync(lab, 3600, body)
    assert lab.connect(lab.pods["client"], VIP)[0] == "web-2"


def test_damage_is_found_within_the_sync_period(lab: Lab):
    async def body(states: list[Snapshot], syncer: Syncer, applier: Reporting) -> None:
        states.append(snapshot(WEB_1))
        await applier.done.get()
        await asyncio.to_thread(lab.shell, "iptables -t nat -F; iptables -t nat -X")
        while not applier.done.empty():
            applier.done.get_nowait()
        for _ in range(2):  # one may have looked at the rules before they were damaged
            assert (await applier.done.get())[0] == "repair"

    in_sync(lab, 0.05, body)
    assert lab.connect(lab.pods["client"], VIP)[0] == "web-1"


def test_a_failed_sync_is_tried_again(lab: Lab):
    async def body(states: list[Snapshot], syncer: Syncer, applier: Reporting) -> None:
        await applier.done.get()
        states.append(snapshot("999.244.1.2"))
        syncer.changed()
        assert (await applier.done.get())[0] == "refused"
        states.append(snapshot(WEB_1))
        assert await applier.done.get() == ("apply", states[-1])

    in_sync(lab, 3600, body)
    assert lab.connect(lab.pods["client"], VIP)[0] == "web-1"
