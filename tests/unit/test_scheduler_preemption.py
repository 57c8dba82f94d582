"""Who has to go for whom, where, and what is said where nobody goes."""

from typing import Any

import msgspec
import pytest
from scheduler_harness import HOSTNAME, cluster, decided, framework, node, pod

from knet.api.objects import Pod
from knet.api.policy import PodDisruptionBudget
from knet.client import Key
from knet.scheduler.cluster import Cluster
from knet.scheduler.plugin import Nomination
from knet.scheduler.pod import PodInfo


def runs(name: str, cpu: str, priority: int = 0, since: str = "", **more: Any) -> Pod:
    status = {"startTime": f"2026-01-01T{since}:00Z"} if since else {}
    return pod(name, {"cpu": cpu}, priority=priority, status=more.pop("status", {}) | status, **more)


def urgent(cpu: str = "3", **more: Any) -> Pod:
    return pod("urgent", {"cpu": cpu}, priority=more.pop("priority", 1000), **more)


def budget(app: str, allowed: int, disrupted: tuple[str, ...] = ()) -> PodDisruptionBudget:
    body = {
        "metadata": {"name": app, "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": app}}},
        "status": {"disruptionsAllowed": allowed, "disruptedPods": dict.fromkeys(disrupted, "2026-01-01T00:00:00Z")},
    }
    return msgspec.convert(body, PodDisruptionBudget)


def nomination(subject: Pod, on: Cluster) -> Nomination:
    by = framework(on)
    decision = by.decide(PodInfo(subject))
    assert decision.node is None
    before = {info.name: (set(info.pods), dict(info.requested)) for info in on.nodes}
    found = by.nomination(decision)
    assert {info.name: (set(info.pods), dict(info.requested)) for info in on.nodes} == before, "only thought away"
    return found


def victims(subject: Pod, on: Cluster) -> tuple[str | None, list[str]]:
    found = nomination(subject, on)
    return found.node, [row.name for row in found.victims]


@pytest.mark.parametrize(
    ("running", "expected"),
    [
        # the less important go, and no more of them than needed
        ({"n1": [runs("a", "2", 1), runs("b", "2", 2)]}, ("n1", ["b", "a"])),
        ({"n1": [runs("a", "1", 1), runs("b", "3", 2)]}, ("n1", ["b"])),
        ({"n1": [runs("a", "3", 1), runs("b", "1", 2)]}, ("n1", ["a"])),
        # whoever matters more is let back first, of equals the elder; who then finds no room goes
        ({"n1": [runs("old", "3", since="01:00"), runs("young", "1", since="02:00")]}, ("n1", ["old"])),
        ({"n1": [runs("old", "2", since="01:00"), runs("young", "2", since="02:00")]}, ("n1", ["old", "young"])),
        # the node whose most important victim matters least
        ({"n1": [runs("a", "4", 5)], "n2": [runs("b", "4", 4)]}, ("n2", ["b"])),
        # then the smallest sum of priorities, then the fewest victims
        ({"n1": [runs("a", "2", 5), runs("b", "2", 5)], "n2": [runs("c", "4", 5)]}, ("n2", ["c"])),
        # then where they have not run as long
        ({"n1": [runs("a", "4", since="01:00")], "n2": [runs("b", "4", since="02:00")]}, ("n2", ["b"])),
    ],
)
def test_who_has_to_go(running: dict[str, list[Pod]], expected: tuple[str, list[str]]) -> None:
    assert victims(urgent(), cluster(*(node(name) for name in running), running=running)) == expected


def test_budgets_are_kept_where_that_is_possible() -> None:
    running = {"n1": [runs("a", "4", labels={"app": "db"})], "n2": [runs("b", "4", 10, labels={"app": "web"})]}
    on = cluster(node("n1"), node("n2"), running=running)
    on.budgets[Key("default", "db")] = budget("db", 0)
    assert victims(urgent(), on) == ("n2", ["b"]), "though b is more important"
    on.budgets[Key("default", "db")] = budget("db", 0, disrupted=("a",))
    assert victims(urgent(), on) == ("n1", ["a"]), "the budget has counted it already"
    on.budgets[Key("default", "db")] = budget("db", 0)
    on.budgets[Key("default", "web")] = budget("web", 0)
    assert victims(urgent(), on) == ("n1", ["a"]), "neither can be kept"


def test_within_a_node_those_under_a_budget_are_let_back_first() -> None:
    running = {"n1": [runs("a", "2", 1, labels={"app": "db"}), runs("b", "2", 2, labels={"app": "web"})]}
    on = cluster(node("n1"), running=running)
    on.budgets[Key("default", "db")] = budget("db", 0)
    assert victims(urgent("2"), on) == ("n1", ["b"])


