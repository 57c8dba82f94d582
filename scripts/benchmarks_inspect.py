"""What it costs to look at a cluster, and how fast one sees.

- *capture*: a program on the machine `client` sends 25,000 datagrams a second for some seconds; ``knet capture`` writes
  what passes both ends of its link into a file.  What is missing in the file is lost.
- *trace*: from a pod to the other machine's pod by a ClusterIP, there and back; in Python, and as a command, which has
  to import it all first.
- *timeline*: 100 pods are deployed while ``knet timeline -f`` records all that happens, packets too, and while it does
  not, in turn.
- *reach*: ``knet reach`` among 50 pods on two machines, from the command's start to its end.

Each row of `ROWS` is a figure by its key and what measures it on a cluster; another one is another row.
"""

import contextlib
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks_api import Measured, median
from benchmarks_pods import cpu, deployment

from knet import Cluster

NAME = "bench"
KNET = str(Path(sys.executable).with_name("knet"))
#: packets a second, at so many places together
RATE, PLACES, SECONDS, PORT = 50_000, 2, 5, 9999
#: pods among which it is tried who reaches whom
REACHED = 50
#: deployments without and with a recording, each
PAIRS = 7
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "hundred"},
    "spec": {"selector": {"app": "hundred"}, "ports": [{"port": 80}]},
}

#: sends so many datagrams a second, for so many seconds, to an address; says how many those were
SENDER = """
    import socket, sys, time
    rate, seconds, address, port = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((address, port))
    data = b"x" * 100
    begin, sent = time.monotonic(), 0
    while sent < rate * seconds:
        due = min(int((time.monotonic() - begin) * rate), rate * seconds)
        while sent < due:
            sock.send(data)
            sent += 1
        time.sleep(0.0005)
    print(sent, time.monotonic() - begin)
"""


def measurements(rounds: int) -> Iterator[tuple[str, Measured]]:
    """Key and value of each figure."""
    with Cluster(name=NAME) as cluster:
        for key, measure in ROWS.items():
            yield key, median([measure(cluster) for _ in range(rounds)])


