"""PodDisruptionBudgets: what they expect, what is counted, and evictions that never take more than is allowed."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from apiserver_harness import MERGE, Api, Server, pod, running
from control_plane_harness import World, run

from knet.api.objects import Condition, ConfigMap, Event, Pod, owner_reference
from knet.api.policy import BudgetSpec, BudgetStatus, PodDisruptionBudget
from knet.apiserver.subresources.eviction import charge, goes_unready, refused
from knet.client import ApiError
from knet.controllers.disruption.expected import Expectation, expectation
from knet.controllers.disruption.stale import stale_at
from knet.controllers.disruption.status import counted, disrupted, failed, healthy, status_json

JSON = dict[str, Any]
NOW = datetime(2027, 1, 15, 8, 0, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("disruption")) as found:
        yield found


# ---- what a budget expects ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "pods", "scale", "expected"),
    [
        ({"minAvailable": 2}, 3, 9, (3, 2)),
        ({"minAvailable": 0}, 3, 9, (3, 0)),
        ({"minAvailable": "50%"}, 3, 5, (5, 3)),
        ({"minAvailable": "0%"}, 3, 5, (5, 0)),
        ({"maxUnavailable": 1}, 3, 5, (5, 4)),
        ({"maxUnavailable": 7}, 3, 5, (5, 0)),
        ({"maxUnavailable": "30%"}, 3, 5, (5, 3)),
        ({"maxUnavailable": "0%"}, 3, 5, (5, 5)),
        ({}, 3, 5, (0, 0)),
    ],
)
def test_what_a_budget_expects(spec: JSON, pods: int, scale: int, expected: tuple[int, int]) -> None:
    assert expectation(msgspec.convert(spec, BudgetSpec), pods, scale) == expected


def pods_of(*marks: str) -> list[Pod]:
    """One pod per mark: "ready", "unready" or "deleting" (and still ready)."""
    rows = []
    for number, mark in enumerate(marks):
        metadata: JSON = {"name": f"p{number}"}
        if mark == "deleting":
            metadata["deletionTimestamp"] = "2027-01-15T08:00:00Z"
        condition = {"type": "Ready", "status": str(mark != "unready")}
        rows.append(msgspec.convert({"metadata": metadata, "status": {"conditions": [condition]}}, Pod))
    return rows


def ago(seconds: int) -> str:
    return (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_admitted_evictions_count_until_they_are_seen_or_given_up() -> None:
    pods = pods_of("ready", "ready", "ready", "deleting", "unready")
    known = {"p0": ago(10), "p1": ago(119), "p2": ago(121), "p3": ago(5), "gone": ago(5)}
    found = disrupted(pods, known, NOW)
    assert found.pending == {"p0": ago(10), "p1": ago(119)}
    assert [row.name for row in found.late] == ["p2"]
    assert found.recheck == NOW + timedelta(seconds=1)
    assert healthy(pods, found.pending) == 1


@pytest.mark.parametrize(
    ("expected", "current", "allowed", "reason"),
    [
        (Expectation(5, 3), 5, 2, "SufficientPods"),
        (Expectation(5, 3), 3, 0, "InsufficientPods"),
        (Expectation(5, 3), 1, 0, "InsufficientPods"),
        (Expectation(0, 0), 3, 0, "InsufficientPods"),
    ],
)
def test_what_is_allowed(expected: Expectation, current: int, allowed: int, reason: str) -> None:
    old = Condition(type="DisruptionAllowed", status="True", lastTransitionTime=ago(99))
    row = PodDisruptionBudget(
        metadata=msgspec.convert({"name": "b", "generation": 4}, type(PodDisruptionBudget().metadata)),
        status=BudgetStatus(conditions=(old,)),
    )
    status = status_json(counted(row, expected, current, {}, NOW))
    assert status == {
        "disruptionsAllowed": allowed,
        "currentHealthy": current,
        "desiredHealthy": expected.healthy,
        "expectedPods": expected.pods,
        "observedGeneration": 4,
        "conditions": [
            {
                "type": "DisruptionAllowed",
                "status": str(bool(allowed)),
                "reason": reason,
                "message": "",
                "observedGeneration": 4,
                "lastTransitionTime": ago(99) if allowed else ago(0),
            }
        ],
    }


def test_what_cannot_be_counted_allows_nothing() -> None:
    status = BudgetStatus(disruptionsAllowed=3, currentHealthy=3, observedGeneration=1)
    row = PodDisruptionBudget(status=status)
    after = failed(row, 'found no controllers for pod "p"', NOW)
    assert (after.disruptionsAllowed, after.currentHealthy) == (0, 3)
    assert after.conditions[0].reason == "SyncFailed"
    assert after.conditions[0].message == 'found no controllers for pod "p"'


@pytest.mark.parametrize(
    ("condition", "seconds"),
    [
        ({"status": "True", "lastTransitionTime": ago(0)}, 120),
        ({"status": "True", "lastTransitionTime": ago(500)}, -380),
        ({"status": "False", "lastTransitionTime": ago(500)}, None),
        ({"status": "True", "lastTransitionTime": ago(500), "reason": "TerminationByKubelet"}, None),
    ],
)
def test_a_pod_that_stays_is_no_target_any_more(condition: JSON, seconds: int | None) -> None:
    row = msgspec.convert({"status": {"conditions": [{"type": "DisruptionTarget", **condition}]}}, Pod)
    assert stale_at(row) == (None if seconds is None else NOW + timedelta(seconds=seconds))


# ---- what the API server says ------------------------------------------------------------------------------------


def budget(generation: int = 1, policy: str = "", **status: Any) -> JSON:
    spec = {"unhealthyPodEvictionPolicy": policy} if policy else {}
    status = {"observedGeneration": 1, "desiredHealthy": 2, "currentHealthy": 2, "disruptionsAllowed": 0, **status}
    return {"metadata": {"name": "b", "generation": generation}, "spec": spec, "status": status}


SYNC_FAILED = [{"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "why"}]
VIOLATION = "Cannot evict pod as it would violate the pod's disruption budget."


@pytest.mark.parametrize(
    ("row", "code", "message", "cause"),
    [
        (budget(disruptionsAllowed=1), None, "", ""),
        (budget(), 429, VIOLATION, "The disruption budget b needs 2 healthy pods and has 2 currently"),
        (
            budget(generation=2, disruptionsAllowed=1),
            429,
            VIOLATION,
            "The disruption budget b is still being processed by the server.",
        ),
        (
            budget(conditions=SYNC_FAILED),
            429,
            VIOLATION,
            "The disruption budget b does not allow evicting pods currently because it failed sync: why",
        ),
        (
            budget(disruptionsAllowed=-1),
            403,
            'poddisruptionbudget.policy "b" is forbidden: pdb disruptions allowed is negative',
            "",
        ),
        (
            budget(disruptionsAllowed=1, disruptedPods={str(number): "" for number in range(2001)}),
            403,
            'poddisruptionbudget.policy "b" is forbidden: DisruptedPods map too big - too many evictions not confirmed'
            " by PDB controller",
            "",
        ),
    ],
)
def test_what_a_budget_has_against_an_eviction(row: JSON, code: int | None, message: str, cause: str) -> None:
    error = refused(row)
    if error is None:
        assert code is None
        return
    assert (error.code, error.message) == (code, message)
    assert [each["message"] for each in (error.details or {}).get("causes", ())] == ([cause] if cause else [])


@pytest.mark.parametrize(
    ("ready", "row", "goes"),
    [
        ("True", budget(policy="AlwaysAllow"), False),
        ("False", budget(policy="AlwaysAllow", currentHealthy=0), True),
        ("False", budget(policy="IfHealthyBudget"), True),
        ("False", budget(), True),
        ("False", budget(currentHealthy=1), False),
        ("False", budget(desiredHealthy=0), False),
    ],
)
def test_which_pods_go_because_they_are_not_ready(ready: str, row: JSON, goes: bool) -> None:
    assert goes_unready({"status": {"conditions": [{"type": "Ready", "status": ready}]}}, row) is goes


def test_an_eviction_is_written_down() -> None:
    row = budget(disruptionsAllowed=1, disruptedPods={"before": ago(3)})
    charge(row, "p", ago(0))
    assert row["status"]["disruptionsAllowed"] == 0
    assert row["status"]["disruptedPods"] == {"before": ago(3), "p": ago(0)}
    assert row["status"]["conditions"] == [
        {
            "type": "DisruptionAllowed",
            "status": "False",
            "reason": "InsufficientPods",
            "message": "",
            "observedGeneration": 1,
            "lastTransitionTime": ago(0),
        }
    ]


PODS = "/api/v1/namespaces/default/pods"
BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"


async def running_pod(api: Api, name: str, app: str, ready: bool = True) -> None:
    value = pod(name)
    value["metadata"]["labels"] = {"app": app}
    value["spec"]["nodeName"] = "n1"
    assert (await api("POST", PODS, value)).code == 201
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": str(ready)}]}
    assert (await api("PATCH", f"{PODS}/{name}/status", {"status": status}, MERGE)).code == 200


async def guarded(api: Api, name: str, app: str, **status: Any) -> None:
    body = {"metadata": {"name": name}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": app}}}}
    assert (await api("POST", BUDGETS, body)).code == 201
    status = {"observedGeneration": 1, "desiredHealthy": 1, "currentHealthy": 2, "expectedPods": 2, **status}
    assert (await api("PATCH", f"{BUDGETS}/{name}/status", {"status": status}, MERGE)).code == 200


def eviction(name: str, **options: Any) -> JSON:
    body: JSON = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    return {**body, "deleteOptions": options} if options else body


def test_evictions_take_from_the_budget(server: Server) -> None:
    async def body(api: Api) -> None:
        for name in ("web-1", "web-2"):
            await running_pod(api, name, "web")
        await guarded(api, "web", "web", disruptionsAllowed=1)
        for way in ({"path": "?dryRun=All"}, {"options": {"dryRun": ["All"]}}):
            path = f"{PODS}/web-1/eviction{way.get('path', '')}"
            assert (await api("POST", path, eviction("web-1", **way.get("options", {})))).code == 201  # type: ignore[arg-type]
            assert "deletionTimestamp" not in (await api("GET", f"{PODS}/web-1")).body["metadata"]
            assert (await api("GET", f"{BUDGETS}/web")).body["status"]["disruptionsAllowed"] == 1
        done = await api("POST", f"{PODS}/web-1/eviction", eviction("web-1", gracePeriodSeconds=9))
        assert (done.code, done.body["status"]) == (201, "Success")
        gone = (await api("GET", f"{PODS}/web-1")).body
        assert gone["metadata"]["deletionGracePeriodSeconds"] == 9
        row = next(row for row in gone["status"]["conditions"] if row["type"] == "DisruptionTarget")
        assert (row["status"], row["reason"], row["message"]) == (
            "True",
            "EvictionByEvictionAPI",
            "Eviction API: evicting",
        )
        status = (await api("GET", f"{BUDGETS}/web")).body["status"]
        assert (status["disruptionsAllowed"], list(status["disruptedPods"])) == (0, ["web-1"])
        refused = await api("POST", f"{PODS}/web-2/eviction", eviction("web-2"))
        assert refused.code == 429
        assert refused.body == {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": VIOLATION,
            "reason": "TooManyRequests",
            "details": {
                "causes": [
                    {
                        "reason": "DisruptionBudget",
                        "message": "The disruption budget web needs 1 healthy pods and has 2 currently",
                    }
                ]
            },
            "code": 429,
        }
        # it goes already: no budget is asked a second time
        assert (await api("POST", f"{PODS}/web-1/eviction", eviction("web-1"))).code == 201

    server.run(body)


def test_evictions_without_and_with_too_many_budgets(server: Server) -> None:
    async def body(api: Api) -> None:
        answer = await api("POST", f"{PODS}/none/eviction", eviction("none"))
        assert (answer.code, answer.message) == (404, 'pods "none" not found')
        answer = await api("POST", f"{PODS}/none/eviction", eviction("other"))
        assert (answer.code, answer.message) == (400, "name in URL does not match name in Eviction object")
        await running_pod(api, "twice", "twice")
        for name in ("one", "two"):
            await guarded(api, name, "twice", disruptionsAllowed=1)
        answer = await api("POST", f"{PODS}/twice/eviction", eviction("twice"))
        assert (answer.code, answer.message) == (
            500,
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        )
        await guarded(api, "db", "db", disruptionsAllowed=0)
        for name, phase in (("waits", "Pending"), ("did", "Succeeded")):
            value = pod(name)
            value["metadata"]["labels"] = {"app": "db"}
            await api("POST", PODS, value)
            await api("PATCH", f"{PODS}/{name}/status", {"status": {"phase": phase}}, MERGE)
            assert (await api("POST", f"{PODS}/{name}/eviction", eviction(name))).code == 201
            assert (await api("GET", f"{PODS}/{name}")).code == 404
        await running_pod(api, "sick", "db", ready=False)
        assert (await api("POST", f"{PODS}/sick/eviction", eviction("sick"))).code == 201
        await running_pod(api, "changed", "db", ready=False)
        stale = {"preconditions": {"resourceVersion": "1"}}
        assert (await api("POST", f"{PODS}/changed/eviction", eviction("changed", **stale))).code == 409

    server.run(body)


# ---- with the controller -----------------------------------------------------------------------------------------


def test_parallel_evictions_never_take_too_many() -> None:
    async def story(world: World) -> None:
        await world.deploy(replicas=6)
        await world.until(world.complete)
        spec = {"maxUnavailable": 2, "selector": {"matchLabels": {"app": "web"}}}
        await world.client.create(PodDisruptionBudget, {"metadata": {"name": "b"}, "spec": spec}, "default")

        def status() -> BudgetStatus:
            found = world.budgets.get("default", "b")
            return found.status if found is not None else BudgetStatus()

        await world.until(lambda: status().disruptionsAllowed == 2)
        assert (status().currentHealthy, status().desiredHealthy, status().expectedPods) == (6, 4, 6)
        fewest = 6

        def watch(old: Pod | None, new: Pod | None) -> None:
            nonlocal fewest
            fewest = min(fewest, len(world.ready_pods()))

        world.pods.subscribe(watch)

        async def evict(name: str) -> bool:
            try:
                await world.client.raw("POST", f"{PODS}/{name}/eviction", eviction(name))
            except ApiError as error:
                assert (error.code, error.message) == (429, VIOLATION)
                return False
            return True

        left = {row.name for row in world.pods.list()}
        while left:
            taken = {name for name, gone in zip(left, await asyncio.gather(*map(evict, left)), strict=True) if gone}
            assert len(taken) <= 2
            left -= taken
            await world.until(lambda: status().disruptionsAllowed > 0)
        await world.until(lambda: world.complete() and not any(row.deleting for row in world.pods.list()))
        assert fewest >= 4

    run(story)


def test_a_budget_without_owners_tells_so() -> None:
    async def story(world: World) -> None:
        spec = {"containers": [{"name": "c", "image": "v1"}]}
        await world.client.create(Pod, {"metadata": {"name": "lone", "labels": {"a": "b"}}, "spec": spec}, "default")
        await world.until(lambda: len(world.ready_pods()) == 1)
        spec = {"maxUnavailable": 1, "selector": {"matchLabels": {"a": "b"}}}
        await world.client.create(PodDisruptionBudget, {"metadata": {"name": "b"}, "spec": spec}, "default")
        assert "(selector: &LabelSelector{MatchLabels:map[string]string{a: b,}," in await _told(world, "UnmanagedPods")
        owner = await world.client.create(ConfigMap, {"metadata": {"name": "owner"}}, "default")
        patch = {"metadata": {"ownerReferences": [owner_reference(owner)]}}
        await world.client.patch(Pod, "lone", patch, "default")
        await world.until(
            lambda: (
                [
                    (row.reason, row.message)
                    for row in world.budgets.get("default", "b").status.conditions  # type: ignore[union-attr]
                ]
                == [("SyncFailed", "configmaps does not implement the scale subresource")]
            )
        )

    run(story)


async def _told(world: World, reason: str) -> str:
    """The message of the first Event for that reason."""
    listing = await world.client.list(Event, "default")
    for row in listing.items:
        if row.reason == reason:
            return row.message
    async for event in world.client.watch(Event, listing.resource_version, "default"):
        if event.object.reason == reason:
            return event.object.message
    raise AssertionError(f"nothing was told of {reason}")
