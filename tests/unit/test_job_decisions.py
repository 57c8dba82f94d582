"""What a Job decides from its pods: indexes, policies, demand, verdict; and when a CronJob is due."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knet.api.batch import Job, SuccessPolicy
from knet.api.objects import Pod
from knet.api.timing import LAB
from knet.controllers.cronjob.schedule import TOO_MANY, Schedule, UnknownZone, Unparseable
from knet.controllers.job import success_policy
from knet.controllers.job.demand import demand
from knet.controllers.job.failure_policy import judge
from knet.controllers.job.indexes import COMPLETION_INDEX, parse, render
from knet.controllers.job.tally import FINALIZER, tally
from knet.controllers.job.tracking import Doings, ledger
from knet.controllers.job.verdict import verdict

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TIME = "2026-03-01T11:00:00Z"


def job(status: Any = None, **spec: Any) -> Job:
    template = {"spec": {"restartPolicy": spec.pop("restartPolicy", "Never")}}
    value = {"metadata": {"name": "work", "uid": "j"}, "spec": {"template": template, **spec}}
    return msgspec.convert(value | {"status": _stored(status or {})}, Job)


def _stored(patch: Any) -> Any:
    """What a merge patch leaves behind: nulls are absent."""
    if isinstance(patch, dict):
        return {key: _stored(item) for key, item in patch.items() if item is not None}
    return patch


def pod(name: str, phase: str = "Running", index: int | None = None, code: int = 0, **more: Any) -> Pod:
    place = {} if index is None else {COMPLETION_INDEX: str(index)}
    metadata = {
        "name": name,
        "namespace": "default",
        "uid": name,
        "annotations": {**place, **more.get("annotations", {})},
        "finalizers": [FINALIZER] if more.get("tracked", True) else [],
        "creationTimestamp": TIME,
        "deletionTimestamp": more.get("deleted"),
    }
    state = {"terminated": {"exitCode": code, "finishedAt": more.get("at", TIME)}} if phase == "Failed" else {}
    containers = [{"name": "c", "state": state, "restartCount": more.get("restarts", 0)}]
    return msgspec.convert({"metadata": metadata, "status": {"phase": phase, "containerStatuses": containers}}, Pod)


@given(st.sets(st.integers(0, 60)))
def test_indexes_survive_their_text(indexes: set[int]) -> None:
    assert parse(render(indexes), 61) == indexes


@pytest.mark.parametrize(
    ("text", "completions", "found"),
    [("", 5, []), ("0,2-3", 5, [0, 2, 3]), ("1-9", 4, [1, 2, 3]), ("x,1-,2", 5, [2]), ("7", 5, [])],
)
def test_what_cannot_be_an_index_is_none(text: str, completions: int, found: list[int]) -> None:
    assert sorted(parse(text, completions)) == found


@pytest.mark.parametrize(
    ("rule", "code", "action"),
    [
        ({"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3]}}, 3, "FailJob"),
        ({"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3]}}, 4, "Count"),
        ({"action": "Ignore", "onExitCodes": {"operator": "NotIn", "values": [3]}}, 4, "Ignore"),
        ({"action": "Ignore", "onExitCodes": {"operator": "NotIn", "values": [3]}}, 0, "Count"),
        ({"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [3], "containerName": "d"}}, 3, "Count"),
    ],
)
def test_a_failure_policy_goes_by_exit_codes(rule: Any, code: int, action: str) -> None:
    policy = job(podFailurePolicy={"rules": [rule]}).spec.podFailurePolicy
    assert judge(policy, pod("a", "Failed", code=code)).action == action


@pytest.mark.parametrize(
    ("rule", "succeeded", "message"),
    [
        ({"succeededIndexes": "0,2"}, {0}, ""),
        ({"succeededIndexes": "0,2"}, {0, 2}, "Matched rules at index 0"),
        ({"succeededIndexes": "0-5", "succeededCount": 2}, {1, 4}, "Matched rules at index 0"),
        ({"succeededCount": 3}, {1, 4}, ""),
    ],
)
def test_a_success_policy_needs_these_or_so_many(rule: Any, succeeded: set[int], message: str) -> None:
    policy = msgspec.convert({"rules": [rule]}, SuccessPolicy)
    assert success_policy.met(policy, frozenset(succeeded), 6) == message


@pytest.mark.parametrize(
    ("spec", "status", "pods", "create", "delete"),
    [
        # a work queue: parallelism pods, none any more after the first success
        ({"parallelism": 3}, {}, [pod("a")], [None, None], []),
        ({"parallelism": 3}, {}, [pod("a"), pod("b", "Succeeded")], [], []),
        # no more pods than completions are missing
        ({"parallelism": 3, "completions": 4}, {"succeeded": 3}, [], [None], []),
        # too many after parallelism was lowered
        ({"parallelism": 1, "completions": 4}, {}, [pod("a"), pod("b", "Pending")], [], ["b"]),
        ({"suspend": True}, {}, [pod("a")], [], ["a"]),
        # the lowest free indexes; of two pods of one index, or of none, one goes
        (
            {"parallelism": 3, "completions": 5, "completionMode": "Indexed"},
            {"completedIndexes": "0"},
            [pod("a", index=2)],
            [1, 3],
            [],
        ),
        (
            {"parallelism": 3, "completions": 5, "completionMode": "Indexed"},
            {},
            [pod("a", index=2), pod("b", "Pending", index=2), pod("c", index=9)],
            [],
            ["b", "c"],
        ),
        # a failed pod is replaced after its backoff only, which is over here
        ({"completions": 1}, {}, [pod("a", "Failed", code=1)], [None], []),
    ],
)
def test_demand(spec: Any, status: Any, pods: list[Pod], create: list[int | None], delete: list[str]) -> None:
    work = job(status, **spec)
    wanted = demand(work, pods, tally(work, pods), LAB, NOW)
    assert list(wanted.create) == create
    assert sorted(row.name for row in wanted.delete) == delete


def test_each_failure_doubles_the_wait() -> None:
    work = job(completions=1)
    pods = [pod(name, "Failed", code=1, at="2026-03-01T12:00:00Z") for name in ("a", "b", "c")]
    assert demand(work, pods, tally(work, pods), LAB, NOW).wait == timedelta(seconds=4 * LAB.job_backoff)
    success = pod("d", "Succeeded")
    assert demand(work, [*pods[:1], success], tally(work, pods[:1]), LAB, NOW).wait == timedelta(
        seconds=LAB.job_backoff
    )


@pytest.mark.parametrize(
    ("spec", "status", "pods", "reason"),
    [
        ({"backoffLimit": 1}, {}, [pod("a", "Failed"), pod("b", "Failed")], "BackoffLimitExceeded"),
        ({"backoffLimit": 2}, {"failed": 1}, [pod("a", "Failed")], None),
        ({"backoffLimit": 2, "restartPolicy": "OnFailure"}, {}, [pod("a", restarts=2)], "BackoffLimitExceeded"),
        ({"activeDeadlineSeconds": 60}, {"startTime": TIME}, [pod("a")], "DeadlineExceeded"),
        ({"activeDeadlineSeconds": 60, "suspend": True}, {"startTime": TIME}, [pod("a")], None),
        ({"completions": 2}, {"succeeded": 1}, [pod("a", "Succeeded")], "CompletionsReached"),
        ({"completions": 2}, {"succeeded": 1}, [pod("a", "Succeeded"), pod("b")], None),
        (
            {"completions": 3, "completionMode": "Indexed", "backoffLimitPerIndex": 0, "maxFailedIndexes": 0},
            {},
            [pod("a", "Failed", index=1)],
            "MaxFailedIndexesExceeded",
        ),
        ({}, {"conditions": [{"type": "FailureTarget", "status": "True", "reason": "Before"}]}, [], "Before"),
    ],
)
def test_verdict(spec: Any, status: Any, pods: list[Pod], reason: str | None) -> None:
    work = job(status, **spec)
    found = verdict(work, pods, tally(work, pods), NOW)
    assert (found.reason if found is not None else None) == reason


def test_the_end_of_a_pod_is_counted_once_whenever_the_controller_dies() -> None:
    work, ends = job(completions=2, parallelism=2), [pod("a", "Succeeded"), pod("b", "Failed")]
    first = ledger(work, ends, tally(work, ends), None, Doings(), NOW)
    assert first.status["uncountedTerminatedPods"] == {"succeeded": ["a"], "failed": ["b"]}
    assert {row.name for row in first.release} == {"a", "b"}
    # died after the status was written: the same again
    work = job(first.status, completions=2, parallelism=2)
    again = ledger(work, ends, tally(work, ends), None, Doings(), NOW)
    assert again.status["uncountedTerminatedPods"] == first.status["uncountedTerminatedPods"]
    assert tally(work, ends)[:2] == (1, 1)
    # died after one finalizer was removed
    half = [pod("a", "Succeeded", tracked=False), ends[1]]
    next_ = ledger(work, half, tally(work, half), None, Doings(), NOW)
    assert (next_.status["succeeded"], next_.status["uncountedTerminatedPods"]["failed"]) == (1, ["b"])
    work = job(next_.status, completions=2, parallelism=2)
    assert tally(work, half)[:2] == (1, 1)


@pytest.mark.parametrize(
    ("schedule", "zone", "since", "latest", "missed"),
    [
        ("*/10 * * * *", None, "2026-03-01T11:31:00Z", "2026-03-01T12:00:00+00:00", 3),
        ("0 13 * * *", "Europe/Berlin", "2026-02-28T12:30:00Z", "2026-03-01T13:00:00+01:00", 1),
        ("@hourly", None, "2026-03-01T12:00:00Z", None, 0),
        ("@every 20m", None, "2026-03-01T11:00:00Z", "2026-03-01T12:00:00+00:00", 3),
        ("* * * * *", None, "2025-03-01T00:00:00Z", "2026-03-01T12:00:00+00:00", TOO_MANY + 1),
    ],
)
def test_due(schedule: str, zone: str | None, since: str, latest: str | None, missed: int) -> None:
    due = Schedule(schedule, zone).due(datetime.fromisoformat(since), NOW)
    assert (due.latest and due.latest.isoformat(), due.missed) == (latest, missed)


def test_schedules_that_are_none() -> None:
    with pytest.raises(Unparseable):
        Schedule("61 * * * *")
    with pytest.raises(UnknownZone):
        Schedule("* * * * *", "Atlantis/Capital")
