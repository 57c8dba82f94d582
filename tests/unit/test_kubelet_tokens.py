"""A kubelet keeps the token in a pod's volume fresh, asking a real API server as its node."""

import asyncio
from pathlib import Path

import jwt
import pytest
from apiserver_harness import Api, Server, pod, running

from knet.api.objects import Pod
from knet.api.resources import PODS
from knet.client import Client
from knet.kubelet import lookups
from knet.kubelet.environment import Facts
from knet.kubelet.runtime.paths import Identity, PodPaths
from knet.kubelet.volumes import set_up


async def _bind(api: Api) -> None:
    value = pod("web")
    value["spec"]["nodeName"] = "n1"
    assert (await api("POST", PODS.path("default"), value)).code == 201


async def _tokens(server: Server, directory: Path) -> list[str]:
    """What is in the volume after each of three looks, the last by a kubelet that has been started anew."""
    paths = PodPaths(Identity("default", "web", "u1"), directory, directory / "logs")
    kubeconfig = directory / "kubelet"
    kubeconfig.write_text(server.kubeconfig.read_text().replace("/admin.", "/node."))
    found = []
    async with Client.from_kubeconfig(kubeconfig) as client:
        given = await client.get(Pod, "web", "default")
        [volume] = given.spec.volumes
        source = lookups.ApiLookups(client, server.pki / "ca.crt")
        for again in (source, source, lookups.ApiLookups(client, server.pki / "ca.crt")):
            place = await set_up(given, volume, paths, Facts(("192.0.2.1",)), again.as_volumes())
            found.append((place / "token").read_text())
    return found


@pytest.mark.parametrize(("fresh", "different"), [(lookups.FRESH, 2), (0.0, 3)])
def test_a_token_is_replaced_when_its_time_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: float, different: int
) -> None:
    """``fresh``: the part of its life after which it is replaced."""
    monkeypatch.setattr(lookups, "FRESH", fresh)
    with running(tmp_path) as server:
        server.run(_bind)
        tokens = asyncio.run(_tokens(server, tmp_path))
    assert len(set(tokens)) == different
    for token in tokens:
        claims = jwt.decode(token, options={"verify_signature": False})
        assert claims["kubernetes.io"]["pod"]["name"] == "web"
        assert claims["sub"] == "system:serviceaccount:default:default"
