"""A cluster whose API server keeps its objects in a real etcd."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from knet import Cluster
from tests.cluster import host
from tests.conftest import ROOT, knet
from tests.unit.etcd_harness import needs_etcd

pytestmark = needs_etcd
NAME = "etcd"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(name=NAME, workers=1, store="etcd") as running:
        running.apply(ROOT / "scripts/web.yaml")
        running.wait("deployment/web", "Available")
        yield running


def etcdctl(cluster: Cluster, *words: str) -> str:
    return cluster.machine("cp1").run(" ".join(["etcdctl", *words]))


def test_objects_lie_under_upstreams_keys(cluster: Cluster) -> None:
    keys = etcdctl(cluster, "get", "/registry", "--prefix", "--keys-only").split()
    for key in ("deployments/default/web", "services/specs/default/web", "minions/n1", "namespaces/default"):
        assert f"/registry/{key}" in keys
    stored = json.loads(etcdctl(cluster, "get", "/registry/deployments/default/web", "--print-value-only"))
    assert stored["spec"]["replicas"] == 3
    assert "resourceVersion" not in stored["metadata"]


def test_what_etcdctl_does_is_noticed(cluster: Cluster) -> None:
    victim = cluster.pods("app=web")[0].name
    etcdctl(cluster, "del", f"/registry/pods/default/{victim}")
    cluster.wait(f"pod/{victim}", "deleted")
    cluster.wait("deployment/web", "Available")
    assert victim not in [pod.name for pod in cluster.pods("app=web")]


def test_etcd_killed_is_an_interruption(cluster: Cluster) -> None:
    before = {pod.name for pod in cluster.pods("app=web")}
    cluster.machine("cp1").run(f"kill -9 {_etcd(cluster)['pid']}")
    cluster.scale("deployment/web", 4)
    cluster.rollout("deployment/web")
    assert before < {pod.name for pod in cluster.pods("app=web")}
    assert _etcd(cluster)["restarts"] == 1


def _etcd(cluster: Cluster) -> dict[str, Any]:
    [row] = [row for row in cluster.status()["components"] if row["name"] == "etcd"]
    return row


def test_a_cluster_keeps_its_store(home: Path) -> None:
    try:
        knet("up", "--name", "etcd2", "--workers", "1", "--store", "etcd")
        knet("down", "--name", "etcd2")
        refused = knet("up", "--name", "etcd2", "--store", "sqlite", check=False)
        assert refused.returncode == 2
        assert "was made with store=etcd, not sqlite" in refused.stderr
        assert "Ready in" in knet("up", "--name", "etcd2").stdout
    finally:
        knet("down", "--delete", "--name", "etcd2", check=False)
    assert host.traces("etcd2") == []
