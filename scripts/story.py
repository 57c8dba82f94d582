"""The main job, told step by step: machines, a Deployment, packets, an update, a rollback, a failure, nothing left.

Run by scripts/demo.  Everything printed is observed: objects from the API server's watch streams, rules and routes
from the machines, packets from the wire.
"""

import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

from rich.console import Console
from scapy.all import ICMP, IP, VXLAN, AsyncSniffer, Ether, conf

from knet import Cluster
from knet.cluster.channel import Message
from knet.cluster.facade import Pod

HERE = Path(__file__).parent
out = Console(highlight=False, soft_wrap=True)
started = time.monotonic()


def chapter(title: str) -> None:
    out.print(f"\n[bold cyan]{title}[/]  [dim]{time.monotonic() - started:.1f} s[/]")


def line(text: str, mark: str = " ") -> None:
    out.print(f"  {mark} {text}")


def check(holds: bool, text: str) -> None:
    """One requirement, seen to hold; the demo ends where one does not."""
    line(text, "[green]✔[/]" if holds else "[red]✘[/]")
    if not holds:
        raise SystemExit(1)


def kubectl(cluster: Cluster, *words: str) -> None:
    """kubectl's own view, where there is a kubectl."""
    if shutil.which("kubectl"):
        argv = ["kubectl", "--kubeconfig", str(cluster.kubeconfig), *words]
        line(f"[dim]$ kubectl {' '.join(words)}[/]")
        for row in subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines():
            line(f"  [dim]{row}[/]")


