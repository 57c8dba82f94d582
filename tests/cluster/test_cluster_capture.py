"""`knet capture` on a live cluster: a request through a Service seen everywhere on its way, by several readers."""

import contextlib
import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import TCP
from scapy.layers.vxlan import VXLAN
from scapy.utils import PcapNgReader

from knet import Cluster
from tests.cluster.test_cluster_faults import eventually
from tests.conftest import KNET, knet

NAME = "capture"
WEB = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, labels: {app: web}}
spec:
  nodeName: n2
  terminationGracePeriodSeconds: 0
  containers: [{name: nginx, image: nginx}]
"""
CLIENT = """
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  nodeName: n1
  terminationGracePeriodSeconds: 0
  containers: [{name: client, image: nicolaka/netshoot, command: [sleep, infinity]}]
"""
REQUEST = "wget -qO- -T 5 http://web"
#: where the SYN to the Service passes, in this order
WAY = [
    "pod/default/client/eth0",
    "n1/cni0",
    "n1/flannel.1",
    "n1/n1-eth0",
    "s1/s1-eth2",
    "s1/s1-eth3",
    "n2/n2-eth0",
    "n2/flannel.1",
    "n2/cni0",
    "pod/default/web-0/eth0",
]
PLACES = ["pod/client", "n1/cni0", "n1/flannel.1", "link/n1-s1", "link/n2-s1", "n2/flannel.1", "n2/cni0", "svc/web"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(name=NAME) as running:
        running.apply(WEB + "---" + CLIENT)
        running.wait("pod/web-0", "Ready")
        running.wait("pod/client", "Ready")
        # rules and names may come after the pods; and neighbours know each other then
        eventually(lambda: running.pod("client").run(f"{REQUEST} || true") != "", "no answer")
        yield running


@contextlib.contextmanager
def capturing(*words: str, **options: object) -> Iterator["subprocess.Popen[str]"]:
    """`knet capture` from the moment on from which it captures; ended by Ctrl-C if it has not ended then."""
    command = [KNET, "capture", "--name", NAME, *words]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    running = subprocess.Popen(command, **options)  # type: ignore[call-overload]
    try:
        assert running.stderr.readline().startswith("knet: capturing ")
        yield running
    finally:
        if running.poll() is None:
            running.send_signal(signal.SIGINT)
            running.wait(20)


def test_a_request_is_seen_on_its_whole_way_in_order(cluster: Cluster, tmp_path: Path):
    path = tmp_path / "way.pcapng"
    with capturing(*PLACES, "--filter", "tcp port 80", "-w", str(path)) as running:
        cluster.pod("client").run(REQUEST)
        running.send_signal(signal.SIGINT)
        said = running.stderr.read()
        assert (running.wait(20), said.count("\n")) == (0, 1)
    assert "packets at 10 places" in said and "none lost" in said
    with PcapNgReader(str(path)) as reader:
        found = list(reader)
    times = [packet.time for packet in found]
    assert times == sorted(times)
    syn = [packet for packet in found if packet[TCP].flags == "S"]
    assert [packet.sniffed_on for packet in syn] == WAY
    assert [packet.sniffed_on for packet in syn if VXLAN in packet] == WAY[3:7]
    comments = [packet.comment.decode() for packet in syn]
    assert comments[0] == "default/client → svc/default/web"
    assert comments[3] == "n1 → n2: default/client → default/web-0"


@pytest.mark.skipif(not shutil.which("tshark"), reason="no tshark: scripts/install --dev")
def test_tshark_reads_what_is_piped_to_it_as_it_comes(cluster: Cluster, tmp_path: Path):
    options = ["-r", "-", "-n", "-l", "-c", "40", "-T", "ek", "-Y", "http", "-e", "frame.interface_name"]
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    words = [KNET, "capture", "--name", NAME, "svc/web", "--filter", "tcp port 80", "-w", "-"]
    with (
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running,
        subprocess.Popen(
            ["tshark", *options, "-e", "http.request.method"],
            stdin=running.stdout,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        ) as shark,
    ):
        running.stdout.close()
        while True:  # until it captures
            cluster.pod("client").run(REQUEST)
            if shark.poll() is not None:
                break
        rows = [json.loads(row)["layers"] for row in shark.stdout if "layers" in row]
        assert rows[0] == {"frame_interface_name": ["pod/default/web-0/eth0"], "http_request_method": ["GET"]}
        complaints = [row for row in shark.stderr if "Running as user" not in row and "packets captured" not in row]
        assert [row for row in complaints if row.strip()] == []
        assert "the reader has left" in running.stderr.read()
    assert running.returncode == 0


def test_lines_name_both_ends_and_what_is_inside_the_tunnel(cluster: Cluster):
    with capturing("n1/n1-eth0", "--filter", "tcp port 80", "--count", "1") as running:
        cluster.pod("client").run(REQUEST)
        [line] = running.stdout.read().splitlines()
    assert line.split("  ", 1)[1].startswith("n1/n1-eth0  out  n1 > n2  VXLAN vni 1 │ default/client:")
    assert " > default/web-0:80  TCP SYN" in line


def test_python_gets_scapys_packets(cluster: Cluster):
    with cluster.capture("pod/client", "n2/n2-eth0", filter="tcp port 80") as packets:
        cluster.pod("client").run(REQUEST)
        first = packets.wait(lambda packet: packet[TCP].flags == "SA")
        assert (first.place, first.outgoing) == ("n2/n2-eth0", True)
    assert {packet.place for packet in packets} == {"n2/n2-eth0", "pod/default/client/eth0"}
    assert packets[0].comment.decode() == "default/client → svc/default/web"
    assert all((VXLAN in packet) == (packet.place == "n2/n2-eth0") for packet in packets)
    assert packets.lost == {}


def test_members_leave_and_join_while_it_goes_on(cluster: Cluster):
    with capturing("svc/web") as running:
        network = _network_of(cluster, "web-0")
        assert network in _held(running.pid)
        cluster.delete("pod/web-0", grace_period=0)
        assert running.stderr.readline() == "knet: pod/default/web-0 has ended; the capture goes on without it\n"
        assert network not in _held(running.pid)
        cluster.apply(WEB)
        assert running.stderr.readline() == "knet: pod/default/web-0/eth0 has joined\n"
        cluster.wait("pod/web-0", "Ready")


def _network_of(cluster: Cluster, pod: str) -> int:
    with cluster.sites() as sites:
        [place] = sites.places([f"pod/{pod}"])
        return Path(f"/proc/self/fd/{place.site.netns}").stat().st_ino


def _held(pid: int) -> set[int]:
    """The inodes of what a process has open."""
    found = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(path.stat().st_ino)
    return found


def test_a_pod_that_was_named_ends_and_so_does_its_capture(cluster: Cluster):
    cluster.pod("short", image="busybox")
    with capturing("pod/short") as running:
        cluster.delete("pod/short", grace_period=0)
        said = running.stderr.read().splitlines()
        assert running.wait(20) == 0
    assert said[:2] == [
        "knet: pod/default/short has ended; the capture goes on without it",
        "knet: nothing is left to look at",
    ]


def test_an_interface_vanishes_and_the_others_go_on(cluster: Cluster):
    machine = cluster.machine("n1")
    machine.run("ip link add vanishing type veth peer name other && ip link set vanishing up")
    with capturing("n1/vanishing", "n1/n1-eth0", "--filter", "icmp", "--count", "1") as running:
        machine.run("ip link delete vanishing")
        assert running.stderr.readline() == "knet: n1/vanishing has vanished; the capture goes on without it\n"
        machine.run("ping -c1 172.18.0.4")
        assert " ICMP echo request" in running.stdout.read()
        assert running.wait(20) == 0


REFUSED = {
    "pod/clinet": "there is no pod in namespace default called 'clinet'; did you mean pod/client",
    "n1/cni9": "n1 has no interface cni9; nearest: cni0",
    "all --filter not-a-filter": "filter 'not-a-filter': syntax error",
    "all --for ever": "--for: 'ever' is no time, such as 2s or 500ms",
    "all -w /nowhere/file": "/nowhere/file cannot be written: No such file or directory",
    "all -w /dev/full --count 1": "/dev/full: No space left on device; what was written before is whole",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_done_is_told_in_a_line(cluster: Cluster, words: str):
    done = knet("capture", "--name", NAME, *words.split(), check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith(f"knet: {REFUSED[words]}")
