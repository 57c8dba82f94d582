"""Every verb on the real kernel: it changes what differs, a second call changes nothing, errors say what was tried."""

import errno
import json
import logging
import socket
import subprocess
from collections.abc import Iterator

import pytest

from knet.kernel import addresses, links, namespaces, neighbours, qdiscs, routes, rules, sysctl
from knet.kernel.addresses import Address
from knet.kernel.links import VethEnd, Vxlan
from knet.kernel.namespaces import Namespaces, run_in
from knet.kernel.neighbours import FdbEntry, Neighbour
from knet.kernel.netlink import Netlink, NetlinkError
from knet.kernel.qdiscs import Impairment
from knet.kernel.routes import Route

pytestmark = pytest.mark.root

FLANNEL = Vxlan(1, "eth0", "172.18.0.3")
MAC = "5e:00:00:00:00:01"


@pytest.fixture
def machine() -> Iterator[Namespaces]:
    """An empty network namespace."""
    held = namespaces.create("net")
    yield held
    held.close()


@pytest.fixture
def netlink(machine: Namespaces) -> Iterator[Netlink]:
    """A socket in a machine that has eth0, up, with 172.18.0.3/24 (its far end dangles in the same namespace)."""
    with Netlink(machine.fds["net"]) as opened:
        opened.send(links.create_veth(VethEnd("eth0"), VethEnd("far0")))
        opened.send(links.change("far0", up=True), links.change("eth0", up=True))
        addresses.ensure(opened, Address("eth0", "172.18.0.3/24"))
        yield opened


def test_a_veth_is_created_straight_in_two_other_namespaces(netlink: Netlink):
    one, two = namespaces.create("net"), namespaces.create("net")
    try:
        netlink.send(links.create_veth(VethEnd("a", netns=one.fds["net"]), VethEnd("b", netns=two.fds["net"])))
        with Netlink(one.fds["net"]) as in_one, Netlink(two.fds["net"]) as in_two:
            assert [link.name for link in links.list_links(in_one)][1:] == ["a"]
            assert [link.name for link in links.list_links(in_two)][1:] == ["b"]
            assert links.get(in_one, "a").peer == links.get(in_two, "b").index
        assert links.find(netlink, "a") is None
    finally:
        one.close()
        two.close()


