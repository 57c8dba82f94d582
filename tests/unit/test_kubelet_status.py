"""A pod's status from what was observed."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from knet.api.objects import JSON, Condition, Container, Pod
from knet.kubelet.pod_status import pod_status
from knet.kubelet.qos import qos_class
from knet.kubelet.state import Attempt, ContainerView, Exit, PodView, Waiting

NOW = 1767225600.0  # 2026-01-01T00:00:00Z
TEXT = "2026-01-01T00:00:00Z"


def attempt(number: int = 0, exit_: Exit | None = None) -> Attempt:
    return Attempt("c", number, f"id{number}", "docker.io/library/nginx:1", "sha", NOW, exit_)


def container(name: str = "c", **more: Any) -> ContainerView:
    return ContainerView(Container(name=name, image="nginx:1"), **more)


def running(name: str = "c", **more: Any) -> ContainerView:
    return container(name, current=attempt(), started=True, ready=True, **more)


def view(*containers: ContainerView, policy: str = "Always", **more: Any) -> PodView:
    pod = msgspec.convert({"metadata": {"name": "p"}, "spec": {"restartPolicy": policy}}, Pod)
    return replace(PodView(pod, containers, sandbox="ready", ips=("10.244.1.7",), started_at=NOW), **more)


def status(given: PodView, known: tuple[Condition, ...] = (), now: float = NOW) -> JSON:
    return pod_status(given, ("172.18.0.3",), known, now)


def conditions(given: PodView) -> dict[str, tuple[str, str]]:
    return {row["type"]: (row["status"], row["reason"] or "") for row in status(given)["conditions"]}


def state(given: PodView) -> JSON:
    row = status(given)["containerStatuses"][0]
    return {key: row[key] for key in ("state", "lastState", "ready", "started", "restartCount")}


def test_a_running_pod() -> None:
    found = status(view(running()))
    assert found["phase"] == "Running"
    assert (found["podIP"], found["podIPs"]) == ("10.244.1.7", [{"$patch": "replace"}, {"ip": "10.244.1.7"}])
    assert (found["hostIP"], found["hostIPs"]) == ("172.18.0.3", [{"ip": "172.18.0.3"}])
    assert (found["startTime"], found["qosClass"]) == (TEXT, "BestEffort")
    assert found["containerStatuses"] == [
        {
            "name": "c",
            "image": "docker.io/library/nginx:1",
            "imageID": "sha",
            "containerID": "knet://id0",
            "restartCount": 0,
            "ready": True,
            "started": True,
            "state": {"running": {"startedAt": TEXT}},
            "lastState": {},
        }
    ]
    assert conditions(view(running())) == {
        "PodReadyToStartContainers": ("True", ""),
        "Initialized": ("True", ""),
        "Ready": ("True", ""),
        "ContainersReady": ("True", ""),
        "PodScheduled": ("True", ""),
    }


def test_a_pod_without_sandbox_is_creating() -> None:
    given = view(container(), sandbox="absent", ips=())
    assert state(given)["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert "podIP" not in status(given)
    assert conditions(given)["PodReadyToStartContainers"] == ("False", "")
    assert conditions(given)["Ready"] == ("False", "ContainersNotReady")


def test_a_pod_with_init_containers_is_initializing() -> None:
    init = ContainerView(Container(name="i"), init=True, current=attempt())
    given = view(init, container())
    assert state(given)["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert conditions(given)["Initialized"] == ("False", "ContainersNotInitialized")
    rows = {row["type"]: row for row in status(given)["conditions"]}
    assert rows["Initialized"]["message"] == "containers with incomplete status: [i]"
    assert status(given)["initContainerStatuses"][0]["state"] == {"running": {"startedAt": TEXT}}


def test_an_ephemeral_container_counts_for_nothing() -> None:
    given = view(running(), running("d", ephemeral=True))
    [row] = status(given)["ephemeralContainerStatuses"]
    assert (row["name"], row["ready"], row["state"]) == ("d", False, {"running": {"startedAt": TEXT}})
    assert "started" not in row and len(status(given)["containerStatuses"]) == 1
    assert conditions(given) == conditions(view(running()))


def test_containers_that_are_not_ready_are_named() -> None:
    given = view(running("a"), container("b", current=attempt(), started=True), container("c", current=attempt()))
    rows = {row["type"]: row for row in status(given)["conditions"]}
    assert rows["Ready"]["message"] == "containers with unready status: [b c]"


def test_a_crash_loop_shows_the_wait_and_the_last_end() -> None:
    crashed = attempt(3, Exit(1, NOW, "Error"))
    given = view(container(current=crashed, waiting=Waiting("CrashLoopBackOff", "back-off 40s")))
    assert state(given) == {
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
        "lastState": {
            "terminated": {
                "exitCode": 1,
                "reason": "Error",
                "startedAt": TEXT,
                "finishedAt": TEXT,
                "containerID": "knet://id3",
            }
        },
        "ready": False,
        "started": False,
        "restartCount": 3,
    }
    assert status(given)["phase"] == "Running"


def test_a_restarted_container_remembers_its_last_end() -> None:
    given = view(running(previous=attempt(0, Exit(137, NOW, "OOMKilled", 9))))
    assert state(given)["lastState"]["terminated"]["reason"] == "OOMKilled"
    assert state(given)["lastState"]["terminated"]["signal"] == 9


@pytest.mark.parametrize(("code", "phase", "reason"), [(0, "Succeeded", "PodCompleted"), (3, "Failed", "PodFailed")])
def test_a_pod_that_is_over(code: int, phase: str, reason: str) -> None:
    ended = attempt(0, Exit(code, NOW, "Completed" if code == 0 else "Error", message="said"))
    given = view(container(current=ended), policy="Never", sandbox="absent")
    assert status(given)["phase"] == phase
    assert state(given)["state"]["terminated"]["message"] == "said"
    assert conditions(given)["Ready"] == ("False", reason)
    assert status(given)["podIP"] == "10.244.1.7"


def test_a_rejected_pod_has_no_containers() -> None:
    found = status(view(container(), doomed=("OutOfcpu", "too much"), sandbox="absent", ips=()))
    assert (found["phase"], found["reason"], found["message"]) == ("Failed", "OutOfcpu", "too much")
    assert "containerStatuses" not in found


def test_readiness_gates_hold_a_pod_back() -> None:
    body = {
        "spec": {"readinessGates": [{"conditionType": "lb"}]},
        "status": {"conditions": [{"type": "lb", "status": "False"}]},
    }
    given = replace(view(running()), pod=msgspec.convert(body, Pod))
    assert conditions(given)["Ready"] == ("False", "ReadinessGatesNotReady")
    assert conditions(given)["ContainersReady"] == ("True", "")


def test_a_condition_keeps_its_time_while_its_status_stays() -> None:
    since = "2025-12-31T00:00:00Z"
    known = (
        Condition(type="Ready", status="True", lastTransitionTime=since),
        Condition(type="ContainersReady", status="False", lastTransitionTime=since),
    )
    rows = {row["type"]: row["lastTransitionTime"] for row in status(view(running()), known)["conditions"]}
    assert (rows["Ready"], rows["ContainersReady"]) == (since, TEXT)


def test_the_schedulers_condition_is_left_alone() -> None:
    body = {"status": {"conditions": [{"type": "PodScheduled", "status": "True"}]}}
    given = replace(view(running()), pod=msgspec.convert(body, Pod))
    assert "PodScheduled" not in conditions(given)


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ([{}], "BestEffort"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}], "Burstable"),
        ([{"requests": {"memory": "1Gi"}}], "Burstable"),
        ([{"limits": {"cpu": "1"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}, {}], "Burstable"),
        ([{"requests": {"cpu": "0"}}], "BestEffort"),
    ],
)
def test_quality_of_service(resources: list[JSON], expected: str) -> None:
    containers = [{"name": f"c{index}", "resources": row} for index, row in enumerate(resources)]
    assert qos_class(msgspec.convert({"spec": {"containers": containers}}, Pod).spec) == expected
