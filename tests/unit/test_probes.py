"""Thresholds of probes, and what containers are asked."""

import asyncio
import itertools
from collections.abc import Sequence

import pytest

from knet.api.objects import Container, ContainerPort, ExecAction, HTTPGetAction, Probe, TCPSocketAction
from knet.kubelet.handlers import Answer, Target, Verdict, ask, port_number
from knet.kubelet.probes import Count, Probes, Reports, count


@pytest.mark.parametrize(
    ("success", "failure", "answers", "results"),
    [
        (1, 3, "+", [True]),
        (1, 3, "---", [None, None, False]),
        (1, 3, "+--+---", [True, True, True, True, True, True, False]),
        (2, 1, "+-++", [None, False, False, True]),
        (1, 1, "+-+", [True, False, True]),
        (3, 2, "+++-+--", [None, None, True, True, True, True, False]),
    ],
)
def test_a_result_changes_when_its_threshold_is_reached(
    success: int, failure: int, answers: str, results: Sequence[bool | None]
) -> None:
    probe = Probe(successThreshold=success, failureThreshold=failure)
    states = list(
        itertools.accumulate((sign == "+" for sign in answers), lambda s, a: count(s, probe, a), initial=Count())
    )
    assert [state.result for state in states[1:]] == list(results)


CONTAINER = Container(name="c", ports=(ContainerPort(containerPort=8080, name="web"),))


@pytest.mark.parametrize(("port", "number"), [(80, 80), ("81", 81), ("web", 8080)])
def test_ports_by_number_and_name(port: int | str, number: int) -> None:
    assert port_number(CONTAINER, port) == number


def test_a_port_name_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match=r'strconv\.Atoi: parsing "nope": invalid syntax'):
        port_number(CONTAINER, "nope")


async def _never(_: tuple[str, ...]) -> tuple[int, str]:
    raise AssertionError("no command was to be run")


async def _answer(reply: bytes, probe_of: HTTPGetAction | None = None) -> tuple[Answer, bytes]:
    """What an HTTP probe makes of a server's reply, and the request the server saw."""
    seen = b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen = await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        action = HTTPGetAction(port=port, path="/healthz") if probe_of is None else probe_of
        return await ask(Probe(httpGet=action), Target(CONTAINER, "127.0.0.1", _never), 5), seen


@pytest.mark.parametrize(
    ("reply", "verdict", "text"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", Verdict.SUCCESS, ""),
        (b"HTTP/1.1 302 Found\r\n\r\n", Verdict.SUCCESS, ""),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", Verdict.FAILURE, "HTTP probe failed with statuscode: 404"),
        (b"HTTP/1.1 503 No\r\n\r\nbody", Verdict.FAILURE, "HTTP probe failed with statuscode: 503"),
        (b"", Verdict.FAILURE, "EOF"),
        (b"garbage\r\n", Verdict.FAILURE, "EOF"),
    ],
)
def test_http_answers(reply: bytes, verdict: Verdict, text: str) -> None:
    answer, request = asyncio.run(_answer(reply))
    assert answer.verdict is verdict and text in answer.text
    assert request.startswith(b"GET /healthz HTTP/1.1\r\n") and b"User-Agent: kube-probe/1." in request


def test_nobody_listening_is_told_in_gos_words() -> None:
    with_free_port = Probe(tcpSocket=TCPSocketAction(port=1))
    answer = asyncio.run(ask(with_free_port, Target(CONTAINER, "127.0.0.1", _never), 5))
    assert answer == Answer(Verdict.FAILURE, "dial tcp 127.0.0.1:1: connect: connection refused")


def test_commands_succeed_by_exit_code_and_tell_their_output() -> None:
    async def execute(command: tuple[str, ...]) -> tuple[int, str]:
        return (0, "") if command == ("true",) else (1, "oh no")

    async def verdict(*command: str) -> Answer:
        return await ask(Probe(exec=ExecAction(command=command)), Target(CONTAINER, "", execute), 1)

    assert asyncio.run(verdict("true")) == Answer(Verdict.SUCCESS)
    assert asyncio.run(verdict("false")) == Answer(Verdict.FAILURE, "oh no")


def _watched(container: Container, answers: Sequence[bool], until: str) -> list[str]:
    """What a container's probes report when a command answers so, until a certain report."""
    told: list[str] = []

    async def scenario() -> None:
        done = asyncio.Event()
        replies = iter(answers)

        async def execute(command: tuple[str, ...]) -> tuple[int, str]:
            good = next(replies, None)
            if good is None:
                await asyncio.Event().wait()
            return (0, "") if good else (1, f"no {command[0]}")

        def tell(what: str) -> None:
            told.append(what)
            if what == until:
                done.set()

        reports = Reports(
            lambda: tell("started"), lambda ready: tell(f"ready {ready}"), lambda which: tell(f"failed {which}"), tell
        )
        probes = Probes(Target(container, "", execute), reports, eager=True)
        async with asyncio.timeout(10):
            await done.wait()
        probes.stop()

    asyncio.run(scenario())
    return told


def _probe(word: str, failures: int = 1) -> Probe:
    return Probe(exec=ExecAction(command=(word,)), periodSeconds=0, failureThreshold=failures)


def test_without_probes_a_container_is_started_and_ready_at_once() -> None:
    assert _watched(Container(name="c"), [], "ready True") == ["started", "ready True"]


def test_readiness_comes_and_goes() -> None:
    container = Container(name="c", readinessProbe=_probe("r", 2))
    told = _watched(container, [True, False, False], "ready False")
    assert told == [
        "started",
        "ready True",
        "Readiness probe failed: no r",
        "Readiness probe failed: no r",
        "ready False",
    ]


def test_liveness_that_fails_ends_the_container() -> None:
    told = _watched(Container(name="c", livenessProbe=_probe("l", 2)), [True, False, False], "failed liveness")
    assert told[-1] == "failed liveness" and told.count("Liveness probe failed: no l") == 2


def test_nothing_else_is_asked_before_the_startup_probe_has_succeeded() -> None:
    container = Container(name="c", startupProbe=_probe("s", 3), readinessProbe=_probe("r"))
    told = _watched(container, [False, False, True, True], "ready True")
    assert told == ["Startup probe failed: no s"] * 2 + ["started", "ready True"]


def test_a_startup_probe_that_never_succeeds_ends_the_container() -> None:
    container = Container(name="c", startupProbe=_probe("s", 2), livenessProbe=_probe("l"))
    told = _watched(container, [False, False], "failed startup")
    assert "started" not in told and told[-1] == "failed startup"


def test_an_eager_probe_asks_again_at_once_and_does_not_count_its_first_tries() -> None:
    probe = Probe(exec=ExecAction(command=("r",)), periodSeconds=10, failureThreshold=1)
    told = _watched(Container(name="c", readinessProbe=probe), [False, False, True], "ready True")
    assert told == ["started", "ready True"]
