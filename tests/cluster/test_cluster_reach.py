"""Who reaches whom in a live cluster: healthy, with policies, and broken in ways that no object explains."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import pytest

from knet import Cluster
from knet.cluster.handles import Machine
from knet.inspect.reach.matrix import NO_WAY, REACHED, Reach
from tests.conftest import knet

NAME = "reach"
#: seconds until every machine has heard of a change, on a busy machine
PATIENCE = 20

PODS = {"web-1": ("n1", "web"), "web-2": ("n2", "web"), "client": ("n1", "client"), "other": ("n2", "other")}
POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {app}}}}}
spec:
  nodeName: {node}
  terminationGracePeriodSeconds: 0
  containers: [{{name: c, image: nginx}}]
"""
SERVICES = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 8080, targetPort: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: empty}
spec: {selector: {app: nobody}, ports: [{port: 80}]}
"""
POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: friends}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress: [{from: [{podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [other]}]}}]}]
"""
#: a rule that no component wrote: what the machine hands on to a port is dropped
SABOTAGE = """
add table ip sabotage
add chain ip sabotage f { type filter hook forward priority 0; }
add rule ip sabotage f ip daddr ADDRESS tcp dport 80 drop
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(tmp_path_factory.mktemp("home") / "kubeconfig"))
        with Cluster(name=NAME, workers=2) as found:
            for name, (node, app) in PODS.items():
                found.apply(POD.format(name=name, node=node, app=app))
            found.apply(SERVICES)
            found.apply(POLICY)
            for name in PODS:
                found.wait(f"pod/{name}", "Ready")
            yield found


def settled(cluster: Cluster, done: Callable[[Reach], Any], *where: str, **wish: Any) -> Reach:
    """The matrix once everybody has heard of what was changed."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = cluster.reach(*where, **wish)
        if done(found) or time.monotonic() > deadline:
            return found


def agreed(found: Reach) -> bool:
    return not found.disagreements


def signs(found: Reach) -> dict[tuple[str, str], str]:
    return {(str(pair.source), str(pair.destination)): pair.sign for pair in found.pairs}


@contextmanager
def frozen(cluster: Cluster, machine: str) -> Iterator[Machine]:
    """A worker whose routes and policies nobody looks after."""
    rows = cluster.status()["components"]
    pid = next(row["pid"] for row in rows if (row["name"], row["machine"]) == ("network-agent", machine))
    worker = cluster.machine(machine)
    worker.run(f"kill -STOP {pid}")
    try:
        yield worker
    finally:
        worker.run(f"kill -CONT {pid}")


def test_what_is_predicted_is_what_comes_through(cluster: Cluster) -> None:
    found = settled(cluster, agreed)
    assert found.disagreements == []
    table = signs(found)
    assert table["default/other", "default/web-1"] == NO_WAY
    assert table["default/other", "svc/default/web:8080"] == NO_WAY
    assert table["default/client", "svc/default/empty:80"] == NO_WAY
    assert table["client", "default/web-1"] == NO_WAY  # outside of the cluster nobody has a route to pods
    for source, destination in (
        ("default/client", "default/web-2"),
        ("default/client", "svc/default/web:8080"),
        ("default/web-1", "svc/default/web:8080"),
        ("n1", "default/web-1"),
        ("client", "n2"),
    ):
        assert table[source, destination] == REACHED
    printed = knet("reach", "--name", NAME).stdout
    assert "ingress is not allowed by NetworkPolicy default/friends" in printed
    assert "! 0 differs" in printed


@pytest.mark.parametrize(("protocol", "port"), [("udp", 53), ("icmp", 80)])
def test_other_protocols_agree_as_well(cluster: Cluster, protocol: str, port: int) -> None:
    found = settled(cluster, agreed, protocol=protocol, port=port)
    assert found.disagreements == []
    assert signs(found)["default/other", "default/web-1"] == NO_WAY
    assert signs(found)["default/client", "default/web-2"] == REACHED


def test_the_three_requirements_hold(cluster: Cluster) -> None:
    printed = knet("reach", "--basic", "--name", NAME).stdout
    assert "3 of 3 requirements hold" in printed
    rows = json.loads(knet("reach", "--basic", "--json", "--name", NAME).stdout)["requirements"]
    # kept from one of the web pods: other and the DNS server on its machine and on the other, each machine by the other
    assert [(row["isolated"], row["broken"]) for row in rows] == [(2, []), (2, []), (2, [])]


