"""What requests say to the kernel, read back; templates; and how little of pyroute2 that takes."""

import subprocess
import sys
from typing import Any

import pytest

from knet.kernel import addresses, links, neighbours, qdiscs, routes
from knet.kernel.netlink_wire import Request, Template, values


def decode(request: Request) -> Any:
    """The request as pyroute2 reads it off the wire."""
    message = request.kind(request.data)
    message.decode()
    return message


def test_a_veth_pair_names_both_ends_and_their_namespaces():
    near = links.VethEnd("veth1a2b3c4d", netns=7, mtu=1450, group=5)
    far = links.VethEnd("eth0", netns=9, mtu=1450, mac="0a:58:0a:f4:01:02")
    message = decode(links.create_veth(near, far, master=4, up=True))
    assert (message["flags"], message["change"]) == (1, 1)
    assert message.get_attr("IFLA_IFNAME") == "veth1a2b3c4d"
    assert message.get_attr("IFLA_NET_NS_FD") == 7
    assert message.get_attr("IFLA_MASTER") == 4
    assert message.get_attr("IFLA_GROUP") == 5
    info = message.get_attr("IFLA_LINKINFO")
    assert info.get_attr("IFLA_INFO_KIND") == "veth"
    peer = info.get_attr("IFLA_INFO_DATA").get_attr("VETH_INFO_PEER")
    assert peer.get_attr("IFLA_IFNAME") == "eth0"
    assert peer.get_attr("IFLA_NET_NS_FD") == 9
    assert peer.get_attr("IFLA_MTU") == 1450
    assert peer.get_attr("IFLA_ADDRESS") == "0a:58:0a:f4:01:02"


def test_a_vxlan_device():
    wanted = links.Vxlan(1, "eth0", "172.18.0.3")
    message = decode(links.create_vxlan("flannel.1", wanted, 2, mac="5e:00:00:00:00:01", mtu=1450))
    data = message.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA")
    found = {name: data.get_attr(f"IFLA_VXLAN_{name}") for name in ("ID", "LINK", "LOCAL", "LEARNING", "PORT")}
    assert found == {"ID": 1, "LINK": 2, "LOCAL": "172.18.0.3", "LEARNING": 0, "PORT": 8472}


def test_a_bridge_has_no_spanning_tree():
    message = decode(links.create_bridge("cni0", mcast_snooping=False))
    data = message.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA")
    assert data.get_attr("IFLA_BR_STP_STATE") == 0
    assert data.get_attr("IFLA_BR_MCAST_SNOOPING") == 0


def test_port_attributes_go_to_the_bridge_that_owns_the_port():
    message = decode(links.change(5, hairpin=True, neigh_suppress=False))
    info = message.get_attr("IFLA_LINKINFO")
    assert info.get_attr("IFLA_INFO_SLAVE_KIND") == "bridge"
    port = info.get_attr("IFLA_INFO_SLAVE_DATA")
    assert (port.get_attr("IFLA_BRPORT_MODE"), port.get_attr("IFLA_BRPORT_NEIGH_SUPPRESS")) == (1, 0)
    assert port.get_attr("IFLA_BRPORT_LEARNING") is None


def test_taking_an_interface_down_changes_only_that_flag():
    message = decode(links.change(5, up=False))
    assert (message["index"], message["flags"], message["change"], message["attrs"]) == (5, 0, 1, [])


@pytest.mark.parametrize(
    ("address", "broadcast"), [("10.244.1.2/24", "10.244.1.255"), ("10.244.1.0/32", None), ("192.0.2.0/31", None)]
)
def test_an_address_has_its_broadcast_where_there_is_room_for_one(address: str, broadcast: str | None):
    message = decode(addresses.add(addresses.Address("eth0", address), 2))
    assert f"{message.get_attr('IFA_LOCAL')}/{message['prefixlen']}" == address
    assert message.get_attr("IFA_BROADCAST") == broadcast


def test_a_route_through_a_gateway_that_no_address_knows():
    route = routes.Route("10.244.2.0/24", "flannel.1", "10.244.2.0", onlink=True, metric=10)
    message = decode(routes.add(route, 4))
    assert (message["dst_len"], message["table"], message["flags"], message["scope"]) == (24, 254, 4, 0)
    assert message.get_attr("RTA_DST") == "10.244.2.0"
    assert message.get_attr("RTA_GATEWAY") == "10.244.2.0"
    assert (message.get_attr("RTA_OIF"), message.get_attr("RTA_PRIORITY")) == (4, 10)


def test_a_default_route_has_no_destination():
    message = decode(routes.add(routes.Route("default", "eth0", "10.244.1.1"), 2))
    assert message["dst_len"] == 0
    assert message.get_attr("RTA_DST") is None


def test_a_vtep_is_a_permanent_entry_of_the_device_itself():
    entry = neighbours.FdbEntry("5e:00:00:00:00:02", "flannel.1", "172.18.0.4")
    message = decode(neighbours.set_fdb(entry, 4))
    assert (message["family"], message["ifindex"], message["state"], message["flags"]) == (7, 4, 0x80, 2)
    assert message.get_attr("NDA_LLADDR") == "5e:00:00:00:00:02"


