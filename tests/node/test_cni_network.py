"""Two machines on one switch, two pods on each: packets, repair, restart, teardown, on the real kernel.

::

    n1 172.18.0.3/24 ── switch (172.18.0.1/24, the world outside) ── n2 172.18.0.4/24
     └ cni0 10.244.1.0/24: two pods                                   └ cni0 10.244.2.0/24: two pods
"""

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cni_lab import Machine, Pod, call, encapsulated, underlay_packets

from knet.api.families import IPV4
from knet.cni import CniError, Plugin, masquerade
from knet.cni.lease import Lease
from knet.cni.reconciler import Reconciler
from knet.cni.state import State, Underlay
from knet.kernel import addresses, links, namespaces, neighbours, routes, rules, sysctl
from knet.kernel.addresses import Address
from knet.kernel.links import VethEnd
from knet.kernel.namespaces import Namespaces, run_in
from knet.kernel.netlink import Netlink

pytestmark = pytest.mark.root

NETWORK = "10.244.0.0/16"
OUTSIDE = "172.18.0.1"
_RTMGRP_LINK = 1
_RTM_DELLINK = 17


@dataclass
class Lab:
    """The switch and the machines on it."""

    switch: Namespaces
    machines: list[Machine]

    def desired(self, machine: Machine, backend: str, leases: list[Lease] | None = None) -> State:
        if leases is None:
            leases = [other.lease(backend) for other in self.machines]
        return machine.desired(backend, leases)

    def sync(self, backend: str) -> list[int]:
        """Reconcile every machine; how many changes each needed."""
        return [len(machine.reconciler.reconcile(self.desired(machine, backend))) for machine in self.machines]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    switch = namespaces.create("net")
    machines: list[Machine] = []
    with Netlink(switch.fds["net"]) as ports:
        bridge = links.ensure_bridge(ports, "s1")
        addresses.ensure(ports, Address("s1", f"{OUTSIDE}/24"))
        for number in (1, 2):
            space = namespaces.create("net")
            underlay = Underlay("eth0", f"172.18.0.{number + 2}/24", 1500)
            machine = Machine.of(number, {IPV4: underlay}, space, tmp_path / f"n{number}")
            machines.append(machine)
            netlink = machine.netlink
            end = VethEnd(f"s1-n{number}")
            ports.send(links.create_veth(end, VethEnd("eth0", netns=space.fds["net"]), master=bridge.index))
            netlink.send(links.change("lo", up=True), links.change("eth0", up=True))
            ports.send(links.change(end.name, up=True))
            addresses.ensure(netlink, Address("eth0", f"{machine.address}/24"))
            routes.ensure(netlink, routes.Route("default", "eth0", OUTSIDE))
            run_in(space, lambda: sysctl.ensure("net.ipv4.ip_forward", 1))
    yield Lab(switch, machines)
    for machine in machines:
        machine.close()
        machine.space.close()
    switch.close()


def test_pods_of_one_machine_reach_each_other_and_their_node(lab: Lab):
    machine = lab.machines[0]
    one, two = machine.add_pod("one"), machine.add_pod("two")
    assert (one.result.address, two.result.address) == ("10.244.1.2", "10.244.1.3")
    assert call(one.space, two.space, two.result.address) == one.result.address
    assert call(machine.space, one.space, one.result.address) == one.result.gateway == "10.244.1.1"
    assert call(one.space, machine.space, machine.address) == one.result.address


def test_a_pod_reaches_itself_by_loopback_and_by_its_address(lab: Lab):
    pod = lab.machines[0].add_pod("one")
    assert call(pod.space, pod.space, "127.0.0.1") == "127.0.0.1"
    assert call(pod.space, pod.space, pod.result.address) == pod.result.address


@pytest.mark.parametrize(("backend", "wrapped"), [("vxlan", True), ("host-gw", False), ("direct-routing", False)])
def test_pods_of_two_machines_see_each_others_own_address(lab: Lab, backend: str, wrapped: bool):
    here, there = lab.machines
    lab.sync(backend)
    one, two = here.add_pod("one"), there.add_pod("two")
    with underlay_packets(there) as packets:
        assert call(one.space, two.space, two.result.address) == one.result.address
        seen = encapsulated(packets)
    assert seen
    assert set(seen) == {wrapped}
    assert call(two.space, one.space, one.result.address) == two.result.address


def test_a_node_reaches_a_remote_pod_through_the_tunnel(lab: Lab):
    here, there = lab.machines
    lab.sync("vxlan")
    assert call(here.space, there.add_pod("two").space, "10.244.2.2") == "10.244.1.0"


