"""Topology-aware hints: shares of zones, who gives and who takes, and what is in the way."""

import pytest

from knet.api.names import ZONE_LABEL
from knet.api.objects import Condition, Endpoint, EndpointConditions, Meta, Node, NodeStatus, Service
from knet.controllers.endpointslice import topology
from knet.controllers.endpointslice.members import Member


def node(name: str, zone: str, cpu: str = "4", ready: bool = True, **labels: str) -> Node:
    marks = {ZONE_LABEL: zone} if zone else {}
    status = NodeStatus(
        allocatable={"cpu": cpu}, conditions=(Condition(type="Ready", status="True" if ready else "False"),)
    )
    return Node(metadata=Meta(name=name, labels={**marks, **labels}), status=status)


def endpoints(**zones: int) -> list[Member]:
    """So many ready endpoints in each zone; ``none`` is no zone, ``unready`` are not ready."""
    rows = [zone for zone, count in zones.items() for _ in range(count)]
    return [
        Member(
            "IPv4",
            (),
            Endpoint(
                addresses=(f"10.244.0.{number}",),
                conditions=EndpointConditions(ready=zone != "unready"),
                zone="" if zone == "none" else "a" if zone == "unready" else zone,
            ),
        )
        for number, zone in enumerate(rows)
    ]


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([node("n1", "a"), node("n2", "b")], {"a": 0.5, "b": 0.5}),
        ([node("n1", "a", "6"), node("n2", "b", "1500m"), node("n3", "b", "500m")], {"a": 0.75, "b": 0.25}),
        ([node("n1", "a"), node("n2", "b"), node("n3", "c", ready=False)], {"a": 0.5, "b": 0.5}),
        ([node("n1", "a"), node("n2", "b"), node("cp1", "", **{topology._EXCLUDED[0]: ""})], {"a": 0.5, "b": 0.5}),
        ([node("n1", "a"), node("n2", "a")], {}),
        ([node("n1", "a"), node("n2", "b"), node("n3", "")], {}),
        ([node("n1", "a"), node("n2", "b", "0")], {}),
    ],
)
def test_the_shares_of_zones(nodes: list[Node], expected: dict[str, float]) -> None:
    assert topology.shares(nodes) == expected


@pytest.mark.parametrize(
    ("rows", "zones", "meant"),
    [
        (endpoints(a=2, b=2), {"a": 0.5, "b": 0.5}, "aabb"),
        # 3 for a and 1 for b is a whole one more than its share of 2
        (endpoints(a=3, b=1), {"a": 0.5, "b": 0.5}, "baab"),
        (endpoints(a=4), {"a": 0.5, "b": 0.5}, "bbaa"),
        (endpoints(a=2, b=2), {"a": 0.75, "b": 0.25}, "aaab"),
        # the shares are 3.5 each: half of one on both sides is not worth a move
        (endpoints(a=4, b=3), {"a": 0.5, "b": 0.5}, "aaaabbb"),
        (endpoints(a=4, b=1, c=1), {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, "bcaabc"),
        (endpoints(a=2, unready=3, b=2), {"a": 0.5, "b": 0.5}, "aa---bb"),
    ],
)
def test_whom_endpoints_are_meant_for(rows: list[Member], zones: dict[str, float], meant: str) -> None:
    found = topology.hinted(rows, zones)
    assert found.reason == ""
    hints = [row.endpoint.hints for row in found.members]
    assert "".join(hint.forZones[0].name if hint else "-" for hint in hints) == meant
    assert topology.hinted(found.members, zones) == found, "the second time changes nothing"


@pytest.mark.parametrize(
    ("rows", "zones", "reason"),
    [
        (endpoints(a=2, b=2), {}, topology.INSUFFICIENT_NODES),
        (endpoints(a=1), {"a": 0.5, "b": 0.5}, "Insufficient number of endpoints (1 endpoints, 2 zones)"),
        # a needs ceil(3 · 0.8 / 1.2) = 2, b and c one each: 4 of 3
        (
            endpoints(a=1, b=1, c=1),
            {"a": 0.8, "b": 0.1, "c": 0.1},
            f"{topology.OVERLOADED} (3 endpoints, 3 zones)",
        ),
        (endpoints(a=1, none=1), {"a": 0.5, "b": 0.5}, topology.NO_ZONE),
    ],
)
def test_what_is_in_the_way(rows: list[Member], zones: dict[str, float], reason: str) -> None:
    found = topology.hinted(topology.hinted(rows, {"a": 1.0}).members, zones)
    assert found.reason == reason
    assert [row.endpoint.hints for row in found.members] == [None] * len(rows)


@pytest.mark.parametrize(
    ("annotations", "asked"),
    [({}, False), ({"mode": "Auto"}, True), ({"mode": "auto"}, True), ({"mode": "Disabled", "hints": "Auto"}, False),
     ({"hints": "auto"}, True)],
)  # fmt: skip
def test_who_asks(annotations: dict[str, str], asked: bool) -> None:
    names = dict(zip(("mode", "hints"), topology.ANNOTATIONS, strict=True))
    service = Service(metadata=Meta(name="web", annotations={names[key]: text for key, text in annotations.items()}))
    assert topology.wanted(service) is asked
