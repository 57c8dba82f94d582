"""Node controllers: ranges, taints, silence, eviction, pods nobody else removes."""

import asyncio
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network

import pytest

from knet.api import timing
from knet.api.names import UNREACHABLE_TAINT
from knet.api.objects import Condition, Meta, Node, NodeSpec, NodeStatus, Pod, PodStatus, Taint, Toleration
from knet.controllers.nodeipam import free_range
from knet.controllers.nodelifecycle.eviction import eviction_delay
from knet.controllers.nodelifecycle.health import silenced
from knet.controllers.nodelifecycle.taints import desired
from knet.controllers.nodelifecycle.zones import Limiter, Verdict, rates
from knet.controllers.podgc import out_of_service, superfluous

NOW = datetime(2025, 1, 1, 12, tzinfo=UTC)
CLUSTER = IPv4Network("10.244.0.0/16")


def net(third: int) -> IPv4Network:
    return IPv4Network(f"10.244.{third}.0/24")


@pytest.mark.parametrize(
    ("taken", "after", "expected"),
    [
        ([], None, net(0)),
        ([net(0), net(1)], net(1), net(2)),
        ([net(0), net(2)], net(2), net(3)),  # 1 was freed: it comes last
        ([net(0), net(255)], net(255), net(1)),  # round the end
        ([IPv4Network("10.244.0.0/22")], None, net(4)),  # somebody has a larger one
        ([net(third) for third in range(256)], net(7), None),
    ],
)
def test_the_next_free_range(taken: list[IPv4Network], after: IPv4Network | None, expected: IPv4Network | None) -> None:
    assert free_range(CLUSTER, taken, after) == expected


def test_a_node_gets_a_slash_64_of_ipv6() -> None:
    cluster, taken = IPv6Network("fd00:10:244::/56"), [IPv6Network("fd00:10:244:0:ff00::/72")]
    assert free_range(cluster, taken, None) == IPv6Network("fd00:10:244:1::/64")
    assert free_range(cluster, taken, IPv6Network("fd00:10:244:ff::/64")) == IPv6Network("fd00:10:244:1::/64")


def node(*conditions: tuple[str, str], taints: tuple[Taint, ...] = (), unschedulable: bool = False) -> Node:
    rows = tuple(
        Condition(type=kind, status=status, reason="Kubelet", lastTransitionTime="2025-01-01T00:00:00Z")
        for kind, status in conditions
    )
    return Node(
        metadata=Meta(name="n1"),
        spec=NodeSpec(taints=taints, unschedulable=unschedulable),
        status=NodeStatus(conditions=rows),
    )


def pairs(taints: list[Taint] | None) -> list[str] | None:
    return None if taints is None else [f"{taint.key}:{taint.effect}" for taint in taints]


OPERATORS = Taint(key="gpu", value="yes", effect="NoSchedule")
UNREACHABLE = Taint(key="node.kubernetes.io/unreachable", effect="NoExecute")


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (node(("Ready", "True")), None),
        (node(("Ready", "True"), taints=(OPERATORS,)), None),
        (
            node(("Ready", "Unknown"), taints=(OPERATORS,)),
            [
                "gpu:NoSchedule",
                "node.kubernetes.io/unreachable:NoExecute",
                "node.kubernetes.io/unreachable:NoSchedule",
            ],
        ),
        (
            node(("Ready", "False")),
            ["node.kubernetes.io/not-ready:NoExecute", "node.kubernetes.io/not-ready:NoSchedule"],
        ),
        (node(("Ready", "True"), taints=(OPERATORS, UNREACHABLE)), ["gpu:NoSchedule"]),
        (node(("Ready", "True"), unschedulable=True), ["node.kubernetes.io/unschedulable:NoSchedule"]),
        (
            node(("Ready", "True"), ("MemoryPressure", "True")),
            ["node.kubernetes.io/memory-pressure:NoSchedule"],
        ),
    ],
)
def test_taints_follow_from_the_state_and_the_operators_stay(subject: Node, expected: list[str] | None) -> None:
    assert pairs(desired(subject)) == expected


def test_a_silent_node_is_unknown_in_all_it_reported() -> None:
    rows = silenced(node(("Ready", "True"), ("DiskPressure", "False")).status.conditions, NOW)
    found = {row.type: (row.status, row.reason, row.lastTransitionTime) for row in rows}
    assert found == {
        "Ready": ("Unknown", "NodeStatusUnknown", "2025-01-01T12:00:00Z"),
        "DiskPressure": ("Unknown", "NodeStatusUnknown", "2025-01-01T12:00:00Z"),
        "MemoryPressure": ("Unknown", "NodeStatusNeverUpdated", "2025-01-01T12:00:00Z"),
        "PIDPressure": ("Unknown", "NodeStatusNeverUpdated", "2025-01-01T12:00:00Z"),
    }
    assert silenced(rows, NOW) == rows