@pytest.mark.parametrize(("backend", "entries"), [("vxlan", 3), ("host-gw", 1), ("direct-routing", 1)])
def test_a_second_pass_and_a_restarted_flanneld_change_nothing(lab: Lab, backend: str, entries: int):
    assert lab.sync(backend) == [entries, entries]
    assert lab.sync(backend) == [0, 0]
    for machine in lab.machines:
        machine.reconciler = Reconciler(machine.netlink)
    assert lab.sync(backend) == [0, 0]


def test_a_deleted_neighbour_cuts_the_pods_and_is_restored(lab: Lab, caplog: pytest.LogCaptureFixture):
    here, there = lab.machines
    lab.sync("vxlan")
    one, two = here.add_pod("one"), there.add_pod("two")
    [entry] = lab.desired(here, "vxlan").neighbours
    assert neighbours.remove_neighbour(here.netlink, entry)
    with pytest.raises(OSError, match=r"timed out|No route to host"):
        call(one.space, two.space, two.result.address, patience=0.3)
    assert lab.sync("vxlan") == [1, 0]
    assert f"neigh {entry}: was missing, restored" in caplog.messages
    assert call(one.space, two.space, two.result.address) == one.result.address


def test_a_deleted_device_is_made_anew_with_all_its_entries(lab: Lab):
    here, there = lab.machines
    lab.sync("vxlan")
    one, two = here.add_pod("one"), there.add_pod("two")
    links.remove(here.netlink, "flannel.1")
    assert lab.sync("vxlan") == [3, 0]
    assert call(one.space, two.space, two.result.address) == one.result.address


@pytest.mark.parametrize("backend", ["vxlan", "host-gw", "direct-routing"])
def test_what_a_departed_node_needed_goes_and_what_others_set_stays(lab: Lab, backend: str):
    here = lab.machines[0]
    foreign = routes.Route("192.0.2.0/24", "eth0", "172.18.0.9")
    routes.ensure(here.netlink, foreign)
    before = routes.list_routes(here.netlink)
    lab.sync(backend)
    alone = lab.desired(here, backend, leases=[here.lease(backend)])
    Reconciler(here.netlink).reconcile(alone)  # also a flanneld that was away when the node left
    assert routes.list_routes(here.netlink) == before
    assert Reconciler(here.netlink).read(alone) == []


def test_pods_leave_the_cluster_under_their_nodes_address(lab: Lab):
    here, there = lab.machines
    lab.sync("vxlan")
    for machine in lab.machines:
        wanted = masquerade.chains(NETWORK, machine.subnet)
        assert run_in(machine.space, lambda wanted=wanted: asyncio.run(masquerade.ensure(wanted)))
        assert not run_in(machine.space, lambda wanted=wanted: asyncio.run(masquerade.ensure(wanted)))
    one, two = here.add_pod("one"), there.add_pod("two")
    assert call(one.space, lab.switch, OUTSIDE) == here.address
    assert call(one.space, two.space, two.result.address) == one.result.address


def test_flushed_rules_are_restored_once_and_the_jump_is_not_doubled(lab: Lab, caplog: pytest.LogCaptureFixture):
    here = lab.machines[0]
    wanted = masquerade.chains(NETWORK, here.subnet)

    def damage_and_repair() -> list[str] | None:
        asyncio.run(masquerade.ensure(wanted))
        unhook = wanted[1].jump.replace("-A", "-D", 1)
        rules.restore(f"*nat\n:FLANNEL-POSTRTG - [0:0]\nCOMMIT\n*filter\n{unhook}\nCOMMIT\n")
        asyncio.run(masquerade.ensure(wanted))
        return rules.rule_lines(rules.save("nat"), "POSTROUTING")

    jumps = run_in(here.space, damage_and_repair)
    assert jumps == ['-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG']
    assert caplog.messages == [
        "iptables nat: chain FLANNEL-POSTRTG differed and was set anew",
        "iptables filter: the jump from FORWARD to FLANNEL-FWD was missing",
    ]


