"""What the API server says an object would become, and that asking changes nothing."""

import asyncio
from pathlib import Path

import orjson
import pytest
from apiserver_harness import running

from knet.api.names import LAST_APPLIED_ANNOTATION
from knet.api.resources import DEPLOYMENTS, SERVICES
from knet.client import ApiError, Client, NotFound
from knet.cluster.apply import apply, proposed

PORTS = [{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]


def service(namespace: str = "default", **spec: object) -> dict[str, object]:
    row = {"type": "NodePort", "selector": {"app": "web"}, "ports": PORTS, **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": namespace}, "spec": row}


def test_what_would_become_of_a_manifest(tmp_path: Path) -> None:
    async def body() -> None:
        async with Client.from_kubeconfig(str(server.kubeconfig), "test") as client:
            verb, becomes = await proposed(client, service())
            assert verb == "created"
            assert becomes["spec"]["clusterIP"].startswith("10.96.")
            assert all(row["nodePort"] for row in becomes["spec"]["ports"])
            with pytest.raises(NotFound):
                await client.raw("GET", SERVICES.path("default", "web"))

            assert await apply(client, service()) == "created"
            assert (await proposed(client, service()))[0] == "unchanged"
            before = orjson.loads(await client.raw("GET", SERVICES.path("default", "web")))
            other = service(type="ClusterIP", ports=[{"name": "http", "port": 8080}, PORTS[1]])
            verb, becomes = await proposed(client, other)
            assert verb == "configured"
            assert [row["port"] for row in becomes["spec"]["ports"]] == [8080, 53]
            assert becomes["spec"]["clusterIP"] == before["spec"]["clusterIP"]
            assert orjson.loads(await client.raw("GET", SERVICES.path("default", "web"))) == before

            assert await apply(client, other) == "configured"
            after = orjson.loads(await client.raw("GET", SERVICES.path("default", "web")))
            assert after["spec"]["ports"] == becomes["spec"]["ports"]

    with running(tmp_path) as server:
        asyncio.run(body())


def deployment(env: list[str], **spec: object) -> dict[str, object]:
    container = {"name": "web", "image": "nginx", "env": [{"name": name, "value": "1"} for name in env]}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}
    row = {"selector": {"matchLabels": {"app": "web"}}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": row}


def test_what_a_manifest_no_longer_says_goes_and_what_the_server_has_put_in_its_place(tmp_path: Path) -> None:
    async def body() -> None:
        async with Client.from_kubeconfig(str(server.kubeconfig), "test") as client:
            assert await apply(client, deployment(["A", "B"])) == "created"
            assert await apply(client, deployment(["A"], strategy={"type": "Recreate"})) == "configured"
            assert await apply(client, deployment(["A"], strategy={"type": "Recreate"})) == "unchanged"
            spec = orjson.loads(await client.raw("GET", DEPLOYMENTS.path("default", "web")))["spec"]
            assert spec["strategy"] == {"type": "Recreate"}
            assert [row["name"] for row in spec["template"]["spec"]["containers"][0]["env"]] == ["A"]

    with running(tmp_path) as server:
        asyncio.run(body())


def test_what_goes_into_a_namespace_that_is_to_be_made_is_tried_elsewhere(tmp_path: Path) -> None:
    async def body() -> None:
        async with Client.from_kubeconfig(str(server.kubeconfig), "test") as client:
            await apply(client, service())
            with pytest.raises(ApiError, match='namespaces "new" not found'):
                await proposed(client, service("new"))
            verb, becomes = await proposed(client, service("new"), made=["new"])
            assert verb == "created"
            assert (becomes["metadata"]["namespace"], becomes["metadata"]["name"]) == ("new", "web")
            with pytest.raises(ApiError, match=r'Service "web" is invalid: .* must be between 1 and 65535'):
                await proposed(client, service("new", ports=[{"port": 80000}]), made=["new"])
            listed = orjson.loads(await client.raw("GET", SERVICES.path("")))["items"]
            names = sorted(row["metadata"]["name"] for row in listed)
            assert names == ["kubernetes", "web"]
            assert LAST_APPLIED_ANNOTATION in becomes["metadata"]["annotations"]

    with running(tmp_path) as server:
        asyncio.run(body())