def test_a_bridge_is_ensured_and_adjusted(netlink: Netlink, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    made = links.ensure_bridge(netlink, "cni0", mac="0a:58:0a:f4:01:01", mtu=1450)
    assert (made.kind, made.up, made.mtu, made.mac) == ("bridge", True, 1450, "0a:58:0a:f4:01:01")
    caplog.clear()
    assert links.ensure_bridge(netlink, "cni0", mac="0a:58:0a:f4:01:01", mtu=1450) == made
    assert caplog.messages == []
    assert links.ensure_bridge(netlink, "cni0", mtu=1400).mtu == 1400
    assert caplog.messages == ["link cni0: mtu 1400 (was 1450)"]


def test_port_attributes(netlink: Netlink):
    bridge = links.ensure_bridge(netlink, "br0")
    port = links.get(netlink, "far0")
    assert links.ensure(netlink, port, master=bridge.index, hairpin=True, neigh_suppress=True, learning=False)
    port = links.get(netlink, "far0")
    assert port.master == bridge.index
    assert port.port is not None
    assert (port.port.hairpin, port.port.neigh_suppress, port.port.learning) == (True, True, False)
    assert not links.ensure(netlink, port, master=bridge.index, hairpin=True, neigh_suppress=True, learning=False)
    assert links.ensure(netlink, port, master=0)
    assert links.get(netlink, "far0").port is None


def test_a_vxlan_device_with_other_parameters_is_replaced_and_the_reason_logged(
    netlink: Netlink, caplog: pytest.LogCaptureFixture
):
    first = links.ensure_vxlan(netlink, "flannel.1", FLANNEL, mac=MAC, mtu=1450)
    assert (first.vxlan, first.mac, first.mtu, first.up) == (FLANNEL, MAC, 1450, True)
    assert links.ensure_vxlan(netlink, "flannel.1", FLANNEL, mac=MAC, mtu=1450).index == first.index
    iana = Vxlan(1, "eth0", "172.18.0.3", port=4789)
    second = links.ensure_vxlan(netlink, "flannel.1", iana, mac=MAC, mtu=1450)
    assert (second.vxlan, second.index != first.index) == (iana, True)
    assert "link flannel.1: replaced, because its port is 8472, not 4789" in caplog.messages


def test_a_group_of_interfaces_is_deleted_at_once(netlink: Netlink):
    netlink.send(
        links.create_bridge("s1", group=77),
        links.create_veth(VethEnd("p1", group=77), VethEnd("p2", group=77)),
        links.delete_group(77),
    )
    assert {link.name for link in links.list_links(netlink)} == {"lo", "eth0", "far0"}
    with pytest.raises(NetlinkError) as refused:
        netlink.send(links.delete_group(77))
    assert refused.value.errno == errno.ENODEV


def test_a_bridge_forgets_what_it_learned(netlink: Netlink):
    bridge = links.ensure_bridge(netlink, "br0")
    links.ensure(netlink, links.get(netlink, "far0"), master=bridge.index)
    learned = FdbEntry("0a:58:0a:f4:01:02", "far0", state="reachable")
    netlink.send(neighbours.set_fdb(learned, netlink.index("far0")))
    assert learned.mac in {entry.mac for entry in neighbours.list_fdb(netlink, bridge="br0")}
    netlink.send(links.flush_fdb(bridge.index))
    assert learned.mac not in {entry.mac for entry in neighbours.list_fdb(netlink, bridge="br0")}


def test_addresses(netlink: Netlink):
    second = Address("eth0", "192.0.2.1/32")
    assert addresses.ensure(netlink, second)
    assert not addresses.ensure(netlink, second)
    assert addresses.ensure(netlink, second, alone=True)
    assert [found for found in addresses.list_addresses(netlink, "eth0") if found.scope == "global"] == [second]
    assert addresses.remove(netlink, second)
    assert not addresses.remove(netlink, second)


@pytest.mark.parametrize("version", [4, 6])
def test_addresses_are_the_same_in_brief(netlink: Netlink, version: int):
    for address in ("192.0.2.1/32", "fd00::1/64"):
        addresses.ensure(netlink, Address("eth0", address))
    brief = {(netlink.name(row.link), row.address, row.scope) for row in addresses.briefly(netlink, version)}
    whole = [row for row in addresses.list_addresses(netlink) if (":" in row.address) == (version == 6)]
    assert brief == {(row.interface, row.address.partition("/")[0], row.scope) for row in whole}
    assert len(brief) >= 2


@pytest.mark.parametrize("source", [True, False])
def test_an_address_that_belongs_to_a_service_is_nobodys_source(machine: Namespaces, netlink: Netlink, source: bool):
    own, service = Address("eth0", "fd00:172:18::3/64"), Address("eth0", "fd00:172:18::201/128", source=source)
    for address in (own, service):
        assert addresses.ensure(netlink, address)
    assert not addresses.ensure(netlink, service)
    asked = ["ip", "-6", "-json", "route", "get", "fd00:172:18::204"]
    [route] = json.loads(run_in(machine, lambda: subprocess.check_output(asked)))
    assert route["prefsrc"] == (service if source else own).address.partition("/")[0]


@pytest.mark.parametrize(
    "route",
    [
        Route("10.244.2.0/24", "eth0", "172.18.0.4"),
        Route("10.244.2.0/24", "eth0", "10.244.2.0", onlink=True),
        Route("default", "eth0", "172.18.0.1", metric=100, protocol=70),
        Route("192.0.2.7/32", "eth0", source="172.18.0.3"),
        Route("10.9.0.0/16", type="blackhole"),
        Route("fd00:9::/64", type="blackhole", table=179),
        Route("10.244.3.0/24", "eth0", "172.18.0.5", table=1000),
    ],
    ids=str,
)
def test_routes(netlink: Netlink, route: Route):
    listed = {"table": route.table, "family": socket.AF_INET6 if ":" in route.destination else socket.AF_INET}
    assert routes.ensure(netlink, route)
    assert route in routes.list_routes(netlink, **listed)
    assert not routes.ensure(netlink, route)
    assert routes.remove(netlink, route)
    assert not routes.remove(netlink, route)
    assert route not in routes.list_routes(netlink, **listed)


def test_of_a_route_each_next_hop_is_told(machine: Namespaces, netlink: Netlink):
    hops = ("172.18.0.4", "172.18.0.5")
    several = [word for hop in hops for word in ("nexthop", "via", hop)]
    run_in(machine, lambda: subprocess.check_call(["ip", "route", "add", "198.51.100.1", *several]))
    found = routes.lookup(netlink, "198.51.100.1")
    assert [(row.destination, row.interface, row.gateway) for row in found] == [
        ("198.51.100.1/32", "eth0", hop) for hop in hops
    ]
    assert [row.gateway for row in routes.lookup(netlink, "172.18.0.9")] == [""]
    assert routes.lookup(netlink, "203.0.113.1") == ()


def test_a_route_to_the_same_place_is_replaced_and_named(netlink: Netlink, caplog: pytest.LogCaptureFixture):
    routes.ensure(netlink, Route("10.244.2.0/24", "eth0", "172.18.0.9"))
    routes.ensure(netlink, Route("10.244.2.0/24", "eth0", "172.18.0.4"))
    assert caplog.messages == [
        "route 10.244.2.0/24 via 172.18.0.4 dev eth0: replaces 10.244.2.0/24 via 172.18.0.9 dev eth0"
    ]
    assert [str(route) for route in routes.list_routes(netlink) if route.gateway] == [
        "10.244.2.0/24 via 172.18.0.4 dev eth0"
    ]


def test_neighbours_and_forwarding_entries(netlink: Netlink):
    links.ensure_vxlan(netlink, "flannel.1", FLANNEL, mac=MAC, mtu=1450)
    neighbour = Neighbour("10.244.2.0", "flannel.1", "5e:00:00:00:00:02")
    entry = FdbEntry("5e:00:00:00:00:02", "flannel.1", "172.18.0.4")
    assert neighbours.ensure_neighbour(netlink, neighbour)
    assert not neighbours.ensure_neighbour(netlink, neighbour)
    assert neighbours.ensure_fdb(netlink, entry)
    assert not neighbours.ensure_fdb(netlink, entry)
    moved = FdbEntry("5e:00:00:00:00:02", "flannel.1", "172.18.0.9")
    assert neighbours.ensure_fdb(netlink, moved)
    assert neighbours.list_fdb(netlink, "flannel.1") == [moved]
    assert neighbours.list_neighbours(netlink, "flannel.1") == [neighbour]
    assert neighbours.remove_neighbour(netlink, neighbour)
    assert not neighbours.remove_neighbour(netlink, neighbour)
    assert neighbours.remove_fdb(netlink, moved)
    assert neighbours.list_fdb(netlink, "flannel.1") == []


def test_bandwidth_is_set_replaced_and_cleared(netlink: Netlink):
    qdiscs.apply(netlink, "eth0", Impairment(rate=10e6, queue=20))
    qdiscs.apply(netlink, "eth0", Impairment(rate=20e6, queue=20))
    assert [(found.kind, found.parent) for found in qdiscs.list_qdiscs(netlink, "eth0")] == [
        ("tbf", "root"),
        ("pfifo", "5:1"),
    ]
    qdiscs.clear(netlink, "eth0")
    qdiscs.clear(netlink, "eth0")
    assert [found.kind for found in qdiscs.list_qdiscs(netlink, "eth0")] == ["noqueue"]


def test_counters_count(machine: Namespaces, netlink: Netlink):
    before = links.counters(netlink)["eth0"]
    with run_in(machine, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)) as packet:
        packet.bind(("eth0", 0))
        packet.send(b"\xff" * 12 + b"\x88\xb5" + bytes(50))
    after = links.counters(netlink)["eth0"]
    assert after.tx_packets > before.tx_packets


