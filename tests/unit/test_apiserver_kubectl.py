"""An ordinary kubectl, as a subprocess, finds nothing missing."""

import json
from collections.abc import Iterator

import pytest
from apiserver_harness import running
from kubectl_harness import Kubectl, needs_kubectl

pytestmark = needs_kubectl

MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: nginx
        image: nginx:1.25
        ports: [{containerPort: 80}]
        readinessProbe: {httpGet: {port: 80}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80}]
"""


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    with running(tmp_path_factory.mktemp("kubectl")) as server:
        yield Kubectl(server)


@pytest.fixture(scope="module")
def manifest(kubectl: Kubectl) -> str:
    return kubectl.file("web.yaml", MANIFEST)


def test_apply_creates_updates_and_leaves_alone(kubectl: Kubectl, manifest: str) -> None:
    assert kubectl("apply", "-f", manifest) == "deployment.apps/web created\nservice/web created\n"
    assert kubectl("apply", "-f", manifest) == "deployment.apps/web unchanged\nservice/web unchanged\n"
    changed = MANIFEST.replace("nginx:1.25", "nginx:1.26")
    assert kubectl("apply", "-f", "-", stdin=changed) == "deployment.apps/web configured\nservice/web unchanged\n"
    assert kubectl("get", "deployment", "web", "-o", "jsonpath={.metadata.generation}") == "2"


def test_get_prints_columns(kubectl: Kubectl, manifest: str) -> None:
    kubectl("apply", "-f", manifest)
    plain = kubectl("get", "deployments").splitlines()
    assert plain[0].split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert plain[1].split()[:4] == ["web", "0/3", "0", "0"]
    assert "nginx:1.25" in kubectl("get", "deployments", "-o", "wide")
    everything = kubectl("get", "all", "-A")
    assert "service/kubernetes" in everything and "deployment.apps/web" in everything


def test_imperative_changes(kubectl: Kubectl, manifest: str) -> None:
    kubectl("apply", "-f", manifest)
    for words in (
        ("scale", "deployment", "web", "--replicas", "6"),
        ("label", "deployment", "web", "tier=front"),
        ("annotate", "deployment", "web", "note=hello"),
        ("set", "image", "deployment", "web", "nginx=nginx:1.27"),
        ("set", "env", "deployment", "web", "COLOR=blue"),
        ("patch", "deployment", "web", "-p", '{"spec":{"minReadySeconds":1}}'),
        ("patch", "deployment", "web", "--type", "merge", "-p", '{"spec":{"paused":true}}'),
        ("patch", "deployment", "web", "--type", "json", "-p", '[{"op":"remove","path":"/spec/paused"}]'),
        ("rollout", "restart", "deployment", "web"),
    ):
        kubectl(*words)
    value = json.loads(kubectl("get", "deployment", "web", "-o", "json"))
    assert value["spec"]["replicas"] == 6 and value["spec"]["minReadySeconds"] == 1
    [container] = value["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "nginx:1.27" and container["env"] == [{"name": "COLOR", "value": "blue"}]
    assert value["metadata"]["labels"]["tier"] == "front" and value["metadata"]["annotations"]["note"] == "hello"
    kubectl("replace", "--force", "-f", manifest)


def test_create_of_every_textbook_kind(kubectl: Kubectl) -> None:
    for words, wanted in (
        (("namespace", "team"), "namespace/team created"),
        (("configmap", "settings", "--from-literal=a=b"), "configmap/settings created"),
        (("secret", "generic", "password", "--from-literal=a=b"), "secret/password created"),
        (("serviceaccount", "robot"), "serviceaccount/robot created"),
        (("deployment", "front", "--image=nginx", "--replicas=2", "--port=80"), "deployment.apps/front created"),
        (("service", "clusterip", "front", "--tcp=80:8080"), "service/front created"),
        (("service", "nodeport", "door", "--tcp=80", "--node-port=30081"), "service/door created"),
    ):
        assert kubectl("create", *words).strip() == wanted
    assert kubectl("get", "deployment", "front", "-o", "jsonpath={.spec.replicas}") == "2"
    assert kubectl("get", "secret", "password", "-o", "jsonpath={.data.a}") == "Yg=="
    assert kubectl("run", "once", "--image=busybox", "--restart=Never", "--", "true").strip() == "pod/once created"
    assert "exposed" in kubectl("expose", "deployment", "front", "--port=81", "--name=second")


def test_describe_and_explain(kubectl: Kubectl, manifest: str) -> None:
    kubectl("apply", "-f", manifest)
    assert "25% max unavailable, 25% max surge" in kubectl("describe", "deployment", "web")
    assert "TargetPort:" in kubectl("describe", "service", "web")
    assert "containerPort" in kubectl("explain", "pod.spec.containers.ports")
    assert "maxUnavailable" in kubectl("explain", "deployment", "--recursive")


def test_discovery_commands(kubectl: Kubectl) -> None:
    assert "deploy" in kubectl("api-resources")
    assert "discovery.k8s.io/v1" in kubectl("api-versions").split()
    assert "+knet" in kubectl("version")
    assert "readyz check passed" in kubectl("get", "--raw", "/readyz?verbose")


def test_a_dry_run_and_a_diff_change_nothing(kubectl: Kubectl, manifest: str) -> None:
    kubectl("apply", "-f", manifest)
    changed = MANIFEST.replace("replicas: 3", "replicas: 4")
    assert "(server dry run)" in kubectl("apply", "--dry-run=server", "-f", "-", stdin=changed)
    assert "+  replicas: 4" in kubectl.run("diff", "-f", "-", stdin=changed).stdout
    assert kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}") == "3"


def test_bad_input_is_refused_with_upstreams_words(kubectl: Kubectl) -> None:
    no_selector = MANIFEST.split("---")[0].replace("  selector: {matchLabels: {app: web}}\n", "").replace("web", "bad")
    strict = MANIFEST.replace("replicas: 3", "replicaz: 3").replace("name: web", "name: bad")
    assert 'The Deployment "bad" is invalid: spec.selector: Required value' in kubectl.refused(
        "create", "--validate=false", "-f", "-", stdin=no_selector
    )
    assert "replicaz" in kubectl.refused("create", "-f", "-", stdin=strict)
    assert 'namespaces "default" is forbidden' in kubectl.refused("delete", "namespace", "default")
    assert 'pods "nobody" not found' in kubectl.refused("get", "pod", "nobody")
    assert "spec.selector" in kubectl.refused(
        "patch", "deployment", "web", "-p", '{"spec":{"selector":{"matchLabels":{"app":"x"}}}}'
    )


def test_delete_by_name_and_by_selector(kubectl: Kubectl) -> None:
    kubectl("run", "doomed", "--image=busybox", "--labels=fate=sealed")
    assert kubectl("delete", "pod", "doomed").strip() == 'pod "doomed" deleted'
    for name in ("one", "two"):
        kubectl("create", "configmap", name, "--from-literal=a=b")
        kubectl("label", "configmap", name, "fate=sealed")
    assert kubectl("delete", "configmap", "-l", "fate=sealed").count("deleted") == 2
    assert kubectl("get", "configmap", "-l", "fate=sealed") == ""