def test_bandwidth_and_queue_in_the_kernels_units():
    [tbf] = qdiscs.requests("eth0", 2, qdiscs.Impairment(rate=10e6, queue=50))[:1]
    parameters = decode(tbf).get_attr("TCA_OPTIONS").get_attr("TCA_TBF_PARMS")
    assert (parameters["rate"], parameters["limit"]) == (1_250_000, 50 * 1514)


def test_delay_goes_below_the_bandwidth():
    found = qdiscs.requests("eth0", 2, qdiscs.Impairment(rate=10e6, delay=0.02, loss=0.01))
    messages = [decode(request) for request in found]
    assert [message.get_attr("TCA_KIND") for message in messages] == ["tbf", "netem"]
    assert messages[1]["parent"] == messages[0]["handle"] | 1


def test_netem_is_told_how_often():
    impaired = qdiscs.Impairment(delay=1, loss=1, loss_correlation=0.5, duplicate=0.25, reorder=0.5, corrupt=0.125)
    [netem] = (decode(request).get_attr("TCA_OPTIONS") for request in qdiscs.requests("eth0", 2, impaired))
    assert (netem["loss"], netem["duplicate"], netem["gap"]) == (0xFFFFFFFF, 0x40000000, 1)
    assert netem.get_attr("TCA_NETEM_CORR")["loss_corr"] == 0x80000000
    assert netem.get_attr("TCA_NETEM_REORDER")["prob_reorder"] == 0x80000000
    assert netem.get_attr("TCA_NETEM_CORRUPT")["prob_corrupt"] == 0x20000000


def test_no_impairment_needs_no_message():
    assert qdiscs.requests("eth0", 2, qdiscs.Impairment()) == []


def test_what_is_absent_is_none():
    message = decode(links.create_bridge("cni0", mtu=1450))
    assert values(message, "IFLA_MTU", "IFLA_GROUP", "IFLA_IFNAME") == (1450, None, "cni0")
    assert values(None, "IFLA_MTU") == (None,)


def veth(name: str, netns: int, mac: str) -> Request:
    return links.create_veth(links.VethEnd(name, mtu=1450), links.VethEnd("eth0", netns, mac=mac), master=4)


def test_a_filled_template_is_the_message_itself():
    name, netns, mac = "veth????????", 99, "0a:58:00:00:00:00"
    template = Template(veth(name, netns, mac), name=name, netns=netns, mac=mac)
    for name, netns, mac in (("veth1a2b3c4d", 7, "0a:58:0a:f4:01:02"), ("veth90d1f3c4", 70000, "0a:58:0a:f4:01:ff")):
        assert template.fill(name=name, netns=netns, mac=mac) == veth(name, netns, mac)


def test_a_placeholder_is_filled_in_wherever_it_stands():
    def request(address: str, index: int) -> Request:
        return addresses.add(addresses.Address("eth0", f"{address}/24"), index)

    template = Template(request("10.244.1.2", 99), address="10.244.1.2", index=99)
    assert template.fill(address="10.244.1.77", index=2) == request("10.244.1.77", 2)


def test_a_template_takes_only_what_fits():
    template = Template(links.change("veth0", up=True), name="veth0")
    with pytest.raises(ValueError, match="veth10 is not of the length of veth0"):
        template.fill(name="veth10")
    with pytest.raises(KeyError):
        template.fill()
    with pytest.raises(ValueError, match="link set veth0: holds no eth9"):
        Template(links.change("veth0", up=True), name="eth9")


def test_routes_read_as_ip_prints_them():
    assert str(routes.Route("10.244.2.0/24", "flannel.1", "10.244.2.0", onlink=True)) == (
        "10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink"
    )
    assert str(routes.Route("10.9.0.0/16", type="blackhole")) == "blackhole 10.9.0.0/16"


USE = """
import pyroute2
with pyroute2.IPRoute() as route:
    assert route.link_lookup(ifname="lo") == [1]
assert pyroute2.netlink.rtnl.ifinfmsg.ifinfmsg is sys.modules["pyroute2.netlink.rtnl.ifinfmsg"].ifinfmsg
from pyroute2 import NDB, config
"""
LEAN = """
from knet.kernel import links, qdiscs
assert links.create_bridge("br0").kind.__module__.startswith("pyroute2.")
assert qdiscs.requests("eth0", 2, qdiscs.Impairment(rate=1e6, delay=0.1))
"""
UNUSED = "assert not {'asyncio', 'sqlite3', 'psutil', 'pyroute2.ndb', 'pyroute2.iproute'} & set(sys.modules)"


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(LEAN + UNUSED, id="only the messages are imported"),
        pytest.param(LEAN + USE, id="pyroute2 works in full afterwards"),
        pytest.param(USE + LEAN, id="and before"),
        pytest.param("from knet.kernel import conntrack\n" + LEAN + UNUSED, id="connection tracking needs no more"),
    ],
)
def test_pyroute2_is_there_for_everybody(program: str):
    subprocess.run([sys.executable, "-W", "error", "-c", f"import sys\n{program}"], check=True)
