"""What was observed beside what was predicted: causes, what differs, what is missing, and how it ended."""

from dataclasses import replace

import pytest
from test_predict_verdicts import PODS, SERVICES, SLICES
from worlds import world

from knet.inspect.predict.path import expected
from knet.inspect.trace.comparing import compared
from knet.inspect.trace.evidence import DELIVERED, DROPPED, Probe
from knet.inspect.trace.hops import Hop, Packet

PROBE = Probe("pod/default/client", Packet("tcp", "10.244.1.7", 40000, "10.244.2.5", 8080, 64))
PREDICTION = expected(world(PODS, SERVICES, SLICES), PROBE)
#: as they would be observed: nobody tells why
HOPS = [replace(hop, because=()) for hop in PREDICTION.hops]
TUNNEL = next(number for number, hop in enumerate(HOPS) if hop.kind == "tunnel")


def changed(number: int, *instead: Hop) -> list[Hop]:
    return [*HOPS[:number], *instead, *HOPS[number + 1 :]]


def test_where_all_is_as_predicted_there_are_causes_and_no_findings() -> None:
    found = compared(HOPS, PREDICTION, DELIVERED)
    assert (found.hops, found.findings, found.following) == (PREDICTION.hops, (), None)


@pytest.mark.parametrize(
    ("hops", "said"),
    [
        (changed(TUNNEL), [(TUNNEL - 1, "expected tunnel at n1 flannel.1, not seen")]),
        (changed(TUNNEL, HOPS[TUNNEL], Hop("switch", "s2", "s2-eth1")), [(TUNNEL + 1, "not expected")]),
        (changed(TUNNEL, replace(HOPS[TUNNEL], mtu=1400)), [(TUNNEL, "mtu 1400, expected 1450")]),
        ([hop for hop in HOPS if hop.kind != "filter"], []),
    ],
    ids=["missing", "more", "another", "rules are not always told of"],
)
def test_findings(hops: list[Hop], said: list[tuple[int, str]]) -> None:
    found = compared(hops, PREDICTION, DELIVERED)
    assert [(row.at, row.text) for row in found.findings] == said


def test_a_packet_that_is_lost_should_have_gone_on() -> None:
    found = compared(HOPS[:TUNNEL], PREDICTION, DROPPED)
    assert [(row.text, row.ends) for row in found.findings] == [("dropped, expected delivered", True)]
    assert found.following == PREDICTION.hops[TUNNEL]
