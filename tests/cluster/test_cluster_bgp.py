"""Services of type LoadBalancer announced by BGP: the router spreads the client's connections over nodes."""

import json
import sys
from collections.abc import Iterator

import pytest

from knet import Cluster
from knet.api.objects import JSON
from knet.inspect.rules.compare import MISSING, UNEXPECTED
from tests.cluster.test_cluster_faults import eventually
from tests.cluster.test_cluster_load_balancers import MERGE, _deployment, _service

pytestmark = pytest.mark.root

NODES = {"n1", "n2", "n3"}
#: on each node a pod, to which alone its connections go; any pod, through every node
LOCAL = {"externalTrafficPolicy": "Local", "ipFamilyPolicy": "RequireDualStack"}
EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(tmp_path_factory.mktemp("home") / "kubeconfig"))
        with Cluster(name="bgp", topo="two_racks", workers=3, lb_mode="bgp", ip_family="dual") as running:
            running.apply(_deployment(3))
            running.apply(_service("local", **LOCAL))
            running.apply(_service("any"))
            running.rollout("deployment/web")
            yield running


def addresses(cluster: Cluster, name: str) -> list[str]:
    rows = cluster.get(f"service/{name}")["status"]["loadBalancer"].get("ingress") or ()
    return [str(row["ip"]) for row in rows]


def hops(cluster: Cluster, address: str) -> set[str]:
    """The nodes that the router's kernel sends an address' connections to."""
    family = "-6" if ":" in address else "-4"
    routes = json.loads(cluster.machine("r1").run(f"ip {family} -json route show {address}") or "[]")
    owners = {own: row["name"] for row in cluster.status()["machines"] for own in row["addresses"]}
    return {owners[hop["gateway"]] for route in routes for hop in route.get("nexthops", [route])}


def leads_to(cluster: Cluster, name: str, nodes: set[str]) -> None:
    """Wait until all addresses of a Service lead to these nodes."""
    eventually(lambda: bool(addresses(cluster, name)), f"{name} has no address")
    for address in addresses(cluster, name):
        eventually(lambda a=address: hops(cluster, a) == nodes, f"{address} leads elsewhere than to {nodes}")  # type: ignore[misc]


def answers(cluster: Cluster, address: str, question: str, number: int = 30, check: bool = True) -> list[str]:
    """What the client is told, by a new connection each time, until one fails; that is a CalledProcessError."""
    host = f"[{address}]" if ":" in address else address
    ask = f"curl -sSf -m 2 'http://{host}/{question}' || exit; echo"
    return cluster.machine("client").run(f"for i in $(seq {number}); do {ask}; done", check).split()


def test_connections_come_by_several_nodes_with_the_clients_address(cluster: Cluster) -> None:
    leads_to(cluster, "local", NODES)
    own = {row["name"]: set(row["addresses"]) for row in cluster.status()["machines"]}["client"]
    homes = {pod.name: pod.node for pod in cluster.pods("app=web")}
    seen = set()
    for address in addresses(cluster, "local"):
        # a node announces an address as soon as it has one; its kube-proxy may be later
        eventually(lambda a=address: len(answers(cluster, a, "hostname", check=False)) == 30, "not all are answered")  # type: ignore[misc]
        assert len({homes[name] for name in answers(cluster, address, "hostname")}) > 1
        seen |= {source.rpartition(":")[0].strip("[]") for source in answers(cluster, address, "clientip", 3)}
    assert seen == own, "policy Local: nobody puts an address of his own in"


def test_what_is_announced_is_told_of_its_service(cluster: Cluster) -> None:
    leads_to(cluster, "local", NODES)
    eventually(lambda: not cluster.rules("svc/local")[0].wrong(MISSING), "a machine does not hold what it should")
    [found] = cluster.rules("svc/local")
    lines = {str(row.section): [line.text for line in row.lines] for part in found.parts for row in part.rows}
    for family, address in zip(("IPv4/32", "IPv6/128"), addresses(cluster, "local"), strict=True):
        name, slash, length = family.partition("/")
        assert lines[f"route table 179 {name}"] == [f"blackhole {address}{slash}{length} table 179"]
    assert not found.wrong(UNEXPECTED)


