"""Which address a Service of type LoadBalancer gets: of which pool, and by what it asks for."""

import ipaddress

import pytest
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether

from knet.api.load_balancers import AddressPool
from knet.cluster.pools import default_pool
from knet.controllers.loadbalancer.assignment import assign
from knet.kernel.announce import frame
from knet.underlay.describe import describe
from knet.underlay.topology import load
from tests.cluster_objects import service

POOL = AddressPool.parse("172.18.0.200-172.18.0.202, fd00::10-fd00::1f")
BOTH = ("IPv4", "IPv6")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("172.18.0.300", "'172.18.0.300' does not appear to be an IPv4 or IPv6 network"),
        ("172.18.0.9-172.18.0.1", "172.18.0.9-172.18.0.1 is no range: it has to go from a lower to a higher address"),
        ("172.18.0.1-fd00::1", "of one family"),
        ("172.18.0.1/24", "has host bits set"),
    ],
)
def test_what_is_no_pool_is_said(text: str, why: str) -> None:
    with pytest.raises(ValueError) as caught:
        AddressPool.parse(text)
    assert why in str(caught.value)


def test_a_pool_knows_its_own() -> None:
    assert "172.18.0.201" in POOL and "fd00::1f" in POOL
    assert "172.18.0.203" not in POOL and "fd00::20" not in POOL
    assert POOL.overlaps(ipaddress.ip_network("172.18.0.0/24")) and POOL.overlaps(ipaddress.ip_network("fd00::/64"))
    assert not POOL.overlaps(ipaddress.ip_network("172.18.1.0/24"))
    assert "10.0.0.1" not in AddressPool.parse("") and AddressPool.parse(str(POOL)) == POOL


@pytest.mark.parametrize(
    ("has", "spec", "taken", "found"),
    [
        ((), {}, (), ("172.18.0.200",)),
        ((), {}, ("172.18.0.200",), ("172.18.0.201",)),
        (("172.18.0.202",), {}, (), ("172.18.0.202",)),
        (("172.18.0.9",), {}, (), ("172.18.0.200",)),
        (("172.18.0.202",), {}, ("172.18.0.202",), ("172.18.0.200",)),
        ((), {"ipFamilies": BOTH}, (), ("172.18.0.200", "fd00::10")),
        (("fd00::12",), {"ipFamilies": BOTH}, (), ("172.18.0.200", "fd00::12")),
        ((), {"loadBalancerIP": "172.18.0.201"}, (), ("172.18.0.201",)),
        (("172.18.0.200",), {"loadBalancerIP": "172.18.0.201"}, (), ("172.18.0.201",)),
        ((), {"loadBalancerIP": "172.18.0.201"}, ("172.18.0.201",), "172.18.0.201 is another Service's"),
        ((), {"loadBalancerIP": "10.0.0.1"}, (), "10.0.0.1 is not in the pool"),
        ((), {"loadBalancerIP": "mine"}, (), "'mine' does not appear to be an IPv4 or IPv6 address"),
        ((), {}, ("172.18.0.200", "172.18.0.201", "172.18.0.202"), "no available IPs: the pool has no free IPv4"),
    ],
)
def test_a_service_keeps_its_address_or_gets_the_lowest_free_one(
    has: tuple[str, ...], spec: dict[str, object], taken: tuple[str, ...], found: tuple[str, ...] | str
) -> None:
    wanting = service("web", balanced=has, **spec)
    if isinstance(found, str):
        with pytest.raises(LookupError, match=found):
            assign(wanting, POOL, taken)
    else:
        assert assign(wanting, POOL, taken) == found


@pytest.mark.parametrize(
    ("topology", "workers", "pool"),
    [
        ("single", 2, "172.18.0.223-172.18.0.254"),
        ("single", 240, "172.18.0.244-172.18.0.254"),
        ("two_racks", 2, "172.18.1.223-172.18.1.254"),
    ],
)
def test_without_a_choice_the_pool_is_the_end_of_the_workers_network(topology: str, workers: int, pool: str) -> None:
    assert str(default_pool(describe(load(topology, workers)))) == pool


def test_announcements_say_where_an_address_is() -> None:
    mac = "02:42:ac:12:00:03"
    arp = Ether(frame(bytes.fromhex(mac.replace(":", "")), "172.18.0.200"))
    assert (arp.dst, arp.src) == ("ff:ff:ff:ff:ff:ff", mac)
    assert (arp[ARP].op, arp[ARP].hwsrc, arp[ARP].psrc, arp[ARP].pdst) == (1, mac, "172.18.0.200", "172.18.0.200")
    advertisement = Ether(frame(bytes.fromhex(mac.replace(":", "")), "fd00::10"))
    sent = advertisement[IPv6]
    assert (advertisement.dst, sent.dst, sent.hlim) == ("33:33:00:00:00:01", "ff02::1", 255)
    found = advertisement[ICMPv6ND_NA]
    assert (found.tgt, found.O, found.S, found[ICMPv6NDOptDstLLAddr].lladdr) == ("fd00::10", 1, 0, mac)
    checksum = found.cksum
    del found.cksum
    assert ICMPv6ND_NA(bytes(IPv6(bytes(sent)).payload)).cksum == checksum


def test_ipv6_has_the_image_of_the_same_pool() -> None:
    plan = describe(load("single", 2))
    assert str(default_pool(plan, ("IPv4", "IPv6"))) == "172.18.0.223-172.18.0.254,fd00:172:18::223-fd00:172:18::254"
    assert str(default_pool(plan, ("IPv6",))) == "fd00:172:18::223-fd00:172:18::254"
