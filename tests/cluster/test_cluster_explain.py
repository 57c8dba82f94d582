"""What `knet explain` says beforehand is what the kernels' rules, routes and entries are different by afterwards."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
import yaml

from knet import Cluster
from knet.api.objects import JSON
from knet.cluster.kernels import held
from knet.cluster.state import StateDir
from knet.cluster.view import ControlView
from knet.cni.lease import BackendData, Lease, annotations
from knet.inspect.conntrack import ends
from knet.inspect.explain.difference import ADDED, REMOVED
from knet.inspect.explain.explain import Explanation
from knet.inspect.explain.kernel import Kernel
from knet.inspect.explain.picture import picture, workers
from knet.inspect.explain.spelling import meaning
from knet.inspect.rules.compare import MISSING, UNEXPECTED, Rules
from knet.inspect.world import World
from tests.conftest import knet

NAME = "explain"
#: seconds until every machine has heard of a change, on a busy machine
PATIENCE = 30

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: registry.k8s.io/pause, ports: [{name: http, containerPort: 8080}]}]}
"""
#: with all that is allotted said, so that it is final
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  clusterIP: 10.96.0.77
  selector: {app: web}
  ports:
  - {name: http, port: 80, targetPort: http, nodePort: 30777}
  - {name: dns, port: 53, targetPort: 5353, protocol: UDP, nodePort: 30778}
"""
POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: friends}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}, {ipBlock: {cidr: 192.0.2.0/24}}]
    ports: [{port: http}, {port: 53, protocol: UDP}]
"""
LEASE = Lease("ghost", "10.244.77.0/24", "172.18.0.77", "vxlan", BackendData(1, "5e:00:00:00:00:77"))
NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": LEASE.node, "annotations": annotations(LEASE)},
    "spec": {"podCIDR": LEASE.subnet, "podCIDRs": [LEASE.subnet]},
}
SUBJECTS: dict[str, JSON] = {
    "Service": yaml.safe_load(SERVICE),
    "LoadBalancer": yaml.safe_load(SERVICE.replace("NodePort", "LoadBalancer")),
    "NetworkPolicy": yaml.safe_load(POLICY),
    "Node": NODE,
}
CASES = [("iptables", what) for what in SUBJECTS] + [("nftables", "LoadBalancer")]

