"""The network as objects, and faults by plan: whoever changes one side sees it on the other, and pods feel it."""

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from knet import Cluster
from knet.api.resources import Resource
from knet.client.client import MERGE
from knet.cluster import operations
from knet.cluster.lab.definitions import LINKS, MACHINES
from knet.cluster.operations import Target, has_condition
from tests.cluster.test_cluster_faults import eventually, host_pid

NAME = "lab"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(name=NAME) as running:
        yield running


@pytest.fixture
def wait(cluster: Cluster) -> Callable[..., None]:
    """Until an object's fields, named by paths, have these values."""

    def wait(row: Resource, name: str, **fields: Any) -> None:
        def so(found: Any) -> bool:
            return all(_at(found, path) == value for path, value in fields.items())

        cluster.call(operations.until(cluster.api, Target(row, name, ""), so, str(fields), 20))

    return wait


def _at(found: Any, path: str) -> Any:
    for word in path.split("__"):
        found = (found or {}).get(word)
    return found


def kill(cluster: Cluster, component: str) -> None:
    [row] = [row for row in cluster.status()["components"] if row["name"] == component]
    os.kill(host_pid(cluster, row["pid"]), signal.SIGKILL)


def patch(cluster: Cluster, row: Resource, name: str, **spec: Any) -> None:
    cluster.call(cluster.api.raw("PATCH", row.path("", name), {"spec": spec}, content_type=MERGE))


def test_a_link_and_its_object_follow_each_other(cluster: Cluster, wait: Callable[..., None]) -> None:
    wait(LINKS, "n1-s1", status__state="up")
    patch(cluster, LINKS, "n1-s1", bw=10, **{"from": {"n1": {"maxQueueSize": 50}}})
    wait(LINKS, "n1-s1", status__impairment="→ 10 Mbit/s, queue 50 packets ← 10 Mbit/s")
    cluster.machine("n1").run("tc qdisc show dev n1-eth0 | grep 'rate 10Mbit'")
    cluster.link("n1", "s1").change(bw=20, max_queue_size=0)
    wait(LINKS, "n1-s1", spec={"up": True, "bw": 20})
    patch(cluster, LINKS, "n1-s1", up=False)
    wait(LINKS, "n1-s1", status__state="down")
    cluster.link("n1", "s1").reset()
    wait(LINKS, "n1-s1", spec={"up": True}, status__state="up")
    patch(cluster, LINKS, "n1-s1", jitter="1ms")
    wait(LINKS, "n1-s1", status__message="jitter needs a delay from which to deviate", spec__jitter="1ms")
    patch(cluster, LINKS, "n1-s1", jitter=None)
    wait(LINKS, "n1-s1", status__message=None)


def test_objects_follow_whoever_was_away(cluster: Cluster, wait: Callable[..., None]) -> None:
    """The component is killed and the API server restarted: nothing is forgotten, nothing done twice."""
    kill(cluster, "knet-underlay")
    cluster.link("n2", "s1").change(bw=30)
    wait(LINKS, "n2-s1", spec={"up": True, "bw": 30})
    kill(cluster, "kube-apiserver")
    patch(cluster, LINKS, "n2-s1", bw=40)
    wait(LINKS, "n2-s1", status__impairment="40 Mbit/s")
    cluster.call(cluster.api.raw("DELETE", LINKS.path("", "n2-s1")))
    wait(LINKS, "n2-s1", spec={"up": True, "bw": 40}, status__state="up")
    cluster.link("n2", "s1").reset()


def test_a_machine_and_its_object_follow_each_other(cluster: Cluster, wait: Callable[..., None]) -> None:
    pod = cluster.pod("client")
    node = cluster.machine(pod.node)
    patch(cluster, MACHINES, node.name, power="Paused")
    wait(MACHINES, node.name, status__power="Paused")
    assert node.state == "paused"
    eventually(lambda: not has_condition("Ready")(cluster.get(f"node/{node.name}")), "its Node is still Ready")
    node.resume()
    wait(MACHINES, node.name, spec={"power": "Running"}, status__power="Running")
    cluster.wait(f"node/{node.name}", "Ready")
    patch(cluster, MACHINES, "cp1", power="Off")
    eventually(lambda: cluster.machine("cp1").state == "off", "cp1 has power")
    cluster.machine("cp1").boot()
    wait(MACHINES, "cp1", spec={"power": "Running"}, status__power="Running")
    cluster.partition([node.name], ["cp1"])
    wait(MACHINES, node.name, status__apart="cp1")
    cluster.heal()
    wait(MACHINES, node.name, status__apart=None)


def test_a_rebooted_machines_pods_are_started_again(cluster: Cluster) -> None:
    pod = cluster.pod("rebooted")
    cluster.machine(pod.node).reboot()
    cluster.wait(f"node/{pod.node}", "Ready")
    again = operations.until(
        cluster.api,
        Target.parse("pod/rebooted"),
        lambda found: bool(found and found["status"]["containerStatuses"][0]["restartCount"]),
        "a restart",
        30,
    )
    cluster.call(again)
    cluster.wait("pod/rebooted", "Ready")
    # the cluster's DNS may have been on that machine, too
    eventually(lambda: "10.96.0.1" in pod.run("nslookup kubernetes.default", check=False), "Services are not reached")
