"""Controllers and components can be switched off, and somebody else's can take their place and their Leases."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from knet import Cluster
from knet.api.objects import JSON
from tests.cluster.test_cluster_faults import eventually
from tests.conftest import ROOT, knet

NAME = "controllers"
LEASE = "kube-controller-manager"

pytest.importorskip("kubernetes")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(tmp_path_factory.mktemp("home") / "kubeconfig"))
        with Cluster(name=NAME, workers=1, controllers="*,-deployment-controller") as running:
            running.apply(_workload("Deployment", "web"))
            running.apply(_workload("ReplicaSet", "other"))
            yield running


def _workload(kind: str, name: str) -> JSON:
    labels = {"app": name}
    spec = {"terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "registry.k8s.io/pause:3.10"}]}
    template = {"metadata": {"labels": labels}, "spec": spec}
    rows = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": rows}


@contextmanager
def own_controller(cluster: Cluster, lease: str, directory: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """scripts/own_controller.py as somebody called ``own``, ended by SIGKILL at the latest."""
    argv = [sys.executable, str(ROOT / "scripts/own_controller.py"), "--lease", lease, "--identity", "own"]
    with (
        (directory / "log").open("wb") as log,
        subprocess.Popen(
            argv, env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}, stdout=log, stderr=log
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def holder(cluster: Cluster, lease: str) -> str:
    return str(cluster.get(f"lease/{lease}", "kube-system")["spec"]["holderIdentity"])


def sizes(cluster: Cluster) -> list[int]:
    """Of the Deployment's ReplicaSets."""
    return [row["spec"]["replicas"] for row in cluster.objects("replicasets", selector="app=web")]


def the_others_have_acted(cluster: Cluster, replicas: int) -> None:
    """A ReplicaSet asked for now is carried out: what has not happened until then is not going to."""
    cluster.scale("replicaset/other", replicas)
    eventually(lambda: ready(cluster, "replicaset/other") == replicas, "no ReplicaSet controller")


def ready(cluster: Cluster, target: str) -> int:
    return int(cluster.get(target).get("status", {}).get("readyReplicas", 0))


def test_nothing_happens_to_a_deployment_without_its_controller(cluster: Cluster) -> None:
    the_others_have_acted(cluster, 3)
    assert sizes(cluster) == []
    assert "observedGeneration" not in cluster.get("deployment/web").get("status", {})
    assert re.search("^deployment-controller +off", knet("components", "--name", NAME).stdout, re.MULTILINE)


def test_a_controller_of_ones_own_takes_its_place(cluster: Cluster, tmp_path: Path) -> None:
    with own_controller(cluster, "deployment-controller", tmp_path):
        eventually(lambda: ready(cluster, "deployment/web") == 2, "nobody took over")
        assert holder(cluster, "deployment-controller") == "own"


def test_the_lead_changes_hands_by_the_lease_of_upstreams_name(cluster: Cluster, tmp_path: Path) -> None:
    with own_controller(cluster, LEASE, tmp_path) as process:
        eventually(lambda: "yet to finish" in (tmp_path / "log").read_text(), "nobody stands by")
        cluster.scale("deployment/web", 3)
        the_others_have_acted(cluster, 1)
        assert (holder(cluster, LEASE), sizes(cluster)) == ("cp1", [2])
        cluster.reconfigure(without="kube-controller-manager")
        eventually(lambda: holder(cluster, LEASE) == "own" and sizes(cluster) == [3], "nobody took over")
        cluster.reconfigure(without="", controllers="*")
        cluster.scale("deployment/web", 1)
        eventually(lambda: sizes(cluster) == [1], "the leader does not go on")
        assert holder(cluster, LEASE) == "own"
        process.kill()
        cluster.rollout("deployment/web")
        assert holder(cluster, LEASE) == "cp1"


def test_without_a_scheduler_whoever_binds_a_pod_schedules_it(cluster: Cluster) -> None:
    cluster.reconfigure(without="kube-scheduler")
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "lonely"},
                   "spec": {"containers": [{"name": "c", "image": "registry.k8s.io/pause:3.10"}]}})  # fmt: skip
    assert not cluster.get("pod/lonely")["spec"].get("nodeName")
    target = {"apiVersion": "v1", "kind": "Node", "name": "n1"}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "lonely"}, "target": target}
    cluster.call(cluster.api.raw("POST", "/api/v1/namespaces/default/pods/lonely/binding", binding))
    cluster.wait("pod/lonely", "Ready")
    assert cluster.get("pod/lonely")["spec"]["nodeName"] == "n1"


def test_what_was_switched_off_can_be_switched_on_again(cluster: Cluster) -> None:
    assert "kube-scheduler" not in [row["name"] for row in cluster.status()["components"]]
    cluster.reconfigure(without="")
    cluster.apply(_workload("ReplicaSet", "last"))
    eventually(lambda: ready(cluster, "replicaset/last") == 2, "no scheduler")


def test_names_that_are_none_are_refused(cluster: Cluster) -> None:
    refused = knet("components", "--name", NAME, "--controllers", "*,-deploymnet", check=False)
    assert refused.returncode == 2
    assert '"deploymnet" is not in the list of known controllers; there are: deployment-controller' in refused.stderr
