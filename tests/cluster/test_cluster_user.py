"""A user's first hour: ordinary kubectl, ordinary manifests, the knet command, the Python API, the lab scripts."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from knet import Cluster
from tests.conftest import ROOT, knet

NAME = "user"
KUBECTL = shutil.which("kubectl")

pytestmark = pytest.mark.skipif(KUBECTL is None, reason="no kubectl on this machine")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    previous = os.environ.get("KUBECONFIG")
    os.environ["KUBECONFIG"] = f"/tmp/knet-test-{os.getpid()}.kubeconfig"
    try:
        with Cluster(name=NAME) as running:
            yield running
    finally:
        os.environ.pop("KUBECONFIG") if previous is None else os.environ.update(KUBECONFIG=previous)


def kubectl(*words: str, fails: bool = False) -> str:
    """kubectl with the user's kubeconfig; its output, or with ``fails`` what it complained of."""
    argv = ["kubectl", "--context", NAME, *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=90, check=False)
    assert bool(done.returncode) == fails, f"kubectl {' '.join(words)}\n{done.stdout}{done.stderr}"
    return done.stderr if fails else done.stdout


@pytest.fixture(scope="module")
def web(cluster: Cluster) -> str:
    out = kubectl("apply", "-f", str(ROOT / "scripts/web.yaml"))
    assert out == "deployment.apps/web created\nservice/web created\n"
    assert 'deployment "web" successfully rolled out' in kubectl("rollout", "status", "deployment", "web")
    return "web"


def test_applying_again_changes_nothing(web: str) -> None:
    out = kubectl("apply", "-f", str(ROOT / "scripts/web.yaml"))
    assert out == "deployment.apps/web unchanged\nservice/web unchanged\n"


def test_nodes_and_pods_are_shown_as_kubectl_shows_them(web: str) -> None:
    nodes = kubectl("get", "nodes", "-o", "wide").splitlines()
    assert nodes[0].split()[:5] == ["NAME", "STATUS", "ROLES", "AGE", "VERSION"]
    assert [row.split()[:2] for row in nodes[1:]] == [["n1", "Ready"], ["n2", "Ready"]]
    pods = kubectl("get", "pods", "-o", "wide", "-l", "app=web").splitlines()
    assert " ".join(pods[0].split()) == "NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES"
    assert [row.split()[1:3] for row in pods[1:]] == [["1/1", "Running"]] * 3
    assert {row.split()[6] for row in pods[1:]} == {"n1", "n2"}


def test_scaling_updating_and_rolling_back(web: str) -> None:
    kubectl("scale", "deployment", "web", "--replicas", "6")
    kubectl("rollout", "status", "deployment", "web")
    assert len(kubectl("get", "endpointslices", "-l", "kubernetes.io/service-name=web", "-o",
                       "jsonpath={.items[*].endpoints[*].addresses}").split("]")) == 7  # fmt: skip
    kubectl("set", "image", "deployment/web", "nginx=nginx:1.27")
    kubectl("rollout", "status", "deployment", "web")
    history = kubectl("rollout", "history", "deployment", "web")
    assert re.search(r"^1 .*\n2 ", history, re.MULTILINE), history
    kubectl("rollout", "undo", "deployment", "web")
    kubectl("rollout", "status", "deployment", "web")
    assert "nginx:1.26" in kubectl("get", "deployment", "web", "-o", "wide")
    kubectl("scale", "deployment", "web", "--replicas", "3")


def test_a_deleted_pod_is_replaced(web: str) -> None:
    name = kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].metadata.name}")
    assert f'pod "{name}" deleted' in kubectl("delete", "pod", name)
    kubectl("rollout", "status", "deployment", "web")
    names = kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].metadata.name}")
    assert name not in names


def test_describe_tells_the_story_in_events(web: str) -> None:
    out = kubectl("describe", "pods", "-l", "app=web")
    for reason in ("Scheduled", "Pulled", "Created", "Started"):
        assert reason in out
    assert "ScalingReplicaSet" in kubectl("describe", "deployment", "web")
    assert re.search(r"Endpoints:\s+10\.244\.", kubectl("describe", "service", "web"))
    assert "PodCIDR:" in kubectl("describe", "node", "n1")


def test_logs_are_those_of_the_container(web: str) -> None:
    kubectl("run", "talker", "--image", "busybox", "--restart", "Never", "--", "sh", "-c", "echo one; echo two >&2")
    kubectl("wait", "pod/talker", "--for", "jsonpath={.status.phase}=Succeeded", "--timeout", "30s")
    assert sorted(kubectl("logs", "talker").split()) == ["one", "two"]
    assert kubectl("logs", "talker", "--tail", "1").count("\n") == 1
    kubectl("delete", "pod", "talker")


def test_exec_and_the_service_name(web: str) -> None:
    kubectl("run", "tools", "--image", "busybox", "--", "sleep", "infinity")
    kubectl("wait", "pod/tools", "--for", "condition=Ready", "--timeout", "30s")
    address = kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
    out = kubectl("exec", "tools", "--", "nslookup", "web.default.svc.cluster.local")
    assert "10.96.0.10" in out and address in out
    assert address in kubectl("exec", "deploy/web", "--", "nslookup", "web.default.svc.cluster.local")
    assert "nginx" in kubectl("exec", "tools", "--", "wget", "-qO-", "http://web")
    assert "exit code 3" in kubectl("exec", "tools", "--", "sh", "-c", "exit 3", fails=True)
    kubectl("delete", "pod", "tools", "--grace-period", "0", "--force")