def test_large_packets_fit_the_tunnel(lab: Lab):
    here, there = lab.machines
    lab.sync("vxlan")
    mtu = lab.desired(here, "vxlan").mtu
    one, two = here.add_pod("one", mtu), there.add_pod("two", mtu)
    sender = run_in(one.space, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    receiver = run_in(two.space, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with sender, receiver:
        sender.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO: never fragment
        receiver.bind((two.result.address, 9000))
        receiver.settimeout(3)
        sender.sendto(b"x" * (1450 - 28), (two.result.address, 9000))
        assert len(receiver.recv(2000)) == 1450 - 28
        with pytest.raises(OSError, match="Message too long"):
            sender.sendto(b"x" * (1450 - 27), (two.result.address, 9000))


def test_the_port_of_a_pod_bears_its_name_and_can_turn_a_frame_round(lab: Lab):
    machine = lab.machines[0]
    pod = machine.add_pod("one")
    port = links.get(machine.netlink, pod.result.host_interface)
    assert port.port is not None
    assert (port.alias, port.mtu, port.port.hairpin) == ("one-sandbox default/one", 1450, True)
    with Netlink(pod.space.fds["net"]) as inside:
        assert links.get(inside, "eth0").mac == pod.result.mac == "0a:58:0a:f4:01:02"


def test_check_finds_what_was_taken_away(lab: Lab):
    machine = lab.machines[0]
    pod = machine.add_pod("one")
    inside = pod.space.fds["net"]
    assert machine.plugin.check(inside, pod.sandbox, machine.subnet) == pod.result
    with Netlink(inside) as netlink:
        routes.remove(netlink, routes.Route("default", "eth0", "10.244.1.1"))
        with pytest.raises(CniError, match=r"default/one: no route default via 10.244.1.1 dev eth0"):
            machine.plugin.check(inside, pod.sandbox, machine.subnet)
    links.remove(machine.netlink, pod.result.host_interface)
    with pytest.raises(CniError, match=f"{pod.result.host_interface} is missing"):
        machine.plugin.check(inside, pod.sandbox, machine.subnet)


def test_a_removed_pod_is_silent_at_once_and_its_pair_goes_with_its_namespace(lab: Lab):
    machine = lab.machines[0]
    pod = machine.add_pod("one")
    events = run_in(machine.space, lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE))
    with events:
        machine.plugin.remove(pod.sandbox)
        machine.plugin.remove(pod.sandbox)
        assert not links.get(machine.netlink, pod.result.host_interface).up
        events.bind((0, _RTMGRP_LINK))
        events.settimeout(10)
        machine.pods.remove(pod)
        pod.space.close()
        while int.from_bytes(events.recv(65536)[4:6], "little") != _RTM_DELLINK:
            pass
    assert links.find(machine.netlink, pod.result.host_interface) is None
    with pytest.raises(CniError, match="no address is recorded"):
        machine.plugin.check(0, pod.sandbox, machine.subnet)


def test_a_pod_of_the_same_name_takes_the_place_of_the_former_whose_namespace_lingers(lab: Lab):
    machine = lab.machines[0]
    former = machine.add_pod("web-0")
    machine.plugin.remove(former.sandbox)
    space = namespaces.create("net")
    machine.pods.append(Pod(space, "second", former.result))
    result = machine.plugin.add(space.fds["net"], "second", "default/web-0", machine.subnet, 1450)
    assert result.host_interface == former.result.host_interface
    assert result.address != former.result.address
    assert call(machine.space, space, result.address) == "10.244.1.1"


def test_a_restarted_kubelet_finds_its_pods_addresses(lab: Lab, tmp_path: Path):
    machine = lab.machines[0]
    pod = machine.add_pod("one")
    machine.plugin.close()
    machine.plugin = run_in(machine.space, lambda: Plugin(tmp_path / "n1"))
    assert machine.plugin.check(pod.space.fds["net"], pod.sandbox, machine.subnet) == pod.result
    assert machine.add_pod("two").result.address == "10.244.1.3"


def test_addresses_of_sandboxes_that_nobody_knows_are_collected(lab: Lab):
    machine = lab.machines[0]
    one, two = machine.add_pod("one"), machine.add_pod("two")
    assert machine.plugin.gc({two.sandbox}) == [one.sandbox]
    assert machine.plugin.gc({two.sandbox}) == []
    assert machine.plugin.check(two.space.fds["net"], two.sandbox, machine.subnet) == two.result
    assert not links.get(machine.netlink, one.result.host_interface).up


def test_an_add_that_fails_takes_no_address(lab: Lab):
    machine = lab.machines[0]
    with open("/dev/null") as no_namespace, pytest.raises(CniError, match="failed \\(add\\)"):
        machine.plugin.add(no_namespace.fileno(), "x", "default/x", machine.subnet, 1450)
    assert machine.add_pod("one").result.address == "10.244.1.3"
    assert {link.name for link in links.list_links(machine.netlink) if link.kind == "veth"} == {
        "eth0",
        machine.pods[0].result.host_interface,
    }


def test_a_deleted_bridge_is_made_anew_for_the_next_pod(lab: Lab):
    machine = lab.machines[0]
    machine.add_pod("one")
    links.remove(machine.netlink, "cni0")
    assert call(machine.space, machine.add_pod("two").space, "10.244.1.3") == "10.244.1.1"
