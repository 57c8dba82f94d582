"""`knet trace` in live clusters: every healthy road's golden text, and what is said of words that mean nothing.

What is broken in twelve ways: tests/cluster/test_cluster_diagnosis.py.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from knet import Cluster
from knet.cluster.errors import KnetError
from knet.inspect.trace.hops import BACK, THERE
from tests.cluster import traces
from tests.cluster.test_cluster_faults import eventually
from tests.conftest import knet

NAME = "trace"
SERVICES = {"near": "web-1", "far": "web-2"}
PODS = {"client": "n1", "web-1": "n1", "web-2": "n2"}
INGRESS = """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  ingressClassName: nginx
  defaultBackend: {service: {name: far, port: {number: 80}}}
"""


def prepare(cluster: Cluster, **service: object) -> None:
    for name, machine in PODS.items():
        container = {"name": "c", "image": "traefik/whoami", "ports": [{"containerPort": 80}]}
        spec = {"nodeName": machine, "terminationGracePeriodSeconds": 0, "containers": [container]}
        metadata = {"name": name, "labels": {"app": name}}
        cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    for number, (name, app) in enumerate(SERVICES.items()):
        spec = {"type": "NodePort", "selector": {"app": app}, "ports": [{"port": 80, "nodePort": 30080 + number}]}
        body = {"metadata": {"name": name}, "spec": {**spec, **service}}
        cluster.apply({"apiVersion": "v1", "kind": "Service", **body})
    for name in PODS:
        cluster.wait(f"pod/{name}", "Ready", timeout=120)
    for name in SERVICES:  # a machine's rules may come after its pods
        for source in ("pod/client", "n2"):
            eventually(lambda name=name, source=source: cluster.trace(source, f"svc/{name}").delivered, name)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(tmp_path_factory.mktemp("home") / "kubeconfig"))
        with Cluster(name=NAME, workers=2, ip_family="dual", ingress="nginx") as running:
            prepare(running, ipFamilyPolicy="PreferDualStack")
            running.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "balanced"}, "spec": BALANCED})
            running.apply(INGRESS)
            yield running


BALANCED = {"type": "LoadBalancer", "selector": {"app": "web-2"}, "ports": [{"port": 80}]}
ROADS: dict[str, tuple[str, str, dict[str, object]]] = {
    "pod to pod on the same machine": ("pod/client", "pod/web-1", {}),
    "pod to pod on another machine, vxlan": ("pod/client", "pod/web-2", {}),
    "pod to Service, same machine, iptables": ("pod/client", "svc/near:80", {}),
    "pod to Service, other machine, iptables": ("pod/client", "svc/far:80", {}),
    "pod to itself by its Service": ("pod/web-1", "svc/near", {}),
    "machine to pod": ("n1", "pod/web-2", {}),
    "machine to Service": ("n1", "svc/far", {}),
    "outside to node port": ("client", "n1:30081", {}),
    "echo": ("pod/client", "pod/web-2", {"protocol": "icmp"}),
    "datagram to nobody": ("pod/client", "pod/web-2:9", {"protocol": "udp"}),
    "IPv6, pod to Service": ("pod/client", "svc/far", {"family": "IPv6"}),
    "IPv6, echo": ("pod/client", "pod/web-1", {"family": "IPv6", "protocol": "icmp"}),
    "without rules": ("pod/client", "svc/far", {"rules": False}),
}
#: in nftables' mode, by host-gw
OTHER_ROADS: dict[str, tuple[str, str, dict[str, object]]] = {
    "pod to pod on another machine, host-gw": ("pod/client", "pod/web-2", {}),
    "pod to Service, same machine, nftables": ("pod/client", "svc/near:80", {}),
    "pod to Service, other machine, nftables": ("pod/client", "svc/far:80", {}),
}


@pytest.mark.parametrize("road", ROADS)
def test_a_road(cluster: Cluster, road: str) -> None:
    source, target, options = ROADS[road]
    found = cluster.trace(source, target, **options)
    assert found.findings == () or not found.delivered
    assert traces.text(cluster, found) == traces.golden()[road]


TALKER = """
import socket, time
connection = socket.create_connection(("{}", 80))
while True:
    connection.send(b"GET / HTTP/1.1\\r\\nHost: far\\r\\n\\r\\n")
    connection.recv(9999)
    time.sleep(0.1)
