"""The topologies that come with knet, as the plans they describe."""

import runpy

import pytest
from mininet.util import buildTopo

from knet.underlay.plan import WORKER
from knet.underlay.topology import built_in, describe, load
from knet.underlay.validate import check

SINGLE = """\
cp1 control-plane cp1-eth0=172.18.0.2/24
n1 worker n1-eth0=172.18.0.3/24
n2 worker n2-eth0=172.18.0.4/24
client external client-eth0=172.18.0.5/24
s1 switch
cp1-eth0 – s1-eth1
n1-eth0 – s1-eth2
n2-eth0 – s1-eth3
client-eth0 – s1-eth4"""

LEAF_SPINE = """\
cp1 control-plane cp1-eth0=172.18.0.2/24 · topology.kubernetes.io/zone=leaf1
n1 worker n1-eth0=172.18.0.3/24 · topology.kubernetes.io/zone=leaf1
n2 worker n2-eth0=172.18.0.4/24 · topology.kubernetes.io/zone=leaf2
client external client-eth0=172.18.0.5/24 · topology.kubernetes.io/zone=leaf1
spine1 switch
spine2 switch
leaf1 switch
leaf2 switch
leaf1-eth1 – spine1-eth1
leaf1-eth2 – spine2-eth1
leaf2-eth1 – spine1-eth2
leaf2-eth2 – spine2-eth2
cp1-eth0 – leaf1-eth3
n1-eth0 – leaf1-eth4
n2-eth0 – leaf2-eth3
client-eth0 – leaf1-eth5"""

TWO_RACKS = """\
r1 router r1-eth0=172.18.1.1/24 r1-eth1=172.18.2.1/24
cp1 control-plane cp1-eth0=172.18.1.2/24 · default via 172.18.1.1 · topology.kubernetes.io/zone=rack1
n1 worker n1-eth0=172.18.1.3/24 · default via 172.18.1.1 · topology.kubernetes.io/zone=rack1
n2 worker n2-eth0=172.18.2.4/24 · default via 172.18.2.1 · topology.kubernetes.io/zone=rack2
client external client-eth0=172.18.1.5/24 · default via 172.18.1.1 · topology.kubernetes.io/zone=rack1
s1 switch
s2 switch
s1-eth1 – r1-eth0
s2-eth1 – r1-eth1
cp1-eth0 – s1-eth2
n1-eth0 – s1-eth3
n2-eth0 – s2-eth2
client-eth0 – s1-eth4"""

WAN_LINKS = """\
r1-eth0 – s1-eth1
r2-eth0 – s2-eth1
r1-eth1 – r2-eth1 · 100 Mbit/s, 20 ms
cp1-eth0 – s1-eth2
n1-eth0 – s1-eth3
n2-eth0 – s2-eth2
client-eth0 – s1-eth4"""


@pytest.mark.parametrize(("name", "golden"), [("single", SINGLE), ("leaf_spine", LEAF_SPINE), ("two_racks", TWO_RACKS)])
def test_describes_as_it_looks(name: str, golden: str) -> None:
    assert str(describe(load(name))) == golden


def test_wan_is_two_sites_with_a_long_narrow_link() -> None:
    plan = describe(load("wan"))
    assert str(plan).endswith(WAN_LINKS)
    assert "r1 router r1-eth0=172.18.1.1/24 r1-eth1=172.18.0.1/30 · 172.18.2.0/24 via 172.18.0.2" in str(plan)


@pytest.mark.parametrize("name", sorted(built_in()))
@pytest.mark.parametrize("workers", [1, 2, 7, 40])
def test_takes_any_number_of_workers(name: str, workers: int) -> None:
    plan = describe(load(name, workers))
    check(plan, missing=lambda names: [])
    assert [machine.name for machine in plan.of_role(WORKER)] == [f"n{number}" for number in range(1, workers + 1)]


def test_parameters_follow_the_name_as_for_mn() -> None:
    plan = describe(load("leaf_spine,leaves=3,spines=1", workers=6))
    assert [switch.name for switch in plan.switches] == ["spine1", "leaf1", "leaf2", "leaf3"]
    zones = [machine.labels["topology.kubernetes.io/zone"] for machine in plan.of_role(WORKER)]
    assert zones == ["leaf1", "leaf2", "leaf3"] * 2


def test_wan_needs_no_netem_without_delay() -> None:
    link = describe(load("wan,delay=0,bw=10")).links[2]
    assert [(impairment.rate, impairment.needs_netem) for impairment in link.impairments] == [(10e6, False)] * 2


def test_a_cluster_of_a_thousand_machines_fits_one_switch() -> None:
    check(describe(load("single", workers=1000)), missing=lambda names: [])


@pytest.mark.parametrize(("name", "path"), built_in().items())
def test_mininet_itself_can_load_it(name: str, path: object) -> None:
    topos = runpy.run_path(str(path))["topos"]
    topo = buildTopo(topos, f"{name},workers=3")
    assert {"cp1", "n1", "n2", "n3", "client"} <= set(topo.hosts())