@pytest.mark.parametrize(
    ("subject", "running", "tail"),
    [
        (
            urgent(preemptionPolicy="Never"),
            [runs("a", "4")],
            "1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.",
        ),
        (
            urgent(priority=5),
            [runs("a", "4", 5)],
            "1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.",
        ),
        (
            urgent("9"),
            [runs("a", "4")],
            "1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Insufficient cpu.",
        ),
        (
            urgent(nodeSelector={"disk": "ssd"}),
            [runs("a", "4")],
            "1 node(s) didn't match Pod's node affinity/selector. preemption: 0/1 nodes are available: "
            "1 Preemption is not helpful for scheduling.",
        ),
        (
            urgent(status={"nominatedNodeName": "n1"}),
            [
                runs(
                    "a",
                    "4",
                    deleting=True,
                    status={
                        "conditions": [
                            {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
                        ]
                    },
                )
            ],
            "1 Insufficient cpu. preemption: not eligible due to a terminating pod on the nominated node.",
        ),
    ],
)
def test_what_is_said_where_nobody_goes(subject: Pod, running: list[Pod], tail: str) -> None:
    on = cluster(node("n1"), running={"n1": running})
    assert decided(subject, framework(on)) == f"0/1 nodes are available: {tail}"


def test_a_message_without_more_where_somebody_goes() -> None:
    on = cluster(node("n1"), running={"n1": [runs("a", "4")]})
    assert decided(urgent(), framework(on)) == "0/1 nodes are available: 1 Insufficient cpu."


def test_room_that_is_being_made_for_one_is_not_given_to_another() -> None:
    on = cluster(node("n1"), running={"n1": [runs("a", "1")]})
    waiting = PodInfo(urgent("2"))
    on.nominate(waiting, "n1")
    assert "Insufficient cpu" in decided(pod("late", {"cpu": "2"}), framework(on))
    assert decided(pod("small", {"cpu": "1"}), framework(on)) == "n1"
    assert decided(pod("first", {"cpu": "3"}, priority=2000), framework(on)) == "n1", "comes before who waits"
    assert decided(waiting.pod, framework(on)) == "n1", "it is not in its own way"
    on.withdraw(waiting.key)
    assert decided(pod("late", {"cpu": "2"}), framework(on)) == "n1"


def test_a_nominated_pod_that_has_come_counts_once() -> None:
    on = cluster(node("n1"))
    came = PodInfo(urgent("2"))
    on.nominate(came, "n1")
    on.assume(came, "n1")
    assert decided(pod("other", {"cpu": "2"}), framework(on)) == "n1"
    assert list(on.nodes[0].pods) == [came.key] and on.nodes[0].requested == {"cpu": 2000}


def test_a_nominated_pod_goes_where_it_was_nominated_to_even_if_another_node_is_better() -> None:
    on = cluster(node("n1"), node("n2"), running={"n1": [runs("a", "1")]})
    assert decided(urgent("1"), framework(on)) == "n2"
    on.nominate(PodInfo(urgent("1")), "n1")
    assert decided(urgent("1"), framework(on)) == "n1"


SPREAD = {
    "maxSkew": 1,
    "topologyKey": HOSTNAME,
    "whenUnsatisfiable": "DoNotSchedule",
    "labelSelector": {"matchLabels": {"app": "web"}},
}
APART = {
    "podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": HOSTNAME, "labelSelector": {"matchLabels": {"app": "web"}}}
        ]
    }
}


def test_what_if_reckons_with_spreading_and_affinity() -> None:
    """Victims are those by whose end the rule would hold."""
    webs = [runs(f"web{number}", "1", labels={"app": "web"}) for number in range(2)]
    on = cluster(node("n1"), node("n2", cpu="1"), running={"n1": webs, "n2": [runs("big", "1", 5000)]})
    like = urgent("1", labels={"app": "web"}, topologySpreadConstraints=[SPREAD])
    assert victims(like, on) == ("n1", ["web0", "web1"])
    on = cluster(node("n1"), running={"n1": [*webs[:1], runs("other", "1")]})
    assert victims(urgent("1", affinity=APART), on) == ("n1", ["web0"])
    shunning = [runs("loner", "1", labels={"app": "x"}, affinity=APART), runs("other", "1")]
    assert victims(urgent("1", labels={"app": "web"}), cluster(node("n1"), running={"n1": shunning})) == (
        "n1",
        ["loner"],
    )


def test_a_nominated_pod_that_wants_to_be_alone_keeps_others_off() -> None:
    on = cluster(node("n1"))
    on.nominate(PodInfo(urgent("1", affinity=APART)), "n1")
    message = decided(pod("web", labels={"app": "web"}), framework(on))
    assert "didn't satisfy existing pods anti-affinity rules" in message
