"""A Node's annotations and the lease that they mean."""

from typing import Any

import msgspec
import pytest

from knet.api.objects import Node
from knet.cni.lease import BackendData, Lease, annotations, lease_of, own_lease, vtep_mac

FLANNEL = "flannel.alpha.coreos.com/"


def node(pod_cidr: str = "10.244.2.0/24", **found: str) -> Node:
    body: dict[str, Any] = {
        "metadata": {"name": "n2", "annotations": {FLANNEL + key.replace("_", "-"): found[key] for key in found}},
        "spec": {"podCIDR": pod_cidr},
    }
    return msgspec.convert(body, Node)


def test_what_upstream_writes_is_understood():
    found = node(
        kube_subnet_manager="true",
        backend_type="vxlan",
        backend_data='{"VNI":1,"VtepMAC":"5e:2f:01:02:03:04"}',
        public_ip="172.18.0.4",
    )
    vtep = BackendData(1, "5e:2f:01:02:03:04")
    assert lease_of(found) == Lease("n2", "10.244.2.0/24", "172.18.0.4", "vxlan", vtep)


def test_what_is_written_is_read_back():
    for backend in ("vxlan", "host-gw"):
        own = own_lease(node(), backend, "172.18.0.4")
        assert own is not None
        written = {key.removeprefix(FLANNEL).replace("-", "_"): value for key, value in annotations(own).items()}
        assert lease_of(node(**written)) == own


def test_direct_routing_is_announced_as_vxlan():
    own = own_lease(node(), "direct-routing", "172.18.0.4")
    assert own is not None
    assert own == own_lease(node(), "vxlan", "172.18.0.4")
    assert own.vtep is not None


def test_the_annotations_are_upstreams_byte_for_byte():
    own = own_lease(node(), "vxlan", "172.18.0.4")
    assert own is not None
    assert annotations(own) == {
        "flannel.alpha.coreos.com/backend-data": '{"VNI":1,"VtepMAC":"' + vtep_mac("n2") + '"}',
        "flannel.alpha.coreos.com/backend-type": "vxlan",
        "flannel.alpha.coreos.com/public-ip": "172.18.0.4",
        "flannel.alpha.coreos.com/kube-subnet-manager": "true",
    }


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(node(), id="no flanneld there yet"),
        pytest.param(node(pod_cidr="", kube_subnet_manager="true", public_ip="172.18.0.4"), id="no podCIDR yet"),
        pytest.param(node(kube_subnet_manager="false", public_ip="172.18.0.4"), id="managed by something else"),
    ],
)
def test_some_nodes_have_no_lease(found: Node):
    assert lease_of(found) is None


@pytest.mark.parametrize(
    "annotation",
    [{"public_ip": "nonsense"}, {}, {"public_ip": "172.18.0.4", "backend_data": "{"}, {"public_ip": "2001:db8::1"}],
)
def test_nonsense_is_refused_by_the_nodes_name(annotation: dict[str, str]):
    with pytest.raises(ValueError, match="error turning node 'n2' to lease"):
        lease_of(node(kube_subnet_manager="true", **annotation))


def test_a_public_ip_can_be_overridden_by_annotation():
    own = own_lease(node(public_ip_overwrite="192.0.2.7"), "host-gw", "172.18.0.4")
    assert own is not None
    assert own.public_ip == "192.0.2.7"


def test_vtep_addresses_are_local_unicast_and_tell_nodes_apart():
    macs = {vtep_mac(f"n{number}") for number in range(500)}
    assert len(macs) == 500
    assert all(int(mac[:2], 16) & 3 == 2 for mac in macs)


def test_a_node_of_both_families_announces_a_lease_of_each():
    found = msgspec.convert(
        {
            "metadata": {"name": "n2"},
            "spec": {"podCIDR": "10.244.2.0/24", "podCIDRs": ["10.244.2.0/24", "fd00:10:244:2::/64"]},
        },
        Node,
    )
    leases = [own_lease(found, "vxlan", address) for address in ("172.18.0.4", "fd00:172:18::4")]
    written = {key: value for lease in leases if lease for key, value in annotations(lease).items()}
    assert written.keys() == {
        FLANNEL + key
        for key in (
            "backend-type",
            "backend-data",
            "backend-v6-data",
            "public-ip",
            "public-ipv6",
            "kube-subnet-manager",
        )
    }
    announced = node(**{key.removeprefix(FLANNEL).replace("-", "_"): value for key, value in written.items()})
    announced = msgspec.structs.replace(announced, spec=found.spec)
    assert [lease_of(announced, family) for family in ("IPv4", "IPv6")] == leases
    assert lease_of(msgspec.structs.replace(announced, spec=node().spec), "IPv6") is None