def capture(cluster: Cluster) -> Measured:
    """Packets of 250,000 that are not in the file; CPU time of the whole command for each."""
    worker = cluster.machine("n1")
    address = next(row["address"] for row in cluster.status()["machines"] if row["name"] == worker.name)
    with worker.inside():
        deaf = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # nobody complains that the port is closed
    deaf.bind((address, PORT))
    with deaf, tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "packets.pcapng"
        words = [KNET, "capture", "--name", NAME, "link/client-s1", "--filter", f"udp dst port {PORT}", "-w", str(path)]
        capturing = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        assert capturing.stderr is not None
        capturing.stderr.readline()  # from now on it captures
        arguments = [str(number) for number in (RATE // PLACES, SECONDS)]
        sender = [sys.executable, "-c", textwrap.dedent(SENDER), *arguments, address, str(PORT)]
        sent, seconds = cluster.machine("client").run(sender).split()
        if float(seconds) > 1.05 * SECONDS:
            print(
                f"capture: the sender managed {PLACES * int(sent) / float(seconds):,.0f} packets/s only",
                file=sys.stderr,
            )
        capturing.send_signal(signal.SIGINT)
        usage = os.wait4(capturing.pid, 0)[2]
        capturing.returncode = 0
        packets = PLACES * int(sent)
        return Measured(packets - packets_in(path), (usage.ru_utime + usage.ru_stime) / packets)


#: a pod on each machine, and a Service of the second
TRACED = """
apiVersion: v1
kind: Pod
metadata: {name: client}
spec: {nodeName: n1, containers: [{name: c, image: registry.k8s.io/pause}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {nodeName: n2, containers: [{name: c, image: traefik/whoami}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""


def trace(cluster: Cluster) -> Measured:
    """Seconds of one."""
    _prepare_trace(cluster)
    begin = time.monotonic()
    assert cluster.trace("pod/client", "svc/web:80").delivered
    return Measured(time.monotonic() - begin)


def trace_command(cluster: Cluster) -> Measured:
    """Seconds of ``knet trace``, and of CPU time."""
    _prepare_trace(cluster)
    begin, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([KNET, "trace", "--name", NAME, "pod/client", "svc/web:80"], check=True, stdout=subprocess.DEVNULL)
    seconds, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Measured(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def _prepare_trace(cluster: Cluster) -> None:
    """Until a trace gets there, which in Python also imports what it needs."""
    cluster.apply(TRACED)
    for name in ("client", "web"):
        cluster.wait(f"pod/{name}", "Ready")
    while not cluster.trace("pod/client", "svc/web:80").delivered:
        time.sleep(0.1)


def timeline(cluster: Cluster) -> Measured:
    """By how many per cent a recording makes the deployment of 100 pods longer; CPU time of the recorder for each.

    Each deployment with it is compared with the one without it beside it, and those change places from pair to pair:
    what else a busy computer does meets both alike.  Both sides are told on stderr, with the cluster's CPU time.
    """
    rounds: dict[bool, list[Deployed]] = {False: [], True: []}
    cluster.apply(SERVICE)
    _deploy(cluster)  # the first one finds everything cold
    for pair in range(PAIRS):
        for recorded in (bool(pair % 2), not pair % 2):
            with recording(cluster) if recorded else contextlib.nullcontext() as recorder:
                rounds[recorded].append(_deploy(cluster, recorder))
    for recorded, name in ((False, "without"), (True, "with")):
        seconds, busy, recorder_busy = (statistics.median(column) for column in zip(*rounds[recorded], strict=True))
        told = (
            f"timeline: {name} {seconds:.3f} s, CPU of the cluster {busy:.2f} s, of the recorder {recorder_busy:.2f} s"
        )
        print(f"{told} (medians of {PAIRS})", file=sys.stderr)
    ratios = [slowed.seconds / plain.seconds for plain, slowed in zip(rounds[False], rounds[True], strict=True)]
    return Measured(
        100 * (statistics.median(ratios) - 1), statistics.median(row.recorder for row in rounds[True]) / 100
    )


class Deployed(NamedTuple):
    """Seconds until all were ready; CPU seconds of the cluster and of whoever records meanwhile."""

    seconds: float
    cluster: float
    recorder: float


def _deploy(cluster: Cluster, recorder: int | None = None) -> Deployed:
    """100 pods, and away with them again; ``recorder`` is a process."""
    begin, before, recorded = time.monotonic(), cpu(NAME), cpu_seconds(recorder)
    cluster.apply(deployment(100, "hundred"))
    cluster.rollout("deployment/hundred")
    found = Deployed(time.monotonic() - begin, cpu(NAME) - before, cpu_seconds(recorder) - recorded)
    cluster.delete("deployment/hundred")
    for pod in cluster.objects("pods", selector="app=hundred"):
        cluster.wait(f"pod/{pod['metadata']['name']}", "deleted")
    return found


@contextlib.contextmanager
def recording(cluster: Cluster) -> Iterator[int]:
    """Meanwhile a timeline is followed, by that process; it has told of all that was before."""
    words = [KNET, "timeline", "--name", NAME, "-f", "--json"]
    mark = f"mark-{time.monotonic_ns()}"
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.readline()  # from now on it records
        cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": mark}})
        while mark.encode() not in process.stdout.readline():
            pass
        reader = threading.Thread(target=process.stdout.read)
        reader.start()
        yield process.pid
        process.send_signal(signal.SIGINT)
        reader.join()
    cluster.delete(f"configmap/{mark}")


def cpu_seconds(pid: int | None) -> float:
    """Of all its threads, to the nanosecond: a process's clock, as clock_getcpuclockid(3) names it."""
    return 0.0 if pid is None else time.clock_gettime(~pid << 3 | 2)


def packets_in(path: Path) -> int:
    """Enhanced packet blocks of a pcapng file."""
    found, position, data = 0, 0, path.read_bytes()
    while position < len(data):
        found += int.from_bytes(data[position : position + 4], sys.byteorder) == 6
        position += int.from_bytes(data[position + 4 : position + 8], sys.byteorder)
    return found


def reach(cluster: Cluster) -> Measured:
    """Seconds of `knet reach` among 50 pods, as a whole; its CPU time for each of the 2,450 pairs."""
    cluster.apply(deployment(REACHED, "reached"))
    cluster.rollout("deployment/reached")
    begin = time.monotonic()
    asking = subprocess.Popen([KNET, "reach", "--name", NAME, "pod/reached-*"], stdout=subprocess.PIPE, text=True)
    assert asking.stdout is not None
    with asking.stdout:
        last = asking.stdout.read().splitlines()[-1]
    usage = os.wait4(asking.pid, 0)[2]
    asking.returncode = 0
    pairs = REACHED * (REACHED - 1)
    if f". {pairs:,} reached" not in last:
        print(f"reach: {last}", file=sys.stderr)
    return Measured(time.monotonic() - begin, (usage.ru_utime + usage.ru_stime) / pairs)


ROWS: dict[str, Callable[[Cluster], Measured]] = {
    "capture": capture,
    "timeline": timeline,
    "reach": reach,
    "trace": trace,
    "trace command": trace_command,
}
