"""Whatever is killed: what should go on goes on, what should be gone is gone, and the host is as it was."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from knet import Cluster
from knet.client import ApiError, Unavailable
from knet.cluster.facade import Pod
from tests.cluster import host
from tests.conftest import KNET, ROOT, knet

NAME = "faults"


def test_the_host_is_the_same_before_and_after(home: Path) -> None:
    before, mounts = host.network(), host.mounts()
    knet("up", "--name", NAME)
    assert host.network() == before, "while the cluster is up"
    assert host.mounts() == mounts
    knet("down", "--delete", "--name", NAME)
    assert host.network() == before
    assert host.processes(NAME) == []
    assert host.traces(NAME) == []
    assert not (home / "kubeconfig").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", ["topology", "machines", "control", "nodes"])
def test_up_that_is_interrupted_leaves_nothing(number: signal.Signals, step: str, home: Path) -> None:
    before = host.network()
    argv = [KNET, "up", "--name", NAME]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        assert any(step in line for line in up.stdout)  # reads up to that line, while the next step is being made
        up.send_signal(number)
    if up.returncode == 0:  # a busy machine: it was Ready before the signal came, and had been let go of
        knet("down", "--name", NAME)
    eventually(lambda: host.processes(NAME) == [], "processes are left")
    assert host.network() == before
    knet("down", "--delete", "--name", NAME, check=False)
    knet("clean", "--delete")
    assert host.traces(NAME) == []


def test_a_killed_supervisor_takes_everything_with_it_and_up_works_again(home: Path) -> None:
    before = host.network()
    knet("up", "--name", NAME)
    supervisor = int(Path(f"/run/knet/{NAME}/supervisor.pid").read_text())
    os.kill(supervisor, signal.SIGKILL)
    eventually(lambda: host.processes(NAME) == [], "processes are left")
    assert host.network() == before
    assert re.search(rf"^{NAME} +down ", knet("list").stdout, re.MULTILINE)
    knet("up", "--name", NAME)
    knet("down", "--delete", "--name", NAME)
    assert host.traces(NAME) == []


def test_objects_outlive_down_and_are_running_again_after_up(home: Path) -> None:
    knet("up", "--name", NAME)
    try:
        with Cluster.attach(NAME) as cluster:
            cluster.apply(ROOT / "scripts/web.yaml")
            cluster.rollout("deployment/web")
            service = cluster.get("service/web")
        knet("down", "--name", NAME)
        assert host.processes(NAME) == []
        again = knet("up", "--name", NAME)
        assert "resumed" in again.stdout
        with Cluster.attach(NAME) as cluster:
            cluster.rollout("deployment/web")
            assert cluster.get("service/web")["spec"]["clusterIP"] == service["spec"]["clusterIP"]
            assert "nginx" in cluster.pod("client").run("wget -qO- http://web")
        refused = knet("up", "--name", NAME, check=False)
        assert (refused.returncode, "is up already" in refused.stderr) == (2, True)
        knet("down", "--name", NAME)
        other = knet("up", "--name", NAME, "--workers", "3", check=False)
        assert (other.returncode, "was made with workers=default, not 3" in other.stderr) == (2, True)
    finally:
        knet("down", "--delete", "--name", NAME)
    assert host.traces(NAME) == []


def test_killed_components_come_back_and_pods_keep_running(home: Path) -> None:
    with Cluster(name=NAME) as cluster:
        cluster.apply(ROOT / "scripts/web.yaml")
        cluster.rollout("deployment/web")
        client = cluster.pod("client")
        before = _pods(cluster)
        killed = {}
        for row in cluster.status()["components"]:
            number = host_pid(cluster, row["pid"])
            killed[row["name"], row["machine"]] = row["restarts"]
            os.kill(number, signal.SIGKILL)
        # what it has just forked is called so for a moment, too
        zygote = min(pid for pid, title in _titles(cluster) if title == f"knet {NAME}: zygote")
        os.kill(zygote, signal.SIGKILL)

        def back() -> bool:
            rows = {(row["name"], row["machine"]): row for row in cluster.status()["components"]}
            return all(rows[key]["restarts"] > count and rows[key]["pid"] for key, count in killed.items())

        eventually(back, "a component did not come back")
        eventually(lambda: _answers(client), "the Service is not reached")  # a kubelet that is back has yet to listen
        cluster.scale("deployment/web", 5)
        cluster.rollout("deployment/web")
        after = _pods(cluster)
        assert {name: after.get(name) for name in before} == before, "pods, addresses or restart counts changed"
    assert host.processes(NAME) == []


def test_a_killed_container_is_restarted_by_the_kubelet(home: Path) -> None:
    with Cluster(name=NAME, workers=1) as cluster:
        pod = cluster.pod("victim")
        pod.run("kill -9 -1 || true", check=False)
        pod.run("kill 1 || true", check=False)
        machine = cluster.machine("n1")
        machine.run("pkill -KILL -f '^sleep infinity' || true")
        eventually(lambda: pod.object["status"]["containerStatuses"][0]["restartCount"] > 0, "no restart")
        cluster.wait("pod/victim", "Ready")


def test_two_clusters_run_beside_each_other(home: Path) -> None:
    with Cluster(name=f"{NAME}-a", workers=1) as one, Cluster(name=f"{NAME}-b", workers=1, cni="host-gw") as two:
        one.pod("here")
        assert [pod.name for pod in two.pods()] == []
        assert one.machine("n1").run("ip -o addr show dev n1-eth0") == two.machine("n1").run(
            "ip -o addr show dev n1-eth0"
        )
        contexts = (home / "kubeconfig").read_text()
        assert f"name: {NAME}-a" in contexts and f"name: {NAME}-b" in contexts


def test_a_scripts_cluster_ends_with_the_script(home: Path) -> None:
    script = f"from knet import Cluster; import os; Cluster(name={NAME!r}, workers=1).start(); os.kill(os.getpid(), 9)"
    python = str(Path(KNET).with_name("python"))
    assert subprocess.run([python, "-c", script], check=False).returncode == -signal.SIGKILL
    eventually(lambda: host.processes(NAME) == [], "processes are left")
    knet("clean", "--delete")
    assert host.traces(NAME) == []


def _pods(cluster: Cluster) -> dict[str, tuple[str, int]]:
    rows = cluster.objects("pods", selector="app=web")
    return {
        row["metadata"]["name"]: (row["status"]["podIP"], row["status"]["containerStatuses"][0]["restartCount"])
        for row in rows
    }


def _answers(client: Pod) -> bool:
    try:
        return "nginx" in client.run("wget -qO- http://web")
    except (ApiError, Unavailable, subprocess.CalledProcessError):
        return False


def host_pid(cluster: Cluster, inner: int) -> int:
    """The host's number of a process that has ``inner`` in the cluster's PID namespace."""
    for pid, _ in _titles(cluster):
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue  # ended meanwhile
        row = next(line for line in status.splitlines() if line.startswith("NSpid:"))
        if int(row.split()[-1]) == inner:
            return pid
    raise AssertionError(f"no process {inner} in {cluster.name}")


def _titles(cluster: Cluster) -> list[tuple[int, str]]:
    """The host's number and the title of every process of a cluster that has one of ours."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            title = (entry / "cmdline").read_bytes().rstrip(b" \0").decode(errors="replace")
        except OSError:
            continue  # ended meanwhile
        if title.startswith(f"knet {cluster.name}: "):
            found.append((int(entry.name), title))
    return found


def eventually(holds: Callable[[], bool], otherwise: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)
