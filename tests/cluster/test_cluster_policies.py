"""NetworkPolicies on real pods: for each set of policies a connection is tried between every two pods, at every port.

The table of what came through has to be the one that the policies mean (`tests/unit/policy_model.py`).
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest

from knet import Cluster
from knet.api.objects import JSON
from knet.api.resources import NETWORKPOLICIES
from knet.cluster.facade import Pod
from tests.conftest import knet
from tests.unit import policy_model

NAME = "policies"
NAMESPACES, PODS = ("x", "y", "z"), ("a", "b", "c")
PORTS = [(protocol, port) for protocol in ("tcp", "udp") for port in (80, 81)]
#: seconds until everybody has heard of a change, on a busy machine
PATIENCE = 20

#: answers at every port; what a datagram or a connection comes from is written down
SERVER = """
import socket, threading
seen = open("/tmp/seen", "a", buffering=1)
def tcp(port):
    server = socket.create_server(("::", port), family=socket.AF_INET6, backlog=512, dualstack_ipv6=True)
    while True:
        connection, peer = server.accept()
        seen.write(peer[0].replace("::ffff:", "") + "\\n")
        connection.close()
def udp(port):
    server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    server.bind(("::", port))
    while True:
        said, peer = server.recvfrom(100)
        seen.write(peer[0].replace("::ffff:", "") + "\\n")
        server.sendto(said, peer)
for serve in (tcp, udp):
    for port in (80, 81):
        threading.Thread(target=serve, args=(port,)).start()
"""
#: tries all targets at once and prints those that answered
PROBE = """
import json, select, socket, sys
waiting = {}
for address, protocol, port in json.loads(sys.argv[1]):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    probe = socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    probe.setblocking(False)
    probe.connect_ex((address, port))
    if protocol == "udp":
        probe.send(b"?")
    waiting[probe] = address, protocol, port
reached = []
while waiting:
    connected = [probe for probe in waiting if waiting[probe][1] == "tcp"]
    answered = [probe for probe in waiting if waiting[probe][1] == "udp"]
    readable, writable, _ = select.select(answered, connected, [], 0.5)
    if not readable and not writable:
        break
    for probe in readable + writable:
        target = waiting.pop(probe)
        if probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
            reached.append(target)
print(json.dumps(reached))
"""
#: the first thing that it does is to talk to a server, by both protocols, and for a while
EAGER = """
import socket, sys, time
until = time.monotonic() + 0.3
while time.monotonic() < until:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as teller, socket.socket() as caller:
        teller.sendto(b"!", (sys.argv[1], 80))
        caller.settimeout(0.02)
        caller.connect_ex((sys.argv[1], 80))