def test_a_batch_goes_on_after_a_failure_and_reports_the_first(netlink: Netlink):
    with pytest.raises(NetlinkError) as refused:
        netlink.send(links.create_bridge("eth0"), links.create_bridge("br0"), links.change("nowhere", up=True))
    assert (refused.value.errno, refused.value.what) == (errno.EEXIST, "link add eth0 type bridge")
    assert links.get(netlink, "br0").kind == "bridge"


def test_a_large_batch_is_carried_out_whole(netlink: Netlink):
    index = netlink.index("eth0")
    wanted = [Route(f"10.{high}.{low}.0/24", "eth0", "172.18.0.4") for high in (1, 2) for low in range(200)]
    netlink.send(*(routes.add(route, index) for route in wanted))
    assert set(wanted) <= set(routes.list_routes(netlink))


@pytest.mark.parametrize(
    ("name", "number", "text"),
    [
        ("nowhere", errno.ENODEV, "link show nowhere: No such device"),
        ("x" * 20, errno.ERANGE, "link show xxxxxxxxxxxxxxxxxxxx: Attribute failed policy validation"),
    ],
)
def test_errors_name_what_was_tried_and_why_it_failed(netlink: Netlink, name: str, number: int, text: str):
    with pytest.raises(NetlinkError) as refused:
        links.get(netlink, name)
    assert refused.value.errno == number
    assert refused.value.strerror == text


def test_removing_what_is_not_there_is_nothing(netlink: Netlink):
    assert links.remove(netlink, "far0")
    assert not links.remove(netlink, "far0")


def test_sysctls_belong_to_the_namespace(machine: Namespaces):
    elsewhere = sysctl.read("net.ipv4.ip_forward")

    def inside() -> tuple[bool, bool, str]:
        sysctl.write("net.ipv4.ip_forward", 0)
        first, second = sysctl.ensure("net.ipv4.ip_forward", 1), sysctl.ensure("net.ipv4.ip_forward", 1)
        return first, second, sysctl.read("net/ipv4/ip_forward")

    assert run_in(machine, inside) == (True, False, "1")
    assert sysctl.read("net.ipv4.ip_forward") == elsewhere


def test_a_restore_is_all_or_nothing(machine: Namespaces):
    def inside() -> list[str] | None:
        with pytest.raises(rules.RulesError, match=r"^line 4, -A X --bogus: "):
            rules.restore("*nat\n:X - [0:0]\n-A X -j RETURN\n-A X --bogus\nCOMMIT\n")
        return rules.rule_lines(rules.save("nat"), "X")

    assert run_in(machine, inside) is None
