"""IPv6 beside the addresses that a topology declares, or instead of them."""

from ipaddress import IPv4Interface

import pytest

from knet.underlay.families import counterpart, in_families
from knet.underlay.topology import describe, load


@pytest.mark.parametrize(
    ("declared", "made"),
    [
        ("172.18.1.3/24", "fd00:172:18:1::3/64"),
        ("172.18.0.200/24", "fd00:172:18::200/64"),
        ("172.18.3.4/16", "fd00:172:18::3:4/64"),
        ("172.18.17.7/20", "fd00:172:18:16::1:7/64"),  # of the network 172.18.16.0
        ("172.18.0.5/30", "fd00:172:18:0:4::1/80"),  # 172.18.0.4
        ("10.1.2.3/8", "fd00:10::1:2:3/64"),
    ],
)
def test_an_address_has_a_counterpart_that_can_be_read(declared: str, made: str):
    assert str(counterpart(IPv4Interface(declared))) == made


def test_both_families_have_addresses_gateways_and_routes():
    lines = str(in_families(describe(load("wan", 1)), ("IPv4", "IPv6"))).splitlines()
    assert lines[0] == (
        "r1 router r1-eth0=172.18.1.1/24,fd00:172:18:1::1/64 r1-eth1=172.18.0.1/30,fd00:172:18::1/80"
        " · 172.18.2.0/24 via 172.18.0.2 · fd00:172:18:2::/64 via fd00:172:18::2"
    )
    assert lines[3].startswith(
        "n1 worker n1-eth0=172.18.1.3/24,fd00:172:18:1::3/64 · default via 172.18.1.1 · default via fd00:172:18:1::1"
    )


def test_ipv6_alone_keeps_the_hardware_addresses():
    before = describe(load("two_racks", 1))
    after = in_families(before, ("IPv6",))
    assert [i.mac for m in after.machines for i in m.interfaces] == [
        i.mac for m in before.machines for i in m.interfaces
    ]
    assert "172.18" not in str(after)
    assert after.machines[2].address == "fd00:172:18:1::3"


def test_ipv4_alone_is_the_topology_itself():
    plan = describe(load("single", 1))
    assert in_families(plan, ("IPv4",)) is plan
