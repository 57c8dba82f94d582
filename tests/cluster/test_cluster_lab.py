"""The network as objects, and faults by plan: whoever changes one side sees it on the other, and pods feel it."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from knet import Cluster
from knet.api.resources import Resource
from knet.client.client import MERGE
from knet.cluster import operations
from knet.cluster.lab.definitions import LINKS, MACHINES
from knet.cluster.operations import Target, has_condition
from tests.cluster.test_cluster_faults import eventually, host_pid
from tests.conftest import KNET, knet

NAME = "lab"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    plan = tmp_path_factory.mktemp("lab") / "first.yaml"
    plan.write_text("faults:\n- {at: 0s, for: 1s, link: client s1, up: false}\n")
    with Cluster(name=NAME, faults=str(plan)) as running:
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


def kill(cluster: Cluster, component: str, machine: str = "cp1") -> None:
    [row] = [row for row in cluster.status()["components"] if (row["name"], row["machine"]) == (component, machine)]
    os.kill(host_pid(cluster, row["pid"]), signal.SIGKILL)


def patch(cluster: Cluster, row: Resource, name: str, **spec: Any) -> None:
    cluster.call(cluster.api.raw("PATCH", row.path("", name), {"spec": spec}, content_type=MERGE))


def test_a_cluster_begins_with_the_faults_that_it_was_asked_for(cluster: Cluster) -> None:
    def told() -> list[str]:
        lines = Path(f"/var/lib/knet/{NAME}/logs/faults.log").read_text().splitlines()
        return [line.split(" s  ")[1] for line in lines if " s  " in line]

    eventually(lambda: len(told()) == 2, "the plan is not carried out")
    assert told() == ["begins  #1   link client–s1: down", "ends    #1   link client–s1: down"]


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


PLAN = """
seed: 3
duration: 3s
faults:
- {at: 0s, for: 1s, partition: "n1 | cp1"}
- {at: 0s, for: 2s, link: n2 s1, bw: 5, direction: s1}
- {every: 1s, for: 300ms, link: [n1 s1, n2 s1], pick: 1, up: false}
- {at: 1500ms, component: kube-proxy@n1}
- {at: 2s, machine: client, power: off}
"""


def test_a_plan_of_faults_is_carried_out_and_healed(cluster: Cluster) -> None:
    before = cluster.status()
    run = cluster.faults(PLAN)
    assert run.run()
    assert not run.refused
    events = [(record.event, record.what) for record in run.log]
    assert events[:2] == [("begins", "partition n1 | cp1"), ("begins", "link n2–s1: bw 5 (from s1)")]
    begun = [record.number for record in run.log if record.event == "begins"]
    ended = [record.number for record in run.log if record.event == "ends"]
    assert begun == list(range(1, len(begun) + 1))
    [instant] = set(begun) - set(ended)
    assert events[[r.number for r in run.log].index(instant)] == ("begins", "component kube-proxy@n1: restarted")
    assert _shown(cluster.status()) == _shown(before)
    with cluster.faults(PLAN, seed=4):  # the with block ends at once, and so does the run
        pass
    assert _shown(cluster.status()) == _shown(before)


def _shown(status: Any) -> Any:
    links = [(link["state"], [end["options"] for end in link["ends"]]) for link in status["links"]]
    return links, [row["state"] for row in status["machines"]], status["partitions"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_heals(number: signal.Signals, cluster: Cluster, tmp_path: Path) -> None:
    before = _shown(cluster.status())
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        "duration: 1h\nfaults:\n- {at: 0, link: n1 s1, up: false}\n- {at: 0s, machine: client, power: paused}\n"
    )
    argv = [KNET, "faults", "run", str(plan), "--json", "--name", NAME]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        first = [json.loads(running.stdout.readline()) for _ in range(2)]
        assert [(row["event"], row["what"]) for row in first] == [
            ("begins", "link n1–s1: down"),
            ("begins", "machine client: paused"),
        ]
        running.send_signal(number)
        assert '"healed"' in running.stdout.read()
    assert running.returncode == 130
    assert _shown(cluster.status()) == before


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("faults: [{at: 1, for: 1, link: n1 s7, up: false}]", "knet: plan.yaml:1: there is no link n1 s7; there are "),
        ("faults: [{at: 1, for: 1, link: n1 s1, down: true}]", "knet: plan.yaml:1: unknown key down; there are at, "),
    ],
)
def test_a_wrong_plan_is_one_line_and_nothing_is_done(
    written: str, complaint: str, cluster: Cluster, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(written)
    done = knet("faults", "run", str(plan), "--name", NAME, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(complaint)


def test_a_late_component_is_shown_everywhere_and_late_again_after_a_restart(
    cluster: Cluster, wait: Callable[..., None]
) -> None:
    cluster.delay("network-agent@n1", "60s")
    wait(MACHINES, "n1", spec__delays={"network-agent": "60000ms"}, status__delays="network-agent 60000ms")
    assert knet("delay", "--name", NAME).stdout == "late network-agent@n1 60000ms\n"
    kill(cluster, "network-agent", "n1")
    log = Path(f"/var/lib/knet/{NAME}/logs/network-agent@n1.log")
    said = "learns what its watches tell 60000 ms later"
    eventually(lambda: log.read_text().count(said) == 2, "its successor is not late")
    patch(cluster, MACHINES, "n1", delays={"kubelet": "1ms", "network-agent": None})
    wait(MACHINES, "n1", status__delays="kubelet 1ms")
    cluster.delay("kubelet@n1", "0")
    wait(MACHINES, "n1", spec={"power": "Running"}, status__delays=None)


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        (("kube-prox@n1", "1s"), "knet: there is no component 'kube-prox@n1' (is kube-proxy@n1 meant?); there are: "),
        (("kube-proxy@n1", "300"), "knet: delay='300' is no time: a number with its unit is meant, such as "),
        (("kube-apiserver@cp1", "1s"), "knet: kube-apiserver@cp1 follows no watches that could be delayed; "),
        (("kube-proxy@n1",), "knet: by how much? knet delay kube-proxy@n1 300ms; 0 ends it"),
    ],
)
def test_a_delay_that_cannot_be_is_one_line(asked: tuple[str, ...], complaint: str, cluster: Cluster) -> None:
    done = knet("delay", *asked, "--name", NAME, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(complaint)