class Watcher(threading.Thread):
    """Prints the way from a Deployment to its endpoints as the API server announces each step."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(daemon=True)
        self.cluster = cluster
        self.begin = 0.0
        self.seen: set[str] = set()
        self.done = threading.Event()

    def run(self) -> None:
        self.cluster.call(self._watch_all())

    async def _watch_all(self) -> None:
        import asyncio

        self.begin = time.monotonic()
        kinds = ("deployments", "replicasets", "pods", "endpointslices")
        tasks = [asyncio.ensure_future(self._watch(kind)) for kind in kinds]
        while not self.done.is_set():
            await asyncio.sleep(0.02)
        for task in tasks:
            task.cancel()

    async def _watch(self, kind: str) -> None:
        import orjson

        from knet.cluster.operations import Target

        path = Target.parse(f"{kind}/-").row.path("default")
        async for data in self.cluster.api.lines(path, {"watch": "true"}):
            event = orjson.loads(data)
            if event["type"] != "BOOKMARK":
                self.tell(kind, event["object"])

    def tell(self, kind: str, found: dict) -> None:
        name, status = found["metadata"]["name"], found.get("status") or {}
        steps: list[tuple[str, str]] = []
        if kind == "deployments":
            steps.append(("kube-apiserver", f"Deployment {name} stored"))
        elif kind == "replicasets":
            steps.append(("deployment controller", f"ReplicaSet {name}, {found['spec']['replicas']} replicas"))
        elif kind == "pods":
            steps.append(("replicaset controller", f"Pod {name}"))
            if node := found["spec"].get("nodeName"):
                steps.append(("scheduler", f"{name} → {node}"))
            if address := status.get("podIP"):
                steps.append((f"kubelet@{found['spec']['nodeName']}", f"sandbox of {name}: eth0 has {address}"))
            if any(row["type"] == "Ready" and row["status"] == "True" for row in status.get("conditions", ())):
                steps.append((f"kubelet@{found['spec']['nodeName']}", f"{name} is ready: the probe got 200"))
        elif found["metadata"].get("labels", {}).get("kubernetes.io/service-name") == "web":
            ready = [row["addresses"][0] for row in found.get("endpoints") or () if row["conditions"].get("ready")]
            steps.append(("endpointslice controller", f"web = {', '.join(sorted(ready)) or '(no pod ready yet)'}"))
        for who, what in steps:
            if f"{who}{what}" not in self.seen:
                self.seen.add(f"{who}{what}")
                line(f"[dim]{time.monotonic() - self.begin:+7.3f}[/]  {who:<26} {what}")


def deployment(cluster: Cluster) -> None:
    chapter("A Deployment becomes pods that answer through a Service")
    watcher = Watcher(cluster)
    watcher.start()
    cluster.apply(HERE / "web.yaml")
    cluster.rollout("deployment/web")
    service = cluster.get("service/web")["spec"]["clusterIP"]
    chain = ""
    while "KUBE-SVC" not in chain:
        chain = cluster.machine("n1").run(f"iptables-save -t nat | grep -- '-d {service}/32' | grep KUBE-SVC || true")
    line(f"[dim]{time.monotonic() - watcher.begin:+7.3f}[/]  {'kube-proxy@n1':<26} {chain.strip().splitlines()[0]}")
    watcher.done.set()
    watcher.join()
    kubectl(cluster, "get", "pods", "-o", "wide")


def requirements(cluster: Cluster) -> Pod:
    chapter("Three requirements of the pod network, with real packets")
    client = cluster.pod("client")
    node, ping = client.node, "ping -c1 -W2 -q"
    pods = cluster.pods("app=web")
    near = next((pod for pod in pods if pod.node == node), None)
    far = next(pod for pod in pods if pod.node != node)
    if near is None:
        near = cluster.pod("neighbour")
    check("1 received" in cluster.machine(node).run(f"{ping} {client.ip}"), f"node {node} → its pod {client.ip}")
    check("1 received" in client.run(f"{ping} {near.ip}"), f"pod {client.ip} → pod {near.ip} on the same node, by cni0")
    with cluster.machine(node).inside():
        tap = conf.L2listen(iface=f"{node}-eth0", filter="udp port 8472")
    sniffer = AsyncSniffer(opened_socket=tap, count=1)
    sniffer.start()
    answered = "1 received" in client.run(f"{ping} {far.ip}")
    sniffer.join(timeout=5)
    check(answered, f"pod {client.ip} → pod {far.ip} on {far.node}, by flannel.1")
    outer = sniffer.results[0]
    frame = VXLAN(bytes(outer["UDP"].payload))
    check(ICMP in frame and frame[IP].dst == far.ip, "on the wire between the nodes, decoded by scapy:")
    udp = outer["UDP"]
    line(f"    {outer[IP].src} → {outer[IP].dst}  UDP {udp.sport} → {udp.dport}  VXLAN vni {frame.vni}")
    line(f"    └ {frame[Ether].src} → {frame[Ether].dst}  {frame[IP].src} → {frame[IP].dst}  {frame[ICMP].mysummary()}")
    return client


class Requests:
    """Requests from a pod to the Service, a new connection each, until told to stop; each answer's image is kept."""

    LOOP = (
        "rm -f /tmp/stop /tmp/answers; (while [ ! -e /tmp/stop ]; do "
        "curl -s -m 3 -H 'Connection: close' -w 'code:%{http_code}\n' 'http://web.default.svc.cluster.local/?[1-20]' "
        "| grep -oE 'nginx:[0-9.]+|code:[0-9]+'; "
        "done > /tmp/answers; touch /tmp/done) > /dev/null 2>&1 &"
    )

    def __init__(self, pod: Pod) -> None:
        self.pod = pod
        pod.run(f"rm -f /tmp/done; {self.LOOP}")

    def stop(self) -> tuple[int, str]:
        """How many requests failed; and in words, how many there were and which image answered how many."""
        answers = self.pod.run("touch /tmp/stop; while [ ! -e /tmp/done ]; do sleep 0.05; done; cat /tmp/answers")
        rows = answers.split()
        codes = [row for row in rows if row.startswith("code:")]
        images = {row: rows.count(row) for row in sorted(set(rows)) if row.startswith("nginx")}
        failed = len(codes) - codes.count("code:200")
        shares = ", ".join(f"{count} by {image}" for image, count in images.items())
        return failed, f"{len(codes)} requests, {failed} failed ({shares})"