def test_a_rule_that_no_object_explains_is_found(cluster: Cluster) -> None:
    worker, address = cluster.machine("n2"), cluster.pod("web-2").ip
    worker.run(["nft", SABOTAGE.replace("ADDRESS", address)])
    try:
        done = knet("reach", "--name", NAME, "pod/client", "pod/web-2", "pod/web-1", check=False)
    finally:
        worker.run("nft delete table ip sabotage")
    assert done.returncode == 1
    first, *lines = done.stdout.splitlines()
    assert first == "!  default/client → default/web-2, and 1 more from n1 to n2"
    assert lines[0].startswith("     predicted   reached, by n1 route 10.244.")
    assert "n2 ingress allowed by NetworkPolicy default/friends" in lines[0]
    assert lines[1] == "     observed    dropped: nothing arrived (3 tries)"
    assert lines[2] == "     look        knet trace pod/client pod/web-2:80"


def test_a_route_that_is_gone_is_found(cluster: Cluster) -> None:
    subnet = cluster.get("node/n2")["spec"]["podCIDR"]
    with frozen(cluster, "n1") as worker:
        route = worker.run(f"ip route show {subnet}").strip()
        worker.run(f"ip route del {subnet}")
        try:
            found = cluster.reach("pod/client", "pod/web-2", "pod/other", "n1", protocol="icmp")
        finally:
            worker.run(f"ip route replace {route}")
    different = {(str(pair.source), str(pair.destination)) for pair in found.disagreements}
    assert {("default/client", "default/web-2"), ("n1", "default/other")} <= different
    assert ("default/client", "n1") not in different
    assert f"n1 route {subnet} via" in found.disagreements[0].expectation


def test_a_policy_that_is_no_more_is_named(cluster: Cluster) -> None:
    """Its machine has not heard that it is gone; what dropped the packet says whose rule it was."""
    with frozen(cluster, "n1"):
        cluster.delete("netpol/friends")
        found = cluster.reach("pod/other", "pod/web-1")
    cluster.apply(POLICY)
    different = {(str(pair.source), str(pair.destination)): pair for pair in found.disagreements}
    assert different.keys() - {("default/other", "svc/default/web:8080")} == {("default/other", "default/web-1")}
    pair = different["default/other", "default/web-1"]
    assert pair.experience.endswith("n1 dropped it: ingress by default/friends")


def test_flows_have_names_and_rates(cluster: Cluster) -> None:
    client = cluster.pod("client")
    calls = Thread(target=client.run, args=["until [ -e /tmp/stop ]; do curl -s http://web:8080 >/dev/null; done"])
    calls.start()
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            rows = cluster.flows(seconds=0.5)
            found = [row for row in rows if (row.source, row.service) == ("default/client", "svc/default/web")]
            if found or time.monotonic() > deadline:
                break
        printed = json.loads(knet("flows", "--name", NAME, "--json", "pod/client").stdout)
        links = {row.name: row for row in cluster.link_rates(0.5)}
    finally:
        client.run("touch /tmp/stop")
        calls.join()
    assert {row.destination for row in found} & {"default/web-1", "default/web-2"}
    assert all(row.service_port == 8080 and row.destination_port == 80 and row.sent.packets > 0 for row in found)
    assert any(row["service"] == "svc/default/web" and row["answered"]["packetsPerSecond"] for row in printed)
    assert links["n1 → s1"].bits > 0
    assert {"n1 → s1", "s1 → n1", "n2 → s1", "s1 → n2"} <= links.keys()


REFUSED = {
    "reach pod/wbe-1": "there is no pod in namespace default called 'wbe-1'; did you mean pod/web-1",
    "reach -6": "the cluster has no IPv6",
    "flows n1/eth7": "n1 has no interface eth7; nearest: ",
    "flows --for nothing": "--for: 'nothing' is no time",
    "top links --for 0": "--for 0: a look takes some time",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_done_is_told_in_one_line(cluster: Cluster, words: str) -> None:
    done = knet(*words.split(), "--name", NAME, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"knet: {REFUSED[words]}")
    assert done.stderr.count("\n") == 1
