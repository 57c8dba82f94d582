"""The vocabulary of a packet's way: when two hops are of one event, and what they say differently."""

from dataclasses import replace

import pytest

from knet.inspect.trace.hops import Encapsulation, Hop, Packet, Translation, differences
from knet.kernel.neighbours import Neighbour
from knet.kernel.routes import Route

PACKET = Packet("tcp", "10.244.1.4", 41822, "10.244.2.7", 8080, 63, "SYN", 60)
NAT = Hop(
    "nat", "n1", "prerouting", packet=PACKET, translation=Translation("DNAT", "10.96.71.12:80", "10.244.2.7:8080")
)
CHOICE = replace(
    NAT,
    packet=PACKET._replace(destination="10.244.1.9"),
    translation=Translation("DNAT", "10.96.71.12:80", "10.244.1.9:8080", among=("10.244.1.9:8080", "10.244.2.7:8080")),
)
ROUTE = Hop("route", "n1", "flannel.1", route=Route("10.244.2.0/24", "flannel.1", "10.244.2.0", onlink=True))
NEIGHBOUR = Neighbour("10.244.2.0", "flannel.1", "5e:01:02:03:04:05")
TUNNEL = Hop(
    "tunnel", "n1", "flannel.1", mtu=1450, encapsulation=Encapsulation(1, "172.18.0.3", "172.18.0.4", 8472, 50)
)


@pytest.mark.parametrize(
    ("observed", "expected", "said"),
    [
        pytest.param(NAT, NAT, [], id="alike"),
        pytest.param(NAT, CHOICE, [], id="chance chose another of the endpoints that it may choose"),
        pytest.param(
            replace(NAT, translation=Translation("DNAT", "10.96.71.12:80", "10.244.3.3:80")),
            CHOICE,
            [
                "addresses 10.244.1.4:41822 > 10.244.2.7:8080, expected 10.244.1.4:41822 > 10.244.1.9:8080",
                "translation 10.244.3.3:80, expected 10.244.1.9:8080",
            ],
            id="an endpoint that the Service has not",
        ),
        pytest.param(ROUTE, replace(ROUTE, neighbour=NEIGHBOUR), [], id="what one of them does not know"),
        pytest.param(
            replace(ROUTE, route=Route("10.244.2.0/24", "flannel.1")),
            ROUTE,
            ["next hop on link, expected 10.244.2.0"],
            id="another gateway",
        ),
        pytest.param(
            replace(TUNNEL, mtu=1400, encapsulation=Encapsulation(1, "172.18.0.3", "172.18.0.9", 8472, 50)),
            TUNNEL,
            ["tunnel 172.18.0.9 vni 1, expected 172.18.0.4 vni 1", "mtu 1400, expected 1450"],
            id="another tunnel's end",
        ),
    ],
)
def test_differences(observed: Hop, expected: Hop, said: list[str]) -> None:
    assert observed.key == expected.key
    assert [str(row) for row in differences(observed, expected)] == said


def test_a_packet_is_told_by_its_ends() -> None:
    assert str(PACKET) == "10.244.1.4:41822 > 10.244.2.7:8080"
    assert str(Packet("icmp", "fd00::1", 0, "fd00::2")) == "fd00::1 > fd00::2"
    assert str(Packet("udp", "fd00::1", 5, "fd00::2", 53)) == "[fd00::1]:5 > [fd00::2]:53"