def update(cluster: Cluster, client: Pod) -> None:
    chapter("A rolling update under continuous requests, and back")
    requests = Requests(client)
    cluster.set_image("deployment/web", nginx="nginx:1.27")
    cluster.rollout("deployment/web")
    failed, account = requests.stop()
    check(failed == 0, f"1.26 → 1.27: {account}")
    kubectl(cluster, "get", "replicasets")
    requests = Requests(client)
    revision = cluster.undo("deployment/web")
    cluster.rollout("deployment/web")
    failed, account = requests.stop()
    check(failed == 0, f"rolled back to revision {revision}: {account}")


def failure(cluster: Cluster, client: Pod) -> None:
    chapter("A worker's cable is cut")
    lost = "n2" if client.node == "n1" else "n1"
    victims = {pod.name for pod in cluster.pods("app=web") if pod.node == lost}
    begin = time.monotonic()
    cluster.link(lost, "s1").down()
    line(f"link {lost} – s1 is down; {len(victims)} of 3 web pods are on {lost}")
    node_ready = True
    while node_ready:
        conditions = cluster.get(f"node/{lost}")["status"]["conditions"]
        node_ready = next(row["status"] for row in conditions if row["type"] == "Ready") == "True"
        time.sleep(0.1)
    line(f"[dim]{time.monotonic() - begin:+7.3f}[/]  node {lost} is NotReady: its lease was not renewed")
    while not victims.isdisjoint(pod.name for pod in cluster.pods("app=web")):
        time.sleep(0.1)
    line(f"[dim]{time.monotonic() - begin:+7.3f}[/]  its pods are evicted")
    cluster.rollout("deployment/web")
    there = {pod.name: pod.node for pod in cluster.pods("app=web")}
    places = ", ".join(f"{pod} on {node}" for pod, node in there.items())
    line(f"[dim]{time.monotonic() - begin:+7.3f}[/]  three pods are available again: {places}")
    check(lost not in there.values(), "all of them elsewhere")
    cluster.rollout("deployment/coredns", namespace="kube-system")  # it may have been among the evicted
    check("nginx" in client.run("curl -sf -m 3 http://web"), "and the Service answers")
    kubectl(cluster, "get", "nodes")
    cluster.link(lost, "s1").up()


def members(namespace: str) -> list[str]:
    """The processes in a PID namespace, by number."""
    found = []
    for link in Path("/proc").glob("[0-9]*/ns/pid"):
        try:
            zombie = "\nState:\tZ" in Path(f"/proc/{link.parts[2]}/status").read_text()
            if os.readlink(link) == namespace and not zombie:
                found.append(link.parts[2])
        except OSError:
            continue  # ended meanwhile
    return found


def network() -> list[str]:
    """The host's network, as text."""
    views = (["ip", "-br", "link"], ["ip", "route"], ["ip", "rule"], ["nft", "list", "ruleset"])
    return [subprocess.run(view, capture_output=True, text=True, check=True).stdout for view in views]


def main() -> None:
    before = network()

    def progress(message: Message) -> None:
        if message.step:
            line(f"{message.step:<10} {message.text:<50} [dim]{message.seconds:.2f} s[/]")

    chapter("Machines, a control plane, a pod network")
    with Cluster(name="demo", progress=progress) as cluster:
        kubectl(cluster, "get", "nodes", "-o", "wide")
        deployment(cluster)
        client = requirements(cluster)
        update(cluster, client)
        failure(cluster, client)
        chapter("Down")
        supervisor = Path("/run/knet/demo/supervisor.pid").read_text().strip()
        namespace = os.readlink(f"/proc/{supervisor}/ns/pid")
        line(f"{len(members(namespace))} processes are in the cluster's PID namespace")
        begin = time.monotonic()
    line(f"gone in {time.monotonic() - begin:.2f} s")
    check(not members(namespace), "no process is left")
    check(network() == before, "the host's interfaces, routes and rules are the same as before")
    check(not Path("/run/knet/demo").exists() and not Path("/var/lib/knet/demo").exists(), "nothing left on disk")
    out.print(f"\nTold in {time.monotonic() - started:.0f} s. Now yours:  sudo knet up")


if __name__ == "__main__":
    main()
