"""The decisions of a Deployment: bounds, next steps, shares, revisions, conditions. Tables with worked examples."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knet.api.names import (
    DESIRED_REPLICAS_ANNOTATION,
    MAX_REPLICAS_ANNOTATION,
    REVISION_ANNOTATION,
    REVISION_HISTORY_ANNOTATION,
)
from knet.api.objects import (
    Condition,
    Deployment,
    DeploymentSpec,
    DeploymentStatus,
    DeploymentStrategy,
    Meta,
    OwnerReference,
    Pod,
    PodStatus,
    ReplicaSet,
    ReplicaSetSpec,
    ReplicaSetStatus,
    RollingUpdate,
    condition,
)
from knet.client.events import rfc3339
from knet.controllers.deployment import progress, revision, rolling, scaling, status
from knet.controllers.deployment.bounds import Bounds, bounds, resolve
from knet.controllers.deployment.recreate import old_pods_running, plan_stop

NOW = datetime(2025, 1, 1, 12, tzinfo=UTC)


def deployment(
    replicas: int,
    surge: int | str = "25%",
    unavailable: int | str = "25%",
    strategy: str = "RollingUpdate",
    before: DeploymentStatus | None = None,
    **spec: int | bool,
) -> Deployment:
    how = DeploymentStrategy(type=strategy, rollingUpdate=RollingUpdate(maxSurge=surge, maxUnavailable=unavailable))
    return Deployment(
        metadata=Meta(name="web", namespace="default", uid="d", generation=1),
        spec=DeploymentSpec(replicas=replicas, strategy=how, **spec),  # type: ignore[arg-type]
        status=before or DeploymentStatus(),
    )


def replica_set(
    name: str, size: int, available: int | None = None, desired: int | None = None, most: int = 0, age: int = 0
) -> ReplicaSet:
    annotations = {} if desired is None else {DESIRED_REPLICAS_ANNOTATION: str(desired)}
    if most:
        annotations[MAX_REPLICAS_ANNOTATION] = str(most)
    up = size if available is None else available
    return ReplicaSet(
        metadata=Meta(
            name=name, uid=name, annotations=annotations, creationTimestamp=rfc3339(NOW - timedelta(seconds=age))
        ),
        spec=ReplicaSetSpec(replicas=size),
        status=ReplicaSetStatus(replicas=size, readyReplicas=up, availableReplicas=up),
    )


def sizes(scales: list[scaling.Scale]) -> dict[str, int]:
    return {row.name: size for row, size in scales}


# ---- bounds ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "total", "up", "down"),
    [(3, 10, 3, 3), ("25%", 10, 3, 2), ("25%", 4, 1, 1), ("0%", 10, 0, 0), ("100%", 7, 7, 7), ("1%", 10, 1, 0)],
)
def test_percentages_are_rounded_up_for_surge_and_down_for_unavailability(
    value: int | str, total: int, up: int, down: int
) -> None:
    assert resolve(value, total, round_up=True) == up
    assert resolve(value, total, round_up=False) == down


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (10, "25%", "25%", Bounds(3, 2)),
        (1, "25%", "25%", Bounds(1, 0)),
        (3, "25%", "25%", Bounds(1, 0)),
        (10, 0, 0, Bounds(0, 1)),
        (3, "0%", "10%", Bounds(0, 1)),
        (2, 1, 5, Bounds(1, 2)),
        (0, 1, 1, Bounds(1, 0)),
    ],
)
def test_bounds(replicas: int, surge: int | str, unavailable: int | str, expected: Bounds) -> None:
    assert bounds(deployment(replicas, surge, unavailable)) == expected


def test_a_bound_that_is_neither_number_nor_percentage_is_refused() -> None:
    with pytest.raises(ValueError, match="string is not a percentage"):
        resolve("half", 10, round_up=True)


# ---- rolling ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        # 10 replicas, surge 3, unavailable 2
        ((0, 0), [(10, 10)], {"new": 3}),
        ((3, 0), [(10, 10)], {"old0": 8}),
        ((3, 0), [(8, 8)], {"new": 5}),
        ((5, 0), [(8, 8)], {}),  # the new pods crash: nothing moves
        ((5, 0), [(8, 7)], {}),  # and an old one fails: still nothing
        ((5, 2), [(8, 8)], {"old0": 6}),
        ((5, 5), [(8, 8)], {"old0": 3}),
        ((10, 10), [(3, 3)], {"old0": 0}),
        ((10, 10), [], {}),
        ((12, 12), [], {"new": 10}),
        # rollover to a third template: 13 pods are there, so it starts empty; the crashing ones go first
        ((0, 0), [(8, 8), (5, 0)], {"old1": 0}),
        # rollback while the new ones crash: 13 - 8 - 1 = 4 of these may go
        ((8, 7), [(5, 0)], {"new": 8 + 0, "old0": 1}),
    ],
)
def test_the_next_step_of_a_rolling_update(
    new: tuple[int, int], old: list[tuple[int, int]], expected: dict[str, int]
) -> None:
    sets = [replica_set(f"old{age}", size, up, age=10 - age) for age, (size, up) in enumerate(old)]
    current = replica_set("new", *new)
    found = sizes(rolling.plan_rolling(deployment(10, 3, 2), current, sets))
    assert found == {name: size for name, size in expected.items() if name != "new" or size != current.spec.replicas}


def test_an_old_set_that_has_just_shrunk_is_not_credited_with_its_former_pods() -> None:
    """Its status still says 10 available; only 8 are to stay, and those are needed."""
    found = rolling.plan_rolling(deployment(10, 3, 2), replica_set("new", 5, 3), [replica_set("old", 8, 10)])
    assert sizes(found) == {"old": 5}


# ---- scaling ---------------------------------------------------------------------------------------------------


def test_a_scaling_is_noticed_by_the_annotation() -> None:
    assert scaling.is_scaling_event(deployment(5), [replica_set("a", 3, desired=3)])
    assert not scaling.is_scaling_event(deployment(3), [replica_set("a", 3, desired=3)])
    assert not scaling.is_scaling_event(deployment(5), [replica_set("a", 0, desired=3)])


@pytest.mark.parametrize(
    ("replicas", "new", "old", "expected"),
    [
        (20, (5, 13), [(8, 13)], {"new": 9, "old0": 14}),  # 23 in all: 8·23/13 = 14.15, 5·23/13 = 8.85
        (5, (5, 13), [(8, 13)], {"new": 3, "old0": 5}),  # 8 in all, surge 3: 8·8/13 = 4.9, 5·8/13 = 3.1
        (10, (10, 0), [], {"new": 10}),
        (6, (10, 0), [], {"new": 6}),
        (0, (5, 13), [(8, 13)], {"new": 0, "old0": 0}),
        (4, (0, 0), [(10, 13)], {"old0": 4}),
    ],
)
def test_a_change_of_replicas_is_shared_out(
    replicas: int, new: tuple[int, int], old: list[tuple[int, int]], expected: dict[str, int]
) -> None:
    current = replica_set("new", new[0], most=new[1])
    others = [replica_set(f"old{n}", size, most=most, age=9) for n, (size, most) in enumerate(old)]
    assert sizes(scaling.plan_scaling(deployment(replicas, 3, 2), current, others)) == expected


SIZES = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=4)


@given(st.integers(0, 9), SIZES, st.booleans(), st.sampled_from(["RollingUpdate", "Recreate"]))
def test_a_scaling_comes_to_an_end(replicas: int, sets: list[tuple[int, int]], made: bool, strategy: str) -> None:
    """Whatever it finds: carried out, it leaves nothing to scale, and the rollout goes on."""
    wanted = deployment(replicas, strategy=strategy)
    rows = [replica_set(f"s{n}", size, desired=desired, age=n) for n, (size, desired) in enumerate(sets)]
    new, old = (rows[0], rows[1:]) if made else (None, rows)
    if scaling.is_scaling_event(wanted, rows):
        planned = {row.name: size for row, size in scaling.plan_scaling(wanted, new, old)}
        after = [
            (planned.get(f"s{n}", size), replicas if f"s{n}" in planned else desired)
            for n, (size, desired) in enumerate(sets)
        ]
        left = [replica_set(f"s{n}", size, desired=desired) for n, (size, desired) in enumerate(after)]
        assert not scaling.is_scaling_event(wanted, left)


def test_leftovers_of_a_saturated_rollout_go() -> None:
    new = replica_set("new", 10, desired=10)
    assert sizes(scaling.plan_scaling(deployment(10), new, [replica_set("old", 2)])) == {"old": 0}


def test_the_remainder_of_the_rounding_goes_to_the_largest() -> None:
    sets = [replica_set("a", 3, most=9, age=3), replica_set("b", 3, most=9, age=2), replica_set("c", 3, most=9, age=1)]
    found = sizes(scaling.plan_scaling(deployment(10, 0, 1), None, sets))
    assert sum(found.values()) == 10
    assert found["c"] == 4, "of equals the newest gets the extra pod"


# ---- recreate --------------------------------------------------------------------------------------------------


def pod_of(owner: str, phase: str = "Running") -> Pod:
    reference = OwnerReference(kind="ReplicaSet", name=owner, uid=owner, controller=True)
    return Pod(metadata=Meta(name=f"{owner}-x", ownerReferences=(reference,)), status=PodStatus(phase=phase))


def test_recreate_stops_the_old_before_the_new() -> None:
    assert sizes(plan_stop([replica_set("old", 3), replica_set("older", 0)])) == {"old": 0}
    new, old = replica_set("new", 0), replica_set("old", 0)
    assert old_pods_running(new, [old], [pod_of("old")]), "it terminates, and may still do something"
    assert old_pods_running(new, [replica_set("old", 2)], [])
    assert not old_pods_running(new, [old], [pod_of("old", "Failed"), pod_of("new")])


# ---- revisions -------------------------------------------------------------------------------------------------


def with_revision(number: int, size: int = 0, observed: bool = True) -> ReplicaSet:
    made = replica_set(f"r{number}", size)
    meta = Meta(name=made.name, uid=made.uid, generation=2, annotations={REVISION_ANNOTATION: str(number)})
    seen = ReplicaSetStatus(replicas=size, observedGeneration=2 if observed else 1)
    return ReplicaSet(metadata=meta, spec=made.spec, status=seen)


def test_an_old_template_that_comes_back_gets_a_new_number_and_remembers_the_old_one() -> None:
    current = {REVISION_ANNOTATION: "1"}
    changes = revision.annotations_for_new(deployment(3), current, revision.next_revision([with_revision(2)]), True)
    assert changes == {REVISION_ANNOTATION: "3", REVISION_HISTORY_ANNOTATION: "1"}
    again = revision.annotations_for_new(deployment(3), {**current, **changes}, 5, True)
    assert again == {REVISION_ANNOTATION: "5", REVISION_HISTORY_ANNOTATION: "1,3"}


def test_a_set_that_is_up_to_date_needs_nothing() -> None:
    assert revision.annotations_for_new(deployment(3), {REVISION_ANNOTATION: "4"}, 4, True) == {}


def test_annotations_of_the_deployment_travel_except_its_own() -> None:
    meta = Meta(annotations={"team": "a", "kubectl.kubernetes.io/last-applied-configuration": "{}"})
    found = revision.annotations_for_new(Deployment(metadata=meta), {}, 1, exists=True)
    assert found == {"team": "a", REVISION_ANNOTATION: "1"}


def test_history_beyond_the_limit_goes_oldest_first_but_nothing_that_has_pods() -> None:
    history = [with_revision(1), with_revision(2, size=1), with_revision(3, observed=False), with_revision(4)]
    found = revision.superfluous(deployment(3, revisionHistoryLimit=1), [*history, with_revision(5)])
    assert [row.name for row in found] == ["r1", "r4"]
    assert revision.superfluous(deployment(3, revisionHistoryLimit=5), history) == []


# ---- status and conditions -------------------------------------------------------------------------------------


def test_counts_and_availability() -> None:
    found = status.calculate(deployment(10, 3, 2), replica_set("new", 5, 2), [replica_set("old", 8)], NOW)
    assert (found.replicas, found.updatedReplicas, found.availableReplicas, found.unavailableReplicas) == (13, 5, 10, 3)
    available = condition(found.conditions, "Available")
    assert available is not None
    assert (available.status, available.reason) == ("True", "MinimumReplicasAvailable")
    poor = status.calculate(deployment(10, 3, 2), replica_set("new", 10, 7), [], NOW)
    available = condition(poor.conditions, "Available")
    assert available is not None
    assert (available.status, available.reason) == ("False", "MinimumReplicasUnavailable")


def judged(before: DeploymentStatus, new: ReplicaSet, now: datetime = NOW, **spec: int) -> Condition:
    subject = deployment(3, before=before, **spec)
    counts = status.calculate(subject, new, [], now)
    found = condition(progress.with_progress(subject, new, [], counts, now).conditions, "Progressing")
    assert found is not None
    return found


def progressing(reason: str, when: datetime, state: str = "True") -> tuple[Condition, ...]:
    return (progress.progressing(state, reason, "", when),)


def test_a_rollout_that_is_through_says_so() -> None:
    before = DeploymentStatus(conditions=progressing("ReplicaSetUpdated", NOW))
    found = judged(before, replica_set("web-1", 3))
    assert found.reason == "NewReplicaSetAvailable"
    assert found.message == 'ReplicaSet "web-1" has successfully progressed.'


def test_every_step_forward_renews_the_deadline() -> None:
    before = DeploymentStatus(replicas=3, updatedReplicas=3, conditions=progressing("ReplicaSetUpdated", NOW))
    later = NOW + timedelta(seconds=30)
    found = judged(before, replica_set("web-1", 3, 1), later)
    assert (found.reason, found.lastUpdateTime, found.lastTransitionTime) == (
        "ReplicaSetUpdated",
        rfc3339(later),
        rfc3339(NOW),
    )


def test_no_step_until_the_deadline_is_a_timeout() -> None:
    before = DeploymentStatus(replicas=3, updatedReplicas=3, conditions=progressing("ReplicaSetUpdated", NOW))
    stuck = replica_set("web-1", 3, 0)
    early = judged(before, stuck, NOW + timedelta(seconds=59), progressDeadlineSeconds=60)
    late = judged(before, stuck, NOW + timedelta(seconds=61), progressDeadlineSeconds=60)
    assert early.reason == "ReplicaSetUpdated"
    assert (late.status, late.reason) == ("False", "ProgressDeadlineExceeded")
    subject = deployment(3, before=before, progressDeadlineSeconds=60)
    assert progress.recheck_after(subject, before, NOW + timedelta(seconds=21)) == 40


def test_a_pause_is_noted_once_and_taken_back() -> None:
    paused = deployment(3, paused=True, before=DeploymentStatus(conditions=progressing("ReplicaSetUpdated", NOW)))
    noted = progress.pause_condition(paused, NOW)
    assert noted is not None
    assert (noted.status, noted.reason) == ("Unknown", "DeploymentPaused")
    still = deployment(3, paused=True, before=DeploymentStatus(conditions=(noted,)))
    assert progress.pause_condition(still, NOW) is None
    resumed = progress.pause_condition(deployment(3, before=DeploymentStatus(conditions=(noted,))), NOW)
    assert resumed is not None
    assert resumed.reason == "DeploymentResumed"
