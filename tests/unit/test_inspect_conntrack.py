"""Connections: whose they are, and how they are told."""

from socket import IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP

import msgspec
import pytest
from worlds import pod, world

from knet.api.objects import ServicePort
from knet.client.controller import Key
from knet.errors import KnetError
from knet.inspect.conntrack import LOST, Row, as_json, ends, number_of, of, packets, state
from knet.inspect.names import Names
from knet.kernel.conntrack import Flow, Tracked
from knet.policy.population import NarrowPod
from tests.cluster_objects import service

CLIENT, WEB = pod("client", "10.244.1.7"), pod("web-0", "10.244.2.5")
SERVICE = service("web", "10.96.0.80", [ServicePort(name="http", port=80, targetPort=8080, nodePort=30080)])
WORLD = world([CLIENT, WEB], [SERVICE])
THROUGH = Tracked(
    Flow(IPPROTO_TCP, "10.244.1.7", 41822, "10.96.0.80", 80, "10.244.2.5", 8080),
    "10.244.1.7",
    41822,
    "ESTABLISHED",
    True,
)
OUTSIDE = Tracked(
    Flow(IPPROTO_TCP, "172.18.0.5", 5, "172.18.0.3", 30080, "10.244.2.5", 8080), "172.18.0.3", 9, "SYN_SENT"
)
ECHO = Tracked(Flow(IPPROTO_ICMP, "10.244.1.7", 4, "172.18.0.5", 4, "172.18.0.5", 77), "172.18.0.3", 77, replied=True)
OTHER = Tracked(Flow(IPPROTO_UDP, "10.244.1.7", 4, "10.96.0.80", 80, "10.96.0.80", 80), "10.244.1.7", 4)
ALL = {"through": THROUGH, "outside": OUTSIDE, "echo": ECHO, "other": OTHER}


@pytest.mark.parametrize(
    ("kind", "name", "meant"),
    [
        ("Service", "web", {"through", "outside"}),
        ("Pod", "web-0", {"through", "outside"}),
        ("Pod", "client", {"through", "echo", "other"}),
        ("Node", "n1", {"outside", "echo"}),
        ("Node", "n2", set()),
    ],
)
def test_whose_a_connection_is(kind, name, meant):
    test = of(WORLD, kind, Key("" if kind == "Node" else "default", name))
    assert {label for label, row in ALL.items() if test(row)} == meant


def test_no_connection_is_a_deployments():
    with pytest.raises(KnetError, match="no connection is a Deployment's"):
        of(WORLD, "Deployment", Key("default", "web"))


@pytest.mark.parametrize(
    ("tracked", "told", "known"),
    [
        (THROUGH, ("10.244.1.7:41822", "10.96.0.80:80", "10.244.2.5:8080"), "ESTABLISHED"),
        (OUTSIDE, ("172.18.0.5:5", "172.18.0.3:30080", "10.244.2.5:8080 as 172.18.0.3:9"), "SYN_SENT unreplied"),
        (ECHO, ("10.244.1.7:4", "172.18.0.5:4", "as 172.18.0.3:77"), "replied"),
        (OTHER, ("10.244.1.7:4", "10.96.0.80:80", ""), "unreplied"),
    ],
)
def test_how_a_connection_is_told(tracked, told, known):
    assert ends(tracked, Names()) == told
    assert state(tracked) == known


def test_names_take_the_place_of_addresses():
    known = Names()
    pods = [msgspec.convert(row, NarrowPod, from_attributes=True) for row in (CLIENT, WEB)]
    known.know(pods, WORLD.nodes.values(), [SERVICE])
    assert ends(THROUGH, known) == ("default/client:41822", "svc/default/web:80", "default/web-0:8080")
    assert as_json(Row("n1", THROUGH, "new"), known) == {
        "place": "n1",
        "event": "new",
        "protocol": "tcp",
        "state": "ESTABLISHED",
        "assured": False,
        "source": {"address": "10.244.1.7", "port": 41822, "name": "default/client"},
        "destination": {"address": "10.96.0.80", "port": 80, "name": "svc/default/web"},
        "answeredBy": {"address": "10.244.2.5", "port": 8080, "name": "default/web-0"},
        "answersTo": {"address": "10.244.1.7", "port": 41822, "name": "default/client"},
        "timeoutSeconds": 0,
        "mark": 0,
        "zone": 0,
    }
    assert as_json(Row("n1", None, LOST), known) == {"place": "n1", "event": "lost"}


def test_packets_are_told_where_they_are_counted():
    assert packets(THROUGH) == ""
    assert packets(THROUGH._replace(sent=(3, 180), answered=(2, 120))) == "3/2 (180/120 bytes)"


def test_protocols_have_names():
    assert [number_of(name) for name in ("tcp", "UDP", "icmp", "sctp")] == [6, 17, 1, 132]
    with pytest.raises(KnetError, match="there is no protocol called 'foo': icmp, icmpv6, sctp, tcp, udp"):
        number_of("foo")