def test_an_unknown_image_says_how_to_add_it(cluster: Cluster) -> None:
    kubectl("run", "odd", "--image", "example.org/no/such:1")
    kubectl("wait", "pod/odd", "--for", "jsonpath={.status.containerStatuses[0].state.waiting.reason}=ImagePullBackOff",
            "--timeout", "30s")  # fmt: skip
    assert "add a row" in kubectl("describe", "pod", "odd")
    kubectl("delete", "pod", "odd")


def test_a_pod_that_fits_nowhere_says_why(cluster: Cluster) -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "large"},
        "spec": {"containers": [{"name": "a", "image": "pause", "resources": {"requests": {"cpu": "1000"}}}]},
    }
    cluster.apply(manifest)
    kubectl("wait", "pod/large", "--for", "condition=PodScheduled=false", "--timeout", "10s")
    assert "0/2 nodes are available: 2 Insufficient cpu." in kubectl("describe", "pod", "large")
    kubectl("delete", "pod", "large")


def test_deleting_a_namespace_deletes_what_is_in_it(cluster: Cluster) -> None:
    kubectl("create", "namespace", "team")
    kubectl("-n", "team", "create", "deployment", "app", "--image", "nginx", "--replicas", "2")
    kubectl("-n", "team", "rollout", "status", "deployment", "app")
    kubectl("delete", "namespace", "team")
    assert "NotFound" in kubectl("get", "namespace", "team", fails=True)


@pytest.mark.parametrize(
    ("manifest", "complaint"),
    [
        ("kind: Pod", "apiVersion not set"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: UPPER}\nspec: {containers: [{name: a, image: b}]}", "RFC 1123"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {}", "spec.containers"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containrs: []}", "containrs"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 99999}]}", "99999"),
    ],
)
def test_a_bad_manifest_is_refused_in_upstreams_words(
    cluster: Cluster, tmp_path: Path, manifest: str, complaint: str
) -> None:
    (tmp_path / "bad.yaml").write_text(manifest)
    assert complaint in kubectl("apply", "-f", str(tmp_path / "bad.yaml"), fails=True)


# ---- the knet command ------------------------------------------------------------------------------------------


def test_exec_on_a_machine_runs_there(cluster: Cluster) -> None:
    routes = knet("exec", "--name", NAME, "n1", "--", "ip", "route").stdout
    assert "10.244." in routes and "flannel.1" in routes
    assert knet("exec", "--name", NAME, "n2", "--", "hostname").stdout == "n2\n"
    assert knet("exec", "--name", NAME, "n1", "--", "sh", "-c", "exit 7", check=False).returncode == 7
    missing = knet("exec", "--name", NAME, "n9", "--", "true", check=False)
    assert missing.returncode == 2
    assert "there is no machine 'n9'; there are: cp1, n1, n2, client" in missing.stderr


def test_entering_a_machine_costs_the_supervisor_no_descriptor(cluster: Cluster) -> None:
    descriptors = Path("/proc", Path(f"/run/knet/{NAME}/supervisor.pid").read_text().strip(), "fd")
    machine = cluster.machine("n1")
    machine.run("true")
    before = len(list(descriptors.iterdir()))
    for _ in range(5):
        machine.run("true")
    assert len(list(descriptors.iterdir())) <= before


def test_links_are_listed_cut_and_mended(cluster: Cluster) -> None:
    assert "n1 – s1" in knet("link", "--name", NAME).stdout
    assert "down" in knet("link", "--name", NAME, "client", "s1", "--down").stdout
    reached = knet("exec", "--name", NAME, "n1", "--", "ping", "-c1", "-W1", "client", check=False)
    assert reached.returncode == 1
    knet("link", "--name", NAME, "client", "s1", "--reset")
    knet("exec", "--name", NAME, "n1", "--", "ping", "-c1", "-W2", "client")


def test_delay_is_applied_or_refused_by_the_modules_name(cluster: Cluster) -> None:
    done = knet("link", "--name", NAME, "client", "s1", "--delay", "20ms", check=False)
    if done.returncode:
        assert (done.returncode, "sch_netem" in done.stderr) == (2, True)
    else:
        assert "20ms" in done.stdout
        knet("link", "--name", NAME, "client", "s1", "--reset")


def test_status_list_logs_kubeconfig_and_shell(cluster: Cluster) -> None:
    status = knet("status", "--name", NAME).stdout
    for word in ("cp1", "kube-apiserver", "kubelet", "network-agent", "running"):
        assert word in status
    assert json.loads(knet("status", "--name", NAME, "--json").stdout)["ready"] is True
    assert re.search(rf"^{NAME} +up ", knet("list").stdout, re.MULTILINE)
    assert "cni" in knet("logs", "--name", NAME, "network-agent@n1").stdout
    assert "current-context: user" in knet("kubeconfig", "--name", NAME).stdout
    assert "1 packets transmitted, 1 received" in knet("shell", "--name", NAME, "-c", "n1 ping -c1 n2").stdout
    assert "n1" in knet("shell", "--name", NAME, "-c", "nodes").stdout


# ---- Python ----------------------------------------------------------------------------------------------------


def test_the_python_api_of_the_readme(cluster: Cluster, web: str) -> None:
    cluster.wait("deployment/web", "Available")
    assert "nginx" in cluster.pod("client").run("wget -qO- http://web")
    assert cluster.machine("n1").run("hostname") == "n1\n"
    from lightkube.resources.core_v1 import Node

    assert sorted(node.metadata.name for node in cluster.client.list(Node)) == ["n1", "n2"]


@pytest.mark.parametrize("script", ["three_passes", "vxlan_walk", "rolling_update", "node_failure", "race"])
def test_a_lab_script_runs_and_holds_what_it_claims(script: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / f"scripts/{script}.py")], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()


def test_the_demo_tells_its_story_to_the_end() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/story.py")], capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing left" in done.stdout and "VXLAN" in done.stdout.upper()