#: asks several times from the same port, which a reset makes free at once; prints the answers' last lines
SAME_PORT = """
import socket, struct, sys
for _ in range(8):
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.bind(("", 40000))
        connection.connect((sys.argv[1], 80))
        connection.sendall(b"GET /hostname HTTP/1.0\\r\\n\\r\\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
        print(answer.decode().split()[-1])
"""


def test_what_belongs_to_a_connection_comes_by_one_node(cluster: Cluster) -> None:
    [address, _] = addresses(cluster, "local")
    assert len(set(cluster.machine("client").run([sys.executable, "-c", SAME_PORT, address]).split())) == 1


def test_policy_cluster_has_all_nodes_whether_they_have_a_pod_or_not(cluster: Cluster) -> None:
    leads_to(cluster, "any", NODES)
    cluster.apply(_deployment(2))
    eventually(lambda: len(cluster.pods("app=web")) == 2, "no pod went")
    leads_to(cluster, "local", {pod.node for pod in cluster.pods("app=web")})
    leads_to(cluster, "any", NODES)
    [address] = addresses(cluster, "any")

    def by_two() -> bool:
        told = answers(cluster, address, "hostname", check=False)
        return len(told) == 30 and len(set(told)) == 2

    eventually(by_two, "not every node sends to the two pods")
    cluster.apply(_deployment(3))
    cluster.rollout("deployment/web")
    leads_to(cluster, "local", NODES)


def test_a_node_that_is_excluded_and_a_service_that_is_deleted_are_withdrawn(cluster: Cluster) -> None:
    for value, nodes in (("true", NODES - {"n1"}), (None, NODES)):
        labels = {"metadata": {"labels": {EXCLUDED: value}}}
        cluster.call(cluster.api.raw("PATCH", "/api/v1/nodes/n1", labels, content_type=MERGE))
        leads_to(cluster, "any", nodes)
    [address] = addresses(cluster, "any")
    cluster.delete("service/any")
    eventually(lambda: hops(cluster, address) == set(), "the route outlived its Service")
    for node in NODES:
        assert address not in cluster.machine(node).run("ip route show table 179")


@pytest.mark.parametrize(("machine", "sessions"), [("r1", 6), ("n1", 2)])
def test_a_bird_that_was_killed_comes_back_and_its_routes_with_it(
    cluster: Cluster, machine: str, sessions: int
) -> None:
    before = bird(cluster, machine)
    cluster.machine(machine).run(f"kill -9 {before['pid']}")
    eventually(lambda: bird(cluster, machine)["restarts"] > before["restarts"], "bird did not come back")

    def established() -> bool:
        shown = cluster.machine(machine).run("birdc show protocols", check=False)
        return shown.count(" Established ") == sessions

    eventually(established, "its sessions did not come back")
    leads_to(cluster, "local", NODES)


def bird(cluster: Cluster, machine: str) -> JSON:
    [row] = [row for row in cluster.status()["components"] if (row["name"], row["machine"]) == ("bird", machine)]
    return row


def test_what_is_cut_off_or_dies_is_withdrawn_and_traffic_goes_on(cluster: Cluster) -> None:
    link = cluster.link("n2", "s2")
    link.down()
    leads_to(cluster, "local", NODES - {"n2"})
    for address in addresses(cluster, "local"):
        answers(cluster, address, "hostname")
    link.up()
    leads_to(cluster, "local", NODES)
    cluster.machine("n3").kill()
    leads_to(cluster, "local", NODES - {"n3"})
    for address in addresses(cluster, "local"):
        answers(cluster, address, "hostname")