"""


def labelled(**labels: str) -> JSON:
    return {"matchLabels": labels}


EVERY: JSON = {"podSelector": {}}
BOTH = ["Ingress", "Egress"]
X_B = {"namespaceSelector": labelled(ns="x"), "podSelector": labelled(pod="b")}
FROM_Y = {"namespaceSelector": labelled(ns="y")}
TO_WEB: JSON = {"ports": [{"port": "serve-81"}]}

#: name → policies as (namespace, spec)
SETS: dict[str, list[tuple[str, JSON]]] = {
    "none": [],
    "nobody is let in": [("x", {**EVERY, "policyTypes": ["Ingress"]})],
    "nobody gets out": [("x", {**EVERY, "policyTypes": ["Egress"]})],
    "everything is allowed": [("x", {**EVERY, "policyTypes": BOTH}), ("x", {**EVERY, "ingress": [{}], "egress": [{}]})],
    "the own namespace": [("x", {**EVERY, "ingress": [{"from": [EVERY]}]})],
    "another namespace": [("x", {**EVERY, "ingress": [{"from": [FROM_Y]}]})],
    "pods of another namespace": [
        ("x", {**EVERY, "ingress": [{"from": [{**FROM_Y, "podSelector": labelled(pod="a")}]}]})
    ],
    "either of two peers": [
        ("x", {**EVERY, "ingress": [{"from": [FROM_Y, {"podSelector": labelled(pod="a")}]}]}),
    ],
    "all namespaces' b": [
        ("x", {**EVERY, "ingress": [{"from": [{"namespaceSelector": {}, "podSelector": labelled(pod="b")}]}]})
    ],
    "expressions": [
        (
            "x",
            {
                "podSelector": {"matchExpressions": [{"key": "pod", "operator": "NotIn", "values": ["a", "b"]}]},
                "ingress": [
                    {
                        "from": [
                            {"namespaceSelector": {"matchExpressions": [{"key": "ns", "operator": "DoesNotExist"}]}},
                            {"podSelector": {"matchExpressions": [{"key": "pod", "operator": "In", "values": ["b"]}]}},
                        ]
                    }
                ],
            },
        )
    ],
    "ports": [("x", {**EVERY, "ingress": [{"ports": [{"port": 80}, {"port": 81, "protocol": "UDP"}]}]})],
    "a protocol": [("x", {**EVERY, "ingress": [{"ports": [{"protocol": "UDP"}]}]})],
    "a range of ports": [("x", {**EVERY, "ingress": [{"from": [FROM_Y], "ports": [{"port": 81, "endPort": 90}]}]})],
    "named ports of the own pods": [("x", {**EVERY, "ingress": [TO_WEB]})],
    "named ports of the peers": [("x", {**EVERY, "policyTypes": ["Egress"], "egress": [{"to": [FROM_Y], **TO_WEB}]})],
    "one end allows, the other does not": [
        ("x", {**EVERY, "policyTypes": ["Egress"], "egress": [{"to": [FROM_Y]}]}),
        ("y", {**EVERY, "ingress": [{"from": [X_B]}]}),
    ],
    "policies add up": [
        ("y", {**EVERY, "policyTypes": ["Ingress"]}),
        ("y", {"podSelector": labelled(pod="a"), "ingress": [{"ports": [{"port": 80}]}]}),
        ("y", {"podSelector": labelled(pod="a"), "ingress": [{"from": [{"namespaceSelector": labelled(ns="x")}]}]}),
    ],
    "rules of a direction that it is not about": [("x", {**EVERY, "policyTypes": ["Egress"], "ingress": []})],
    "all but some addresses": [
        ("x", {**EVERY, "ingress": [{"from": [{"ipBlock": {"cidr": "10.244.0.0/16", "except": ["10.244.0.0/24"]}}]}]})
    ],
    "all but some IPv6 addresses": [
        ("x", {**EVERY, "ingress": [{"from": [{"ipBlock": {"cidr": "fd00::/8", "except": ["fd00:10:244:1::/64"]}}]}]})
    ],
    "some addresses": [
        ("x", {**EVERY, "policyTypes": ["Egress"], "egress": [{"to": [{"ipBlock": {"cidr": "10.244.1.0/24"}}]}]})
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(tmp_path_factory.mktemp("home") / "kubeconfig"))
        with Cluster(name=NAME, workers=2, ip_family="dual") as found:
            yield found


@pytest.fixture(scope="module")
def pods(cluster: Cluster) -> dict[str, Pod]:
    """Three pods in each of three namespaces, by NAMESPACE/POD; z has no labels but those that the server gives it."""
    for namespace in NAMESPACES:
        labels = {} if namespace == "z" else {"ns": namespace}
        meta = {"name": namespace, "labels": labels}
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
    for namespace in NAMESPACES:
        for name in PODS:
            run(cluster, namespace, name, ["python3", "-c", SERVER], {"pod": name})
    found = {f"{namespace}/{name}": cluster.pod(name, namespace) for namespace in NAMESPACES for name in PODS}
    assert len({pod.node for pod in found.values()}) == 2
    return found


def run(cluster: Cluster, namespace: str, name: str, command: list[str], labels: dict[str, str]) -> None:
    """A pod; ports of the a's and b's have names."""
    ports = [] if name == "c" else [{"name": f"serve-{port}", "containerPort": port} for port in (80, 81)]
    container = {"name": "c", "image": "python", "command": command, "ports": ports}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0, "restartPolicy": "Never"}
    meta = {"name": name, "namespace": namespace, "labels": labels}
    eventually(lambda: cluster.objects("serviceaccounts", namespace) != [], "no service account")
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})


def set_policies(cluster: Cluster, rows: list[tuple[str, JSON]], namespaces: Iterable[str] = NAMESPACES) -> None:
    for namespace in namespaces:
        cluster.call(cluster.api.raw("DELETE", NETWORKPOLICIES.path(namespace)))
    for number, (namespace, spec) in enumerate(rows):
        body = {"apiVersion": NETWORKPOLICIES.api_version, "kind": "NetworkPolicy", "spec": spec}
        cluster.apply({**body, "metadata": {"name": f"policy-{number}", "namespace": namespace}})


def meaning(cluster: Cluster) -> policy_model.Cluster:
    """The cluster as the API shows it."""
    found = {kind: [row for name in NAMESPACES for row in cluster.objects(kind, name)] for kind in ("netpol", "pods")}
    namespaces = {name: cluster.get(f"namespace/{name}")["metadata"]["labels"] for name in NAMESPACES}
    return policy_model.Cluster(found["netpol"], found["pods"], namespaces)


def addresses(pods: dict[str, Pod]) -> dict[str, str]:
    """Address → NAMESPACE/POD, of both families."""
    return {row["ip"]: name for name, pod in pods.items() for row in pod.object["status"]["podIPs"]}


Connection = tuple[str, str, str, int]


def reached(pods: dict[str, Pod], known: dict[str, str]) -> set[Connection]:
    """What came through, from every pod to every address at every port, all at once."""
    targets = orjson.dumps([(address, *port) for address in known for port in PORTS]).decode()
    with ThreadPoolExecutor(len(pods)) as pool:
        answers = pool.map(lambda pod: orjson.loads(pod.run(["python3", "-c", PROBE, targets])), pods.values())
        return {(name, *target) for name, answer in zip(pods, answers, strict=True) for target in answer}


def eventually(done: Callable[[], Any], why: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline, why
        time.sleep(0.05)


def settle(cluster: Cluster, pods: dict[str, Pod], name: str) -> None:
    """Make these the policies, and wait until what comes through is what they allow."""
    known = addresses(pods)
    set_policies(cluster, SETS[name])
    model = meaning(cluster)
    expected = {
        (known[source], destination, protocol, port)
        for source in known
        for destination in known
        for protocol, port in PORTS
        if (":" in source) == (":" in destination) and policy_model.allowed(model, source, destination, port, protocol)
    }
    deadline = time.monotonic() + PATIENCE
    while (found := reached(pods, known)) != expected and time.monotonic() < deadline:
        pass
    assert (found - expected, expected - found) == (set(), set()), f"too much, too little came through; {known}"


@pytest.mark.parametrize("name", SETS)
def test_what_comes_through_is_what_the_policies_allow(cluster: Cluster, pods: dict[str, Pod], name: str) -> None:
    settle(cluster, pods, name)


def test_what_was_dropped_is_named(cluster: Cluster, pods: dict[str, Pod]) -> None:
    settle(cluster, pods, "nobody is let in")
    found = {(row.source, row.destination, row.port, row.by) for row in cluster.drops(pods["x/a"].node)}
    for port in PORTS:
        assert ("y/a", "x/a", "/".join(map(str, port)), "ingress: x/policy-0") in found
    printed = knet("drops", "--name", NAME, pods["x/a"].node).stdout
    assert re.search(r"^n[12] +\d+ s ago +\d+ +y/a +x/a +udp/81 +ingress: x/policy-0 *$", printed, re.MULTILINE)


def test_a_new_pod_is_isolated_before_its_first_packet(cluster: Cluster, pods: dict[str, Pod]) -> None:
    """Whatever happens to those who isolate it: they are killed in between."""
    settle(cluster, pods, "nobody gets out")
    eager = ["python3", "-c", EAGER, pods["y/a"].ip]
    names = [f"eager-{number}" for number in range(8)]
    for name in names[:4]:
        run(cluster, "x", name, eager, {})
    for row in cluster.status()["components"]:
        if row["name"] == "network-agent":
            cluster.machine(row["machine"]).run(f"kill -9 {row['pid']}")
    for name in names[4:]:
        run(cluster, "x", name, eager, {})
    run(cluster, "z", "free", eager, {})
    objects = [("free", "z"), *((name, "x") for name in names)]

    def ended() -> bool:
        return all(cluster.get(f"pod/{name}", space)["status"].get("phase") == "Succeeded" for name, space in objects)

    eventually(ended, "a pod has not come to its end")
    free, *isolated = (cluster.get(f"pod/{name}", space)["status"]["podIP"] for name, space in objects)
    seen = set(pods["y/a"].run("cat /tmp/seen").split())
    assert free in seen
    assert seen.isdisjoint(isolated)


def test_rules_that_others_take_away_come_back(cluster: Cluster, pods: dict[str, Pod]) -> None:
    settle(cluster, pods, "nobody is let in")
    machine = cluster.machine(pods["x/a"].node)
    machine.run("nft delete table inet knet-policy")
    eventually(lambda: "x/policy-0" in machine.run("nft list table inet knet-policy", check=False), "no rules")
    settle(cluster, pods, "none")
    assert machine.run("nft list ruleset inet") == ""  # nobody isolated, nothing in the kernel


def test_policies_may_be_mere_objects(home: Path) -> None:
    with Cluster(name=f"{NAME}-none", workers=1, policy="none") as cluster:
        server = ["python3", "-c", SERVER]
        run(cluster, "default", "a", server, {})
        set_policies(cluster, [("default", {**EVERY, "policyTypes": BOTH})], ["default"])
        run(cluster, "default", "b", server, {})
        targets = orjson.dumps([(cluster.pod("a").ip, "tcp", 80)]).decode()
        probing = cluster.pod("b")
        eventually(lambda: orjson.loads(probing.run(["python3", "-c", PROBE, targets])), "no way, without a policy")
