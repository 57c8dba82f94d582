"""Services of type LoadBalancer, as the client outside the cluster sees them, whoever answers for their addresses."""

import json
import os
import re
import signal
from collections.abc import Iterator

import pytest

from knet import Cluster
from knet.cluster.handles import Machine
from tests.cluster.test_cluster_faults import eventually, host_pid

NAME = "balancers"
MERGE = "application/merge-patch+json"
POOL = ("172.18.0.200", "172.18.0.201")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(tmp_path_factory.mktemp("home") / "kubeconfig"))
        with Cluster(name=NAME, workers=3, lb_pool="-".join(POOL)) as running:
            running.apply(_deployment(3))
            running.rollout("deployment/web")
            yield running


def _deployment(replicas: int) -> dict[str, object]:
    spread = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"}
    spread |= {"labelSelector": {"matchLabels": {"app": "web"}}}
    container = {"name": "c", "image": "registry.k8s.io/e2e-test-images/agnhost:2.53", "args": ["netexec"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [container], "topologySpreadConstraints": [spread]},
            },
        },
    }


def _service(name: str, **spec: object) -> dict[str, object]:
    ports = [{"port": 80, "targetPort": 8080}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": ports, **spec},
    }


def _address(cluster: Cluster, name: str) -> str:
    eventually(lambda: bool(_status(cluster, name)), f"{name} has no address")
    return str(_status(cluster, name)[0]["ip"])


def _status(cluster: Cluster, name: str) -> list[dict[str, str]]:
    status = cluster.get(f"service/{name}")["status"]["loadBalancer"]
    return list(status.get("ingress") or ())


def _holder(cluster: Cluster, address: str) -> str:
    """Who answers for an address, as the client learns it."""
    client = cluster.machine("client")
    _until_answered(client, address)
    seen = re.search(r"lladdr (\S+)", client.run(f"ip neigh show {address}"))
    assert seen is not None
    by_mac = {}
    for name in ("n1", "n2", "n3"):
        [link] = json.loads(cluster.machine(name).run(f"ip -json link show {name}-eth0"))
        by_mac[link["address"]] = name
    return by_mac[seen[1]]


def _until_answered(client: Machine, address: str) -> str:
    """The source address that a pod saw, once one answers."""
    loop = f"until curl -sf -m 0.5 http://{address}/clientip; do :; done"
    return client.run(f"timeout 30 sh -c '{loop}'").rpartition(":")[0]


def test_one_machine_answers_and_another_when_it_is_cut_off(cluster: Cluster) -> None:
    cluster.apply(_service("cut"))
    address = _address(cluster, "cut")
    assert address in POOL
    client = cluster.machine("client")
    holder = _holder(cluster, address)
    assert f" {address}/32 " in cluster.machine(holder).run(f"ip -o addr show dev {holder}-eth0")
    cluster.link(holder, "s1").down()
    assert _holder(cluster, address) != holder
    cluster.link(holder, "s1").up()
    eventually(lambda: _holder(cluster, address) == holder, "the first in rank did not take it back")
    eventually(
        lambda: sum(f" {address}/" in cluster.machine(f"n{n}").run("ip -o addr") for n in (1, 2, 3)) == 1,
        "more than one machine has the address",
    )
    seen = _until_answered(client, address)
    assert seen != client.run("hostname -I").split()[0], "policy Cluster: the machine's own address is put in"
    cluster.delete("service/cut")
    eventually(
        lambda: not any(f" {address}/" in cluster.machine(f"n{n}").run("ip -o addr") for n in (1, 2, 3)),
        "the address outlived its Service",
    )


def test_a_killed_speaker_loses_nothing(cluster: Cluster) -> None:
    cluster.apply(_service("killed"))
    address = _address(cluster, "killed")
    holder = _holder(cluster, address)
    [agent] = [r for r in cluster.status()["components"] if (r["name"], r["machine"]) == ("network-agent", holder)]
    os.kill(host_pid(cluster, agent["pid"]), signal.SIGKILL)
    assert f" {address}/32 " in cluster.machine(holder).run("ip -o addr"), "the kernel goes on answering"

    def restarted() -> bool:
        rows = {(row["name"], row["machine"]): row for row in cluster.status()["components"]}
        return bool(rows["network-agent", holder]["restarts"] > agent["restarts"])

    eventually(restarted, "the agent did not come back")
    assert _holder(cluster, address) == holder
    cluster.delete("service/killed")


def test_policy_local_keeps_the_clients_address_and_chooses_a_machine_with_a_pod(cluster: Cluster) -> None:
    cluster.apply(_service("local", externalTrafficPolicy="Local"))
    address = _address(cluster, "local")
    client = cluster.machine("client")
    own = client.run("hostname -I").split()[0]
    # the address is a former Service's: a machine that does not know of the new one yet still answers for that
    eventually(lambda: _until_answered(client, address) == own, "pods see another address than the client's")
    for _ in range(2):
        holder = _holder(cluster, address)
        cluster.call(
            cluster.api.raw("PATCH", f"/api/v1/nodes/{holder}", {"spec": {"unschedulable": True}}, content_type=MERGE)
        )
        [pod] = [pod for pod in cluster.pods("app=web") if pod.node == holder]
        cluster.delete(f"pod/{pod.name}", grace_period=0)
        eventually(lambda gone=holder: _holder(cluster, address) != gone, "a machine without a pod goes on answering")  # type: ignore[misc]
        assert _until_answered(client, address) == own
    for number in (1, 2, 3):
        path = f"/api/v1/nodes/n{number}"
        cluster.call(cluster.api.raw("PATCH", path, {"spec": {"unschedulable": None}}, content_type=MERGE))
    cluster.delete("service/local")
    cluster.rollout("deployment/web")


def test_who_finds_the_pool_empty_is_told_and_waits(cluster: Cluster) -> None:
    for name in ("one", "two", "late"):
        cluster.apply(_service(name))
    held = {name: _address(cluster, name) for name in ("one", "two")}
    assert sorted(held.values()) == list(POOL)

    def told() -> list[str]:
        events = cluster.objects("events")
        return [row["message"] for row in events if row["involvedObject"]["name"] == "late"]

    eventually(lambda: bool(told()), "nobody said why")
    assert told() == ['Failed to allocate IP for "default/late": no available IPs: the pool has no free IPv4 address']
    cluster.delete("service/one")
    assert _address(cluster, "late") == held["one"]
