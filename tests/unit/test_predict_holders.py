"""Who holds a load balancer's address in layer-2 mode, where a connection to it goes: links and machines that fail."""

import msgspec
import pytest
from test_predict_verdicts import PODS, PORT, SLICES
from worlds import topology, world

from knet.inspect.predict.holders import holders
from knet.inspect.predict.path import expected
from knet.inspect.trace.evidence import Probe
from knet.inspect.trace.hops import Packet
from knet.speaker.ranking import EXCLUDED, ranking
from tests.cluster_objects import endpoint_slice, service

VIP = "172.18.0.200"
#: by name
FIRST, SECOND = ranking(VIP, ["n1", "n2"])
APART = (((FIRST,), (SECOND,)),)


def balanced(policy="Cluster", slices=None, vip=VIP, excluded=(), **settings):
    rows = [service("web", ip="10.96.0.80", ports=[PORT], balanced=[vip], externalTrafficPolicy=policy)]
    found = world(PODS, rows, slices or SLICES[:1], **settings)
    for name in excluded:
        node = found.nodes[name]
        metadata = msgspec.structs.replace(node.metadata, labels={EXCLUDED: ""})
        found.nodes[name] = msgspec.structs.replace(node, metadata=metadata)
    return found


LOCAL = {"policy": "Local", "slices": [endpoint_slice("web", {"n1": "10.244.1.8", "n2": "10.244.2.5"}[SECOND])]}


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, [FIRST]),
        ({"topo": topology(state={FIRST: "off"})}, [SECOND]),
        ({"topo": topology(state={FIRST: "paused"})}, [SECOND]),
        ({"topo": topology(state={SECOND: "off"})}, [FIRST]),
        ({"topo": topology(down=[FIRST])}, [FIRST, SECOND]),
        ({"topo": topology(partitions=APART)}, [FIRST, SECOND]),
        ({"topo": topology(partitions=((("client",), (FIRST,)),))}, [FIRST]),
        ({"excluded": [FIRST]}, [SECOND]),
        (LOCAL, [SECOND]),
        ({"topo": topology(state={FIRST: "off", SECOND: "off"})}, [FIRST, SECOND]),
        ({"vip": "198.51.100.1"}, []),
        ({"lb_mode": "bgp"}, []),
    ],
)
def test_who_holds_it(given, names):
    found = balanced(**given)
    address = given.get("vip", VIP)
    assert [name for name, _ in holders(found, address).holding] == names


def asked(found, port=80, answered=""):
    gateways = {("client", VIP): answered}
    prediction = expected(found, Probe("client", Packet("tcp", "", 40000, VIP, port, 64)), "", gateways)
    entered = next((hop.site for hop in prediction.hops if hop.kind == "enter"), "")
    return entered, prediction.outcome, prediction.culprit


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        ({}, (FIRST, "delivered", "")),
        ({"answered": SECOND}, (SECOND, "delivered", "")),
        ({"answered": "cp1"}, (FIRST, "delivered", "")),
        ({"topo": topology(state={FIRST: "off"}), **LOCAL}, (SECOND, "delivered", "")),
        ({"topo": topology(down=[FIRST]), **LOCAL}, (SECOND, "delivered", "")),
        ({"topo": topology(partitions=((("client",), (FIRST,)),))}, ("", "dropped", "partition")),
        ({"topo": topology(state={FIRST: "off", SECOND: "off"})}, ("", "dropped", "machine-off")),
        ({"port": 81}, (FIRST, "refused", "no-such-port")),
    ],
)
def test_where_a_connection_goes(given, outcome):
    how = {name: value for name, value in given.items() if name in ("port", "answered")}
    found = balanced(**{name: value for name, value in given.items() if name not in how})
    assert asked(found, **how) == outcome
