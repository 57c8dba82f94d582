"""Machines that join and leave while packets flow between the others' pods."""

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from knet import Cluster
from knet.client.client import STRATEGIC
from knet.cluster import channel
from knet.cluster.errors import KnetError
from knet.cluster.state import StateDir
from tests.cluster import host

pytestmark = pytest.mark.root
NAME = "membership"
UNCORDON = {"spec": {"unschedulable": False}}
WEB = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 4,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "nodeSelector": {"topology.kubernetes.io/zone": "rack2"},
                "containers": [{"name": "web", "image": "nginx"}],
                "terminationGracePeriodSeconds": 1,
            },
        },
    },
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(name=NAME, topo="two_racks", cni="direct-routing") as cluster:
        yield cluster


def pod_on(cluster: Cluster, node: str) -> str:
    """The address of a pod that does nothing on that node; its name is the node's."""
    container = {"name": "main", "image": "nicolaka/netshoot", "command": ["sleep", "infinity"]}
    spec = {"nodeName": node, "containers": [container], "terminationGracePeriodSeconds": 0}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": node}, "spec": spec})
    return cluster.pod(node).ip


def routes(cluster: Cluster, node: str) -> str:
    """What leads to other machines' pods: by a device or by a machine."""
    return cluster.machine(node).run("ip route | grep -E '^10.244.[0-9]+.0/24 via' || true")


def test_flows_of_others_notice_nothing(cluster: Cluster) -> None:
    addresses = [pod_on(cluster, node) for node in ("n1", "n2")]
    flow = cluster.pod("n1")
    flow.run(f"env --default-signal=INT ping -q -i 0.02 {addresses[1]} > /tmp/flow & echo $! > /tmp/pid")
    cluster.add_machine("n3", switch="s1")
    cluster.add_machine("n4", switch="s2", labels={"disk": "ssd"})
    addresses += [pod_on(cluster, node) for node in ("n3", "n4")]
    for source in ("n1", "n2", "n3", "n4"):
        for address in addresses:
            cluster.pod(source).run(f"ping -c1 -W5 {address}")
    labels = cluster.get("node/n4")["metadata"]["labels"]
    assert (labels["disk"], labels["topology.kubernetes.io/zone"]) == ("ssd", "rack2")
    assert routes(cluster, "n1").count("dev n1-eth0") == 1  # n3 is in its rack
    assert routes(cluster, "n1").count("dev flannel.1") == 2

    with pytest.raises(KnetError, match="n4 has pods that no controller would start elsewhere: default/n4"):
        cluster.remove_machine("n4")
    cluster.delete("pod/n4", grace_period=0)
    cluster.machine("n4").run("true")  # it stayed, cordoned
    cluster.call(cluster.api.raw("PATCH", "/api/v1/nodes/n4", UNCORDON, content_type=STRATEGIC))
    cluster.apply(WEB)
    cluster.rollout("deployment/web")
    assert "n4" in {pod.node for pod in cluster.pods("app=web")}
    told: list[str] = []
    cluster.remove_machine("n4", told=told.append)
    assert told[0] == "node/n4 cordoned"
    assert all(pod.node == "n2" for pod in cluster.pods("app=web"))
    cluster.rollout("deployment/web")
    assert "n4" not in cluster.machines
    assert "n4" not in [row["metadata"]["name"] for row in cluster.objects("nodes")]
    assert [line for line in host.processes(NAME) if "n4" in line] == []
    flow.run("kill -INT $(cat /tmp/pid)")
    assert ", 0% packet loss" in flow.run("until grep 'packet loss' /tmp/flow; do sleep 0.05; done")


def test_a_machine_that_was_away_loses_its_routes_to_one_that_left(cluster: Cluster) -> None:
    cluster.add_machine("n5", switch="s2")
    subnet = cluster.get("node/n5")["spec"]["podCIDR"]
    assert subnet in routes(cluster, "n2")
    cluster.link("n2", "s2").down()
    cluster.remove_machine("n5", force=True)
    assert subnet in routes(cluster, "n2")  # it has not heard of it
    watch = cluster.machine("n2").popen("timeout 60 ip monitor route", stdout=subprocess.PIPE)
    assert watch.stdout is not None
    with watch:
        cluster.link("n2", "s2").up()
        assert any(line.startswith(f"Deleted {subnet}") for line in watch.stdout)
        watch.kill()


@pytest.mark.parametrize(
    ("request_", "refusal"),
    [
        ([], "a request is an object with an op"),
        ({"op": "no-such"}, "unknown request 'no-such'"),
        ({"op": "power"}, "power: missing a required argument: 'machine'"),
        ({"op": "status", "colour": "red"}, "status: got an unexpected keyword argument 'colour'"),
        ({"op": "configure", "colour": "red"}, "configure: .*colour"),
        ({"op": "join", "colour": "red"}, "join: .*colour"),
        ({"op": "change_link", "a": "n1", "b": "s1", "colour": "red"}, "unknown option colour"),
        ({"op": "enter", "machine": ["n1"]}, "enter: unhashable type"),
        ({"op": "delay", "component": "kube-proxy@n1", "delay": 5}, "delay=5 is no time"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_and_ends_nothing(
    request_: Any, refusal: str, cluster: Cluster
) -> None:
    control = StateDir(NAME).control
    life = channel.request(control, {"op": "status"})[0]["life"]
    with pytest.raises(KnetError, match=refusal):
        channel.request(control, request_)
    assert channel.request(control, {"op": "status"})[0]["life"] == life
