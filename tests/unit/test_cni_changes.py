"""The steps from what the kernel holds to what flanneld wants, in order."""

import dataclasses

from knet.cni import hostgw, vxlan
from knet.cni.lease import VNI, BackendData, Lease
from knet.cni.reconciler import changes
from knet.cni.state import State, Underlay
from knet.kernel.neighbours import FdbEntry, Neighbour
from knet.kernel.routes import Route

ETH0 = Underlay("eth0", "172.18.0.3/24", 1500)
MACS = {number: f"5e:00:00:00:00:0{number}" for number in (1, 2, 3)}


def lease(number: int, public_ip: str = "", mac: str = "") -> Lease:
    vtep = BackendData(VNI, mac or MACS[number])
    return Lease(f"n{number}", f"10.244.{number}.0/24", public_ip or f"172.18.0.{2 + number}", "vxlan", vtep)


def wanted(*others: Lease) -> State:
    return vxlan.desired(lease(1), [lease(1), *others], ETH0)


def texts(state: State, present: State) -> list[str]:
    return [str(change) for change in changes(state, present.entries)]


def test_a_new_node_gets_its_entry_then_its_neighbour_then_its_route():
    assert texts(wanted(lease(2)), wanted()) == [
        "add fdb 5e:00:00:00:00:02 dev flannel.1 dst 172.18.0.4 permanent",
        "add neigh 10.244.2.0 dev flannel.1 lladdr 5e:00:00:00:00:02 permanent",
        "add route 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink",
    ]


def test_a_node_that_left_loses_them_in_the_opposite_order():
    assert texts(wanted(lease(3)), wanted(lease(2), lease(3))) == [
        "remove route 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink",
        "remove neigh 10.244.2.0 dev flannel.1 lladdr 5e:00:00:00:00:02 permanent",
        "remove fdb 5e:00:00:00:00:02 dev flannel.1 dst 172.18.0.4 permanent",
    ]


def test_agreement_needs_no_step():
    assert texts(wanted(lease(2), lease(3)), wanted(lease(2), lease(3))) == []


def test_a_machine_that_moved_changes_one_entry():
    assert texts(wanted(lease(2, public_ip="172.18.0.9")), wanted(lease(2))) == [
        "add fdb 5e:00:00:00:00:02 dev flannel.1 dst 172.18.0.9 permanent in place of "
        "5e:00:00:00:00:02 dev flannel.1 dst 172.18.0.4 permanent"
    ]


def test_a_new_vtep_address_keeps_the_route():
    assert texts(wanted(lease(2, mac="5e:00:00:00:00:99")), wanted(lease(2))) == [
        "add fdb 5e:00:00:00:00:99 dev flannel.1 dst 172.18.0.4 permanent",
        "add neigh 10.244.2.0 dev flannel.1 lladdr 5e:00:00:00:00:99 permanent in place of "
        "10.244.2.0 dev flannel.1 lladdr 5e:00:00:00:00:02 permanent",
        "remove fdb 5e:00:00:00:00:02 dev flannel.1 dst 172.18.0.4 permanent",
    ]


def test_a_machine_that_moved_onto_the_link_is_routed_to_before_its_tunnel_goes():
    far, near = lease(2, public_ip="172.18.1.9"), lease(2)
    steps = changes(vxlan.desired(lease(1), [near], ETH0, direct=True), wanted(far).entries)
    assert [str(step) for step in steps] == [
        "add route 10.244.2.0/24 via 172.18.0.4 dev eth0 in place of 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink",
        "remove neigh 10.244.2.0 dev flannel.1 lladdr 5e:00:00:00:00:02 permanent",
        "remove fdb 5e:00:00:00:00:02 dev flannel.1 dst 172.18.1.9 permanent",
    ]


def test_a_foreign_route_to_the_same_subnet_is_replaced():
    foreign = Route("10.244.2.0/24", "eth0", "172.18.0.9")
    state = hostgw.desired(lease_hostgw(1), [lease_hostgw(1), lease_hostgw(2)], ETH0)
    assert [str(change) for change in changes(state, [foreign])] == [
        "add route 10.244.2.0/24 via 172.18.0.4 dev eth0 in place of 10.244.2.0/24 via 172.18.0.9 dev eth0"
    ]


def test_only_the_missing_entry_is_restored():
    present = wanted(lease(2), lease(3))
    damaged = dataclasses.replace(present, neighbours=present.neighbours[1:])
    assert texts(present, damaged) == ["add neigh 10.244.2.0 dev flannel.1 lladdr 5e:00:00:00:00:02 permanent"]


def test_strays_on_the_own_device_are_removed():
    stray = [FdbEntry("5e:00:00:00:00:77", "flannel.1", "172.18.0.7"), Neighbour("10.244.7.0", "flannel.1", "5e:07")]
    assert [str(change) for change in changes(wanted(), stray)] == [
        "remove neigh 10.244.7.0 dev flannel.1 lladdr 5e:07 permanent",
        "remove fdb 5e:00:00:00:00:77 dev flannel.1 dst 172.18.0.7 permanent",
    ]


def lease_hostgw(number: int) -> Lease:
    return Lease(f"n{number}", f"10.244.{number}.0/24", f"172.18.0.{2 + number}", "host-gw")
