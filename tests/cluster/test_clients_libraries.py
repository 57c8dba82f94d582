"""Client libraries cannot tell knet from Kubernetes: Python's official one, lightkube, kr8s, JavaScript's official one.

Each does what its users do, all against one cluster.
"""

import asyncio
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kr8s
import kr8s.asyncio.objects
import kr8s.asyncio.portforward
import kubernetes as official
import lightkube
import pytest
import yaml
from kubernetes import dynamic
from kubernetes import watch as watching
from kubernetes.stream import portforward, stream
from kubernetes.utils import create_from_yaml
from lightkube import codecs
from lightkube.models.core_v1 import Container, PodSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Pod
from lightkube.types import PatchType

from knet import Cluster

NAME = "libraries"
JAVASCRIPT = Path(__file__).parent / "javascript"
NODE = shutil.which("node")

WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: %s, labels: {app: %s}}
spec:
  replicas: 1
  selector: {matchLabels: {app: %s}}
  template:
    metadata: {labels: {app: %s}}
    spec: {containers: [{name: web, image: nginx, ports: [{containerPort: 80}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: %s}
spec: {selector: {app: %s}, ports: [{port: 80}]}
"""


def web(name: str) -> str:
    """A Deployment and its Service."""
    return WEB.replace("%s", name)


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(tmp_path_factory.mktemp("home") / "kubeconfig"))
        with Cluster(name=NAME) as running:
            yield str(running.kubeconfig)


# ---- kubernetes ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def api(kubeconfig: str) -> Any:
    return official.config.new_client_from_config(kubeconfig)


def until(api: Any, name: str, condition: Any) -> Any:
    """Watch a pod of the official client until something holds."""
    core, watch = official.client.CoreV1Api(api), watching.Watch()
    for event in watch.stream(core.list_namespaced_pod, "default", field_selector=f"metadata.name={name}"):
        if condition(event["object"]):
            watch.stop()
            return event["object"]
    raise AssertionError("the watch ended")


def ready(pod: Any) -> bool:
    return any(row.type == "Ready" and row.status == "True" for row in pod.status.conditions or ())


def test_the_official_client_reads_and_writes(api: Any) -> None:
    core = official.client.CoreV1Api(api)
    meta = official.client.V1ObjectMeta
    body = official.client.V1ConfigMap(metadata=meta(name="settings", labels={"a": "b"}), data={"k": "v"})
    created = core.create_namespaced_config_map("default", body)
    assert created.metadata.uid and created.data == {"k": "v"}
    assert core.patch_namespaced_config_map("settings", "default", {"data": {"l": "w"}}).data == {"k": "v", "l": "w"}
    created.data = {"k": "x"}
    with pytest.raises(official.client.ApiException) as conflict:
        core.replace_namespaced_config_map("settings", "default", created)
    assert (conflict.value.status, json.loads(conflict.value.body)["reason"]) == (409, "Conflict")
    roles = official.client.RbacAuthorizationV1Api(api)
    page = roles.list_cluster_role(limit=10)
    rest = roles.list_cluster_role(_continue=page.metadata._continue)
    assert len(page.items) == 10 and len(rest.items) == page.metadata.remaining_item_count > 0
    assert [row.metadata.name for row in core.list_config_map_for_all_namespaces(label_selector="a=b").items] == [
        "settings"
    ]
    core.delete_namespaced_config_map("settings", "default")
    with pytest.raises(official.client.ApiException) as gone:
        core.read_namespaced_config_map("settings", "default")
    assert (gone.value.status, gone.value.reason) == (404, "Not Found")


def test_the_official_client_makes_what_a_file_says(api: Any, tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(web("file"))
    create_from_yaml(api, str(tmp_path / "web.yaml"), namespace="default")
    apps, watch = official.client.AppsV1Api(api), watching.Watch()
    for event in watch.stream(apps.list_namespaced_deployment, "default", label_selector="app=file"):
        if event["object"].status.available_replicas == 1:
            watch.stop()
    scale = apps.patch_namespaced_deployment_scale("file", "default", {"spec": {"replicas": 2}})
    assert scale.spec.replicas == 2 and apps.read_namespaced_deployment("file", "default").spec.replicas == 2
    answer = official.client.CoreV1Api(api).list_namespaced_service("default")
    assert "file" in [row.metadata.name for row in answer.items]


def test_the_official_client_gets_into_containers(api: Any) -> None:
    core = official.client.CoreV1Api(api)
    container = {"name": "c", "image": "nginx", "command": ["sh", "-c", "echo begun; exec nginx -g 'daemon off;'"]}
    core.create_namespaced_pod("default", {"metadata": {"name": "official"}, "spec": {"containers": [container]}})
    pod = until(api, "official", ready)
    assert "begun\n" in core.read_namespaced_pod_log("official", "default")
    run = core.connect_get_namespaced_pod_exec
    command = ["sh", "-c", "echo out; echo err >&2"]
    assert sorted(stream(run, "official", "default", command=command, stdout=True, stderr=True).split()) == [
        "err",
        "out",
    ]
    command = ["sh", "-c", "read line; echo got $line; read line; exit 3"]
    talk = stream(run, "official", "default", command=command, stdin=True, stdout=True, _preload_content=False)
    talk.write_stdin("hello\n")
    assert talk.readline_stdout() == "got hello"  # says nothing if the end has come, too
    talk.write_stdin("end\n")
    talk.run_forever(timeout=20)
    assert talk.returncode == 3
    forward = portforward(core.connect_get_namespaced_pod_portforward, "official", "default", ports="80")
    http: socket.socket = forward.socket(80)
    http.setblocking(True)
    http.sendall(b"GET / HTTP/1.0\r\n\r\n")
    answer = b""
    while data := http.recv(4096):
        answer += data
    assert b"Welcome to nginx!" in answer and forward.error(80) is None
    assert "Welcome" in core.connect_get_namespaced_pod_proxy_with_path("official:80", "default", "index.html")
    body = official.client.V1Eviction(metadata=official.client.V1ObjectMeta(name="official", namespace="default"))
    core.create_namespaced_pod_eviction("official", "default", body)
    for event in watching.Watch().stream(
        core.list_namespaced_pod, "default", resource_version=pod.metadata.resource_version
    ):
        if event["type"] == "DELETED" and event["object"].metadata.name == "official":
            break


def test_the_dynamic_client_finds_out_by_itself(api: Any) -> None:
    client = dynamic.DynamicClient(api)
    things = client.resources.get(api_version="apiextensions.k8s.io/v1", kind="CustomResourceDefinition")
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "lamps.example.org"},
        "spec": {
            "group": "example.org",
            "scope": "Namespaced",
            "names": {"plural": "lamps", "singular": "lamp", "kind": "Lamp"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {
                                "spec": {"type": "object", "properties": {"lit": {"type": "boolean", "default": True}}}
                            },
                        }
                    },
                }
            ],
        },
    }
    things.create(body=definition)
    for event in things.watch(name="lamps.example.org", timeout=30):
        if any(row.type == "Established" and row.status == "True" for row in event["object"].status.conditions or ()):
            break
    lamps = client.resources.get(api_version="example.org/v1", kind="Lamp")
    lamp = {"apiVersion": "example.org/v1", "kind": "Lamp", "metadata": {"name": "desk"}, "spec": {}}
    assert lamps.create(body=lamp, namespace="default").spec.lit is True
    body = {**lamp, "spec": {"lit": False}}
    with pytest.raises(dynamic.exceptions.ConflictError):
        lamps.server_side_apply(body=body, namespace="default", field_manager="me")
    forced = lamps.server_side_apply(body=body, namespace="default", field_manager="me", force_conflicts=True)
    assert forced.spec.lit is False
    with pytest.raises(dynamic.exceptions.UnprocessibleEntityError):
        lamps.patch(
            name="desk",
            namespace="default",
            body={"spec": {"lit": "no"}},
            content_type="application/merge-patch+json",
        )
    assert [row.metadata.name for row in lamps.get(namespace="default").items] == ["desk"]
    lamps.delete(name="desk", namespace="default")


# ---- lightkube -----------------------------------------------------------------------------------------------


def test_lightkube(kubeconfig: str) -> None:
    client = lightkube.Client(config=lightkube.KubeConfig.from_file(kubeconfig), field_manager="lightkube")
    client.create(ConfigMap(metadata=ObjectMeta(name="light"), data={"a": "1"}))
    assert client.patch(ConfigMap, "light", {"data": {"b": "2"}}).data == {"a": "1", "b": "2"}
    moved = [{"op": "move", "from": "/data/a", "path": "/data/c"}]
    assert client.patch(ConfigMap, "light", moved, patch_type=PatchType.JSON).data == {"b": "2", "c": "1"}
    with pytest.raises(lightkube.ApiError) as exists:
        client.create(ConfigMap(metadata=ObjectMeta(name="light")))
    assert exists.value.status.reason == "AlreadyExists"
    for value in codecs.load_all_yaml(web("light")):
        client.apply(value)
    client.wait(Deployment, "light", for_conditions=["Available"])
    pod = next(iter(client.list(Pod, labels={"app": "light"})))
    assert pod.metadata is not None and pod.metadata.name is not None
    assert isinstance(list(client.log(pod.metadata.name)), list)
    for operation, value in client.watch(Pod, labels={"app": "light"}):
        assert (operation, value.metadata and value.metadata.name) == ("ADDED", pod.metadata.name)
        break
    single = PodSpec(containers=[Container(name="c", image="busybox", command=["sh", "-c", "echo done"])])
    single.restartPolicy = "Never"
    client.create(Pod(metadata=ObjectMeta(name="once"), spec=single))
    for _, value in client.watch(Pod, fields={"metadata.name": "once"}):
        if value.status is not None and value.status.phase == "Succeeded":
            break
    assert [line.strip() for line in client.log("once", follow=True)] == ["done"]
    client.delete(Pod, "once", grace_period=0)


# ---- kr8s ----------------------------------------------------------------------------------------------------


def test_kr8s(kubeconfig: str) -> None:
    async def test() -> None:
        client = await kr8s.asyncio.api(kubeconfig=kubeconfig)
        objects = [await _object(client, value) for value in yaml.safe_load_all(web("kr8s"))]
        for value in objects:
            await value.create()
        deployment, service = objects
        await deployment.wait("condition=Available", timeout=30)
        await deployment.scale(2)
        await deployment.wait("jsonpath='{.status.readyReplicas}'=2", timeout=30)
        [first, _] = await deployment.pods()
        assert await first.ready()
        ran = await first.exec(["sh", "-c", "echo out; echo err >&2"])
        assert (ran.stdout, ran.stderr, ran.returncode) == (b"out\n", b"err\n", 0)
        assert (await first.exec(["sh", "-c", "exit 3"], check=False)).returncode == 3
        for target in (first, service):
            async with target.portforward(80) as port:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"GET / HTTP/1.0\r\n\r\n")
                assert b"Welcome to nginx!" in await reader.read()
                writer.close()
        await first.label({"seen": "yes"})
        assert [pod.name async for pod in client.get("pods", label_selector={"seen": "yes"})] == [first.name]
        logged = [line async for line in first.logs(tail_lines=1)]
        assert logged
        async for kind, pod in client.watch("pods", label_selector={"seen": "yes"}):
            assert (kind, pod.name) == ("ADDED", first.name)
            break
        assert (await client.version())["gitVersion"].startswith("v1.")
        await deployment.delete(propagation_policy="Foreground")
        await deployment.wait("delete", timeout=30)
        await service.delete()

    asyncio.run(test())


async def _object(client: Any, value: dict[str, Any]) -> Any:
    return await kr8s.asyncio.objects.object_from_spec(value, api=client)


# ---- @kubernetes/client-node -----------------------------------------------------------------------------------


@pytest.mark.skipif(
    not (NODE and (JAVASCRIPT / "node_modules").is_dir()),
    reason="no node, or no @kubernetes/client-node: apt-get install npm; scripts/install --dev",
)
def test_the_official_client_of_javascript(kubeconfig: str) -> None:
    environment = {**os.environ, "KUBECONFIG": kubeconfig}
    done = subprocess.run(
        [str(NODE), "client.js"],
        cwd=JAVASCRIPT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert "coredns" in told.pop("deployments")
    assert told == {
        "objects": [{"a": "1"}, {"a": "1", "b": "2"}],
        "exec": ["out\n", "err\n", 3],
        "stdin": ["got hello\n", "", 0],
        "log": "begun",
        "forward": "HTTP/1.1 200 OK",
    }
