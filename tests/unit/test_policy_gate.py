"""How a pod waits for its policies: the kubelet's question, the enforcer's answer, and what is kept in between."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from knet.api.objects import Container, ContainerPort, Meta, Pod, PodSpec
from knet.client.controller import Key
from knet.cni import isolation
from knet.policy.announced import Announced
from knet.policy.gate import Gate
from knet.policy.policies import NamedPort
from knet.policy.population import NarrowPod

HTTP = ContainerPort(containerPort=80, name="http")
WEB = Pod(
    metadata=Meta(namespace="default", name="web", labels={"app": "web"}),
    spec=PodSpec(nodeName="n1", containers=(Container(name="c", ports=(HTTP,)),)),
)


@pytest.fixture
def listening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    """The socket that the supervisor makes; nobody answers yet."""
    monkeypatch.setattr(isolation, "ADDRESS", f"\0{tmp_path}")
    found = socket.socket(socket.AF_UNIX)
    found.bind(isolation.ADDRESS)
    found.listen()
    return found


async def asked(listening: socket.socket, admit: Callable[[NarrowPod], Awaitable[bool]]) -> bool:
    gate = asyncio.ensure_future(Gate(listening, admit).run())
    try:
        return await isolation.isolate(WEB, ["10.244.1.2"])
    finally:
        gate.cancel()


def test_where_nobody_enforces_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "ADDRESS", f"\0{tmp_path}")
    assert not asyncio.run(isolation.isolate(WEB, ["10.244.1.2"]))


@pytest.mark.parametrize("policies", [True, False])
def test_a_pod_waits_until_it_is_admitted(listening: socket.socket, policies: bool) -> None:
    seen: list[NarrowPod] = []

    async def body() -> None:
        admitted = asyncio.Event()

        async def admit(pod: NarrowPod) -> bool:
            seen.append(pod)
            await admitted.wait()
            return policies

        waiting = asyncio.ensure_future(asked(listening, admit))
        while not seen:
            await asyncio.sleep(0)
        assert not waiting.done()
        admitted.set()
        assert await waiting is policies

    asyncio.run(body())
    [pod] = seen
    assert (pod.namespace, pod.name, pod.metadata.labels) == ("default", "web", {"app": "web"})
    assert pod.spec.containers[0].ports == WEB.spec.containers[0].ports


def test_a_question_that_is_not_answered_is_an_error(listening: socket.socket) -> None:
    async def refuse(_: NarrowPod) -> bool:
        raise ValueError("no")

    with pytest.raises(isolation.IsolationError, match="network policies are not in force"):
        asyncio.run(asked(listening, refuse))


@pytest.mark.usefixtures("listening")
def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "PATIENCE", 0.05)
    with pytest.raises(isolation.IsolationError):  # the backlog takes it, and nobody reads
        asyncio.run(isolation.isolate(WEB, ["10.244.1.2"]))


def announced(name: str, address: str) -> NarrowPod:
    pod = Pod(metadata=Meta(namespace="default", name=name), spec=WEB.spec)
    return msgspec.convert(isolation.announcement(pod, [address]), NarrowPod)


def test_what_the_kubelet_said_outlives_the_one_whom_it_told(tmp_path: Path) -> None:
    first = Announced("n1", tmp_path)
    first.add(announced("web", "10.244.1.2"))
    first.add(announced("db", "10.244.1.3"))
    (tmp_path / "default_half.json").write_text('{"metadata"')
    again = Announced("n1", tmp_path)
    assert again.endpoints == first.endpoints
    [web] = [row for row in again.endpoints if row.name == "web"]
    assert (web.addresses, web.ports, web.local) == (("10.244.1.2",), ((NamedPort("tcp", "http"), 80),), True)
    again.add(announced("heir", "10.244.1.2"))  # an address is whose it was given last
    assert Key("default", "web") not in again
    again.keep({Key("default", "heir"), Key("default", "other")})
    assert [row.name for row in Announced("n1", tmp_path).endpoints] == ["heir"]


def test_a_pod_without_an_address_is_not_understood(tmp_path: Path) -> None:
    pod = announced("web", "10.244.1.2")
    with pytest.raises(ValueError, match="default/web has no address"):
        Announced("n1", tmp_path).add(NarrowPod(metadata=pod.metadata, spec=pod.spec))
