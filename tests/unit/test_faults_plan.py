"""Plans of faults: what is wrong with one, what a seed makes of it, and what the network is meanwhile."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from knet.api.objects import JSON
from knet.cluster.errors import KnetError
from knet.cluster.faults.effect import Picture, check, effect, requests, text
from knet.cluster.faults.plan import Plan, PlanError, read, seconds
from knet.cluster.faults.run import Pace, Record, Run
from knet.cluster.faults.schedule import Occurrence, schedule
from knet.cluster.lab.translate import link_wish
from knet.underlay.impairment import OPTIONS

GROUND = Picture(
    links={frozenset((machine, "s1")): link_wish({"bw": 10}, (machine, "s1")) for machine in ("n1", "n2", "cp1")},
    machines={"cp1": "Running", "n1": "Running", "n2": "Running"},
    delays={"kubelet@n1": 0, "kube-apiserver@cp1": 0},
)


def plan(*faults: str, **keys: Any) -> Plan:
    head = "".join(f"{key}: {value}\n" for key, value in keys.items())
    return read(head + "faults:\n" + "".join(f"- {{{fault}}}\n" for fault in faults), "plan.yaml")


def planned(*faults: str, seed: int = 1, **keys: Any) -> list[str]:
    rows = schedule(plan(*faults, **keys), seed).events
    return [f"{row.at:g} {'+' if row.begins else '-'}{row.occurrence.number} {text(row.occurrence)}" for row in rows]


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("", "plan.yaml: a plan is a mapping with faults: a list"),
        ("faults: [", "plan.yaml:1: no YAML: "),
        ("faults: []", "plan.yaml: a plan needs faults: a list with at least one"),
        ("sed: 1\nfaults: [{}]", "plan.yaml:1: unknown key sed; there are seed, duration, faults"),
        ("seed: many\nfaults: [{}]", "plan.yaml:1: seed: 'many' is no number"),
        ("faults:\n- n1", "plan.yaml:2: a fault is a mapping, such as {at: 2s, for: 1s, link: n1 s1, up: false}"),
        ("faults:\n- {at: 1s}", "plan.yaml:2: say one of link, machine, partition, component"),
        ("faults:\n- {at: 1s, link: n1 s1, machine: n1}", "plan.yaml:2: say one of link, machine, partition, compon"),
        ("faults:\n- {link: n1 s1, up: false}", "plan.yaml:2: say one of at, every, random"),
        ("faults:\n- {at: 1, every: 1, link: n1 s1, up: false}", "plan.yaml:2: say one of at, every, random, not at a"),
        ("faults:\n- at: 1s\n  link: n1 s1\n  dely: 1ms", "plan.yaml:4: unknown key dely; there are at, every,"),
        ("faults:\n- at: soon\n  link: n1 s1", "plan.yaml:2: at: 'soon' is no time, such as 2s or 500ms"),
        ("faults:\n- {at: 1, for: 3s..1s, link: n1 s1, up: false}", "plan.yaml:2: for: '3s..1s' is no time that"),
        ("faults:\n- {at: 1, for: 1, link: n1-s1, up: false}", "plan.yaml:2: link: 'n1-s1' is no link: its two ends"),
        ("faults:\n- {at: 1, for: 1, link: n1 s1}", "plan.yaml:2: what happens to the link? Say up: false, or bw, "),
        ("faults:\n- {at: 1, for: 1, link: n1 s1, loss: 300}", "plan.yaml:2: loss=300 is no percentage: a number"),
        ("faults:\n- {at: 1, for: 1, link: n1 s1, up: 0}", "plan.yaml:2: up: 0 is neither true nor false"),
        ("faults:\n- {at: 1, for: 1, machine: n1}", "plan.yaml:2: what happens to the machine? Say power: paused, off"),
        ("faults:\n- {at: 1, for: 1, machine: n1, power: on}", "plan.yaml:2: power: True: choose one of paused, off"),
        ("faults:\n- {at: 1, for: 1, machine: n1, power: off, loss: 1}", "plan.yaml:2: loss is no matter of a machine"),
        ("faults:\n- {at: 1, for: 1, machine: n1, power: reboot}", "plan.yaml:2: for has no meaning: this is over at"),
        ("faults:\n- {at: 1, for: 1, pick: 2, machine: n1, power: off}", "plan.yaml:2: pick: 2 of 1"),
        ("faults:\n- {at: 1, for: 1, component: kubelet@n1, loss: 1}", "plan.yaml:2: loss is no matter of a component"),
        ("faults:\n- {at: 1, for: 1, component: kubelet@n1, delay: 1}", "plan.yaml:2: delay=1 is no time: a number"),
        ("faults:\n- {at: 1, component: kubelet@n1, delay: 1s}", "plan.yaml:2: when is this over? Say for, or a dur"),
        ("faults:\n- {at: 1, link: n1 s1, up: false}", "plan.yaml:2: when is this over? Say for, or a duration"),
        (
            "faults:\n- {every: 2, for: 1, link: n1 s1, up: false}",
            "plan.yaml:2: when is this over? Say until, or a dur",
        ),
        ("duration: 9\nfaults:\n- {every: 2, link: n1 s1, up: false}", "plan.yaml:3: for how long, each time? Say for"),
        ("duration: 9\nfaults:\n- {at: 9, link: n1 s1, up: false}", "plan.yaml:3: at: 9 s is not before the end (dura"),
        ("faults:\n- {every: 0, for: 1, link: n1 s1, up: false}", "plan.yaml:2: every: 0 is no time to wait"),
    ],
)
def test_a_mistake_is_one_line_that_says_where(written: str, complaint: str) -> None:
    with pytest.raises(PlanError, match=f"^{re.escape(complaint)}"):
        read(written, "plan.yaml")


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        (
            "at: 1, for: 1, link: n1 s2, up: false",
            "plan.yaml:2: there is no link n1 s2; there are n1 s1, n2 s1, cp1 s1",
        ),
        ("at: 1, for: 1, link: n1 s1, loss: 1, direction: n2", "plan.yaml:2: direction: n2 is at neither end of n1 s1"),
        ("at: 1, for: 1, link: n1 s1, jitter: 1ms", "plan.yaml:2: link n1 s1: jitter needs a delay from which to dev"),
        ("at: 1, for: 1, machine: n3, power: off", "plan.yaml:2: there is no machine n3; there are cp1, n1, n2"),
        ("at: 1, component: kubelet@n3", "plan.yaml:2: there is no component kubelet@n3; there are kube-apis"),
        ("at: 1, for: 1, component: kube-apiserver@cp1, delay: 1s", "plan.yaml:2: kube-apiserver@cp1 follows no wat"),
        ("at: 1, for: 1, partition: n1 | n4", "plan.yaml:2: there is no machine or switch 'n4'; there are cp1, n1, n2"),
    ],
)
def test_what_is_not_there_is_found_before_anything_is_done(fault: str, complaint: str) -> None:
    with pytest.raises(PlanError, match=f"^{re.escape(complaint)}"):
        check(plan(fault).faults, GROUND)


@pytest.mark.parametrize(("value", "wanted"), [("500ms", 0.5), ("2s", 2), (3, 3), ("1.5m", 90), ("1h", 3600)])
def test_times(value: Any, wanted: float) -> None:
    assert seconds(value) == wanted


def test_events_in_their_order() -> None:
    assert planned(
        "at: [1, 8s], for: 2s, link: n1 s1, delay: 50ms, loss: 5, direction: n1",
        "every: 3s, for: 1s, link: [n1 s1, n2 s1], up: false",
        "at: 4s, component: kubelet@n1",
        "at: 5s, machine: n1, power: off",
        "every: 2s, from: 0s, until: 3s, for: 500ms, partition: [[n1, n2], cp1]",
        duration="9s",
    ) == [
        "0 +1 partition n1,n2 | cp1",
        "0.5 -1 partition n1,n2 | cp1",
        "1 +2 link n1–s1: delay 50ms, loss 5 (from n1)",
        "2 +3 partition n1,n2 | cp1",
        "2.5 -3 partition n1,n2 | cp1",
        "3 -2 link n1–s1: delay 50ms, loss 5 (from n1)",
        "3 +4 link n1–s1, n2–s1: down",
        "4 -4 link n1–s1, n2–s1: down",
        "4 +5 component kubelet@n1: restarted",
        "5 +6 machine n1: off",
        "6 +7 link n1–s1, n2–s1: down",
        "7 -7 link n1–s1, n2–s1: down",
        "8 +8 link n1–s1: delay 50ms, loss 5 (from n1)",
        "9 -6 machine n1: off",
        "9 -8 link n1–s1: delay 50ms, loss 5 (from n1)",
    ]


RANDOM = "random: 5s, for: 1s..3s, pick: 1, machine: [n1, n2, cp1], power: paused"


def test_a_seed_decides_everything() -> None:
    first = planned(RANDOM, duration="10m", seed=7)
    assert planned(RANDOM, duration="10m", seed=7) == first
    assert planned(RANDOM, duration="10m", seed=8) != first
    other = "every: 1m, for: 1s, link: n1 s1, up: false"
    without = [
        re.sub(r"[+-]\d+", "", line) for line in planned(RANDOM, other, duration="10m", seed=7) if "machine" in line
    ]
    assert without == [re.sub(r"[+-]\d+", "", line) for line in first]


def test_chance_is_as_it_was_asked_for() -> None:
    events = schedule(plan(RANDOM, duration="10000s"), 1).events
    met = [event.occurrence for event in events if event.begins]
    assert 1700 < len(met) < 2300  # 2000 on average, with a standard deviation of 45
    assert all(1 <= one.ends - one.begins <= 3 or one.ends == 10000 for one in met)
    assert {one.targets for one in met} == {("n1",), ("n2",), ("cp1",)}


def occurrences(*faults: str) -> Iterator[Occurrence]:
    return (event.occurrence for event in schedule(plan(*faults, duration="1h"), 1).events if event.begins)


def test_faults_are_layers_and_each_takes_away_its_own() -> None:
    cut, slow, split = occurrences(
        "at: 1, link: n1 s1, up: false", "at: 2, link: n1 s1, bw: 1, delay: 5ms", "at: 3, partition: n1 | cp1"
    )
    both = effect(GROUND, [cut, slow, split])
    assert both.links[frozenset(("n1", "s1"))] == link_wish({"up": False, "bw": 1, "delay": "5ms"}, ("n1", "s1"))
    assert both.links[frozenset(("n2", "s1"))] == GROUND.links[frozenset(("n2", "s1"))]
    change = {"op": "change_link", "a": "n1", "b": "s1"}
    assert list(requests(both, effect(GROUND, [slow, split]))) == [{**change, "up": True}]
    assert list(requests(both, effect(GROUND, [cut]))) == [
        {**change, **dict.fromkeys(OPTIONS, 0), "bw": 10},
        {"op": "heal", "groups": [["n1"], ["cp1"]]},
    ]
    assert effect(GROUND, []) == GROUND


def test_a_machine_is_as_bad_as_the_worst_fault() -> None:
    off, paused = occurrences("at: 1, machine: n1, power: off", "at: 2, machine: [n1, n2], power: paused")
    assert effect(GROUND, [off, paused]).machines == {"cp1": "Running", "n1": "Off", "n2": "Paused"}
    assert effect(GROUND, [paused]).machines == {"cp1": "Running", "n1": "Paused", "n2": "Paused"}


def test_a_component_that_is_late_is_in_time_again_when_its_last_fault_ends() -> None:
    one, other = occurrences(*(f"at: 1, component: kubelet@n1, delay: {by}" for by in ("2s", "300ms")))
    assert text(one) == "component kubelet@n1: 2s late"
    late = effect(GROUND, [one, other])
    ask = {"op": "delay", "component": "kubelet@n1"}
    assert list(requests(late, effect(GROUND, [one]))) == [{**ask, "delay": "2000ms"}]
    assert list(requests(late, GROUND)) == [{**ask, "delay": "0us"}]


class Steps(Pace):
    """Time that passes as fast as it is asked to; the run is stopped at a moment of it."""

    def __init__(self, stop: float = float("inf")) -> None:
        super().__init__()
        self._now, self._stop = 100.0, 100.0 + stop

    def now(self) -> float:
        return self._now

    def wait(self, until: float) -> bool:
        self._now = max(self._now, min(until, self._stop))
        return until < self._stop


def carried_out(found: Plan, pace: Pace, refuse: str = "") -> tuple[Run, bool, list[JSON]]:
    asked: list[JSON] = []

    def ask(request: JSON) -> None:
        asked.append(request)
        if request["op"] == refuse:
            raise KnetError("not now")

    run = Run(ask, GROUND, schedule(found, 1), lambda _: None, pace)
    return run, run.run(), asked


CUT = "at: 1s, for: 2s, link: n1 s1, up: false"
OFF = "at: 2s, for: 2s, machine: n2, power: off"


def told(records: list[Record]) -> list[str]:
    return [str(record)[13:] for record in records]


def test_a_run_does_what_is_planned_and_leaves_nothing() -> None:
    run, whole, asked = carried_out(plan(CUT, OFF, "at: 3s, machine: n2, power: reboot"), Steps())
    assert whole and not run.refused
    assert asked == [
        {"op": "change_link", "a": "n1", "b": "s1", "up": False},
        {"op": "power", "machine": "n2", "action": "kill"},
        {"op": "change_link", "a": "n1", "b": "s1", "up": True},
        {"op": "power", "machine": "n2", "action": "boot"},
    ]  # without a reboot: there was nothing that could be
    assert told(run.log) == [
        "    1.000 s  begins  #1   link n1–s1: down",
        "    2.000 s  begins  #2   machine n2: off",
        "    3.000 s  ends    #1   link n1–s1: down",
        "    3.000 s  begins  #3   machine n2: reboot",
        "    4.000 s  ends    #2   machine n2: off",
    ]


def test_a_run_that_is_stopped_heals_what_it_did() -> None:
    run, whole, asked = carried_out(plan(CUT, OFF), Steps(stop=2.5))
    assert not whole
    assert asked[2:] == [
        {"op": "change_link", "a": "n1", "b": "s1", "up": True},
        {"op": "power", "machine": "n2", "action": "boot"},
    ]
    assert told(run.log)[2:] == ["    2.500 s  healed       all is as it was"]


def test_what_is_refused_is_told_and_the_run_goes_on() -> None:
    run, whole, asked = carried_out(plan(CUT, OFF), Steps(), refuse="power")
    assert whole and len(asked) == 4
    assert run.refused == 2
    assert told(run.log)[2] == "    2.000 s  refused #2   not now"
