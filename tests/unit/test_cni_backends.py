"""What each backend wants in the kernel of n1, for sets of leases: golden text of the state."""

from dataclasses import replace

import pytest

from knet.api.families import IPV6
from knet.cni import hostgw, vxlan
from knet.cni.lease import VNI, BackendData, Lease, vtep_mac
from knet.cni.state import State, Underlay

ETH0 = Underlay("eth0", "172.18.0.3/24", 1500)


def vxlan_lease(number: int) -> Lease:
    """Node n1 has the address 172.18.0.3 and the subnet 10.244.1.0/24, and so on."""
    name = f"n{number}"
    return Lease(name, f"10.244.{number}.0/24", f"172.18.0.{2 + number}", "vxlan", BackendData(VNI, vtep_mac(name)))


def hostgw_lease(number: int, public_ip: str = "") -> Lease:
    return Lease(f"n{number}", f"10.244.{number}.0/24", public_ip or f"172.18.0.{2 + number}", "host-gw")


def test_vxlan_installs_entry_neighbour_and_route_for_each_remote_node():
    leases = [vxlan_lease(number) for number in (3, 1, 2)]
    state = vxlan.desired(vxlan_lease(1), leases, ETH0)
    assert str(state) == (
        "device flannel.1 vxlan id 1 local 172.18.0.3 dev eth0 dstport 8472 nolearning"
        " lladdr 5e:40:b3:ea:b6:3f mtu 1450\n"
        "addr 10.244.1.0/32 dev flannel.1\n"
        "fdb 5e:40:24:34:76:fc dev flannel.1 dst 172.18.0.4 permanent\n"
        "fdb 5e:26:c2:ce:28:d0 dev flannel.1 dst 172.18.0.5 permanent\n"
        "neigh 10.244.2.0 dev flannel.1 lladdr 5e:40:24:34:76:fc permanent\n"
        "neigh 10.244.3.0 dev flannel.1 lladdr 5e:26:c2:ce:28:d0 permanent\n"
        "route 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink\n"
        "route 10.244.3.0/24 via 10.244.3.0 dev flannel.1 onlink"
    )
    assert state.mtu == 1450


def test_vxlan_alone_still_has_its_device():
    state = vxlan.desired(vxlan_lease(1), [vxlan_lease(1)], ETH0)
    assert state.device is not None
    assert state.entries == ()


def test_the_order_in_which_nodes_are_seen_does_not_matter():
    leases = [vxlan_lease(number) for number in (1, 2, 3, 4)]
    assert vxlan.desired(leases[0], leases, ETH0) == vxlan.desired(leases[0], leases[::-1], ETH0)


def test_vxlan_passes_over_a_node_of_another_backend():
    state = vxlan.desired(vxlan_lease(1), [vxlan_lease(1), hostgw_lease(2)], ETH0)
    assert state.entries == ()
    assert str(state).splitlines()[-1] == "refused n2: ignoring non-vxlan subnet 10.244.2.0/24: type=host-gw"


def test_vxlan_needs_a_vtep_of_its_own():
    with pytest.raises(ValueError, match="no VTEP"):
        vxlan.desired(hostgw_lease(1), [], ETH0)


def test_direct_routing_takes_the_tunnel_only_where_a_router_is_between():
    far = replace(vxlan_lease(3), public_ip="172.18.1.5")
    state = vxlan.desired(vxlan_lease(1), [far, vxlan_lease(2), vxlan_lease(1)], ETH0, direct=True)
    assert str(state) == (
        "device flannel.1 vxlan id 1 local 172.18.0.3 dev eth0 dstport 8472 nolearning"
        " lladdr 5e:40:b3:ea:b6:3f mtu 1450\n"
        "addr 10.244.1.0/32 dev flannel.1\n"
        "fdb 5e:26:c2:ce:28:d0 dev flannel.1 dst 172.18.1.5 permanent\n"
        "neigh 10.244.3.0 dev flannel.1 lladdr 5e:26:c2:ce:28:d0 permanent\n"
        "route 10.244.2.0/24 via 172.18.0.4 dev eth0\n"
        "route 10.244.3.0/24 via 10.244.3.0 dev flannel.1 onlink"
    )


def test_an_mtu_that_was_decided_on_is_that_of_pods_and_not_of_the_tunnel():
    state = vxlan.desired(vxlan_lease(1), [], ETH0).with_mtu(1500)
    assert state.device is not None
    assert (state.mtu, state.device.mtu) == (1500, 1450)
    assert hostgw.desired(hostgw_lease(1), [], ETH0).with_mtu(9000) == State(9000)


def test_hostgw_routes_through_the_remote_machine_and_keeps_the_mtu():
    state = hostgw.desired(hostgw_lease(1), [hostgw_lease(number) for number in (1, 2, 3)], ETH0)
    assert str(state) == ("route 10.244.2.0/24 via 172.18.0.4 dev eth0\nroute 10.244.3.0/24 via 172.18.0.5 dev eth0")
    assert state.mtu == 1500


def test_hostgw_refuses_a_node_behind_a_router_and_says_what_to_do():
    leases = [hostgw_lease(1), hostgw_lease(2), hostgw_lease(3, public_ip="172.18.1.3")]
    state = hostgw.desired(leases[0], leases, ETH0)
    assert str(state) == (
        "route 10.244.2.0/24 via 172.18.0.4 dev eth0\n"
        "refused n3: no route to 10.244.3.0/24: host-gw needs 172.18.1.3 on the same link as 172.18.0.3/24 (eth0), "
        "but a router is between them; use the vxlan or the direct-routing backend"
    )


def test_ipv6_has_a_tunnel_of_its_own_with_wider_headers():
    def lease(number: int) -> Lease:
        name, subnet = f"n{number}", f"fd00:10:244:{number}::/64"
        return Lease(name, subnet, f"fd00:172:18::{2 + number}", "vxlan", BackendData(VNI, vtep_mac(name, IPV6)))

    state = vxlan.desired(lease(1), [lease(2)], Underlay("eth0", "fd00:172:18::3/64", 1500))
    assert str(state) == (
        "device flannel-v6.1 vxlan id 1 local fd00:172:18::3 dev eth0 dstport 8472 nolearning"
        " lladdr 5e:c3:da:4d:7c:00 mtu 1430\n"
        "addr fd00:10:244:1::/128 dev flannel-v6.1\n"
        "fdb 5e:49:52:3a:ae:2e dev flannel-v6.1 dst fd00:172:18::4 permanent\n"
        "neigh fd00:10:244:2:: dev flannel-v6.1 lladdr 5e:49:52:3a:ae:2e permanent\n"
        "route fd00:10:244:2::/64 via fd00:10:244:2:: dev flannel-v6.1 onlink"
    )
