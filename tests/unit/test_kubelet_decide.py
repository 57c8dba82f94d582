"""The worker's next step, from what was observed."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from knet.api.objects import Container, Meta, Pod
from knet.kubelet.decide import Do, Plan, Step, decide
from knet.kubelet.state import Attempt, ContainerView, Exit, PodView, phase

NOW = 1000.0


def run(code: int | None = None, number: int = 0) -> Attempt:
    """A run that goes on, or one that ended with a code."""
    return Attempt("c", number, "id", "i", "iid", NOW, None if code is None else Exit(code, NOW, "Error"))


def app(name: str = "c", current: Attempt | None = None, **more: Any) -> ContainerView:
    return ContainerView(Container(name=name), current=current, **more)


def init(name: str, current: Attempt | None = None, sidecar: bool = False, **more: Any) -> ContainerView:
    spec = Container(name=name, restartPolicy="Always" if sidecar else "")
    return ContainerView(spec, init=True, current=current, **more)


def debugger(current: Attempt | None = None, **more: Any) -> ContainerView:
    return ContainerView(Container(name="d"), ephemeral=True, current=current, **more)


def view(*containers: ContainerView, policy: str = "Always", **more: Any) -> PodView:
    pod = msgspec.convert({"metadata": {"name": "p"}, "spec": {"restartPolicy": policy}}, Pod)
    return replace(PodView(pod, containers, sandbox="ready", volumes_ready=True), **more)


def deleted(given: PodView) -> PodView:
    return replace(given, pod=Pod(metadata=Meta(deletionTimestamp="2026-01-01T00:00:00Z"), spec=given.pod.spec))


def steps(given: PodView) -> list[tuple[Do, str]]:
    return [(step.do, step.container) for step in decide(given, NOW).steps]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (view(app(), sandbox="absent", volumes_ready=False), [(Do.PREPARE_VOLUMES, "")]),
        (view(app(), sandbox="absent"), [(Do.CREATE_SANDBOX, "")]),
        (view(app(), sandbox="absent", retry_at=NOW + 1), []),
        (view(app()), [(Do.START, "c")]),
        (view(app("a"), app("b")), [(Do.START, "a"), (Do.START, "b")]),
        (view(app(current=run())), []),
        (view(app(current=run(1))), [(Do.START, "c")]),
        (view(app(current=run(1), not_before=NOW + 5)), []),
        (view(app(current=run(0)), policy="OnFailure"), [(Do.REMOVE_SANDBOX, "")]),
        (view(app(current=run(1)), policy="OnFailure"), [(Do.START, "c")]),
        (view(app("a", run(1)), app("b", run()), policy="Never"), []),
        (view(app(current=run(1)), policy="Never"), [(Do.REMOVE_SANDBOX, "")]),
        (view(app(current=run(1)), policy="Never", sandbox="absent"), []),
        (view(app(current=run(), failing="liveness")), [(Do.STOP, "c")]),
        (view(app(current=run(), failing="liveness", stopping=True)), []),
        (view(app(current=run(137), changed=True), policy="Never"), [(Do.START, "c")]),
    ],
)
def test_containers_start_and_restart_by_policy(given: PodView, expected: list[tuple[Do, str]]) -> None:
    assert steps(given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (view(init("i1"), init("i2"), app()), [(Do.START, "i1")]),
        (view(init("i1", run()), init("i2"), app()), []),
        (view(init("i1", run(0)), init("i2"), app()), [(Do.START, "i2")]),
        (view(init("i1", run(0)), init("i2", run(3)), app()), [(Do.START, "i2")]),
        (view(init("i1", run(0)), init("i2", run(0)), app()), [(Do.START, "c")]),
        (view(init("i1", run(3)), app(), policy="Never"), [(Do.REMOVE_SANDBOX, "")]),
        # an app container that ran before: init containers are not run again
        (view(init("i1"), app(current=run(1))), [(Do.START, "c")]),
        # sidecars: the next one waits until it has started, and it is restarted whatever the policy
        (view(init("s", sidecar=True), init("i"), app()), [(Do.START, "s")]),
        (view(init("s", run(), sidecar=True), init("i"), app()), []),
        (view(init("s", run(), sidecar=True, started=True), init("i"), app()), [(Do.START, "i")]),
        (view(init("s", run(), sidecar=True, started=True), app()), [(Do.START, "c")]),
        (view(init("s", run(0), sidecar=True), app(current=run()), policy="Never"), [(Do.START, "s")]),
    ],
)
def test_init_containers_run_one_after_the_other(given: PodView, expected: list[tuple[Do, str]]) -> None:
    assert steps(given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (view(app(current=run()), debugger()), [(Do.START, "d")]),
        (view(init("i", run()), app(), debugger()), [(Do.START, "d")]),
        (view(app(current=run()), debugger(run(1))), []),
        # nobody waits for it, and it keeps nobody
        (view(app(current=run(0)), debugger(run()), policy="Never"), [(Do.STOP, "d")]),
        (deleted(view(app(current=run()), debugger(run()))), [(Do.STOP, "c"), (Do.STOP, "d")]),
    ],
)
def test_ephemeral_containers_run_once_whatever_the_others_do(given: PodView, expected: list[tuple[Do, str]]) -> None:
    assert steps(given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (deleted(view(app(current=run()))), [(Do.STOP, "c")]),
        (deleted(view(app(current=run(), stopping=True))), []),
        (deleted(view(app(current=run(0)))), [(Do.REMOVE_SANDBOX, "")]),
        (deleted(view(app(current=run(0)), sandbox="absent")), [(Do.FINISH, "")]),
        (deleted(view(app(), sandbox="absent", volumes_ready=False)), [(Do.FINISH, "")]),
        (view(app(current=run()), removed=True), [(Do.STOP, "c")]),
        (view(app(), sandbox="absent", removed=True), [(Do.FINISH, "")]),
        (view(app(current=run()), doomed=("Evicted", "")), [(Do.STOP, "c")]),
        # sidecars outlive those they serve
        (deleted(view(init("s", run(), sidecar=True), app(current=run()))), [(Do.STOP, "c")]),
        (deleted(view(init("s", run(), sidecar=True), app(current=run(), stopping=True))), []),
        (deleted(view(init("s", run(), sidecar=True), app(current=run(0)))), [(Do.STOP, "s")]),
        # a pod whose pause process died starts anew
        (view(app(current=run()), sandbox="lost"), [(Do.STOP, "c")]),
        (view(app(current=run(137)), sandbox="lost"), [(Do.REMOVE_SANDBOX, "")]),
        # one that was over when the kubelet came is left alone
        (view(app(), sandbox="absent", final="Succeeded"), []),
        (deleted(view(app(), sandbox="absent", final="Succeeded")), [(Do.FINISH, "")]),
    ],
)
def test_a_pod_winds_down_containers_first(given: PodView, expected: list[tuple[Do, str]]) -> None:
    assert steps(given) == expected


def test_a_plan_says_when_to_ask_again() -> None:
    waiting = view(app("a", run(1), not_before=NOW + 5), app("b", run(1), not_before=NOW + 3))
    assert decide(waiting, NOW) == Plan((), NOW + 3)
    pod = msgspec.convert({"spec": {"activeDeadlineSeconds": 2}}, Pod)
    assert decide(replace(waiting, pod=pod, started_at=NOW), NOW).wake_at == NOW + 2
    assert decide(view(app(current=run())), NOW).wake_at == 0


def test_the_reason_of_a_stop_is_the_events() -> None:
    failing = view(app(current=run(), failing="Container c failed liveness probe, will be restarted"))
    assert decide(failing, NOW).steps == (Step(Do.STOP, "c", "Container c failed liveness probe, will be restarted"),)
    assert decide(deleted(view(app(current=run()))), NOW).steps[0].why == "Stopping container c"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (view(app()), "Pending"),
        (view(init("i", run()), app()), "Pending"),
        (view(init("i", run(1)), app(), policy="Never"), "Failed"),
        (view(app(current=run())), "Running"),
        (view(app("a", run()), app("b")), "Pending"),
        (view(app(current=run(1))), "Running"),
        (view(app(current=run(0)), policy="OnFailure"), "Succeeded"),
        (view(app("a", run(0)), app("b", run(2)), policy="Never"), "Failed"),
        (view(app("a", run(0)), app("b", run()), policy="Never"), "Running"),
        (view(app(current=run()), doomed=("DeadlineExceeded", "")), "Running"),
        (view(app(current=run(143)), doomed=("DeadlineExceeded", "")), "Failed"),
    ],
)
def test_phases(given: PodView, expected: str) -> None:
    assert phase(given) == expected
