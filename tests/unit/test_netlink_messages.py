"""Our encoder against pyroute2's decoder: the same message, read by somebody else."""

from typing import Any

import pytest
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from knet.kernel import addresses, links, neighbours, netlink_wire, qdiscs, routes
from knet.kernel.netlink_wire import Request


def decode(cls: Any, request: Request) -> Any:
    """The request as pyroute2 reads it off the wire."""
    header = netlink_wire.HEADER.pack(16 + len(request.body), request.type, request.flags, 1, 0)
    message = cls(header + request.body)
    message.decode()
    return message


def test_a_veth_pair_names_both_ends_and_their_namespaces():
    near = links.VethEnd("veth1a2b3c4d", netns=7, mtu=1450, group=5)
    far = links.VethEnd("eth0", netns=9, mtu=1450, mac="0a:58:0a:f4:01:02")
    message = decode(ifinfmsg, links.create_veth(near, far, master=4, up=True))
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
    message = decode(ifinfmsg, links.create_vxlan("flannel.1", wanted, 2, mac="5e:00:00:00:00:01", mtu=1450))
    data = message.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA")
    found = {name: data.get_attr(f"IFLA_VXLAN_{name}") for name in ("ID", "LINK", "LOCAL", "LEARNING", "PORT")}
    assert found == {"ID": 1, "LINK": 2, "LOCAL": "172.18.0.3", "LEARNING": 0, "PORT": 8472}


def test_a_bridge_has_no_spanning_tree():
    message = decode(ifinfmsg, links.create_bridge("cni0", mcast_snooping=False))
    data = message.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA")
    assert data.get_attr("IFLA_BR_STP_STATE") == 0
    assert data.get_attr("IFLA_BR_MCAST_SNOOPING") == 0


def test_port_attributes_go_to_the_bridge_that_owns_the_port():
    message = decode(ifinfmsg, links.change(5, hairpin=True, neigh_suppress=False))
    info = message.get_attr("IFLA_LINKINFO")
    assert info.get_attr("IFLA_INFO_SLAVE_KIND") == "bridge"
    port = info.get_attr("IFLA_INFO_SLAVE_DATA")
    assert (port.get_attr("IFLA_BRPORT_MODE"), port.get_attr("IFLA_BRPORT_NEIGH_SUPPRESS")) == (1, 0)
    assert port.get_attr("IFLA_BRPORT_LEARNING") is None


def test_taking_an_interface_down_changes_only_that_flag():
    message = decode(ifinfmsg, links.change(5, up=False))
    assert (message["index"], message["flags"], message["change"], message["attrs"]) == (5, 0, 1, [])


@pytest.mark.parametrize(
    ("address", "broadcast"), [("10.244.1.2/24", "10.244.1.255"), ("10.244.1.0/32", None), ("192.0.2.0/31", None)]
)
def test_an_address_has_its_broadcast_where_there_is_room_for_one(address: str, broadcast: str | None):
    message = decode(ifaddrmsg, addresses.add(addresses.Address("eth0", address), 2))
    assert f"{message.get_attr('IFA_LOCAL')}/{message['prefixlen']}" == address
    assert message.get_attr("IFA_BROADCAST") == broadcast


def test_a_route_through_a_gateway_that_no_address_knows():
    route = routes.Route("10.244.2.0/24", "flannel.1", "10.244.2.0", onlink=True, metric=10)
    message = decode(rtmsg, routes.add(route, 4))
    assert (message["dst_len"], message["table"], message["flags"], message["scope"]) == (24, 254, 4, 0)
    assert message.get_attr("RTA_DST") == "10.244.2.0"
    assert message.get_attr("RTA_GATEWAY") == "10.244.2.0"
    assert (message.get_attr("RTA_OIF"), message.get_attr("RTA_PRIORITY")) == (4, 10)


def test_a_default_route_has_no_destination():
    message = decode(rtmsg, routes.add(routes.Route("default", "eth0", "10.244.1.1"), 2))
    assert message["dst_len"] == 0
    assert message.get_attr("RTA_DST") is None


def test_a_vtep_is_a_permanent_entry_of_the_device_itself():
    entry = neighbours.FdbEntry("5e:00:00:00:00:02", "flannel.1", "172.18.0.4")
    message = decode(ndmsg, neighbours.set_fdb(entry, 4))
    assert (message["family"], message["ifindex"], message["state"], message["flags"]) == (7, 4, 0x80, 2)
    assert message.get_attr("NDA_LLADDR") == "5e:00:00:00:00:02"


def test_bandwidth_and_queue_in_the_kernels_units():
    [tbf] = qdiscs.requests("eth0", 2, qdiscs.Impairment(rate=10e6, queue=50))[:1]
    parameters = decode(tcmsg, tbf).get_attr("TCA_OPTIONS").get_attr("TCA_TBF_PARMS")
    assert (parameters["rate"], parameters["limit"]) == (1_250_000, 50 * 1514)


def test_delay_goes_below_the_bandwidth():
    found = qdiscs.requests("eth0", 2, qdiscs.Impairment(rate=10e6, delay=0.02, loss=0.01))
    messages = [decode(tcmsg, request) for request in found]
    assert [message.get_attr("TCA_KIND") for message in messages] == ["tbf", "netem"]
    assert messages[1]["parent"] == messages[0]["handle"] | 1


def test_no_impairment_needs_no_message():
    assert qdiscs.requests("eth0", 2, qdiscs.Impairment()) == []


def test_strings_and_numbers_are_read_back():
    data = netlink_wire.text(3, "cni0") + netlink_wire.u32(4, 1450) + netlink_wire.nested(18, netlink_wire.u8(1, 7))
    found = netlink_wire.attributes(data)
    assert netlink_wire.string(found[3]) == "cni0"
    assert netlink_wire.number(found[4]) == 1450
    assert netlink_wire.attributes(found[18]) == {1: b"\x07"}


def test_a_truncated_message_is_no_endless_loop():
    assert netlink_wire.attributes(b"\0\0\0\0" * 3) == {}


def test_routes_read_as_ip_prints_them():
    assert str(routes.Route("10.244.2.0/24", "flannel.1", "10.244.2.0", onlink=True)) == (
        "10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink"
    )
    assert str(routes.Route("10.9.0.0/16", type="blackhole")) == "blackhole 10.9.0.0/16"