"""


def test_a_packet_of_a_connection_that_stands(cluster: Cluster) -> None:
    """It is not translated by rules any more, but by what is tracked."""
    script = TALKER.format(cluster.get("service/far")["spec"]["clusterIP"])
    container = {"name": "c", "image": "python", "command": ["python3", "-c", script]}
    spec = {"nodeName": "n1", "terminationGracePeriodSeconds": 0, "containers": [container]}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "talker"}, "spec": spec})
    cluster.wait("pod/talker", "Ready", timeout=120)
    begun = cluster.trace("pod/talker", "svc/far", live=30)
    port = begun.probe.packet.source_port
    found = cluster.trace("pod/talker", "svc/far", live=30, source_port=port)
    assert (found.findings, found.probe.packet.flags, found.probe.packet.source_port) == ((), "PSH,ACK", port)
    text = re.sub(r"(PSH,)?ACK", "ACK", traces.text(cluster, found))  # by the server's answer, or its kernel alone
    assert text == traces.golden()["live, pod to Service, other machine, iptables"]
    cluster.delete("pod/talker")


def test_the_next_packet_of_a_machine_is_found_behind_its_translation(cluster: Cluster) -> None:
    address = cluster.get("service/far")["spec"]["clusterIP"]
    with cluster.machine("n1").popen([sys.executable, "-c", TALKER.format(address)]) as talker:
        found = cluster.trace("n1", "svc/far", live=30)
        talker.kill()
    assert (found.findings, found.outcome, found.probe.packet.destination) == ((), "delivered", address)
    assert found.way(THERE)[-1].site == "pod/default/web-2"
    assert found.way(BACK)[-1].site == "n1"


def test_who_sends_nothing_is_not_waited_for_for_ever(cluster: Cluster) -> None:
    done = knet("trace", "--name", NAME, "pod/client", "svc/far", "--live", "--for", "300ms", check=False)
    said = "pod/default/client sent nothing by tcp to svc/far within 0.3 s that wants an answer; without --live"
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    done = knet("trace", "--name", NAME, "pod/client", "dns", "--live", "--dns", "web", check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(tmp_path_factory.mktemp("home") / "kubeconfig"))
        with Cluster(name=f"{NAME}-gw", workers=2, cni="host-gw", proxy="nftables") as running:
            prepare(running)
            yield running


@pytest.mark.parametrize("road", OTHER_ROADS)
def test_a_road_by_host_gw_and_nftables(other: Cluster, road: str) -> None:
    source, target, options = OTHER_ROADS[road]
    found = other.trace(source, target, **options)
    assert found.findings == ()
    assert traces.text(other, found) == traces.golden()[road]


@pytest.mark.parametrize(
    ("source", "target", "kinds"),
    [
        ("client", "svc/balanced", {"link", "switch", "nat", "tunnel", "deliver"}),
        ("client", "ingress/web", {"link", "switch", "nat", "deliver"}),
        ("pod/client", "dns", {"nat", "deliver"}),
    ],
)
def test_roads_that_lead_where_chance_has_put_somebody(
    cluster: Cluster, source: str, target: str, kinds: set[str]
) -> None:
    if target == "ingress/web":
        ingress = lambda: cluster.get(target)["status"].get("loadBalancer")  # noqa: E731
        eventually(ingress, "the Ingress has no address")
    if source == "client":
        eventually(lambda: cluster.trace(source, target).delivered, "the load balancer is not held yet")
    found = cluster.trace(source, target)
    assert found.delivered
    assert found.findings == ()
    assert {hop.kind for hop in found.way(THERE)} >= kinds - {"tunnel"}
    assert found.hops[-1].kind == "deliver"
    if target == "ingress/web":
        [onward] = found.onward
        second = cluster.trace(*onward.split())
        assert second.delivered
        assert second.way(THERE)[-1].site == "pod/default/web-2"


def test_hops_are_values(cluster: Cluster) -> None:
    found = cluster.trace("pod/client", "svc/far:80")
    tunnel = next(hop for hop in found.hops if hop.kind == "tunnel")
    assert tunnel.encapsulation
    assert (tunnel.site, tunnel.interface, tunnel.encapsulation.vni) == ("n1", "flannel.1", 1)
    assert [hop.at for hop in found.hops if hop.at] == sorted(hop.at for hop in found.hops if hop.at)
    assert found.way(BACK)[-1].packet.source == cluster.get("service/far")["spec"]["clusterIP"]


def test_for_programs(cluster: Cluster) -> None:
    done = knet("trace", "--name", NAME, "pod/client", "svc/near", "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["outcome"], document["findings"]) == (0, "delivered", [])
    assert [hop["kind"] for hop in document["hops"]][:3] == ["leave", "enter", "nat"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("pod/clint", "svc/near"), "there is no pod in namespace default called 'clint'; did you mean pod/client"),
        (("pod/client", "svc/nera"), "there is no service nera in namespace default; did you mean svc/near?"),
        (("pod/web-*", "svc/near"), "pod/web-* may be pod/default/web-1, pod/default/web-2: name one of them"),
        (("pod/client", "svc/near:http"), "svc/near:http: the Service has no tcp port http; it has 80/TCP"),
        (("s1", "svc/near"), "s1 is a switch, which sends nothing of its own"),
        (("pod/client/eth0", "svc/near"), "a packet starts at a pod or a machine, not at one of its interfaces"),
        (("pod/client", "10.244.0.9"), "10.244.0.9: to which port? say 10.244.0.9:PORT, or --proto icmp"),
        (("pod/client", "n1:70000"), "n1:70000: 70000 is no port"),
        (("pod/client", "svc/near", "gre"), "--proto gre: choose one of tcp, udp, icmp"),
        (("pod/client", "ingress/wbe"), "there is no ingress wbe in namespace default; did you mean ingress/web?"),
    ],
)
def test_what_cannot_be_traced_is_said_in_a_line(cluster: Cluster, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(KnetError) as refused:
        cluster.trace(*words[:2], protocol="".join(words[2:]))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_on_the_command_line_that_is_exit_code_2_and_a_packet_that_is_lost_1(cluster: Cluster) -> None:
    done = knet("trace", "--name", NAME, "pod/clint", "svc/near", check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    done = knet("trace", "--name", NAME, "pod/client", "pod/web-1:81", check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert "Refused: Nobody listens on tcp port 81 in pod default/web-1." in done.stdout


def test_a_pod_that_ends_meanwhile_is_said_to(cluster: Cluster) -> None:
    cluster.pod("passing", image="registry.k8s.io/pause")
    cluster.delete("pod/passing")
    with pytest.raises(KnetError, match="there is no pod"):
        cluster.trace("pod/passing", "svc/near")


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_behind_by_a_trace_that_is_ended(cluster: Cluster, sent: signal.Signals) -> None:
    """It waits for a packet that nobody answers, with its rules in force."""
    arguments = [sys.executable, "-c", "from knet.cli import main; main()", "trace", "--name", NAME]
    address = cluster.pod("client").ip.rpartition(".")[0] + ".250:80"
    with subprocess.Popen([*arguments, "pod/client", address], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as trace:
        eventually(lambda: "knet-trace" in _tables(cluster) or trace.poll() is not None, "no rule is in force")
        os.kill(trace.pid, sent)
        trace.communicate()
    eventually(lambda: "knet-trace" not in _tables(cluster), "a rule is left")


def _tables(cluster: Cluster) -> str:
    return "".join(cluster.machine(name).run("nft list tables") for name in ("client", "n1", "n2"))