#: chains that are always there
BUILT_IN = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
#: (section, meaning of a line), how many times
Lines = Counter[tuple[str, str]]
#: by machine, what has come and what has gone
Differences = dict[str, tuple[Lines, Lines]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(name=NAME, workers=2) as cluster:
        cluster.apply(WEB)
        cluster.rollout("deployment/web")
        yield cluster


def kernels(cluster: Cluster, world: World) -> dict[str, Lines]:
    """What each machine's kernel holds, but for its own chains, which others write in as well."""
    with closing(ControlView(StateDir(NAME))) as view:
        return {node: _counted(held(world, view, node)) for node in workers(world)}


def _counted(kernel: Kernel) -> Lines:
    return Counter(
        (str(section), meaning(section, row.text))
        for section, rows in kernel.items()
        if section.name.partition(" ")[2] not in BUILT_IN
        for row in rows
    )


def drift(cluster: Cluster) -> Differences:
    """What is there unexpectedly, and what is missing."""
    world = cluster.world()
    found = {}
    for node, there in kernels(cluster, world).items():
        drawn = picture(world, node).items()
        wanted = Counter((str(section), meaning(section, line)) for section, lines in drawn for line in lines)
        found[node] = there - wanted, wanted - there
    return found


def said(explanation: Explanation, nodes: list[str]) -> Differences:
    found: Differences = {node: (Counter(), Counter()) for node in nodes}
    for effect in explanation.effects:
        for node in effect.machines:
            for change in effect.changes:
                for line in change.lines:
                    if line.sign in (ADDED, REMOVED):
                        section = change.section
                        found[node][line.sign == REMOVED][str(section), meaning(section, line.text)] += 1
    return found


def since(before: dict[str, Lines], cluster: Cluster) -> Differences:
    now = kernels(cluster, cluster.world())
    return {node: (now[node] - before[node], before[node] - now[node]) for node in now}


def eventually(truth: Callable[[], Differences], expected: Differences) -> None:
    deadline = time.monotonic() + PATIENCE
    while (found := truth()) != expected:
        if time.monotonic() > deadline:
            assert found == expected
        time.sleep(0.1)


def counted(rules: Rules, machine: str, text: str) -> int:
    """Packets that a rule has seen."""
    [found] = [
        part.counted(section, place)[machine]["packets"]
        for part in rules.parts
        for section, rows, _ in part.rows
        for place, line in enumerate(rows)
        if machine in part.machines and text in line.text and part.counted(section, place)
    ]
    return found


@pytest.mark.cluster
def test_rules_are_as_the_kernel_has_them_and_what_is_not_as_expected_is_marked(cluster: Cluster) -> None:
    cluster.apply(SUBJECTS["Service"])
    nothing: Differences = {node: (Counter(), Counter()) for node in workers(cluster.world())}
    eventually(lambda: drift(cluster), nothing)
    [rules] = cluster.rules("svc/web")
    assert not rules.wrong(MISSING)
    assert not rules.wrong(UNEXPECTED)
    assert [part.machines for part in rules.parts] == [("n1", "n2")]
    jump = "--dport 80 -j KUBE-SVC-"
    assert counted(rules, "n1", jump) == 0
    cluster.machine("n1").run("timeout 3 bash -c '</dev/tcp/10.96.0.77/80'", check=False)
    [rules] = cluster.rules("svc/web")
    assert counted(rules, "n1", jump) == 1
    assert counted(rules, "n2", jump) == 0
    cluster.machine("n1").run("bash -c 'echo ? > /dev/udp/10.96.0.77/53'")  # TCP's entry went with the RST
    connections = cluster.conntrack(of=["svc/web"], protocol="udp")
    [row] = [row for row in connections if row.place == "n1"]
    assert row.tracked is not None
    source, destination, translation = ends(row.tracked, connections.names)
    assert (source.partition(":")[0], destination) == ("n1", "svc/default/web:53")
    assert translation.startswith("default/web-")

    cluster.reconfigure(without="kube-proxy")  # nobody repairs
    names = [section.name for part in rules.parts for section, *_ in part.rows]
    chain = next(name for name in names if "KUBE-SVC" in name)
    stranger = "-d 10.96.0.77/32 -p tcp -m tcp --dport 81 -j ACCEPT"
    cluster.machine("n2").run(f"iptables -t nat -D {chain.split()[1]} 1 && iptables -t nat -A KUBE-SERVICES {stranger}")
    try:
        [rules] = cluster.rules("svc/web")
        assert rules.wrong(MISSING) == rules.wrong(UNEXPECTED) == {"n2": 1}
        [explanation] = cluster.explain("svc/web")
        assert "n2's kernel: 1 line is missing there, see knet rules" in explanation.notes
        assert any(note.startswith("tracked connections: n1 1") for note in explanation.notes)
        printed = knet("rules", "svc/web", "--name", NAME).stdout
        assert f"? {stranger}" in printed
        assert "n2: 1 line is missing" in printed
        refused = knet("rules", "svc/wbe", "--name", NAME, check=False)
        assert refused.returncode == 2
        assert refused.stderr == "knet: there is no service called 'wbe' in namespace default; did you mean web?\n"
    finally:
        cluster.reconfigure(without="")
        cluster.delete("svc/web")


@pytest.mark.cluster
@pytest.mark.parametrize(("proxy", "what"), CASES)
def test_what_is_explained_is_what_becomes_of_the_kernels(cluster: Cluster, proxy: str, what: str) -> None:
    cluster.reconfigure(proxy=proxy)
    nothing: Differences = {node: (Counter(), Counter()) for node in workers(cluster.world())}
    eventually(lambda: drift(cluster), nothing)
    before, manifest = kernels(cluster, cluster.world()), SUBJECTS[what]
    [explanation] = cluster.explain(verb="apply", manifests=[manifest])
    coming = said(explanation, list(before))
    assert explanation.verb == "created"
    assert not any("not final" in note for note in explanation.notes)
    assert all(added for added, _ in coming.values())
    assert since(before, cluster) == nothing  # to ask is not to apply
    cluster.apply(manifest)
    eventually(lambda: since(before, cluster), coming)

    target = f"{manifest['kind'].lower()}/{manifest['metadata']['name']}"
    [explanation] = cluster.explain(target)
    assert said(explanation, list(before)) == coming
    [explanation] = cluster.explain(target, verb="delete")
    after, going = kernels(cluster, cluster.world()), said(explanation, list(before))
    assert going == {node: (removed, added) for node, (added, removed) in coming.items()}
    cluster.delete(target)
    eventually(lambda: since(after, cluster), going)