def tolerate(seconds: int | None, key: str = UNREACHABLE.key) -> Toleration:
    return Toleration(key=key, operator="Exists", effect="NoExecute", tolerationSeconds=seconds)


@pytest.mark.parametrize(
    ("taints", "tolerations", "expected"),
    [
        ([UNREACHABLE], [], 0),
        ([UNREACHABLE], [tolerate(300)], 300),
        ([UNREACHABLE], [tolerate(None)], None),
        ([UNREACHABLE], [tolerate(300), tolerate(20)], 20),
        ([UNREACHABLE], [tolerate(-5)], 0),
        ([UNREACHABLE, Taint(key="fire", effect="NoExecute")], [tolerate(300)], 0),
        ([OPERATORS], [], None),
        ([], [], None),
    ],
)
def test_how_long_a_pod_may_stay(taints: list[Taint], tolerations: list[Toleration], expected: float | None) -> None:
    assert eviction_delay(taints, tolerations) == expected


def test_the_oldest_finished_pods_beyond_the_threshold_go() -> None:
    pods = [
        Pod(
            metadata=Meta(name=str(day), creationTimestamp=f"2025-01-0{day}T00:00:00Z"),
            status=PodStatus(phase="Failed"),
        )
        for day in (3, 1, 2)
    ]
    assert [pod.name for pod in superfluous(pods, threshold=1)] == ["1", "2"]
    assert superfluous(pods, threshold=3) == []


def test_a_machine_that_its_operator_vouches_is_off() -> None:
    assert out_of_service([Taint(key="node.kubernetes.io/out-of-service", effect="NoExecute", value="nodeshutdown")])
    assert not out_of_service([UNREACHABLE])


def zoned(zone: str, ready: bool, name: str = "n") -> Node:
    rows = (Condition(type="Ready", status="True" if ready else "Unknown"),)
    labels = {"topology.kubernetes.io/zone": zone} if zone else {}
    return Node(metadata=Meta(name=name, labels=labels), status=NodeStatus(conditions=rows))


def zone(name: str, ready: int, silent: int) -> list[Node]:
    return [zoned(name, index < ready, f"{name}{index}") for index in range(ready + silent)]


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        (zone("", 3, 0), {"": 0.1}),
        (zone("", 0, 3), {}),  # everything looks dead: it is more likely that we are cut off
        (zone("", 1, 2), {"": 0.1}),  # two bad nodes are always allowed
        (zone("", 2, 3), {"": 0.0}),  # 60 % of a small zone
        (zone("", 20, 40), {"": 0.01}),  # and of a large one
        (zone("", 27, 24), {"": 0.1}),  # 47 % of it
        ([*zone("a", 3, 0), *zone("b", 0, 3)], {":a": 0.1, ":b": 0.1}),  # a lost zone's pods have where to go
        ([*zone("a", 0, 3), *zone("b", 0, 1)], {}),
    ],
)
def test_how_fast_zones_are_emptied(nodes: list[Node], expected: dict[str, float]) -> None:
    assert rates(nodes, timing.UPSTREAM) == expected


def test_one_node_after_the_other() -> None:
    async def story() -> None:
        limiter = Limiter(timing.UPSTREAM)
        nodes = [*zone("a", 3, 2), *zone("b", 3, 1)]
        first, second, other = (row for row in nodes if not row.ready)
        assert limiter.ask(first, nodes) == (Verdict.DRIVE, 0.0)
        verdict, wait = limiter.ask(second, nodes)
        assert verdict is Verdict.WAIT and 9 < wait <= 10
        assert limiter.ask(other, nodes) == (Verdict.DRIVE, 0.0)
        assert limiter.ask(first, zone("", 0, 2)) == (Verdict.RELENT, 0.0)

    asyncio.run(story())


def test_taints_that_drive_pods_off_wait_for_leave_and_are_taken_back() -> None:
    silent = node(("Ready", "Unknown"))
    both = {"NoSchedule", "NoExecute"}
    assert {taint.effect for taint in desired(silent) or ()} == both
    assert {taint.effect for taint in desired(silent, Verdict.WAIT) or ()} == {"NoSchedule"}
    driven = node(("Ready", "Unknown"), taints=tuple(Taint(key=UNREACHABLE_TAINT, effect=effect) for effect in both))
    assert desired(driven, Verdict.WAIT) is None
    assert {taint.effect for taint in desired(driven, Verdict.RELENT) or ()} == {"NoSchedule"}
